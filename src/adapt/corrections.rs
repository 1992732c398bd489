//! The variables of a fit: what is added to each embedding, and the scale of logits.

use candle_core::{DType, Device, Result, Tensor, Var};

use super::{
    FitOptions,
    adamw::AdamW,
    adapters::Linear,
    batch::{BatchTensors, Problem},
    kernels::{cosines_with, mapped, unit_sum},
    loss::row_losses,
};

/// The scale of logits stays below it, as in CLIP (arXiv 2103.00020, section 2.5).
pub(super) const MAX_LOGIT_SCALE: f32 = 100.0;
/// Below it a softmax over cosines says nothing.
pub(super) const MIN_LOGIT_SCALE: f32 = 1.0;

/// What is trained: for each side a map that is added to the identity, and the scale of logits.
pub(super) struct Corrections {
    image: Residual,
    text: Option<Residual>,
    /// Its logarithm, so that a step changes it by a ratio.
    log_scale: Var,
    weights: AdamW,
    scale: AdamW,
}

/// adapted = normalised(x + x · weightᵀ + bias). Starts at zero; weight decay pulls there.
struct Residual {
    weight: Var,
    bias: Var,
}

impl Residual {
    fn zero(dim: usize) -> Result<Self> {
        Ok(Self {
            weight: Var::zeros((dim, dim), DType::F32, &Device::Cpu)?,
            bias: Var::zeros(dim, DType::F32, &Device::Cpu)?,
        })
    }

    fn adapted(&self, rows: &Tensor) -> Result<Tensor> {
        unit_sum(rows, &mapped(rows, &self.weight)?, &self.bias)
    }

    fn linear(&self, dim: usize) -> Result<Linear> {
        let mut weight = self.weight.flatten_all()?.to_vec1::<f32>()?;
        weight.iter_mut().step_by(dim + 1).for_each(|x| *x += 1.0);
        Ok(Linear {
            weight,
            bias: self.bias.to_vec1::<f32>()?,
        })
    }
}

impl Corrections {
    /// None yet, at this scale of logits.
    pub(super) fn none(problem: &Problem, options: &FitOptions, logit_scale: f32) -> Result<Self> {
        let image = Residual::zero(problem.dim)?;
        let text = match options.lock_text {
            true => None,
            false => Some(Residual::zero(problem.dim)?),
        };
        let log_scale = Var::from_tensor(&Tensor::new(&[logit_scale.ln()], &Device::Cpu)?)?;
        let variables = [Some(&image), text.as_ref()]
            .into_iter()
            .flatten()
            .flat_map(|residual| [residual.weight.clone(), residual.bias.clone()])
            .collect();
        let rate = options.learning_rate;
        Ok(Self {
            weights: AdamW::new(variables, rate, options.weight_decay),
            scale: AdamW::new(vec![log_scale.clone()], rate, 0.0),
            image,
            text,
            log_scale,
        })
    }

    /// Cosines of adapted images and adapted texts: rows x texts.
    fn cosines(&self, batch: &BatchTensors) -> Result<Tensor> {
        let images = self.image.adapted(&batch.images)?;
        match &self.text {
            Some(text) => images.matmul(&text.adapted(&batch.texts)?.t()?),
            None => cosines_with(&images, &batch.texts),
        }
    }

    /// Loss of each row.
    pub(super) fn row_losses(&self, batch: &BatchTensors) -> Result<Tensor> {
        row_losses(&self.cosines(batch)?, &self.log_scale.exp()?, &batch.sought)
    }

    /// One step downhill; gives the mean loss per row before it.
    pub(super) fn step(&mut self, batch: &BatchTensors) -> Result<f32> {
        let loss = self.row_losses(batch)?.mean_all()?;
        let gradients = loss.backward()?;
        self.weights.step(&gradients)?;
        self.scale.step(&gradients)?;
        let (low, high) = (MIN_LOGIT_SCALE.ln(), MAX_LOGIT_SCALE.ln());
        self.log_scale.set(&self.log_scale.clamp(low, high)?)?;
        loss.to_scalar()
    }

    pub(super) fn logit_scale(&self) -> Result<f32> {
        Ok(self.log_scale.to_vec1::<f32>()?[0].exp())
    }

    /// The maps of image and text as they are now.
    pub(super) fn linears(&self, dim: usize) -> Result<(Linear, Linear)> {
        let text = match &self.text {
            Some(text) => text.linear(dim)?,
            None => Linear::identity(dim),
        };
        Ok((self.image.linear(dim)?, text))
    }
}

/// Cosines of images and texts as they are: rows x texts.
pub(super) fn plain_cosines(batch: &BatchTensors) -> Result<Tensor> {
    batch.images.matmul(&batch.texts.t()?)
}
