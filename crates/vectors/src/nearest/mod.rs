//! Mean distance of every row of a cell to its nearest neighbours.

mod bounds;
mod search;

use std::ops::Range;

use crate::{
    budget::{Blocks, Budget},
    parallel::share,
    product::products,
    rows::{RowSource, Rows, load, ranges},
};

use bounds::Bounds;
use search::{Candidates, Neighbours};

/// For each row the mean Euclidean distance to its `neighbours` nearest other rows of the cell, or to all others where
/// there are fewer (SDS). Rows equal to it count, with distance 0.
///
/// `None` for a row without another one, and for all if `neighbours` is 0. A row with a value that is not finite has
/// distance NaN and is nobody's neighbour.
///
/// # Source
/// arXiv 2410.11215, sample diversity score.
///
/// # Errors
/// When the source cannot be read.
pub fn nearest_distances<S: RowSource>(
    cell: &S,
    neighbours: usize,
    budget: Budget,
) -> Result<Vec<Option<f32>>, S::Error> {
    let len = cell.len();
    let wanted = neighbours.min(len.saturating_sub(1));
    let mut result = Vec::with_capacity(len);
    if wanted == 0 {
        result.resize(len, None);
        return Ok(result);
    }
    let lent = cell.in_memory(0..0).is_some();
    let row_bytes = 8 + if lent { 0 } else { cell.dim() * 4 };
    let answer_bytes = wanted * 4 + std::mem::size_of::<Neighbours>();
    let blocks = Blocks::of(len, row_bytes, answer_bytes, budget);
    let (mut query_buffer, mut key_buffer) = (Vec::new(), Vec::new());
    for query_range in ranges(len, blocks.queries) {
        let queries = load(cell, query_range.clone(), &mut query_buffer)?;
        let query_bounds = Bounds::of(queries);
        let mut found = vec![Neighbours::new(wanted); query_range.len()];
        for key_range in ranges(len, blocks.keys) {
            let queries = Side {
                rows: queries,
                range: query_range.clone(),
                bounds: &query_bounds,
            };
            if blocks.whole(len) {
                search_block(&queries, &queries, &mut found, blocks, budget.threads);
                continue;
            }
            let rows = load(cell, key_range.clone(), &mut key_buffer)?;
            let keys = Side {
                rows,
                range: key_range,
                bounds: &Bounds::of(rows),
            };
            search_block(&queries, &keys, &mut found, blocks, budget.threads);
        }
        result.extend(found.iter_mut().map(Neighbours::mean_distance));
    }
    Ok(result)
}

/// A block of the cell as queries or as keys.
struct Side<'a> {
    rows: Rows<'a>,
    /// Where the rows stand in the cell.
    range: Range<usize>,
    bounds: &'a Bounds,
}

/// What a thread needs to search.
struct Scratch {
    tile: Vec<f32>,
    candidates: Candidates,
}

fn search_block(
    queries: &Side<'_>,
    keys: &Side<'_>,
    found: &mut [Neighbours],
    blocks: Blocks,
    threads: usize,
) {
    let jobs = found.chunks_mut(blocks.strip).enumerate();
    let scratch = || Scratch {
        tile: Vec::new(),
        candidates: Candidates::default(),
    };
    share(threads, jobs, scratch, |(strip, found), scratch| {
        let first = strip * blocks.strip;
        let rows = queries.rows.slice(first..first + found.len());
        for tile in ranges(keys.rows.len(), blocks.tile) {
            let tile_keys = keys.rows.slice(tile.clone());
            scratch.tile.resize(found.len() * tile.len(), 0.0);
            products(rows, tile_keys, &mut scratch.tile);
            for (row, products) in scratch.tile.chunks_exact(tile.len()).enumerate() {
                let position = queries.range.start + first + row;
                let query = search::Query {
                    row: rows.row(row),
                    floor: queries.bounds.floors()[first + row],
                    // Where the row itself stands in the tile, if it does.
                    own: position.wrapping_sub(keys.range.start + tile.start),
                };
                let keys = search::Keys {
                    rows: tile_keys,
                    floors: &keys.bounds.floors()[tile.clone()],
                    products,
                    bounds: keys.bounds,
                };
                scratch.candidates.search(&query, &keys, &mut found[row]);
            }
        }
    });
}
