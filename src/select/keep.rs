//! How many rows a selection keeps: all, an exact fraction, a number.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// How many of the candidates stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// All of them.
    All,
    /// This part of them, exact as it was written: `numerator / denominator`.
    Fraction {
        /// Digits after the point, as a whole number.
        numerator: u64,
        /// The power of ten that belongs to them.
        denominator: u64,
    },
    /// At most this many rows.
    Rows(u64),
}

impl Keep {
    /// False if all rows stay, however many there are.
    pub(super) fn may_cut(self) -> bool {
        match self {
            Keep::All => false,
            Keep::Rows(_) => true,
            Keep::Fraction {
                numerator,
                denominator,
            } => numerator < denominator,
        }
    }

    /// The number of rows to keep of `candidates`: round half up of fraction x candidates.
    pub fn budget(self, candidates: u64) -> u64 {
        match self {
            Keep::All => candidates,
            Keep::Rows(rows) => rows.min(candidates),
            Keep::Fraction {
                numerator,
                denominator,
            } => {
                let (n, d) = (u128::from(numerator), u128::from(denominator));
                let rounded = (2 * n * u128::from(candidates) + d) / (2 * d);
                u64::try_from(rounded).unwrap_or(candidates).min(candidates)
            }
        }
    }
}

impl FromStr for Keep {
    type Err = String;

    /// Reads a fraction in (0, 1].
    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || {
            format!(
                "'{text}' is not a fraction in (0, 1], such as 0.3; for a row count use --keep-rows"
            )
        };
        let (whole, digits) = text.split_once('.').unwrap_or((text, ""));
        if digits.len() > 15
            || !whole
                .chars()
                .chain(digits.chars())
                .all(|c| c.is_ascii_digit())
        {
            return Err(expected());
        }
        let digits = digits.trim_end_matches('0');
        let denominator = 10u64.pow(u32::try_from(digits.len()).map_err(|_| expected())?);
        let number = |text: &str| {
            if text.is_empty() {
                Ok(0)
            } else {
                text.parse::<u64>().map_err(|_| expected())
            }
        };
        let numerator = number(whole)?
            .checked_mul(denominator)
            .and_then(|whole| Some(whole + number(digits).ok()?))
            .ok_or_else(expected)?;
        if numerator == 0 || numerator > denominator {
            return Err(expected());
        }
        Ok(Keep::Fraction {
            numerator,
            denominator,
        })
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Keep::All => f.write_str("all"),
            Keep::Rows(rows) => write!(f, "{rows} rows"),
            #[expect(
                clippy::cast_precision_loss,
                reason = "at most 15 digits, shown to a person"
            )]
            Keep::Fraction {
                numerator,
                denominator,
            } => write!(f, "{}", *numerator as f64 / *denominator as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_round_half_up_on_decimal_values() {
        let keep = |text: &str| text.parse::<Keep>().unwrap();
        assert_eq!(keep("0.3").budget(232), 70);
        assert_eq!(keep("0.145").budget(100), 15);
        assert_eq!(keep("0.5").budget(3), 2);
        assert_eq!(keep("0.1").budget(4), 0);
        assert_eq!(keep("1").budget(7), 7);
        assert_eq!(keep("1.000").budget(7), 7);
        assert_eq!(keep(".25").budget(2), 1);
        assert_eq!(keep("0.3").budget(u64::MAX), 5_534_023_222_112_865_485);
    }

    #[test]
    fn anything_but_a_fraction_is_refused() {
        for text in ["0", "0.0", "1.1", "30%", "-0.5", "abc", "1e-1", "", "nan"] {
            assert!(text.parse::<Keep>().is_err(), "{text}");
        }
    }
}
