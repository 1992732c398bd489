//! The best rows of every group.

#[cfg(test)]
mod tests;

use crate::score::{Cut, end_of_budget, order_key};

/// Exact top-k of every group by radix refinement over the 32-bit score: constant memory, any number of rows.
///
/// Each pass counts the next few bits of the scores that share the bits found so far with the score at which their
/// group's budget ends; so of every group only the boundary is refined. One group, or as many as there may be, gives
/// the rows that [`ScoreHistogram`](super::ScoreHistogram) and [`Cut`] would give for each alone.
///
/// Memory is a table of counters per group, at most 64 MiB in all up to half a million groups and 128 bytes per group
/// beyond. The more groups, the fewer bits a pass takes:
///
/// | groups | passes | bytes per group |
/// |---|---|---|
/// | 128 | 2 | 524,288 |
/// | 4,096 | 3 | 16,384 |
/// | 32,768 | 4 | 2,048 |
/// | more | 8 | 128 |
///
/// # Example
/// ```
/// use clip_filter::select::{GroupedHistogram, Refined};
///
/// let rows = [(0, 0.3), (1, 0.9), (0, 0.5), (1, 0.8)];
/// let mut histogram = GroupedHistogram::new(2);
/// rows.iter().for_each(|&(group, score)| histogram.push(group, score));
/// let mut boundary = histogram.refine(&[1, 1]);
/// let mut cuts = loop {
///     rows.iter().for_each(|&(group, score)| boundary.push(group, score));
///     match boundary.refine() {
///         Refined::Again(finer) => boundary = finer,
///         Refined::Exact(cuts) => break cuts,
///     }
/// };
/// assert_eq!(rows.map(|(group, score)| cuts.admit(group, score)), [false, true, true, false]);
/// ```
#[derive(Debug, Clone)]
pub struct GroupedHistogram {
    tables: Tables,
}

/// The boundary of every group between two passes; every score must be pushed to it again.
#[derive(Debug, Clone)]
pub struct GroupedBoundary {
    tables: Tables,
    /// Per group: the leading bits of the boundary, and the rows wanted of those that share them.
    boundaries: Vec<Cut>,
    /// Trailing bits of a key that are not known yet.
    unknown_bits: u32,
}

/// What a pass over the boundaries gives.
#[derive(Debug)]
pub enum Refined {
    /// Not every bit is known: push every score once more.
    Again(GroupedBoundary),
    /// The exact end of every budget.
    Exact(Cuts),
}

/// Where the budget of every group ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cuts {
    cuts: Vec<Cut>,
}

/// One table of counters per group, side by side.
#[derive(Debug, Clone)]
struct Tables {
    counts: Vec<u64>,
    groups: usize,
    bits: u32,
}

const KEY_BITS: u32 = 32;
/// Counters in all tables together, unless the groups are more than that many tables of the smallest kind.
const MOST_COUNTERS: usize = 1 << 23;

impl GroupedHistogram {
    /// Counters for the groups `0..groups`.
    pub fn new(groups: usize) -> Self {
        let fits = |bits: &u32| groups <= MOST_COUNTERS >> bits;
        let bits = [16, 11, 8].into_iter().find(fits).unwrap_or(4);
        Self::with_bits(groups, bits)
    }

    fn with_bits(groups: usize, bits: u32) -> Self {
        let tables = Tables {
            counts: vec![0; groups << bits],
            groups,
            bits,
        };
        Self { tables }
    }

    /// Counts one score; that of a group which is not among those asked for is not counted.
    pub fn push(&mut self, group: u32, score: f32) {
        let leading = order_key(score) >> (KEY_BITS - self.tables.bits);
        self.tables.count(group, leading);
    }

    /// Scores counted of each group.
    pub fn counts(&self) -> Vec<u64> {
        let group = |group| self.tables.of(group).iter().sum();
        (0..self.tables.groups).map(group).collect()
    }

    /// Goes on to the boundaries of these budgets; a group without one keeps nothing.
    pub fn refine(self, quotas: &[u64]) -> GroupedBoundary {
        let mut wanted = quotas.to_vec();
        wanted.resize(self.tables.groups, 0);
        let whole = wanted.iter().map(|&ties| Cut { key: 0, ties });
        GroupedBoundary::narrowed(whole.collect(), self.tables, KEY_BITS)
    }
}

impl GroupedBoundary {
    /// Counts one score.
    pub fn push(&mut self, group: u32, score: f32) {
        let Some(boundary) = self.boundaries.get(group as usize) else {
            return;
        };
        let key = order_key(score);
        if key >> self.unknown_bits == boundary.key {
            let bits = self.tables.bits.min(self.unknown_bits);
            let next = (key >> (self.unknown_bits - bits)) & ((1 << bits) - 1);
            self.tables.count(group, next);
        }
    }

    /// Ends a pass in which every score was pushed.
    pub fn refine(self) -> Refined {
        let finer = Self::narrowed(self.boundaries, self.tables, self.unknown_bits);
        match finer.unknown_bits {
            0 => Refined::Exact(Cuts {
                cuts: finer.boundaries,
            }),
            _ => Refined::Again(finer),
        }
    }

    /// Takes the bits that were counted into the boundaries, and empties the counters.
    fn narrowed(mut boundaries: Vec<Cut>, mut tables: Tables, unknown_bits: u32) -> Self {
        let bits = tables.bits.min(unknown_bits);
        for (group, boundary) in boundaries.iter_mut().enumerate() {
            let table = &tables.of(group)[..1 << bits];
            let (next, ties) = end_of_budget(table, boundary.ties);
            boundary.key = (boundary.key << bits) | next;
            boundary.ties = ties;
        }
        tables.counts.fill(0);
        Self {
            tables,
            boundaries,
            unknown_bits: unknown_bits - bits,
        }
    }
}

impl Tables {
    fn count(&mut self, group: u32, value: u32) {
        let place = ((group as usize) << self.bits) | value as usize;
        if let Some(count) = self.counts.get_mut(place) {
            *count += 1;
        }
    }

    fn of(&self, group: usize) -> &[u64] {
        &self.counts[group << self.bits..(group + 1) << self.bits]
    }
}

impl Cuts {
    /// Whether the next row in row order stays. Rows must be asked for once each, in order; one of a group that is
    /// not among those asked for does not stay.
    pub fn admit(&mut self, group: u32, score: f32) -> bool {
        self.cuts
            .get_mut(group as usize)
            .is_some_and(|cut| cut.admit(score))
    }
}
