//! Adapters in closed form: what sums over pairs say of classes, and of captions.

use ndarray::{Array1, Array2, Axis};

use crate::{
    cholesky::Cholesky,
    pair_sums::{TotalPartners, Totals},
};

/// A linear map with bias.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearMap {
    /// Row-major, out x in.
    pub weight: Vec<f32>,
    /// One number per output.
    pub bias: Vec<f32>,
}

/// Means of classes and the covariance within them: linear discriminant analysis.
#[derive(Debug, Clone)]
pub struct Discriminant {
    mean: Array1<f64>,
    /// Mean of each class less that of all; zero for a class without rows.
    means: Array2<f64>,
    /// Pooled covariance within classes.
    within: Array2<f64>,
}

impl Discriminant {
    /// # Panics
    /// If the pairs are captioned.
    pub fn of(totals: &Totals) -> Self {
        let TotalPartners::Classes { rows, sums } = &totals.partners else {
            unreachable!("the pairs are labelled")
        };
        let (mut means, mut rooted) = (sums.clone(), sums.clone());
        for (class, rows) in rows.iter().enumerate() {
            let mut mean = means.row_mut(class);
            match *rows > 0.0 {
                true => mean.zip_mut_with(&totals.image_mean, |sum, all| *sum = *sum / rows - all),
                false => mean.fill(0.0),
            }
            let root = rows.max(1.0).sqrt();
            rooted.row_mut(class).mapv_inplace(|sum| sum / root);
        }
        let classes: f64 = rows
            .iter()
            .map(|rows| f64::from(u8::from(*rows > 0.0)))
            .sum();
        let free = (totals.rows - classes).max(1.0);
        Self {
            mean: totals.image_mean.clone(),
            means,
            within: (&totals.images - &rooted.t().dot(&rooted)) / free,
        }
    }

    /// Scores of classes, (f · S^-1 μ_c - ½ μ_c · S^-1 μ_c) / d, where f and μ_c are taken from the mean of all rows and
    /// S = (1 - s) within + s tr(within) / d; `None` where images of a class do not differ.
    ///
    /// # Source
    /// Linear discriminant analysis with a shrunk pooled covariance and even priors.
    pub fn classes(&self, shrinkage: f64) -> Option<LinearMap> {
        let factor = self.factor(shrinkage)?;
        let dim = number(self.mean.len());
        let directions = factor.solve(self.means.t().to_owned());
        let bias = self.means.rows().into_iter().zip(directions.columns());
        let bias = bias.map(|(mean, direction)| {
            let half: f64 = mean.iter().zip(direction).map(|(m, w)| m * w).sum::<f64>() / 2.0;
            let of_mean: f64 = self.mean.iter().zip(direction).map(|(m, w)| m * w).sum();
            single((-of_mean - half) / dim)
        });
        Some(LinearMap {
            bias: bias.collect(),
            weight: directions.t().iter().map(|w| single(w / dim)).collect(),
        })
    }

    /// The map after which the images of a class vary alike in all directions, L^-1 (f - mean) with S = L L'.
    pub fn whitening(&self, shrinkage: f64) -> Option<LinearMap> {
        let inverse = self
            .factor(shrinkage)?
            .solve_lower(Array2::eye(self.mean.len()));
        let bias = inverse.dot(&self.mean);
        Some(LinearMap {
            weight: inverse.iter().map(|w| single(*w)).collect(),
            bias: bias.iter().map(|b| single(-b)).collect(),
        })
    }

    fn factor(&self, shrinkage: f64) -> Option<Cholesky> {
        let trace = self.within.diag().sum();
        let mut shrunk = &self.within * (1.0 - shrinkage);
        shrunk
            .diag_mut()
            .mapv_inplace(|v| v + shrinkage * trace / number(self.mean.len()));
        Cholesky::of(shrunk)
    }
}

/// The linear prediction of captions from images.
#[derive(Debug, Clone)]
pub struct Ridge {
    image_mean: Array1<f64>,
    text_mean: Array1<f64>,
    covariance: Array2<f64>,
    /// Covariance of images with texts.
    cross: Array2<f64>,
}

impl Ridge {
    /// # Panics
    /// If the pairs are labelled.
    pub fn of(totals: &Totals) -> Self {
        let TotalPartners::Texts { mean, cross } = &totals.partners else {
            unreachable!("the pairs are captioned")
        };
        let image_mean = totals.image_mean.clone();
        let product = |other: &Array1<f64>| {
            let (column, row) = (
                image_mean.view().insert_axis(Axis(1)),
                other.view().insert_axis(Axis(0)),
            );
            column.dot(&row)
        };
        Self {
            covariance: &totals.images / totals.rows - product(&image_mean),
            cross: cross / totals.rows - product(mean),
            text_mean: mean.clone(),
            image_mean,
        }
    }

    /// The map from image to caption that has the least squared error, `strength` mean variances added to that of every
    /// direction; `None` where images do not differ.
    pub fn map(&self, strength: f64) -> Option<LinearMap> {
        let trace = self.covariance.diag().sum();
        let mut covariance = self.covariance.clone();
        covariance
            .diag_mut()
            .mapv_inplace(|v| v + strength * trace / number(self.image_mean.len()));
        let map = Cholesky::of(covariance)?.solve(self.cross.clone());
        let bias = &self.text_mean - &self.image_mean.dot(&map);
        Some(LinearMap {
            weight: map.t().iter().map(|w| single(*w)).collect(),
            bias: bias.iter().map(|b| single(*b)).collect(),
        })
    }
}

#[expect(clippy::cast_possible_truncation, reason = "rounded to f32")]
fn single(value: f64) -> f32 {
    value as f32
}

#[expect(clippy::cast_precision_loss, reason = "numbers per embedding")]
fn number(dim: usize) -> f64 {
    dim as f64
}

#[cfg(test)]
mod tests;
