//! AdamW over the variables of a fit, in one pass each.

use std::sync::Mutex;

use candle_core::{CpuStorage, Error, InplaceOp2, Layout, Result, Var, backprop::GradStore};

use super::kernels::numbers;

/// Share of the first and second moments that a step keeps, and what keeps from dividing by zero: the usual ones.
const KEPT: (f32, f32) = (0.9, 0.999);
const EPSILON: f32 = 1e-8;

/// Stochastic gradient descent with moments and decoupled weight decay, in one pass over each variable where it lies.
///
/// # Source
/// AdamW (arXiv 1711.05101). candle's own makes some fifteen new tensors per variable and step.
pub(super) struct AdamW {
    variables: Vec<(Var, Mutex<Moments>)>,
    learning_rate: f32,
    weight_decay: f32,
    steps: i32,
}

#[derive(Default)]
struct Moments {
    first: Vec<f32>,
    second: Vec<f32>,
}

impl AdamW {
    pub(super) fn new(variables: Vec<Var>, learning_rate: f64, weight_decay: f64) -> Self {
        let variables = variables.into_iter();
        #[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
        let (learning_rate, weight_decay) = (learning_rate as f32, weight_decay as f32);
        Self {
            variables: variables
                .map(|variable| (variable, Mutex::default()))
                .collect(),
            learning_rate,
            weight_decay,
            steps: 0,
        }
    }

    pub(super) fn step(&mut self, gradients: &GradStore) -> Result<()> {
        self.steps += 1;
        for (variable, moments) in &self.variables {
            if let Some(gradient) = gradients.get(variable) {
                let step = AdamStep {
                    moments,
                    decay: 1.0 - self.learning_rate * self.weight_decay,
                    rate: self.learning_rate / (1.0 - KEPT.0.powi(self.steps)),
                    scale: 1.0 / (1.0 - KEPT.1.powi(self.steps)),
                };
                variable.inplace_op2(&gradient.contiguous()?, &step)?;
            }
        }
        Ok(())
    }
}

struct AdamStep<'a> {
    moments: &'a Mutex<Moments>,
    decay: f32,
    rate: f32,
    scale: f32,
}

impl InplaceOp2 for AdamStep<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(
        &self,
        variable: &mut CpuStorage,
        of_variable: &Layout,
        gradient: &CpuStorage,
        of_gradient: &Layout,
    ) -> Result<()> {
        let gradient = numbers(gradient, of_gradient)?;
        let (CpuStorage::F32(values), Some((start, end))) =
            (variable, of_variable.contiguous_offsets())
        else {
            return Err(Error::Msg("a variable of another kind".to_owned()));
        };
        let mut moments = self
            .moments
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let Moments { first, second } = &mut *moments;
        first.resize(gradient.len(), 0.0);
        second.resize(gradient.len(), 0.0);
        let moments = first.iter_mut().zip(second);
        for ((value, gradient), (first, second)) in
            values[start..end].iter_mut().zip(gradient).zip(moments)
        {
            *first = KEPT.0 * *first + (1.0 - KEPT.0) * gradient;
            *second = KEPT.1 * *second + (1.0 - KEPT.1) * gradient * gradient;
            let length = (*second * self.scale).sqrt() + EPSILON;
            *value = *value * self.decay - self.rate * *first / length;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::*;

    #[test]
    fn steps_are_those_of_the_paper() {
        let (rate, decay, start) = (0.1, 0.5, [1.0f32, -2.0, 0.25]);
        let tensor = Tensor::new(&start, &Device::Cpu).unwrap();
        let variable = Var::from_tensor(&tensor).unwrap();
        let mut optimizer = AdamW::new(vec![variable.clone()], rate, decay);
        let mut expected = start.map(|value| (f64::from(value), 0.0, 0.0));
        for step in 1..=5 {
            // The derivative of the sum of fourth powers, over four.
            let loss = variable.as_tensor().powf(4.0).unwrap().sum_all().unwrap();
            let gradients = (loss * 0.25).unwrap().backward().unwrap();
            optimizer.step(&gradients).unwrap();
            for (value, first, second) in &mut expected {
                let gradient = value.powi(3);
                *first = 0.9 * *first + 0.1 * gradient;
                *second = 0.999 * *second + 0.001 * gradient * gradient;
                let (mean, square) = (
                    *first / (1.0 - 0.9f64.powi(step)),
                    *second / (1.0 - 0.999f64.powi(step)),
                );
                *value -= rate * (mean / (square.sqrt() + 1e-8) + decay * *value);
            }
        }
        let found = variable.to_vec1::<f32>().unwrap();
        for (found, (expected, ..)) in found.into_iter().zip(expected) {
            assert!(
                (f64::from(found) - expected).abs() < 1e-5,
                "{found} is not {expected}"
            );
        }
        assert!(optimizer.steps == 5 && variable.to_vec1::<f32>().unwrap() != start);
    }
}
