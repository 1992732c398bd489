//! AdamW: steps by moments of the derivatives, with decoupled weight decay.

use super::Descent;

/// Share of the first and second moments that a step keeps, and what keeps from dividing by zero: the usual ones.
const KEPT: (f32, f32) = (0.9, 0.999);
const EPSILON: f32 = 1e-8;

/// Moments of the derivatives in some values.
#[derive(Debug, Clone, Default)]
pub(super) struct Moments {
    /// Of each value: the mean and the mean square.
    values: Vec<(f32, f32)>,
}

/// The step with some number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Adam {
    decay: f32,
    rate: f32,
    scale: f32,
}

impl Adam {
    /// Steps are counted from 1.
    pub(super) fn at(step: i32, descent: Descent) -> Self {
        Self {
            decay: 1.0 - descent.learning_rate * descent.weight_decay,
            rate: descent.learning_rate / (1.0 - KEPT.0.powi(step)),
            scale: 1.0 / (1.0 - KEPT.1.powi(step)),
        }
    }

    pub(super) fn without_decay(self) -> Self {
        Self { decay: 1.0, ..self }
    }

    /// Moves values, each beside its derivative; always the same ones.
    pub(super) fn step<'a>(
        &self,
        moments: &mut Moments,
        values: impl ExactSizeIterator<Item = (&'a mut f32, &'a f32)>,
    ) {
        moments.values.resize(values.len(), (0.0, 0.0));
        for ((value, slope), (mean, square)) in values.zip(&mut moments.values) {
            *mean = KEPT.0 * *mean + (1.0 - KEPT.0) * slope;
            *square = KEPT.1 * *square + (1.0 - KEPT.1) * slope * slope;
            let length = (*square * self.scale).sqrt() + EPSILON;
            *value = *value * self.decay - self.rate * *mean / length;
        }
    }
}
