//! How well adapted embeddings tell a pair's own class or caption from the others.

use crate::{
    exponential::exponential,
    parallel::share,
    product::{largest, products},
    rows::{Rows, ranges},
};

/// Images that one thread judges at a time.
const STRIP: usize = 256;

/// Classes that images are told by: a direction and an offset each.
#[derive(Debug, Clone, Copy)]
pub struct Classes<'a> {
    /// One row per class.
    pub directions: Rows<'a>,
    /// One number per class.
    pub offsets: &'a [f32],
}

/// Log-loss of the own class of every image, -ln softmax(scale · score + ln share), at each of some scales.
///
/// # Shape
/// One row of `images.len()` losses, in nats, per scale. `labels` are positions among the classes.
///
/// # Source
/// Shares: logit adjustment (arXiv 2007.07314), so that nothing is gained by knowing which classes are frequent.
///
/// # Panics
/// If widths or lengths do not agree.
pub fn class_losses(
    images: Rows<'_>,
    classes: Classes<'_>,
    labels: &[usize],
    log_shares: &[f32],
    scales: &[f32],
) -> Vec<f32> {
    let count = classes.directions.len();
    assert_eq!(images.len(), labels.len(), "one label per image");
    assert_eq!(
        (classes.offsets.len(), log_shares.len()),
        (count, count),
        "as many classes"
    );
    let mut losses = vec![0.0; images.len() * scales.len()];
    let mut logits = vec![0.0; count];
    for strip in ranges(images.len(), STRIP) {
        let mut scores = vec![0.0; strip.len() * count];
        products(images.slice(strip.clone()), classes.directions, &mut scores);
        for (row, scores) in strip.zip(scores.chunks_exact_mut(count.max(1))) {
            scores
                .iter_mut()
                .zip(classes.offsets)
                .for_each(|(s, o)| *s += o);
            for (place, scale) in scales.iter().enumerate() {
                let of = scores.iter().zip(log_shares);
                logits
                    .iter_mut()
                    .zip(of)
                    .for_each(|(l, (s, share))| *l = scale * s + share);
                let most = largest(&logits);
                let sum: f32 = logits.iter().map(|l| exponential(l - most)).sum();
                losses[place * images.len() + row] = most + sum.ln() - logits[labels[row]];
            }
        }
    }
    losses
}

/// For each pair the mean over both directions of ln(1 + n), n the pairs whose text (or image) fits its image (or text)
/// better than its own; pairs with the same `id` have the same text and are no others.
///
/// # Units
/// 0 where a pair's own is the best both ways. Unlike a softmax it hardly grows where the own one is far off, as a
/// wrong caption is.
///
/// # Panics
/// If widths or lengths do not agree.
pub fn log_ranks(images: Rows<'_>, texts: Rows<'_>, ids: &[u64]) -> Vec<f32> {
    let n = images.len();
    assert_eq!(
        (texts.len(), ids.len()),
        (n, n),
        "one text and id per image"
    );
    let mut cosines = vec![0.0; n * n];
    products(images, texts, &mut cosines);
    let better = |pair: usize, cosine: &dyn Fn(usize) -> f32| {
        let own = cosine(pair);
        let others = (0..n).filter(|other| ids[*other] != ids[pair] && cosine(*other) > own);
        others.fold(1.0f32, |sum, _| sum + 1.0).ln()
    };
    (0..n)
        .map(|pair| {
            let of_texts = better(pair, &|other| cosines[pair * n + other]);
            let of_images = better(pair, &|other| cosines[other * n + pair]);
            (of_texts + of_images) / 2.0
        })
        .collect()
}

/// Brings every row to the unit vector of row + share · other, both unit rows; in place of `others`.
///
/// # Panics
/// If the sides differ in shape.
pub fn blend(rows: Rows<'_>, others: &mut [f32], share_of_others: f32, threads: usize) {
    assert_eq!(rows.values().len(), others.len(), "as many rows");
    let dim = rows.dim();
    let strips: Vec<_> = ranges(rows.len(), STRIP).collect();
    let jobs = others.chunks_mut(STRIP * dim).zip(strips);
    share(
        threads,
        jobs,
        || (),
        |(others, strip), ()| {
            let values = rows.slice(strip).values();
            others
                .iter_mut()
                .zip(values)
                .for_each(|(other, value)| *other = value + share_of_others * *other);
            crate::normalise(others, dim);
        },
    );
}

/// A number that looks random, the same for rows with the same bits.
pub fn row_hash(row: &[f32]) -> u64 {
    const PRIMES: [u64; 4] = [
        0x9e37_79b1_85eb_ca87,
        0xc2b2_ae3d_27d4_eb4f,
        0x1656_67b1_9e37_79f9,
        0x27d4_eb2f_1656_67c5,
    ];
    let mut lanes = PRIMES;
    let chunks = row.chunks_exact(4);
    let rest = chunks.remainder();
    for chunk in chunks {
        for lane in 0..4 {
            let mixed = (lanes[lane] ^ u64::from(chunk[lane].to_bits())).wrapping_mul(PRIMES[lane]);
            lanes[lane] = mixed.rotate_left(29);
        }
    }
    let ends = lanes
        .into_iter()
        .chain(rest.iter().map(|value| u64::from(value.to_bits())));
    ends.fold(row.len() as u64, |hash, end| mixed(hash ^ end))
}

/// The finaliser of SplitMix64.
fn mixed(number: u64) -> u64 {
    let z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_those_of_a_softmax() {
        let images = [0.6, 0.8, 1.0, 0.0, 0.0, 1.0];
        let directions = [1.0, 0.0, 0.0, 1.0, -1.0, 0.5];
        let (offsets, shares) = ([0.1, 0.0, -0.2], [0.5f32.ln(), 0.3f32.ln(), 0.2f32.ln()]);
        let labels = [1, 0, 2];
        let classes = Classes {
            directions: Rows::new(&directions, 2).unwrap(),
            offsets: &offsets,
        };
        let rows = Rows::new(&images, 2).unwrap();
        let found = class_losses(rows, classes, &labels, &shares, &[0.5, 20.0]);
        for (place, scale) in [0.5f64, 20.0].into_iter().enumerate() {
            for (row, label) in labels.into_iter().enumerate() {
                let logits: Vec<f64> = (0..3)
                    .map(|class| {
                        let score: f64 = (0..2)
                            .map(|at| {
                                f64::from(images[row * 2 + at])
                                    * f64::from(directions[class * 2 + at])
                            })
                            .sum();
                        scale * (score + f64::from(offsets[class])) + f64::from(shares[class])
                    })
                    .collect();
                let sum: f64 = logits.iter().map(|logit| logit.exp()).sum();
                let expected = sum.ln() - logits[label];
                assert!((f64::from(found[place * 3 + row]) - expected).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn ranks_count_others_that_fit_better_both_ways() {
        let images = [1.0, 0.0, 0.0, 1.0, 0.6, 0.8];
        let texts = [0.0, 1.0, 1.0, 0.0, 1.0, 0.0];
        let (images, texts) = (
            Rows::new(&images, 2).unwrap(),
            Rows::new(&texts, 2).unwrap(),
        );
        // Texts 1 and 2 are one: image 0 has two others that fit better, text 0 one image and so on.
        let found = log_ranks(images, texts, &[0, 1, 1]);
        let expected = [
            (3.0f32.ln() + 3.0f32.ln()) / 2.0,
            (2.0f32.ln() + 2.0f32.ln()) / 2.0,
            (2.0f32.ln() + 2.0f32.ln()) / 2.0,
        ];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
        }
    }

    #[test]
    fn blended_rows_have_length_one() {
        let rows = [1.0, 0.0, 0.0, 1.0];
        let mut others = [0.0, 1.0, 0.0, 1.0];
        blend(Rows::new(&rows, 2).unwrap(), &mut others, 0.75, 2);
        assert_eq!(others, [0.8, 0.6, 0.0, 1.0]);
    }

    #[test]
    fn hashes_tell_rows_apart() {
        let mut seen = std::collections::HashSet::new();
        for len in 0..9u8 {
            for at in 0..len {
                let mut row = vec![0.25; usize::from(len)];
                row[usize::from(at)] = 0.5;
                assert!(seen.insert(row_hash(&row)), "{len} {at}");
            }
        }
        assert_eq!(row_hash(&[0.5, -1.0]), row_hash(&[0.5, -1.0]));
        assert_ne!(row_hash(&[0.5, -1.0]), row_hash(&[-1.0, 0.5]));
    }
}
