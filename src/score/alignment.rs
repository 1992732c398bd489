//! The cosine of two embeddings.

use clip_filter_vectors::dot;

/// Cosine of two unit vectors.
///
/// # Shape
/// Both of one length; the longer one is cut.
///
/// # Units
/// In [-1, 1], whatever rounding does.
pub fn cosine(a: &[f32], b: &[f32]) -> f32 {
    dot(a, b).clamp(-1.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(len: usize, seed: u32) -> Vec<f32> {
        let raw: Vec<f32> = (0..u32::try_from(len).unwrap())
            .map(|i| ((i.wrapping_mul(2_654_435_761) ^ seed) % 1000) as f32 / 500.0 - 1.0)
            .collect();
        let norm = raw.iter().map(|x| x * x).sum::<f32>().sqrt();
        raw.into_iter().map(|x| x / norm).collect()
    }

    #[test]
    fn equals_the_plain_sum_in_double_precision() {
        for len in [1, 8, 15, 16, 17, 384, 512, 768] {
            let (a, b) = (unit(len, 1), unit(len, 77));
            let exact: f64 = a
                .iter()
                .zip(&b)
                .map(|(x, y)| f64::from(*x) * f64::from(*y))
                .sum();
            assert!(
                (f64::from(cosine(&a, &b)) - exact).abs() < 1e-6,
                "length {len}"
            );
        }
    }

    #[test]
    fn never_leaves_its_range() {
        let long = vec![1.0; 64];
        assert_eq!(cosine(&long, &long), 1.0);
        let opposite = vec![-1.0; 64];
        assert_eq!(cosine(&long, &opposite), -1.0);
    }
}
