//! Alignment and the exact budget: `cargo bench --bench score`.

use clip_filter::score::{ScoreHistogram, cosine};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Embeddings of one batch.
const ROWS: usize = 1024;
/// Scores of one selection.
const SCORES: usize = 1_000_000;

fn alignment(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("alignment");
    for dim in [384, 512, 768] {
        let vectors: Vec<f32> = (0..ROWS * dim)
            .map(|i| ((i * 37) % 101) as f32 / 101.0)
            .collect();
        group.throughput(Throughput::Elements(ROWS as u64));
        group.bench_function(format!("cosine, {dim} numbers"), |bencher| {
            bencher.iter(|| {
                vectors
                    .chunks_exact(dim)
                    .map(|row| cosine(row, &vectors[..dim]))
                    .sum::<f32>()
            });
        });
    }
    group.finish();
}

fn budget(criterion: &mut Criterion) {
    let scores: Vec<f32> = (0..SCORES)
        .map(|i| ((i * 7919) % 1_000_003) as f32 / 1_000_003.0)
        .collect();
    let mut group = criterion.benchmark_group("budget");
    group.throughput(Throughput::Elements(SCORES as u64));
    group.bench_function("exact top 30 % of 1,000,000", |bencher| {
        bencher.iter(|| {
            let mut coarse = ScoreHistogram::default();
            scores.iter().for_each(|&score| coarse.push(score));
            let mut fine = coarse.refine(SCORES as u64 * 3 / 10);
            scores.iter().for_each(|&score| fine.push(score));
            let mut cut = fine.cut();
            scores.iter().filter(|&&score| cut.admit(score)).count()
        });
    });
    group.finish();
}

criterion_group!(benches, alignment, budget);
criterion_main!(benches);
