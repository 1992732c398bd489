//! Rows that entered a selection and rows that left it.

use arrow::buffer::BooleanBuffer;

use super::saved_selection::SavedSelection;
use crate::{
    error::{Error, Result},
    selection::Selection,
};

/// What differs between a selection and an earlier one.
///
/// Rows are named by their shard in the later selection. A shard that the earlier one did not know adds all of its
/// selected rows to `entered`; one that is no longer there is in neither, since its rows have no name any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// Rows that are selected now and were not.
    pub entered: Selection,
    /// Rows that were selected and are not.
    pub left: Selection,
}

impl Changes {
    /// Compares two selections, shard by shard of the same fingerprint; several of one are compared in order.
    ///
    /// # Errors
    /// When two shards of one fingerprint have different rows.
    pub fn between(old: &SavedSelection, new: &SavedSelection) -> Result<Self> {
        let mut entered = Vec::new();
        let mut left = Vec::new();
        let places = old.places_of(new.fingerprints());
        for (shard, (bits, place)) in new.selection().shards().iter().zip(places).enumerate() {
            let rows = bits.len();
            let before = match place.and_then(|place| old.selection().shards().get(place)) {
                Some(before) if before.len() == rows => before.clone(),
                Some(before) => {
                    return Err(Error::input("compare with the earlier selection")
                        .with("shard", &new.fingerprints()[shard])
                        .with("rows", rows)
                        .with("rows in the earlier selection", before.len())
                        .hint("remove the earlier selection, or the shard that changed"));
                }
                None => BooleanBuffer::new_unset(rows),
            };
            entered.push(bits & &!&before);
            left.push(&before & &!bits);
        }
        Ok(Self {
            entered: Selection::from_shards(entered),
            left: Selection::from_shards(left),
        })
    }

    /// Rows that entered, as (shard, row), in row order.
    pub fn entered(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.entered.iter()
    }

    /// Rows that left, as (shard, row), in row order.
    pub fn left(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.left.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::seeded::Seeded;

    fn saved(shards: &[(&str, u64, &[usize])]) -> SavedSelection {
        let mut builder = Selection::builder(shards.iter().map(|shard| shard.1));
        for (shard, (_, _, rows)) in shards.iter().enumerate() {
            rows.iter().for_each(|&row| builder.select(shard, row));
        }
        let fingerprints = shards.iter().map(|shard| shard.0.to_owned()).collect();
        SavedSelection::new(fingerprints, builder.finish()).unwrap()
    }

    type Rows = Vec<(usize, usize)>;

    fn between(old: &SavedSelection, new: &SavedSelection) -> (Rows, Rows) {
        let changes = Changes::between(old, new).unwrap();
        (changes.entered().collect(), changes.left().collect())
    }

    #[test]
    fn rows_of_new_shards_enter_and_others_are_compared() {
        let old = saved(&[("a", 10, &[0, 3, 9]), ("b", 4, &[1])]);
        let new = saved(&[("new", 3, &[2]), ("b", 4, &[1]), ("a", 10, &[3, 4])]);
        assert_eq!(
            between(&old, &new),
            (vec![(0, 2), (2, 4)], vec![(2, 0), (2, 9)])
        );
        assert_eq!(between(&new, &new), (vec![], vec![]));
        let gone = saved(&[("b", 4, &[])]);
        assert_eq!(between(&old, &gone), (vec![], vec![(0, 1)]));
    }

    #[test]
    fn shards_of_equal_content_are_compared_in_order() {
        let old = saved(&[("a", 2, &[0]), ("a", 2, &[1])]);
        let new = saved(&[("a", 2, &[0]), ("a", 2, &[1]), ("a", 2, &[1])]);
        assert_eq!(between(&old, &new), (vec![(2, 1)], vec![]));
    }

    #[test]
    fn a_shard_of_other_rows_is_refused() {
        let (old, new) = (saved(&[("a", 2, &[0])]), saved(&[("a", 3, &[0])]));
        let error = Changes::between(&old, &new).unwrap_err();
        assert!(error.to_string().contains("shard: a, rows: 3"), "{error}");
    }

    #[test]
    fn changes_turn_the_old_selection_into_the_new_one() {
        for seed in 0..50 {
            let mut random = Seeded::new(seed);
            let rows = 1 + random.below(300);
            let mut pick = || -> Vec<usize> {
                (0..usize::try_from(rows).unwrap())
                    .filter(|_| random.below(3) == 0)
                    .collect()
            };
            let (old, new) = (pick(), pick());
            let (entered, left) =
                between(&saved(&[("a", rows, &old)]), &saved(&[("a", rows, &new)]));
            let mut turned: Vec<usize> = old.clone();
            turned.retain(|&row| !left.contains(&(0, row)));
            assert_eq!(turned.len(), old.len() - left.len(), "seed {seed}");
            turned.extend(entered.iter().map(|&(_, row)| row));
            turned.sort_unstable();
            assert_eq!(turned, new, "seed {seed}");
        }
    }
}
