//! Which rows of the first batch the centroids start from.

use crate::{
    parallel::share,
    product::dot,
    random::Random,
    rows::{Rows, ranges},
};

/// With more cells than this every start is drawn alike: k-means++ compares each start with the whole batch.
const MOST_BY_DISTANCE: usize = 1024;
/// Rows that one thread compares with a start at a time.
const STRIP: usize = 512;

/// Positions of at most `cells` rows, no two of them equal where they are drawn by distance.
pub(super) fn choose(
    rows: Rows<'_>,
    cells: usize,
    random: &mut Random,
    threads: usize,
) -> Vec<usize> {
    if cells > MOST_BY_DISTANCE {
        return draw_alike(rows.len(), cells, random);
    }
    let mut chosen = vec![random.below(rows.len())];
    let mut distances = vec![f32::INFINITY; rows.len()];
    while chosen.len() < cells.min(rows.len()) {
        let last = rows.row(chosen[chosen.len() - 1]);
        lower(&mut distances, rows, last, threads);
        let total: f64 = distances.iter().map(|d| f64::from(*d)).sum();
        let Some(next) = draw_by(&distances, total * random.unit()) else {
            break;
        };
        chosen.push(next);
    }
    chosen
}

/// Lowers each distance (half the squared Euclidean one of unit rows) to the one to `start`.
fn lower(distances: &mut [f32], rows: Rows<'_>, start: &[f32], threads: usize) {
    let strips: Vec<_> = ranges(rows.len(), STRIP).collect();
    let jobs = distances.chunks_mut(STRIP).zip(strips);
    // Starting threads costs more than a few rows.
    let threads = if rows.values().len() < 1 << 18 {
        1
    } else {
        threads
    };
    share(
        threads,
        jobs,
        || (),
        |(distances, strip), ()| {
            for (distance, row) in distances.iter_mut().zip(strip) {
                let to_start = 1.0 - dot(rows.row(row), start);
                // Equal rows must not be drawn again because of a rounding.
                let to_start = if to_start < 1e-6 { 0.0 } else { to_start };
                *distance = distance.min(to_start);
            }
        },
    );
}

/// The row in whose part of the sum `point` lies; `None` if all distances are zero.
fn draw_by(distances: &[f32], mut point: f64) -> Option<usize> {
    let mut last = None;
    for (row, distance) in distances.iter().enumerate() {
        if *distance > 0.0 {
            last = Some(row);
            point -= f64::from(*distance);
            if point < 0.0 {
                break;
            }
        }
    }
    last
}

fn draw_alike(rows: usize, cells: usize, random: &mut Random) -> Vec<usize> {
    let mut positions: Vec<usize> = (0..rows).collect();
    let count = cells.min(rows);
    for at in 0..count {
        positions.swap(at, at + random.below(rows - at));
    }
    positions.truncate(count);
    positions
}
