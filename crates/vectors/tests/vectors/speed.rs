//! A figure to print, not to judge by: run alone, with `--ignored --nocapture`.

use std::time::Instant;

use clip_filter_vectors::{nearest_better, nearest_distances};

use crate::world::{Random, budget, rows};

#[test]
#[ignore = "prints how fast it is"]
fn neighbours_of_large_cells() {
    let random = Random::new(71);
    for (len, dim) in [(8_000usize, 512usize), (2_000, 512)] {
        // Directions that embeddings of one class share, and what tells them apart.
        let common = random.values(dim);
        let mut values = random.values(len * dim);
        values
            .chunks_mut(dim)
            .for_each(|row| row.iter_mut().zip(&common).for_each(|(v, c)| *v += c));
        clip_filter_vectors::normalise(&mut values, dim);
        let cell = rows(&values, dim);
        for threads in [1, 2] {
            let report = |what: &str, start: Instant| {
                let seconds = start.elapsed().as_secs_f64();
                let flops = 2.0 * (len * len * dim) as f64;
                eprintln!(
                    "{what}: {len} x {dim}, {threads} threads: {seconds:.3} s, {:.1} GFLOP/s",
                    flops / seconds / 1e9
                );
            };
            let start = Instant::now();
            nearest_distances(&cell, 100, budget(1 << 30, threads)).unwrap();
            report("nearest_distances", start);
            let rank: Vec<u32> = (0..len as u32).rev().collect();
            let start = Instant::now();
            nearest_better(&cell, &rank, budget(1 << 30, threads)).unwrap();
            report("nearest_better (order of ranks)", start);
        }
    }
}
