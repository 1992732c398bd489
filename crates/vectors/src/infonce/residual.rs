//! A map that is added to the identity, its result at unit length, and its derivatives.

use ndarray::{Array1, Array2, ArrayView2, Axis};

use super::{
    Trained,
    adam::{Adam, Moments},
};

/// Keeps the length of a row that is mapped to zero from dividing by zero.
const TINY: f32 = 1e-12;

/// adapted = normalised(x + x · weightᵀ + bias). Starts at zero; weight decay pulls there.
#[derive(Debug, Clone)]
pub(super) struct Residual {
    weight: Array2<f32>,
    bias: Array1<f32>,
    of_weight: Moments,
    of_bias: Moments,
}

/// Rows at length one, and the lengths that they had.
pub(super) struct Units {
    pub(super) rows: Array2<f32>,
    lengths: Vec<f32>,
}

/// Derivatives in weight and bias.
pub(super) struct MapSlopes {
    pub(super) weight: Array2<f32>,
    pub(super) bias: Array1<f32>,
}

impl Residual {
    pub(super) fn zero(dim: usize) -> Self {
        Self {
            weight: Array2::zeros((dim, dim)),
            bias: Array1::zeros(dim),
            of_weight: Moments::default(),
            of_bias: Moments::default(),
        }
    }

    pub(super) fn adapted(&self, rows: ArrayView2<'_, f32>) -> Units {
        let mut units = rows.dot(&self.weight.t());
        units += &rows;
        units += &self.bias;
        let length = |mut row: ndarray::ArrayViewMut1<'_, f32>| {
            let length = (row.dot(&row) + TINY).sqrt();
            row /= length;
            length
        };
        let lengths = units.rows_mut().into_iter().map(length).collect();
        Units {
            rows: units,
            lengths,
        }
    }

    /// Derivatives, where `slopes` are those in the unit rows.
    pub(super) fn slopes(
        &self,
        rows: ArrayView2<'_, f32>,
        units: &Units,
        mut slopes: Array2<f32>,
    ) -> MapSlopes {
        let units = units.rows.rows().into_iter().zip(&units.lengths);
        for (mut slope, (unit, length)) in slopes.rows_mut().into_iter().zip(units) {
            // A unit row does not move along itself.
            let along = unit.dot(&slope);
            slope.scaled_add(-along, &unit);
            slope /= *length;
        }
        MapSlopes {
            weight: slopes.t().dot(&rows),
            bias: slopes.sum_axis(Axis(0)),
        }
    }

    pub(super) fn step(&mut self, slopes: &MapSlopes, adam: &Adam) {
        let weight = self.weight.iter_mut().zip(&slopes.weight);
        adam.step(&mut self.of_weight, weight);
        let bias = self.bias.iter_mut().zip(&slopes.bias);
        adam.step(&mut self.of_bias, bias);
    }

    #[cfg(test)]
    pub(super) fn change(&mut self, change: impl FnOnce(&mut Array2<f32>, &mut Array1<f32>)) {
        change(&mut self.weight, &mut self.bias);
    }

    pub(super) fn trained(&self) -> Trained {
        let identity = Array2::<f32>::eye(self.bias.len());
        Trained {
            weight: (&self.weight + &identity).iter().copied().collect(),
            bias: self.bias.to_vec(),
        }
    }
}
