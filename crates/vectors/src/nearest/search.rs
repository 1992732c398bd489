//! The nearest neighbours of one row: candidates by bounds, then measured.

use crate::{product::squared_distance, rows::Rows};

use super::bounds::Bounds;

/// Products that are looked at together.
const CHUNK: usize = 16;

/// One row whose neighbours are looked for.
pub(super) struct Query<'a> {
    pub(super) row: &'a [f32],
    pub(super) floor: f32,
    /// Its own position among the keys; beyond their end if it is not one of them.
    pub(super) own: usize,
}

/// The rows it is compared with.
pub(super) struct Keys<'a> {
    pub(super) rows: Rows<'a>,
    pub(super) floors: &'a [f32],
    /// The query times each of them.
    pub(super) products: &'a [f32],
    pub(super) bounds: &'a Bounds,
}

/// The nearest rows found so far for one row.
#[derive(Clone)]
pub(super) struct Neighbours {
    wanted: usize,
    /// Measured squared distances, at most `wanted`.
    squared: Vec<f32>,
    /// The largest of them once there are enough.
    worst: f32,
}

impl Neighbours {
    pub(super) fn new(wanted: usize) -> Self {
        Self {
            wanted,
            squared: Vec::new(),
            worst: f32::INFINITY,
        }
    }

    fn add(&mut self, measured: impl Iterator<Item = f32>) {
        self.squared.reserve(self.wanted);
        self.squared.extend(measured.filter(|d| !d.is_nan()));
        if self.squared.len() >= self.wanted {
            let last = self.wanted - 1;
            let (_, worst, _) = self.squared.select_nth_unstable_by(last, f32::total_cmp);
            self.worst = *worst;
            self.squared.truncate(self.wanted);
        }
    }

    /// What a lowest value must be under to matter.
    fn bar(&self, bounds: &Bounds) -> f32 {
        // Nothing is nearer than an equal row.
        if self.worst == 0.0 {
            return f32::NEG_INFINITY;
        }
        bounds.bar(self.worst)
    }

    /// The mean of the distances, summed from the smallest on.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "rounded to f32"
    )]
    pub(super) fn mean_distance(&mut self) -> Option<f32> {
        self.squared.sort_unstable_by(f32::total_cmp);
        let sum: f64 = self.squared.iter().map(|d| f64::from(*d).sqrt()).sum();
        Some((sum / self.squared.len() as f64) as f32)
    }
}

/// Keys that may be neighbours, with the value that their squared distance is never below.
#[derive(Default)]
pub(super) struct Candidates {
    lowest: Vec<(f32, usize)>,
}

impl Candidates {
    /// Adds to `found` what the keys have to offer.
    pub(super) fn search(&mut self, query: &Query<'_>, keys: &Keys<'_>, found: &mut Neighbours) {
        let mut bar = found.bar(keys.bounds);
        let products = keys.products.chunks(CHUNK);
        for (chunk, (products, floors)) in products.zip(keys.floors.chunks(CHUNK)).enumerate() {
            if !any_under(products, floors, bar - query.floor) {
                continue;
            }
            for (offset, (product, floor)) in products.iter().zip(floors).enumerate() {
                let lowest = query.floor + (floor - 2.0 * product);
                let key = chunk * CHUNK + offset;
                if lowest < bar && key != query.own {
                    self.lowest.push((lowest, key));
                }
            }
            if self.lowest.len() >= 3 * found.wanted + 4 * CHUNK {
                bar = self.thin(query, keys, found, bar);
                if self.lowest.len() > 2 * found.wanted {
                    self.measure(query, keys, found);
                    bar = found.bar(keys.bounds);
                }
            }
        }
        self.thin(query, keys, found, bar);
        self.measure(query, keys, found);
    }

    /// Drops what cannot be a neighbour, for as many others are certainly nearer; the bar that follows.
    fn thin(&mut self, query: &Query<'_>, keys: &Keys<'_>, found: &Neighbours, bar: f32) -> f32 {
        if self.lowest.len() <= found.wanted {
            return bar;
        }
        let (near, _, _) = self
            .lowest
            .select_nth_unstable_by(found.wanted, |a, b| a.0.total_cmp(&b.0));
        let highest = near.iter().map(|(lowest, key)| {
            keys.bounds
                .highest(*lowest, query.floor, keys.floors[*key])
                .max(0.0)
        });
        let bar = bar.min(keys.bounds.bar(highest.fold(0.0, f32::max)));
        let near = found.wanted;
        let mut kept = near;
        for index in near..self.lowest.len() {
            if self.lowest[index].0 < bar {
                self.lowest.swap(kept, index);
                kept += 1;
            }
        }
        self.lowest.truncate(kept);
        bar
    }

    fn measure(&mut self, query: &Query<'_>, keys: &Keys<'_>, found: &mut Neighbours) {
        if !self.lowest.is_empty() {
            let measured = self.lowest.drain(..);
            found.add(measured.map(|(_, key)| squared_distance(query.row, keys.rows.row(key))));
        }
    }
}

/// True if a lowest value, less the query's share, may be under the bar.
fn any_under(products: &[f32], floors: &[f32], bar: f32) -> bool {
    let full: (Result<&[f32; CHUNK], _>, Result<&[f32; CHUNK], _>) =
        (products.try_into(), floors.try_into());
    let (Ok(products), Ok(floors)) = full else {
        return true;
    };
    let mut any = false;
    for lane in 0..CHUNK {
        any |= floors[lane] - 2.0 * products[lane] < bar;
    }
    any
}
