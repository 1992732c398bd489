use candle_core::{Result, Tensor};
use candle_nn::ops::log_softmax;

use super::batch::Sought;

/// Loss of each row, in nats, differentiable in cosines and scale: the mean of finding its text among the texts, and
/// of finding its image among those of the batch that have another text.
///
/// # Shape
/// `cosines` is rows x texts, `scale` has one number.
///
/// # Source
/// InfoNCE in both directions (arXiv 2103.00020, figure 3), but rows with the same text are no negatives. Where texts
/// are classes all of them are negatives, each weighted by its share of the rows (logit adjustment, arXiv
/// 2007.07314), so that nothing is gained by learning which classes are frequent.
pub(super) fn row_losses(cosines: &Tensor, scale: &Tensor, sought: &Sought) -> Result<Tensor> {
    let logits = cosines.broadcast_mul(scale)?;
    let (among_texts, by_row) = match &sought.log_shares {
        Some(log_shares) => {
            let by_row = logits.index_select(&sought.own, 1)?.add(&sought.mask)?;
            (logits.broadcast_add(log_shares)?, by_row)
        }
        None => {
            let by_row = logits.add(&sought.mask)?;
            (by_row.clone(), by_row)
        }
    };
    let of_images = cross_entropies(&among_texts, &sought.own)?;
    let of_texts = cross_entropies(&by_row.t()?.contiguous()?, &sought.positions)?;
    (of_images + of_texts)? * 0.5
}

fn cross_entropies(logits: &Tensor, own: &Tensor) -> Result<Tensor> {
    let likelihoods = log_softmax(logits, 1)?;
    likelihoods.gather(&own.unsqueeze(1)?, 1)?.squeeze(1)?.neg()
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;
    use crate::adapt::{
        Batch, FitOptions, MemoryPairs, StoredTargets, Targets,
        batch::{BatchTensors, Problem},
    };

    const DIM: usize = 4;

    fn batch(ids: &[u64]) -> BatchTensors {
        let rows = ids.len();
        let images: Vec<f32> = (0..rows * DIM)
            .map(|i| ((i * 7 + 3) % 11) as f32 / 11.0 - 0.4)
            .collect();
        let texts: Vec<f32> = (0..rows * DIM)
            .map(|i| ((i * 5 + 1) % 13) as f32 / 13.0 - 0.5)
            .collect();
        let stored = StoredTargets::Captions {
            texts: texts.clone(),
            ids: ids.to_vec(),
        };
        let mut pairs = MemoryPairs::try_new(DIM, images.clone(), stored, 2).unwrap();
        let problem = Problem::of(&mut pairs, &FitOptions::new("model-1")).unwrap();
        let targets = Targets::Captions { texts: &texts, ids };
        let batch = Batch {
            images: &images,
            targets,
        };
        problem.tensors(&batch).unwrap().unwrap()
    }

    fn cosines(rows: usize) -> Vec<f32> {
        (0..rows * rows)
            .map(|i| ((i * 29 + 5) % 17) as f32 / 17.0 - 0.5)
            .collect()
    }

    fn losses(cosines: &[f32], ids: &[u64], scale: f32) -> Vec<f32> {
        let cosines = Tensor::from_slice(cosines, (ids.len(), ids.len()), &Device::Cpu).unwrap();
        let scale = Tensor::new(&[scale], &Device::Cpu).unwrap();
        let losses = row_losses(&cosines, &scale, &batch(ids).sought).unwrap();
        losses.to_vec1().unwrap()
    }

    /// The same, written out in double precision.
    fn expected(cosines: &[f32], ids: &[u64], scale: f32) -> Vec<f64> {
        let rows = ids.len();
        let logit = |image: usize, text: usize| f64::from(scale * cosines[image * rows + text]);
        (0..rows)
            .map(|own| {
                let others: Vec<usize> = (0..rows)
                    .filter(|other| *other == own || ids[*other] != ids[own])
                    .collect();
                let of_image: f64 = others.iter().map(|other| logit(own, *other).exp()).sum();
                let of_text: f64 = others.iter().map(|other| logit(*other, own).exp()).sum();
                (of_image.ln() + of_text.ln()) / 2.0 - logit(own, own)
            })
            .collect()
    }

    #[test]
    fn equal_captions_are_no_negatives() {
        let ids = [1, 2, 1, 3, 2, 1];
        let cosines = cosines(ids.len());
        let found = losses(&cosines, &ids, 20.0);
        for (found, expected) in found.iter().zip(expected(&cosines, &ids, 20.0)) {
            assert!(
                (f64::from(*found) - expected).abs() < 1e-5,
                "{found} is not {expected}"
            );
        }
    }

    #[test]
    fn a_batch_of_one_caption_has_nothing_to_lose() {
        let ids = [7; 5];
        assert_eq!(losses(&cosines(ids.len()), &ids, 20.0), [0.0; 5]);
    }

    #[test]
    fn gradients_are_those_of_differences() {
        let ids = [1, 2, 1, 3];
        let (rows, scale, step) = (ids.len(), 5.0, 1e-4);
        let cosines = cosines(rows);
        let variable = Tensor::from_slice(&cosines, (rows, rows), &Device::Cpu).unwrap();
        let variable = Var::from_tensor(&variable).unwrap();
        let tensor = Tensor::new(&[scale], &Device::Cpu).unwrap();
        let sum = row_losses(&variable, &tensor, &batch(&ids).sought)
            .unwrap()
            .sum_all()
            .unwrap();
        let gradients = sum.backward().unwrap();
        let gradient = gradients.get(&variable).unwrap().flatten_all().unwrap();
        let sum_at = |position: usize, change: f32| {
            let mut moved = cosines.clone();
            moved[position] += change;
            expected(&moved, &ids, scale).iter().sum::<f64>()
        };
        for (position, found) in gradient.to_vec1::<f32>().unwrap().into_iter().enumerate() {
            let expected =
                (sum_at(position, step) - sum_at(position, -step)) / (2.0 * f64::from(step));
            assert!(
                (f64::from(found) - expected).abs() < 5e-3,
                "{position}: {found} is not {expected}"
            );
        }
        let same_caption = gradient.to_vec1::<f32>().unwrap()[2];
        assert_eq!(same_caption, 0.0, "rows 0 and 2 have one caption");
    }
}
