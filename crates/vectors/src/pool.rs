//! Images against a pool of texts.

use crate::{
    parallel::share,
    product::{largest, products},
    rows::{Rows, ranges},
};

/// Images that one thread compares at a time.
const STRIP: usize = 256;

/// For each image the largest product with a text of the pool that is not its own; `NEG_INFINITY` if there is none.
/// `own` is the position of an image's own text in the pool, if it is there.
///
/// # Panics
/// If the sides differ in width, or there is not one `own` per image.
pub fn best_others(
    images: Rows<'_>,
    pool: Rows<'_>,
    own: &[Option<usize>],
    threads: usize,
) -> Vec<f32> {
    assert_eq!(images.len(), own.len(), "one own text, or none, per image");
    let mut best = vec![f32::NEG_INFINITY; images.len()];
    let strips: Vec<_> = ranges(images.len(), STRIP).collect();
    let jobs = best.chunks_mut(STRIP).zip(strips);
    share(threads, jobs, Vec::new, |(best, strip), tile| {
        let count = best.len() * pool.len();
        tile.resize(count, 0.0);
        products(images.slice(strip.clone()), pool, &mut tile[..count]);
        let rows = tile[..count].chunks_exact_mut(pool.len().max(1));
        for ((row, own), best) in rows.zip(&own[strip]).zip(best) {
            if let Some(own) = own.and_then(|own| row.get_mut(own)) {
                *own = f32::NEG_INFINITY;
            }
            *best = largest(row);
        }
    });
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_text_is_no_other() {
        let images = [1.0, 0.0, 0.0, 1.0, 0.6, 0.8];
        let pool = [1.0, 0.0, 0.8, 0.6];
        let (images, pool) = (Rows::new(&images, 2).unwrap(), Rows::new(&pool, 2).unwrap());
        let best = best_others(images, pool, &[Some(0), None, Some(1)], 2);
        assert_eq!(best, [0.8, 0.6, 0.6]);
    }
}
