//! Which rows of which shards: a value that every room behind the shards shares.

mod repeats;

pub use repeats::{Repeats, RepeatsBuilder};

use arrow::buffer::{BooleanBuffer, MutableBuffer};
use sha2::{Digest, Sha256};

use crate::digest::hex;

/// The rows that were selected, one bit per row and shard.
///
/// Selecting and writing are separate; this value is all that passes between them. A billion rows take
/// 125 MB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    shards: Vec<BooleanBuffer>,
}

/// A [`Selection`] under construction, empty at first.
#[derive(Debug)]
pub struct SelectionBuilder {
    shards: Vec<(MutableBuffer, usize)>,
}

impl Selection {
    /// Starts with no row selected; `shard_rows` are the rows of each shard.
    pub fn builder(shard_rows: impl IntoIterator<Item = u64>) -> SelectionBuilder {
        let shards = shard_rows
            .into_iter()
            .map(|rows| {
                let rows = usize::try_from(rows).unwrap_or(usize::MAX);
                (MutableBuffer::from_len_zeroed(rows.div_ceil(8)), rows)
            })
            .collect();
        SelectionBuilder { shards }
    }

    /// Rows selected in all shards.
    pub fn rows(&self) -> u64 {
        self.shards
            .iter()
            .map(|shard| shard.count_set_bits() as u64)
            .sum()
    }

    /// Rows of either, which are of the same shards.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let both = self.shards.iter().zip(&other.shards);
        Self {
            shards: both.map(|(a, b)| a | b).collect(),
        }
    }

    /// Those of them that are in some shards.
    #[must_use]
    pub fn within(&self, shards: &[bool]) -> Self {
        let own = self.shards.iter().zip(shards);
        let rows = own.map(|(rows, is_own)| match is_own {
            true => rows.clone(),
            false => BooleanBuffer::new_unset(rows.len()),
        });
        Self {
            shards: rows.collect(),
        }
    }

    /// Hash of the rows, hex.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for rows in &self.shards {
            hash.update(rows.len().to_le_bytes());
            // From the first bit on; what stands behind the last is nothing.
            let bits = rows.sliced();
            let (bytes, rest) = (rows.len() / 8, rows.len() % 8);
            hash.update(&bits.as_slice()[..bytes]);
            if rest > 0 {
                hash.update([bits.as_slice()[bytes] & ((1 << rest) - 1)]);
            }
        }
        hex(&hash.finalize())
    }

    /// True if this row is selected.
    pub fn contains(&self, shard: usize, row: usize) -> bool {
        self.shards
            .get(shard)
            .is_some_and(|bits| row < bits.len() && bits.value(row))
    }

    /// Whether any row of a shard is selected.
    pub fn has_rows(&self, shard: usize) -> bool {
        let bits = self.shards.get(shard);
        bits.is_some_and(|bits| bits.set_slices().next().is_some())
    }

    /// Every selected row as (shard, row), in row order.
    pub fn iter(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let shards = self.shards.iter().enumerate();
        shards.flat_map(|(shard, bits)| bits.set_indices().map(move |row| (shard, row)))
    }

    pub(crate) fn from_shards(shards: Vec<BooleanBuffer>) -> Self {
        Self { shards }
    }

    pub(crate) fn shards(&self) -> &[BooleanBuffer] {
        &self.shards
    }

    /// The selected rows of one shard, ascending.
    pub fn rows_of(&self, shard: usize) -> Vec<i64> {
        let bits = self.shards.get(shard).into_iter();
        bits.flat_map(BooleanBuffer::set_indices)
            .filter_map(|row| i64::try_from(row).ok())
            .collect()
    }

    /// The runs of selected rows within `rows` of a shard, as (start, length) from the start of `rows`.
    pub fn runs(&self, shard: usize, rows: std::ops::Range<usize>) -> Vec<(usize, usize)> {
        let Some(bits) = self.shards.get(shard) else {
            return Vec::new();
        };
        bits.slice(rows.start, rows.len())
            .set_slices()
            .map(|(start, end)| (start, end - start))
            .collect()
    }
}

impl SelectionBuilder {
    /// Selects a row; one outside of its shard is ignored.
    pub fn select(&mut self, shard: usize, row: usize) {
        if let Some((bits, rows)) = self.shards.get_mut(shard)
            && row < *rows
        {
            arrow::util::bit_util::set_bit(bits.as_slice_mut(), row);
        }
    }

    /// The finished selection.
    pub fn finish(self) -> Selection {
        let shards = self
            .shards
            .into_iter()
            .map(|(bits, rows)| BooleanBuffer::new(bits.into(), 0, rows))
            .collect();
        Selection { shards }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_tells_which_rows_are_selected_and_nothing_of_what_lies_behind_them() {
        let of = |shards: &[&[usize]]| {
            let mut builder = Selection::builder(shards.iter().map(|_| 11));
            for (shard, rows) in shards.iter().enumerate() {
                rows.iter().for_each(|&row| builder.select(shard, row));
            }
            builder.finish()
        };
        let rows = of(&[&[0, 8, 10], &[3]]);
        let others = [
            of(&[&[0, 8], &[3]]),
            of(&[&[3], &[0, 8, 10]]),
            of(&[&[0, 8, 10]]),
        ];
        assert!(others.iter().all(|other| other.digest() != rows.digest()));
        // The same bits from the middle of more of them.
        let all = BooleanBuffer::new_set(40);
        let cut = Selection::from_shards(vec![all.slice(5, 11)]);
        let whole = of(&[&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]]);
        assert_eq!(cut.digest(), whole.digest());
        assert_eq!(rows.within(&[false, true]), of(&[&[], &[3]]));
    }

    #[test]
    fn runs_cover_exactly_the_selected_rows() {
        let mut builder = Selection::builder([10, 0, 3]);
        for row in [0, 1, 4, 9] {
            builder.select(0, row);
        }
        builder.select(2, 2);
        builder.select(2, 3);
        builder.select(9, 0);
        let selection = builder.finish();
        assert_eq!(selection.rows(), 5);
        assert_eq!(selection.runs(0, 0..10), [(0, 2), (4, 1), (9, 1)]);
        assert_eq!(selection.runs(0, 1..5), [(0, 1), (3, 1)]);
        assert_eq!(selection.runs(1, 0..0), []);
        let rows: Vec<_> = selection.iter().collect();
        assert_eq!(rows, [(0, 0), (0, 1), (0, 4), (0, 9), (2, 2)]);
        assert_eq!(selection.rows_of(0), [0, 1, 4, 9]);
        assert!(selection.rows_of(7).is_empty());
        assert!(selection.contains(2, 2) && !selection.contains(2, 1) && !selection.contains(2, 3));
    }
}
