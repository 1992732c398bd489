//! The loss of a batch, and its derivatives in cosines and scale.

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use clip_filter_vectors::dot;

use super::{
    batch::SoughtTexts,
    kernels::{not_run, numbers, with_numbers},
};

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
pub(super) fn row_losses(cosines: &Tensor, scale: &Tensor, sought: &SoughtTexts) -> Result<Tensor> {
    let losses = Losses {
        sought: sought.clone(),
        likelihoods: OnceLock::new(),
    };
    cosines.contiguous()?.apply_op2(scale, losses)
}

struct Losses {
    sought: SoughtTexts,
    likelihoods: OnceLock<Likelihoods>,
}

/// What softmax makes of the logits.
struct Likelihoods {
    /// Of each text for each image: rows x texts.
    texts: Vec<f32>,
    /// Of each image for the text of each row: images x rows.
    images: Vec<f32>,
}

impl Losses {
    /// Likelihoods of the texts, rows x texts; adds the loss of each image.
    fn among_texts(&self, cosines: &[f32], scale: f32, losses: &mut [f32]) -> Vec<f32> {
        let texts = cosines.len() / losses.len();
        let mut all = Vec::with_capacity(cosines.len());
        for (row, cosines) in cosines.chunks_exact(texts).enumerate() {
            let start = all.len();
            let logits = cosines.iter().map(|cosine| cosine * scale);
            match &self.sought.log_shares {
                Some(shares) => {
                    all.extend(logits.zip(&**shares).map(|(logit, share)| logit + share))
                }
                None => all.extend(
                    logits
                        .enumerate()
                        .map(|(other, logit)| self.counted(row, other, logit)),
                ),
            }
            let logits = &mut all[start..];
            let own = logits[self.sought.own[row] as usize];
            losses[row] += softmax(logits) - own;
        }
        all
    }

    /// Likelihoods of the images, images x rows; adds the loss of the text of each row.
    fn among_images(&self, cosines: &[f32], scale: f32, losses: &mut [f32]) -> Vec<f32> {
        let rows = losses.len();
        let texts = cosines.len() / rows;
        let mut all = Vec::with_capacity(rows * rows);
        let mut most = vec![f32::NEG_INFINITY; rows];
        for (image, cosines) in cosines.chunks_exact(texts).enumerate() {
            let logits = self
                .sought
                .own
                .iter()
                .map(|own| cosines[*own as usize] * scale);
            let logits = logits
                .enumerate()
                .map(|(row, logit)| self.counted(image, row, logit));
            let start = all.len();
            all.extend(logits);
            for (most, logit) in most.iter_mut().zip(&all[start..]) {
                *most = most.max(*logit);
            }
        }
        for (row, loss) in losses.iter_mut().enumerate() {
            *loss += most[row] - all[row * rows + row];
        }
        let mut sums = vec![0.0f32; rows];
        for logits in all.chunks_exact_mut(rows) {
            for ((logit, most), sum) in logits.iter_mut().zip(&most).zip(&mut sums) {
                *logit = (*logit - most).exp();
                *sum += *logit;
            }
        }
        for likelihoods in all.chunks_exact_mut(rows) {
            for (likelihood, sum) in likelihoods.iter_mut().zip(&sums) {
                *likelihood /= sum;
            }
        }
        for (loss, sum) in losses.iter_mut().zip(&sums) {
            *loss += sum.ln();
        }
        all
    }

    /// The logit of an image and the text of a row, or of none.
    fn counted(&self, image: usize, row: usize, logit: f32) -> f32 {
        match self.sought.counts(image, row) {
            true => logit,
            false => f32::NEG_INFINITY,
        }
    }
}

impl CustomOp2 for Losses {
    fn name(&self) -> &'static str {
        "losses"
    }

    fn cpu_fwd(
        &self,
        cosines: &CpuStorage,
        of_cosines: &Layout,
        scale: &CpuStorage,
        of_scale: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (rows, _) = of_cosines.shape().dims2()?;
        let (cosines, scale) = (numbers(cosines, of_cosines)?, numbers(scale, of_scale)?[0]);
        let mut losses = vec![0.0f32; rows];
        let texts = self.among_texts(cosines, scale, &mut losses);
        let images = self.among_images(cosines, scale, &mut losses);
        losses.iter_mut().for_each(|loss| *loss *= 0.5);
        // Set once: an operation runs forward once.
        let _ = self.likelihoods.set(Likelihoods { texts, images });
        Ok((CpuStorage::F32(losses), Shape::from(rows)))
    }

    fn bwd(
        &self,
        cosines: &Tensor,
        scale: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (rows, texts) = cosines.dims2()?;
        let likelihoods = self.likelihoods.get().ok_or_else(not_run)?;
        let factor = scale.to_vec1::<f32>()?[0];
        // Each loss is half of two.
        let halves: Vec<f32> = gradient.to_vec1::<f32>()?.iter().map(|x| 0.5 * x).collect();
        let mut of_cosines = Vec::with_capacity(rows * texts);
        let mut of_scale = 0.0f64;
        with_numbers(cosines, |cosines| {
            let of_texts = likelihoods.texts.chunks_exact(texts);
            let of_images = likelihoods.images.chunks_exact(rows);
            let blocks = cosines.chunks_exact(texts).zip(of_texts).zip(of_images);
            for (row, ((cosines, of_texts), of_images)) in blocks.enumerate() {
                let start = of_cosines.len();
                of_cosines.extend(of_texts.iter().map(|likelihood| halves[row] * likelihood));
                let of_logits = &mut of_cosines[start..];
                // Once for its text and once for its image.
                of_logits[self.sought.own[row] as usize] -= 2.0 * halves[row];
                for ((own, likelihood), half) in self.sought.own.iter().zip(of_images).zip(&halves)
                {
                    of_logits[*own as usize] += half * likelihood;
                }
                of_scale += f64::from(dot(of_logits, cosines));
                of_logits.iter_mut().for_each(|change| *change *= factor);
            }
            Ok(())
        })?;
        #[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
        let of_scale = Tensor::from_vec(vec![of_scale as f32], scale.shape(), scale.device())?;
        let of_cosines = Tensor::from_vec(of_cosines, cosines.shape(), cosines.device())?;
        Ok((Some(of_cosines), Some(of_scale)))
    }
}

/// Turns logits into likelihoods; the logarithm of the sum of their exponentials.
fn softmax(logits: &mut [f32]) -> f32 {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for logit in logits.iter_mut() {
        *logit = (*logit - most).exp();
        sum += *logit;
    }
    logits.iter_mut().for_each(|likelihood| *likelihood /= sum);
    sum.ln() + most
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
