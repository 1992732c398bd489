//! The rows most like a few queries, found while all rows stream by once.

use crate::{
    parallel::share,
    product::products,
    rows::{Rows, ranges},
};

/// Rows that one thread compares at a time.
const STRIP: usize = 1024;

/// Keeps for every query the rows of largest product with it; equal ones in the order in which they came.
///
/// Memory is what is kept, and a strip of products per thread: it does not depend on how many rows are shown.
#[derive(Debug, Clone)]
pub struct Closest {
    queries: Vec<f32>,
    dim: usize,
    most: usize,
    least: f32,
    found: Vec<Vec<(f32, u64)>>,
}

impl Closest {
    /// Keeps `most` rows per query, none whose product is below `least`.
    pub fn new(queries: Rows<'_>, most: usize, least: f32) -> Self {
        Self {
            dim: queries.dim(),
            queries: queries.values().to_vec(),
            most,
            least,
            found: vec![Vec::new(); queries.len()],
        }
    }

    /// Shows rows, each with the number it is known by.
    ///
    /// # Panics
    /// If the rows have another width than the queries, or there is not one number per row.
    pub fn push(&mut self, rows: Rows<'_>, numbers: &[u64], threads: usize) {
        assert_eq!(rows.len(), numbers.len(), "one number per row");
        let Some(queries) = Rows::new(&self.queries, self.dim) else {
            return;
        };
        let strips: Vec<_> = ranges(rows.len(), STRIP).collect();
        let mut above: Vec<Vec<(usize, f32, u64)>> = vec![Vec::new(); strips.len()];
        let jobs = above.iter_mut().zip(strips);
        let jobs: Vec<_> = jobs.collect();
        share(
            threads,
            jobs.into_iter(),
            Vec::new,
            |(above, strip), tile| {
                let len = strip.len();
                tile.resize(queries.len() * len, 0.0);
                products(queries, rows.slice(strip.clone()), tile);
                for (query, row) in tile.chunks_exact(len.max(1)).enumerate() {
                    // What is no better than the last one kept cannot stay, whatever the other strips hold.
                    let bar = self.bar(query);
                    let better = row.iter().zip(&numbers[strip.clone()]);
                    let better = better.filter(|(product, _)| **product > bar);
                    above.extend(better.map(|(product, number)| (query, *product, *number)));
                }
            },
        );
        for (query, product, number) in above.into_iter().flatten() {
            self.keep(query, product, number);
        }
    }

    /// For every query what was kept, largest product first: the product, within [-1, 1], and the number of the row.
    pub fn finish(self) -> Vec<Vec<(f32, u64)>> {
        let mut found = self.found;
        for (product, _) in found.iter_mut().flatten() {
            *product = product.clamp(-1.0, 1.0);
        }
        found
    }

    /// Products must be above this.
    fn bar(&self, query: usize) -> f32 {
        let found = &self.found[query];
        match found.last() {
            Some((last, _)) if found.len() >= self.most => *last,
            _ => self.least.next_down(),
        }
    }

    fn keep(&mut self, query: usize, product: f32, number: u64) {
        if self.most == 0 || product <= self.bar(query) {
            return;
        }
        let found = &mut self.found[query];
        let place = found.partition_point(|(other, _)| *other >= product);
        found.insert(place, (product, number));
        found.truncate(self.most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_are_kept_whatever_the_portions_and_threads() {
        let rows: Vec<f32> = (0..3000u16)
            .flat_map(|row| {
                let angle = f32::from(row * 7 % 3000) / 1000.0;
                [angle.cos(), angle.sin()]
            })
            .collect();
        let all = Rows::new(&rows, 2).unwrap();
        let numbers: Vec<u64> = (0..3000).collect();
        let queries = [1.0, 0.0, 0.0, 1.0];
        let queries = Rows::new(&queries, 2).unwrap();
        let mut answers = Vec::new();
        for (portion, threads) in [(3000, 1), (3000, 3), (7, 2)] {
            let mut closest = Closest::new(queries, 5, 0.99);
            for range in ranges(3000, portion) {
                closest.push(all.slice(range.clone()), &numbers[range], threads);
            }
            answers.push(closest.finish());
        }
        let mut sorted: Vec<(f32, u64)> =
            (0..3000).map(|row| (all.row(row)[0], row as u64)).collect();
        sorted.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        sorted.truncate(5);
        assert_eq!(answers[0][0], sorted);
        assert!(answers.iter().all(|answer| *answer == answers[0]));
        assert!(answers[0][1].iter().all(|(product, _)| *product >= 0.99));
    }
}
