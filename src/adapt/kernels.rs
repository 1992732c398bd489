//! From weights to cosines, with their derivatives. candle's own operations would work out the derivatives of what is
//! not trained too, and pass over the numbers once for each of them.

use std::sync::OnceLock;

use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, Error, Layout, Result, Shape, Storage, Tensor,
};

use clip_filter_vectors::dot;

/// Keeps the length of a row that is mapped to zero from dividing by zero.
const TINY: f32 = 1e-12;

/// rows · weightᵀ, differentiable in the weight.
///
/// # Shape
/// `rows` is n x in, `weight` out x in, the result n x out.
pub(super) fn mapped(rows: &Tensor, weight: &Tensor) -> Result<Tensor> {
    weight.apply_op1(Product {
        left: rows.clone(),
        right: weight.detach(),
        trained: Factor::Right,
    })
}

/// rows + change + bias at length one, differentiable in change and bias.
///
/// # Shape
/// `rows`, `change` and the result are n x dim, `bias` has dim numbers.
pub(super) fn unit_sum(rows: &Tensor, change: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let op = UnitSum {
        rows: rows.clone(),
        lengths: OnceLock::new(),
    };
    change.apply_op2(bias, op)
}

/// Cosines of unit embeddings, differentiable in the images.
///
/// # Shape
/// `images` is n x dim, `texts` m x dim, the result n x m.
pub(super) fn cosines_with(images: &Tensor, texts: &Tensor) -> Result<Tensor> {
    images.apply_op1(Product {
        left: images.detach(),
        right: texts.clone(),
        trained: Factor::Left,
    })
}

/// left · rightᵀ, differentiable in the factor that it is applied to.
struct Product {
    left: Tensor,
    right: Tensor,
    trained: Factor,
}

enum Factor {
    Left,
    Right,
}

impl CustomOp1 for Product {
    fn name(&self) -> &'static str {
        "product"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        let product = self.left.matmul(&self.right.t()?)?;
        let values = with_numbers(&product, |numbers| Ok(numbers.to_vec()))?;
        Ok((CpuStorage::F32(values), product.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        match self.trained {
            Factor::Left => gradient.matmul(&self.right).map(Some),
            Factor::Right => gradient.t()?.matmul(&self.left).map(Some),
        }
    }
}

struct UnitSum {
    rows: Tensor,
    lengths: OnceLock<Vec<f32>>,
}

impl CustomOp2 for UnitSum {
    fn name(&self) -> &'static str {
        "unit-sum"
    }

    fn cpu_fwd(
        &self,
        change: &CpuStorage,
        of_change: &Layout,
        bias: &CpuStorage,
        of_bias: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (change, bias) = (numbers(change, of_change)?, numbers(bias, of_bias)?);
        let mut sums = Vec::with_capacity(change.len());
        let mut lengths = Vec::with_capacity(change.len() / bias.len());
        with_numbers(&self.rows, |rows| {
            for (row, change) in rows
                .chunks_exact(bias.len())
                .zip(change.chunks_exact(bias.len()))
            {
                let start = sums.len();
                sums.extend(
                    row.iter()
                        .zip(change)
                        .zip(bias)
                        .map(|((row, change), bias)| row + change + bias),
                );
                let sum = &mut sums[start..];
                let length = (dot(sum, sum) + TINY).sqrt();
                sum.iter_mut().for_each(|x| *x /= length);
                lengths.push(length);
            }
            Ok(())
        })?;
        // Set once: an operation runs forward once.
        let _ = self.lengths.set(lengths);
        Ok((CpuStorage::F32(sums), of_change.shape().clone()))
    }

    fn bwd(
        &self,
        _: &Tensor,
        bias: &Tensor,
        units: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dim = bias.elem_count();
        let lengths = self.lengths.get().ok_or_else(not_run)?;
        let gradient = gradient.contiguous()?;
        let mut of_change = Vec::with_capacity(lengths.len() * dim);
        let mut of_bias = vec![0.0f32; dim];
        with_numbers(units, |units| {
            with_numbers(&gradient, |gradient| {
                let rows = units.chunks_exact(dim).zip(gradient.chunks_exact(dim));
                for ((unit, gradient), length) in rows.zip(lengths) {
                    let along = dot(unit, gradient);
                    let start = of_change.len();
                    of_change.extend(
                        unit.iter()
                            .zip(gradient)
                            .map(|(unit, gradient)| (gradient - unit * along) / length),
                    );
                    for (sum, value) in of_bias.iter_mut().zip(&of_change[start..]) {
                        *sum += value;
                    }
                }
                Ok(())
            })
        })?;
        let device = units.device();
        Ok((
            Some(Tensor::from_vec(of_change, units.shape(), device)?),
            Some(Tensor::from_vec(of_bias, bias.shape(), device)?),
        ))
    }
}

pub(super) fn with_numbers<T>(
    tensor: &Tensor,
    take: impl FnOnce(&[f32]) -> Result<T>,
) -> Result<T> {
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => take(numbers(storage, layout)?),
        _ => Err(Error::Msg("numbers that are not in memory".to_owned())),
    }
}

pub(super) fn numbers<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let (start, end) = layout
        .contiguous_offsets()
        .ok_or_else(|| Error::Msg("numbers that do not follow each other".to_owned()))?;
    Ok(&storage.as_slice::<f32>()?[start..end])
}

pub(super) fn not_run() -> Error {
    Error::Msg("a derivative before its function".to_owned())
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

    const SHAPE: (usize, usize) = (3, 5);

    fn made_up(shape: (usize, usize), step: usize) -> Tensor {
        let count = shape.0 * shape.1;
        let values = (0..count).map(|i| ((i * step + 3) % 17) as f32 / 17.0 - 0.4);
        Tensor::from_vec(values.collect(), shape, &Device::Cpu).unwrap()
    }

    /// candle's own operations.
    fn plain(rows: &Tensor, weight: &Tensor, bias: &Tensor, texts: &Tensor) -> Tensor {
        let change = rows.matmul(&weight.t().unwrap()).unwrap();
        let sum = (rows + change).unwrap().broadcast_add(bias).unwrap();
        let length = sum.sqr().unwrap().sum_keepdim(1).unwrap().sqrt().unwrap();
        let units = sum.broadcast_div(&length).unwrap();
        units.matmul(&texts.t().unwrap()).unwrap()
    }

    fn ours(rows: &Tensor, weight: &Tensor, bias: &Tensor, texts: &Tensor) -> Tensor {
        let change = mapped(rows, weight).unwrap();
        cosines_with(&unit_sum(rows, &change, bias).unwrap(), texts).unwrap()
    }

    fn assert_near(found: &Tensor, expected: &Tensor) {
        assert_eq!(found.shape(), expected.shape());
        let numbers = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for (found, expected) in numbers(found).iter().zip(numbers(expected)) {
            assert!((found - expected).abs() < 1e-5, "{found} is not {expected}");
        }
    }

    #[test]
    fn values_and_derivatives_are_those_of_plain_operations() {
        let (rows, texts) = (made_up(SHAPE, 7), made_up((4, SHAPE.1), 5));
        let weight = Var::from_tensor(&made_up((SHAPE.1, SHAPE.1), 11)).unwrap();
        let bias = made_up((1, SHAPE.1), 13).flatten_all().unwrap();
        let bias = Var::from_tensor(&bias).unwrap();
        let weights = made_up((SHAPE.0, 4), 3);
        let found = ours(&rows, &weight, &bias, &texts);
        let expected = plain(&rows, &weight, &bias, &texts);
        assert_near(&found, &expected);
        let gradients = |cosines: Tensor| {
            (cosines * &weights)
                .unwrap()
                .sum_all()
                .unwrap()
                .backward()
                .unwrap()
        };
        let (found, expected) = (gradients(found), gradients(expected));
        for variable in [&weight, &bias] {
            assert_near(
                found.get(variable).unwrap(),
                expected.get(variable).unwrap(),
            );
        }
    }
}
