//! How trusted rows and others fill the quota of a group.

use super::quota::{Limits, fill_evenly};
use crate::error::{Error, Result};

/// What one group has to fill its quota from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trusted {
    /// Rows that pass the trust gate: their margin is above 0.
    pub trusted: u64,
    /// The other rows.
    pub untrusted: u64,
    /// Rows to keep; a group that has fewer keeps all.
    pub quota: u64,
    /// What the group may get when quotas are moved.
    pub limits: Limits,
}

/// How a group is filled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fill {
    /// Trusted rows, to be chosen by herding.
    pub herded: u64,
    /// Untrusted rows, those of highest margin.
    pub by_margin: u64,
}

/// The order in which the set-dependent selection fills its groups.
///
/// 1. Every group takes its own trusted rows, up to its quota.
/// 2. A group that is then below its minimum takes its own untrusted rows up to it: a bound that a user has set is
///    kept.
/// 3. The quota that is still open goes to groups with trusted rows left, so that they become as equal as their
///    maxima allow; single rows go to the groups with most trusted rows, among equal ones to the first.
/// 4. Only when no trusted row may be taken any more, the groups that are short take their own untrusted rows, never
///    beyond their quota.
///
/// All fills together have the rows of all quotas.
///
/// # Errors
/// When a quota is outside of its limits; those of [`even`](super::even) under the same bounds never are.
pub fn fill_trusted(groups: &[Trusted]) -> Result<Vec<Fill>> {
    if let Some(group) = groups.iter().position(|group| !group.is_within_limits()) {
        return Err(Error::internal("fill a group within its limits")
            .with("group", group)
            .with("found", format!("{:?}", groups[group])));
    }
    let wanted = groups.iter().map(Trusted::wanted).sum();
    let mut fills: Vec<Fill> = groups.iter().map(Trusted::own).collect();

    let trusted: Vec<u64> = groups.iter().map(|group| group.trusted).collect();
    let herded = raised(groups, &fills, &trusted, wanted, Trusted::most_herded);
    for (fill, rows) in fills.iter_mut().zip(herded) {
        fill.herded = rows - fill.by_margin;
    }
    let untrusted: Vec<u64> = groups.iter().map(|group| group.untrusted).collect();
    let filled = raised(groups, &fills, &untrusted, wanted, |group, _| {
        group.wanted()
    });
    for (fill, rows) in fills.iter_mut().zip(filled) {
        fill.by_margin = rows - fill.herded;
    }
    Ok(fills)
}

/// Rows of every group when those are raised evenly, none beyond `most`, until all have `wanted` rows together.
fn raised(
    groups: &[Trusted],
    fills: &[Fill],
    weight: &[u64],
    wanted: u64,
    most: impl Fn(&Trusted, &Fill) -> u64,
) -> Vec<u64> {
    let limits: Vec<Limits> = groups
        .iter()
        .zip(fills)
        .map(|(group, fill)| Limits {
            min: fill.rows(),
            max: most(group, fill).max(fill.rows()),
        })
        .collect();
    fill_evenly(&limits, weight, wanted)
}

impl Trusted {
    fn wanted(&self) -> u64 {
        self.quota.min(self.trusted.saturating_add(self.untrusted))
    }

    fn is_within_limits(&self) -> bool {
        (self.limits.min..=self.limits.max).contains(&self.wanted())
    }

    fn own(&self) -> Fill {
        let herded = self.trusted.min(self.quota);
        Fill {
            herded,
            by_margin: self.limits.min.saturating_sub(herded),
        }
    }

    /// Rows with all that may be herded.
    fn most_herded(&self, fill: &Fill) -> u64 {
        self.trusted
            .saturating_add(fill.by_margin)
            .min(self.limits.max)
    }
}

impl Fill {
    /// Rows in all.
    pub fn rows(&self) -> u64 {
        self.herded + self.by_margin
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            balance::{Amount, Bounds},
            quota::even,
        },
        *,
    };
    use crate::score::seeded::Seeded;

    /// Groups of (trusted, untrusted) rows with an even quota.
    fn groups(rows: &[(u64, u64)], budget: u64, bounds: &Bounds) -> Option<Vec<Trusted>> {
        let group_rows: Vec<u64> = rows.iter().map(|rows| rows.0 + rows.1).collect();
        let limits = bounds.limits(&group_rows, budget).ok()?;
        let quotas = even(&group_rows, budget, bounds).unwrap();
        let group = |((&(trusted, untrusted), limits), quota)| Trusted {
            trusted,
            untrusted,
            quota,
            limits,
        };
        Some(rows.iter().zip(limits).zip(quotas).map(group).collect())
    }

    fn filled(rows: &[(u64, u64)], budget: u64, bounds: &Bounds) -> Vec<(u64, u64)> {
        let fills = fill_trusted(&groups(rows, budget, bounds).unwrap()).unwrap();
        fills
            .iter()
            .map(|fill| (fill.herded, fill.by_margin))
            .collect()
    }

    #[test]
    fn own_trusted_rows_then_those_of_others_then_untrusted_ones() {
        let free = Bounds::default();
        assert_eq!(filled(&[(20, 5), (20, 5)], 20, &free), [(10, 0), (10, 0)]);
        assert_eq!(filled(&[(3, 50), (20, 5)], 20, &free), [(3, 0), (17, 0)]);
        assert_eq!(
            filled(&[(3, 50), (12, 5), (14, 0)], 30, &free),
            [(3, 1), (12, 0), (14, 0)]
        );
        assert_eq!(filled(&[(0, 50), (0, 4)], 20, &free), [(0, 16), (0, 4)]);
        assert_eq!(filled(&[], 20, &free), []);
    }

    #[test]
    fn bounds_hold_when_quotas_move() {
        let at_most_12 = Bounds {
            min: None,
            max: Some(Amount::Rows(12)),
        };
        assert_eq!(
            filled(&[(3, 50), (20, 5)], 20, &at_most_12),
            [(3, 5), (12, 0)]
        );
        let at_least_6 = Bounds {
            min: Some(Amount::Rows(6)),
            max: None,
        };
        assert_eq!(
            filled(&[(3, 50), (20, 5)], 20, &at_least_6),
            [(3, 3), (14, 0)]
        );
    }

    #[test]
    fn no_untrusted_row_is_taken_where_a_trusted_one_might_be() {
        let mut checked = 0;
        for seed in 0..500 {
            let mut random = Seeded::new(seed);
            let rows: Vec<(u64, u64)> = (0..1 + random.below(7))
                .map(|_| (random.below(30), random.below(30)))
                .collect();
            let budget = random.below(200);
            let min = (random.below(2) == 0).then(|| random.below(6));
            let max = (random.below(2) == 0).then(|| min.unwrap_or(0) + 1 + random.below(30));
            let bounds = Bounds {
                min: min.map(Amount::Rows),
                max: max.map(Amount::Rows),
            };
            let Some(groups) = groups(&rows, budget, &bounds) else {
                continue;
            };
            checked += 1;
            let fills = fill_trusted(&groups).unwrap();
            let total: u64 = groups.iter().map(|group| group.quota).sum();
            assert_eq!(
                fills.iter().map(Fill::rows).sum::<u64>(),
                total,
                "seed {seed}"
            );
            let beyond_minimum = groups
                .iter()
                .zip(&fills)
                .any(|(group, fill)| fill.by_margin > 0 && fill.rows() > group.limits.min);
            for (group, fill) in groups.iter().zip(&fills) {
                assert!(fill.herded <= group.trusted && fill.by_margin <= group.untrusted);
                assert!((group.limits.min..=group.limits.max).contains(&fill.rows()));
                assert!(fill.herded >= group.trusted.min(group.quota), "seed {seed}");
                assert!(
                    fill.by_margin == 0 || fill.rows() <= group.quota,
                    "seed {seed}"
                );
                let could_herd = fill.herded < group.trusted && fill.rows() < group.limits.max;
                assert!(
                    !(beyond_minimum && could_herd),
                    "seed {seed}: {groups:?} {fills:?}"
                );
            }
        }
        assert!(checked > 300);
    }

    #[test]
    fn quotas_outside_of_their_limits_are_a_defect() {
        let group = Trusted {
            trusted: 5,
            untrusted: 5,
            quota: 9,
            limits: Limits { min: 0, max: 8 },
        };
        assert!(fill_trusted(&[group]).is_err());
    }
}
