//! How a budget is divided among groups.

use std::cmp::Reverse;

use super::balance::Bounds;
use crate::error::{Error, Result};

/// The fewest and the most rows that a group may get, no more than it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The fewest.
    pub min: u64,
    /// The most; never below `min`.
    pub max: u64,
}

impl Bounds {
    /// What the bounds mean for groups of `group_rows` rows and a budget; a group smaller than the minimum gives
    /// what it has.
    ///
    /// # Errors
    /// When the minimum is above the maximum, or the minima together are above the budget.
    pub fn limits(&self, group_rows: &[u64], budget: u64) -> Result<Vec<Limits>> {
        let min = self.min.map_or(0, |amount| amount.rows(budget));
        let max = self.max.map_or(u64::MAX, |amount| amount.rows(budget));
        if min > max {
            return Err(Error::usage("divide the budget among groups")
                .with("smallest share", min)
                .with("largest share", max)
                .with("budget", budget)
                .hint("lower min or raise max in --balance"));
        }
        let limits: Vec<Limits> = group_rows
            .iter()
            .map(|&rows| Limits {
                min: min.min(rows),
                max: max.min(rows),
            })
            .collect();
        let needed: u128 = limits.iter().map(|limits| u128::from(limits.min)).sum();
        if needed > u128::from(budget) {
            return Err(Error::usage("divide the budget among groups")
                .with("groups", group_rows.len())
                .with("rows asked of each", min)
                .with("rows in all", needed)
                .with("budget", budget)
                .hint("lower min in --balance, or keep more rows"));
        }
        Ok(limits)
    }
}

/// Rows to keep of each group, as equal as the groups and the bounds allow.
///
/// Every group gets the same number; what a small group, or one at its maximum, cannot use goes to the others. The
/// sum is the budget, or all that may be kept when that is less. Rows that do not divide go to the largest groups
/// first, among equal ones to the first.
///
/// # Errors
/// Those of [`Bounds::limits`].
pub fn even(group_rows: &[u64], budget: u64, bounds: &Bounds) -> Result<Vec<u64>> {
    let limits = bounds.limits(group_rows, budget)?;
    Ok(fill_evenly(&limits, group_rows, budget))
}

/// Rows to keep of each group, in proportion to its rows by largest remainder.
///
/// The sum is the budget, or all rows when there are fewer. Equal remainders go to the largest groups first, among
/// equal ones to the first.
pub fn proportional(group_rows: &[u64], budget: u64) -> Vec<u64> {
    let total: u128 = group_rows.iter().map(|&rows| u128::from(rows)).sum();
    let budget = u128::from(budget).min(total);
    if total == 0 {
        return vec![0; group_rows.len()];
    }
    // Widths: a group has below 2^64 rows and the budget is one too unless all stay, so products fit.
    if budget == total {
        return group_rows.to_vec();
    }
    let share = |rows: u64| u128::from(rows) * budget;
    let mut quotas: Vec<u64> = group_rows
        .iter()
        .map(|&rows| u64::try_from(share(rows) / total).unwrap_or(rows))
        .collect();
    let given: u128 = quotas.iter().map(|&quota| u128::from(quota)).sum();
    let left = usize::try_from(budget - given).unwrap_or(usize::MAX);
    let mut order: Vec<usize> = (0..group_rows.len()).collect();
    order.sort_by_key(|&group| {
        let rows = group_rows[group];
        (Reverse(share(rows) % total), Reverse(rows), group)
    });
    for &group in order.iter().take(left) {
        quotas[group] += 1;
    }
    quotas
}

/// Raises every group to one level within its limits until `target` rows are given, or nothing more may be.
/// Single rows that are left go to the groups of most `weight` first.
pub(super) fn fill_evenly(limits: &[Limits], weight: &[u64], target: u64) -> Vec<u64> {
    let at = |level: u64, limits: &Limits| level.clamp(limits.min, limits.max);
    let sum = |level: u64| -> u128 {
        limits
            .iter()
            .map(|limits| u128::from(at(level, limits)))
            .sum()
    };
    let (mut level, mut above) = (0, u64::MAX);
    // The highest level that does not give too much.
    while level < above {
        let middle = level + (above - level).div_ceil(2);
        match sum(middle) <= u128::from(target) {
            true => level = middle,
            false => above = middle - 1,
        }
    }
    let mut quotas: Vec<u64> = limits.iter().map(|limits| at(level, limits)).collect();
    let left = u128::from(target).saturating_sub(sum(level));
    let mut next: Vec<usize> = (0..limits.len())
        .filter(|&group| limits[group].min <= level && level < limits[group].max)
        .collect();
    next.sort_by_key(|&group| (Reverse(weight.get(group).copied()), group));
    for group in next
        .into_iter()
        .take(usize::try_from(left).unwrap_or(usize::MAX))
    {
        quotas[group] += 1;
    }
    quotas
}

#[cfg(test)]
mod tests {
    use super::{super::balance::Amount, *};
    use crate::score::seeded::Seeded;

    fn bounds(min: Option<u64>, max: Option<u64>) -> Bounds {
        Bounds {
            min: min.map(Amount::Rows),
            max: max.map(Amount::Rows),
        }
    }

    fn unbounded(group_rows: &[u64], budget: u64) -> Vec<u64> {
        even(group_rows, budget, &Bounds::default()).unwrap()
    }

    /// One row after the other to the group that has fewest, as the promise is read.
    fn row_by_row(group_rows: &[u64], limits: &[Limits], budget: u64) -> Vec<u64> {
        let mut quotas: Vec<u64> = limits.iter().map(|limits| limits.min).collect();
        for _ in quotas.iter().sum::<u64>()..budget {
            let open = (0..quotas.len()).filter(|&group| quotas[group] < limits[group].max);
            let Some(group) =
                open.min_by_key(|&group| (quotas[group], Reverse(group_rows[group]), group))
            else {
                break;
            };
            quotas[group] += 1;
        }
        quotas
    }

    #[test]
    fn small_groups_leave_their_share_to_the_others() {
        assert_eq!(unbounded(&[100, 100, 100], 30), [10, 10, 10]);
        assert_eq!(unbounded(&[2, 100, 100], 30), [2, 14, 14]);
        assert_eq!(unbounded(&[0, 5, 100], 30), [0, 5, 25]);
        assert_eq!(unbounded(&[3, 4], 30), [3, 4]);
        assert_eq!(unbounded(&[], 30), [0; 0]);
        assert_eq!(unbounded(&[5, 5], 0), [0, 0]);
        assert_eq!(unbounded(&[u64::MAX, u64::MAX], u64::MAX)[1], u64::MAX / 2);
    }

    #[test]
    fn single_rows_go_to_the_largest_group_then_to_the_first() {
        assert_eq!(unbounded(&[10, 30, 20, 30], 42), [10, 11, 10, 11]);
        assert_eq!(unbounded(&[10, 30, 20, 30], 43), [10, 11, 11, 11]);
        assert_eq!(unbounded(&[7, 7, 7], 10), [4, 3, 3]);
    }

    #[test]
    fn equals_giving_row_by_row_under_any_bounds() {
        let mut feasible = 0;
        for seed in 0..400 {
            let mut random = Seeded::new(seed);
            let group_rows: Vec<u64> = (0..random.below(9)).map(|_| random.below(40)).collect();
            let budget = random.below(250);
            let min = (random.below(2) == 0).then(|| random.below(12));
            let max = (random.below(2) == 0).then(|| min.unwrap_or(0) + random.below(20));
            let bounds = bounds(min, max);
            let Ok(limits) = bounds.limits(&group_rows, budget) else {
                let least: u64 = group_rows.iter().map(|&rows| rows.min(min.unwrap())).sum();
                assert!(least > budget, "seed {seed}");
                continue;
            };
            feasible += 1;
            let quotas = even(&group_rows, budget, &bounds).unwrap();
            assert_eq!(
                quotas,
                row_by_row(&group_rows, &limits, budget),
                "seed {seed}"
            );
            let possible: u64 = limits.iter().map(|limits| limits.max).sum();
            assert_eq!(
                quotas.iter().sum::<u64>(),
                budget.min(possible),
                "seed {seed}"
            );
        }
        assert!(feasible > 200);
    }

    #[test]
    fn bounds_that_cannot_be_kept_are_refused() {
        let error = even(&[50, 50, 3], 40, &bounds(Some(20), None)).unwrap_err();
        assert_eq!(
            error.report(),
            "failed to divide the budget among groups\n  groups: 3\n  rows asked of each: 20\n  \
             rows in all: 43\n  budget: 40\n  try: lower min in --balance, or keep more rows"
        );
        assert!(even(&[50, 50, 3], 43, &bounds(Some(20), None)).is_ok());
        let crossed = Bounds {
            min: Some(Amount::Rows(30)),
            max: Some("0.1".parse().unwrap()),
        };
        assert!(even(&[50, 50], 100, &crossed).is_err());
        assert_eq!(even(&[50, 50], 300, &crossed).unwrap(), [30, 30]);
    }

    #[test]
    fn proportional_shares_are_within_one_row_of_exact_ones() {
        assert_eq!(proportional(&[50, 30, 20], 10), [5, 3, 2]);
        assert_eq!(proportional(&[1, 1, 1], 2), [1, 1, 0]);
        assert_eq!(proportional(&[0, 0], 2), [0, 0]);
        assert_eq!(proportional(&[u64::MAX, u64::MAX], 3), [2, 1]);
        for seed in 0..200 {
            let mut random = Seeded::new(seed);
            let group_rows: Vec<u64> = (0..1 + random.below(9)).map(|_| random.below(40)).collect();
            let total: u64 = group_rows.iter().sum();
            let budget = random.below(total + 20);
            let quotas = proportional(&group_rows, budget);
            assert_eq!(quotas.iter().sum::<u64>(), budget.min(total), "seed {seed}");
            for (&quota, &rows) in quotas.iter().zip(&group_rows) {
                let exact = rows as f64 * budget.min(total) as f64 / total.max(1) as f64;
                assert!(
                    (quota as f64 - exact).abs() < 1.0 && quota <= rows,
                    "seed {seed}"
                );
            }
        }
    }
}
