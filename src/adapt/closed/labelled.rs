//! Classes: a discriminant whose shrinkage suits rows held out.

use clip_filter_vectors::{Classes, Discriminant, LinearMap, Rows, class_losses};

use super::{FOLDS, Found, Gathered, Judged, record, rejected, too_few};
use crate::{
    adapt::{
        Adapters, ClassScores, ClosedFit, FitOptions, Fitted, adapters::Linear, judged::least,
    },
    error::{Error, Result},
};

/// Little where there are many rows per number, most of it where a class has a hundred rows.
const SHRINKAGES: [f64; 7] = [0.01, 0.03, 0.1, 0.3, 0.6, 0.9, 0.97];
/// Lowest and highest scale of logits that is tried, before and after alike, and the steps between them.
const SCALES: (f32, f32, u16) = (0.01, 10_000.0, 42);

pub(super) fn fit(gathered: &Gathered, options: &FitOptions) -> Result<Fitted> {
    let mut record = record(gathered, options);
    let counts = gathered.class_rows();
    if counts.iter().filter(|rows| **rows > 0).count() < 2 {
        let reason = "the pairs have fewer than two classes".to_owned();
        return Ok(rejected(gathered, options, record, reason));
    }
    let folds = (0..FOLDS).map(|fold| Some(Discriminant::of(&gathered.totals(Some(fold))?)));
    let folds: Option<Vec<Discriminant>> = folds.collect();
    let (Some(folds), Some(all)) = (folds, gathered.totals(None)) else {
        let reason = too_few(gathered.rows());
        return Ok(rejected(gathered, options, record, reason));
    };
    let judge = Judge::of(gathered, &counts)?;
    let (scale, before) = judge.plain(gathered)?;
    record.start_logit_scale = scale;
    let Some(Found { settings, judged }) = judge.choose(gathered, &folds, &before)? else {
        let reason = too_few(gathered.rows());
        return Ok(rejected(gathered, options, record, reason));
    };
    let chosen = ClosedFit {
        shrinkage: Some(settings),
        ..ClosedFit::of(&judged)
    };
    let words = format!(
        "held-out loss {:.4} as they are, {:.4} at shrinkage {settings}",
        judged.before(),
        judged.after()
    );
    if !record.decide(&judged, chosen, words) {
        let reason = record.reason.clone();
        return Ok(rejected(gathered, options, record, reason));
    }
    let make = |of: &Discriminant| -> Option<Adapters> {
        let classes = known(gathered, &counts, of.classes(settings)?);
        let image = Linear::from(of.whitening(settings)?);
        let plain = Adapters::identity(gathered.dim, options.model.as_str(), record.clone());
        Some(plain.of_classes(image, classes))
    };
    let folds: Option<Vec<Adapters>> = folds.iter().map(make).collect();
    Fitted::again(make(&Discriminant::of(&all)), folds)
}

/// Scores of the classes that have rows.
fn known(gathered: &Gathered, counts: &[u64], map: LinearMap) -> ClassScores {
    let mut classes = ClassScores::default();
    let scores = map.weight.chunks_exact(gathered.dim).zip(map.bias);
    for ((name, rows), (direction, offset)) in gathered.names().iter().zip(counts).zip(scores) {
        if *rows > 0 {
            classes.names.push(name.clone());
            classes.directions.extend_from_slice(direction);
            classes.offsets.push(offset);
        }
    }
    classes
}

/// What rows held out are judged by.
struct Judge {
    labels: Vec<usize>,
    log_shares: Vec<f32>,
    scales: Vec<f32>,
}

impl Judge {
    fn of(gathered: &Gathered, counts: &[u64]) -> Result<Self> {
        let rows = gathered.rows() as f64;
        #[expect(clippy::cast_possible_truncation, reason = "rounded to f32")]
        let share = |count: &u64| (*count as f64 / rows).ln() as f32;
        let (low, high, steps) = SCALES;
        let step = (high / low).ln() / f32::from(steps);
        Ok(Self {
            labels: gathered.held_out.labels(),
            log_shares: counts.iter().map(share).collect(),
            scales: (0..=steps)
                .map(|at| low * (f32::from(at) * step).exp())
                .collect(),
        })
    }

    /// The scale that suits plain embeddings best, and their losses at it.
    fn plain(&self, gathered: &Gathered) -> Result<(f32, Vec<f32>)> {
        let offsets = vec![0.0; self.log_shares.len()];
        let classes = Classes {
            directions: rows(gathered.class_texts(), gathered.dim)?,
            offsets: &offsets,
        };
        let images = rows(gathered.held_out.images(), gathered.dim)?;
        let table = class_losses(
            images,
            classes,
            &self.labels,
            &self.log_shares,
            &self.scales,
        );
        least(&table, self.labels.len())
            .map(|(place, losses)| (self.scales[place], losses.to_vec()))
            .ok_or_else(|| Error::internal("judge embeddings by the texts of their classes"))
    }

    /// The shrinkage with the least loss.
    fn choose(
        &self,
        gathered: &Gathered,
        folds: &[Discriminant],
        before: &[f32],
    ) -> Result<Option<Found<f64>>> {
        let mut best: Option<Found<f64>> = None;
        for settings in SHRINKAGES {
            if let Some(after) = self.losses(gathered, folds, settings)? {
                let judged = Judged::of(before, &after);
                Found { settings, judged }.take_if_better(&mut best);
            }
        }
        Ok(best)
    }

    /// Losses at the scale that suits them best, each row by the folds that it is not in; `None` where there is no fit.
    fn losses(
        &self,
        gathered: &Gathered,
        folds: &[Discriminant],
        shrinkage: f64,
    ) -> Result<Option<Vec<f32>>> {
        let count = self.labels.len();
        let mut table = vec![0.0; count * self.scales.len()];
        for (fold, discriminant) in folds.iter().enumerate() {
            let Some(map) = discriminant.classes(shrinkage) else {
                return Ok(None);
            };
            let of_fold = gathered.held_out.of_fold(fold);
            let images = gathered.held_out.some_images(&of_fold);
            let labels: Vec<usize> = of_fold.iter().map(|row| self.labels[*row]).collect();
            let classes = Classes {
                directions: rows(&map.weight, gathered.dim)?,
                offsets: &map.bias,
            };
            let images = rows(&images, gathered.dim)?;
            let losses = class_losses(images, classes, &labels, &self.log_shares, &self.scales);
            for (scale, losses) in losses.chunks_exact(of_fold.len().max(1)).enumerate() {
                for (row, loss) in of_fold.iter().zip(losses) {
                    table[scale * count + row] = *loss;
                }
            }
        }
        Ok(least(&table, count).map(|(_, losses)| losses.to_vec()))
    }
}

fn rows(values: &[f32], dim: usize) -> Result<Rows<'_>> {
    Rows::new(values, dim).ok_or_else(|| Error::internal("put embeddings in rows"))
}
