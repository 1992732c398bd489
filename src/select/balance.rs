//! Budgets of groups of rows.

use std::{fmt, str::FromStr};

use super::Keep;

/// A number of rows, as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// So many.
    Rows(u64),
    /// This part of the whole budget, exact as it was written.
    Fraction {
        /// Digits after the point, as a whole number.
        numerator: u64,
        /// The power of ten that belongs to them.
        denominator: u64,
    },
}

impl Amount {
    /// Rows of a budget; half a row is rounded up.
    pub fn rows(self, budget: u64) -> u64 {
        match self {
            Amount::Rows(rows) => rows,
            Amount::Fraction {
                numerator,
                denominator,
            } => Keep::Fraction {
                numerator,
                denominator,
            }
            .budget(budget),
        }
    }
}

impl FromStr for Amount {
    type Err = String;

    /// Reads a whole number as rows and a number with a point, in (0, 1], as a fraction.
    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || {
            format!(
                "'{text}' is neither a row count, such as 100, nor a fraction of the budget, such as 0.2"
            )
        };
        if !text.contains('.') {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let rows = digits.then(|| text.parse().ok()).flatten();
            return rows.map(Amount::Rows).ok_or_else(expected);
        }
        match text.parse() {
            Ok(Keep::Fraction {
                numerator,
                denominator,
            }) => Ok(Amount::Fraction {
                numerator,
                denominator,
            }),
            _ => Err(expected()),
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (numerator, denominator) = match *self {
            Amount::Rows(rows) => return write!(f, "{rows}"),
            Amount::Fraction {
                numerator,
                denominator,
            } => (numerator, denominator.max(1)),
        };
        // One digit at least, so that it is read as a fraction again.
        let digits = usize::try_from(denominator.ilog10()).unwrap_or(0);
        let (whole, part) = (numerator / denominator, numerator % denominator);
        match digits {
            0 => write!(f, "{whole}.0"),
            _ => write!(f, "{whole}.{part:0digits$}"),
        }
    }
}

/// The least and the most that a group may get.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bounds {
    /// The least; a smaller group gives what it has.
    pub min: Option<Amount>,
    /// The most.
    pub max: Option<Amount>,
}

/// A budget that is divided among the values of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balance {
    /// The column.
    pub column: String,
    /// The same for each of its values.
    pub bounds: Bounds,
}

impl FromStr for Balance {
    type Err = String;

    /// Reads `COLUMN[:min=..,max=..]`. A colon without an equals sign behind it belongs to the column.
    fn from_str(text: &str) -> Result<Self, String> {
        let (column, bounds) = match text.rsplit_once(':') {
            Some((column, bounds)) if bounds.contains('=') => (column, bounds.parse()?),
            _ => (text, Bounds::default()),
        };
        if column.is_empty() {
            return Err(format!(
                "'{text}' names no column; write COLUMN or COLUMN:min=100,max=0.2"
            ));
        }
        Ok(Self {
            column: column.to_owned(),
            bounds,
        })
    }
}

impl FromStr for Bounds {
    type Err = String;

    /// Reads `min=..`, `max=..` or both, parted by a comma.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut bounds = Self::default();
        for part in text.split(',') {
            let (name, amount) = part.split_once('=').unwrap_or((part, ""));
            let place = match name.trim() {
                "min" => &mut bounds.min,
                "max" => &mut bounds.max,
                name => return Err(format!("'{name}' is no bound; write min=.. or max=..")),
            };
            if place.is_some() {
                return Err(format!("'{text}' says {} twice", name.trim()));
            }
            *place = Some(amount.trim().parse()?);
        }
        match bounds {
            Self {
                max: Some(Amount::Rows(0)),
                ..
            } => Err(format!("'{text}' keeps no row of any group")),
            Self {
                min: Some(min),
                max: Some(max),
            } if min.is_above(max) => Err(format!("'{text}' has a min above its max")),
            bounds => Ok(bounds),
        }
    }
}

impl Amount {
    /// True if it is more whatever the budget.
    fn is_above(self, other: Self) -> bool {
        match (self, other) {
            (Amount::Rows(this), Amount::Rows(other)) => this > other,
            (
                Amount::Fraction {
                    numerator: this,
                    denominator: of,
                },
                Amount::Fraction {
                    numerator,
                    denominator,
                },
            ) => {
                u128::from(this) * u128::from(denominator) > u128::from(numerator) * u128::from(of)
            }
            _ => false,
        }
    }
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.column)?;
        let bounds = [("min", self.bounds.min), ("max", self.bounds.max)];
        let mut separator = ':';
        for (name, amount) in bounds {
            if let Some(amount) = amount {
                write!(f, "{separator}{name}={amount}")?;
                separator = ',';
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn balance(text: &str) -> Balance {
        text.parse().unwrap()
    }

    #[test]
    fn integers_are_rows_and_points_make_fractions() {
        let read = balance("label:min=100,max=0.2");
        assert_eq!(read.column, "label");
        assert_eq!(read.bounds.min, Some(Amount::Rows(100)));
        assert_eq!(read.bounds.max.map(|max| max.rows(1000)), Some(200));
        assert_eq!(balance("label:max=1").bounds.max, Some(Amount::Rows(1)));
        assert_eq!(
            balance("label:max=1.0").bounds.max.map(|max| max.rows(77)),
            Some(77)
        );
        assert_eq!(balance("label").bounds, Bounds::default());
        assert_eq!(balance("hf:label").column, "hf:label");
        assert_eq!(balance("hf:label:min=3").column, "hf:label");
    }

    #[test]
    fn shows_what_it_reads() {
        for text in [
            "label",
            "a:b",
            "label:min=100",
            "label:max=0.25",
            "label:min=0.005,max=1.0",
            "cell:min=5,max=0.2",
        ] {
            assert_eq!(balance(text).to_string(), text);
        }
        assert_eq!(
            balance("label: max = .250 , min = 5").to_string(),
            "label:min=5,max=0.25"
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        let error = |text: &str| text.parse::<Balance>().unwrap_err();
        assert_eq!(
            error("label:least=5"),
            "'least' is no bound; write min=.. or max=.."
        );
        assert_eq!(
            error("label:min=20%"),
            "'20%' is neither a row count, such as 100, nor a fraction of the budget, such as 0.2"
        );
        assert_eq!(error("label:min=1,min=2"), "'min=1,min=2' says min twice");
        assert_eq!(
            error("label:min=5,max=4"),
            "'min=5,max=4' has a min above its max"
        );
        assert_eq!(error("label:max=0"), "'max=0' keeps no row of any group");
        for text in [
            "",
            ":min=3",
            "label:min=",
            "label:min=1.5",
            "label:min=0.0",
            "label:min=-1",
            "label:min=5,",
            "label:min=0.3,max=0.25",
            "label:min=99999999999999999999",
        ] {
            error(text);
        }
    }
}
