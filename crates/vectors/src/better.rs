//! Similarity of every row of a cell to the rows that stand before it in an order.

use crate::{
    budget::{Blocks, Budget},
    parallel::share,
    product::{largest, products},
    rows::{RowSource, Rows, load, ranges},
};

/// For each row the largest product with a row of smaller rank, within [-1, 1]; -1 where there is none.
///
/// Ranks need not be different: rows of one rank are not compared. Rows that come in the order of their ranks take
/// half the time.
///
/// # Source
/// SemDeDup (arXiv 2303.09540), where the rank follows the distance to the centroid.
///
/// # Errors
/// When the source cannot be read.
///
/// # Panics
/// If there is not one rank per row.
pub fn nearest_better<S: RowSource>(
    cell: &S,
    rank: &[u32],
    budget: Budget,
) -> Result<Vec<f32>, S::Error> {
    let len = cell.len();
    assert_eq!(rank.len(), len, "one rank per row");
    let lent = cell.in_memory(0..0).is_some();
    let row_bytes = if lent { 0 } else { cell.dim() * 4 };
    let blocks = Blocks::of(len, row_bytes, 0, budget);
    let mut best = vec![-1.0f32; len];
    let (mut query_buffer, mut key_buffer) = (Vec::new(), Vec::new());
    for query_range in ranges(len, blocks.queries) {
        let rows = load(cell, query_range.clone(), &mut query_buffer)?;
        let rank_of = &rank[query_range.clone()];
        let queries = Ranked {
            rows,
            rank: rank_of,
        };
        let best = &mut best[query_range];
        if blocks.whole(len) {
            raise(queries, queries, best, blocks, budget.threads);
            continue;
        }
        for key_range in ranges(len, blocks.keys) {
            if !any_before(&rank[key_range.clone()], rank_of) {
                continue;
            }
            let rows = load(cell, key_range.clone(), &mut key_buffer)?;
            let rank = &rank[key_range];
            raise(queries, Ranked { rows, rank }, best, blocks, budget.threads);
        }
    }
    Ok(best)
}

/// The rank of every value when they are put in descending order, 0 for the largest; equal values keep their order.
pub fn descending_ranks(values: &[f32]) -> Vec<u32> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*b].total_cmp(&values[*a]));
    let mut ranks = vec![0; values.len()];
    for (rank, index) in (0..).zip(order) {
        ranks[index] = rank;
    }
    ranks
}

/// Rows of a block and their ranks.
#[derive(Clone, Copy)]
struct Ranked<'a> {
    rows: Rows<'a>,
    rank: &'a [u32],
}

/// True if some key has a smaller rank than some query.
fn any_before(keys: &[u32], queries: &[u32]) -> bool {
    keys.iter().min() < queries.iter().max()
}

fn raise(queries: Ranked<'_>, keys: Ranked<'_>, best: &mut [f32], blocks: Blocks, threads: usize) {
    let jobs = best.chunks_mut(blocks.strip).enumerate();
    share(threads, jobs, Tile::default, |(strip, best), scratch| {
        let first = strip * blocks.strip;
        let strip = first..first + best.len();
        let rank = &queries.rank[strip.clone()];
        let rows = queries.rows.slice(strip);
        for tile in ranges(keys.rank.len(), blocks.tile) {
            let key_rank = &keys.rank[tile.clone()];
            if !any_before(key_rank, rank) {
                continue;
            }
            scratch.products.resize(best.len() * tile.len(), 0.0);
            products(rows, keys.rows.slice(tile.clone()), &mut scratch.products);
            let tile_rows = scratch.products.chunks_exact_mut(tile.len());
            for ((products, best), rank) in tile_rows.zip(&mut *best).zip(rank) {
                for (product, key_rank) in products.iter_mut().zip(key_rank) {
                    *product = if key_rank < rank { *product } else { -1.0 };
                }
                *best = best.max(largest(products)).min(1.0);
            }
        }
    });
}

/// The products of one thread.
#[derive(Default)]
struct Tile {
    products: Vec<f32>,
}
