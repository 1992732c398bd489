//! Sums that do not depend on the order of what is added.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::error::{Error, Result};

/// A sum of `f32` values that does not depend on their order, nor on how they were divided among partial sums.
///
/// # Units
/// Fixed point: multiples of 2^-60 in an `i128`. A value of at least 2^-36 in magnitude is added without any
/// rounding, a smaller one is rounded to the unit by itself, so the order cannot matter. Additions wrap: the sum is
/// right whenever the true one is below 2^67 in magnitude, whatever the partial sums were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExactSum {
    units: i128,
    count: u64,
}

const UNITS_PER_ONE: f64 = (1u64 << 60) as f64;
/// Values are smaller than this in magnitude.
const LIMIT: f32 = (1u64 << 40) as f32;

impl ExactSum {
    /// Adds one value.
    ///
    /// # Errors
    /// When it is not a number, or not below 2^40 in magnitude. The sum is then unchanged.
    pub fn push(&mut self, value: f32) -> Result<()> {
        if value.abs() < LIMIT {
            self.units = self.units.wrapping_add(in_units(value));
            self.count += 1;
            return Ok(());
        }
        Err(Error::input("add up scores")
            .with("score", value)
            .with("expected", "a number between -2^40 and 2^40")
            .hint("leave such rows out with --where, or correct the column"))
    }

    /// Adds what another sum holds.
    pub fn merge(&mut self, other: &Self) {
        self.units = self.units.wrapping_add(other.units);
        self.count = self.count.saturating_add(other.count);
    }

    /// Values added.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The arithmetic mean; `None` of no values.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.units as f64 / UNITS_PER_ONE / self.count as f64)
    }
}

fn in_units(value: f32) -> i128 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a whole number below 2^100 in magnitude"
    )]
    let units = (f64::from(value) * UNITS_PER_ONE).round() as i128;
    units
}

/// As it is written: a reader that knows no integers of 128 bits must not round the units.
#[derive(Serialize, Deserialize)]
struct Written {
    units: String,
    count: u64,
}

impl Serialize for ExactSum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let written = Written {
            units: self.units.to_string(),
            count: self.count,
        };
        written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ExactSum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Written::deserialize(deserializer)?;
        let units = written.units.parse().map_err(de::Error::custom)?;
        Ok(Self {
            units,
            count: written.count,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::seeded::{Seeded, narrow},
        *,
    };

    fn sum_of(values: &[f32]) -> ExactSum {
        let mut sum = ExactSum::default();
        values.iter().for_each(|&value| sum.push(value).unwrap());
        sum
    }

    #[test]
    fn neither_order_nor_partition_matters() {
        for seed in 0..20 {
            let mut random = Seeded::new(seed);
            let mut values: Vec<f32> = (0..500)
                .map(|_| {
                    let magnitude = 2f64.powi(i32::try_from(random.below(70)).unwrap() - 35);
                    narrow(random.normal() * magnitude)
                })
                .collect();
            let expected = sum_of(&values);
            random.shuffle(&mut values);
            let (mut left, mut right) = (ExactSum::default(), ExactSum::default());
            for chunk in values.chunks(1 + random.index(60)) {
                match random.below(2) {
                    0 => left.merge(&sum_of(chunk)),
                    _ => right.merge(&sum_of(chunk)),
                }
            }
            right.merge(&left);
            assert_eq!(right, expected, "seed {seed}");
        }
    }

    #[test]
    fn small_values_survive_beside_large_ones() {
        let sum = sum_of(&[1e9, 1e-9, -1e9]);
        assert!((sum.mean().unwrap() * 3.0 - 1e-9).abs() < 1e-16, "{sum:?}");
    }

    #[test]
    fn the_mean_is_that_of_exact_arithmetic() {
        assert_eq!(
            sum_of(&[0.25; 3]).mean().map(f64::to_bits),
            Some(0.25f64.to_bits())
        );
        assert_eq!(sum_of(&[-1.0, 2.0]).mean(), Some(0.5));
        assert_eq!(ExactSum::default().mean(), None);
    }

    #[test]
    fn what_is_no_score_is_refused_and_changes_nothing() {
        let mut sum = sum_of(&[0.5]);
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, LIMIT, -LIMIT] {
            assert!(sum.push(value).is_err(), "{value}");
        }
        assert_eq!(sum, sum_of(&[0.5]));
        sum.push(LIMIT.next_down()).unwrap();
    }

    #[test]
    fn reads_what_it_wrote() {
        let sum = sum_of(&[LIMIT.next_down(), 1e-12, -3.5]);
        let text = serde_json::to_string(&sum).unwrap();
        assert_eq!(serde_json::from_str::<ExactSum>(&text).unwrap(), sum);
        assert!(serde_json::from_str::<ExactSum>(r#"{"units":"1.5","count":1}"#).is_err());
    }
}
