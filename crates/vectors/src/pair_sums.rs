//! Sums over pairs from which adapters follow in closed form, exact whatever the order of the pairs.

use ndarray::{Array1, Array2, Axis};

use crate::integer_products::{LARGEST, LeftTiles, Part, RightTiles, add_products};

/// Rows whose products are added at a time.
const STRIP: usize = 1024;
/// Values are rounded to multiples of 1 / UNITS. The usual size of a value among 512 is 1 / 22, 186 units: what rounding
/// adds to a variance is 3 millionths of it.
const UNITS: f32 = (1u32 << 12) as f32;
/// Rows that one [`PairSums`] can add: sums of products stay below 2^62 units.
pub const MOST_SUMMED_ROWS: u64 = 1 << 38;

/// What an image is matched with.
#[derive(Debug, Clone, Copy)]
pub enum Partner<'a> {
    /// The embedding of its caption.
    Text(&'a [f32]),
    /// Its class, below the number of classes.
    Class(usize),
}

/// Sums over pairs: of images, of their products with each other, and with texts or by class.
///
/// Values are rounded to multiples of 2^-12, and what is summed are whole numbers: nothing is rounded again, so that
/// neither the order of rows nor how they are divided among calls, threads or sums can matter.
///
/// # Panics
/// Methods panic where rows have another width or partners are of another kind.
#[derive(Debug, Clone, PartialEq)]
pub struct PairSums {
    dim: usize,
    rows: u64,
    /// Sum of f f', dim x dim; panels on and right of the diagonal only.
    images: Vec<i64>,
    partners: Partners,
    pending_images: Vec<i16>,
    pending_texts: Vec<i16>,
}

#[derive(Debug, Clone, PartialEq)]
enum Partners {
    Texts {
        image_sum: Vec<i64>,
        text_sum: Vec<i64>,
        /// Sum of f g', dim x dim.
        cross: Vec<i64>,
    },
    Classes {
        rows: Vec<u64>,
        /// Classes x dim.
        sums: Vec<i64>,
    },
}

impl PairSums {
    /// Of captioned pairs, none yet.
    pub fn of_texts(dim: usize) -> Self {
        let partners = Partners::Texts {
            image_sum: vec![0; dim],
            text_sum: vec![0; dim],
            cross: vec![0; dim * dim],
        };
        Self::of(dim, partners)
    }

    /// Of labelled pairs, none yet.
    pub fn of_classes(dim: usize, classes: usize) -> Self {
        let partners = Partners::Classes {
            rows: vec![0; classes],
            sums: vec![0; classes * dim],
        };
        Self::of(dim, partners)
    }

    fn of(dim: usize, partners: Partners) -> Self {
        assert!(dim > 0, "rows have values");
        Self {
            dim,
            rows: 0,
            images: vec![0; dim * dim],
            partners,
            pending_images: Vec::new(),
            pending_texts: Vec::new(),
        }
    }

    /// Bytes that sums of this shape take; `classes` of labelled pairs.
    pub fn bytes(dim: usize, classes: Option<usize>) -> usize {
        let square = dim.saturating_mul(dim);
        let values = match classes {
            Some(classes) => square.saturating_add(classes.saturating_mul(dim)),
            None => square.saturating_mul(2),
        };
        // Rows that wait, and the same once more as they are multiplied.
        let pending = (2 * 2 * STRIP * size_of::<i16>()).saturating_mul(dim);
        values
            .saturating_mul(size_of::<i64>())
            .saturating_add(pending)
    }

    /// Pairs added.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Adds a pair.
    ///
    /// # Panics
    /// If a value is not finite, or there are more than [`MOST_SUMMED_ROWS`].
    pub fn push(
        &mut self,
        image: &[f32],
        partner: Partner<'_>,
        workspace: &mut Workspace,
        threads: usize,
    ) {
        assert_eq!(image.len(), self.dim, "rows of one width");
        assert!(self.rows < MOST_SUMMED_ROWS, "no more rows than sums hold");
        self.rows += 1;
        let start = self.pending_images.len();
        append_whole(image, &mut self.pending_images);
        let image = &self.pending_images[start..];
        match (&mut self.partners, partner) {
            (
                Partners::Texts {
                    image_sum,
                    text_sum,
                    ..
                },
                Partner::Text(text),
            ) => {
                assert_eq!(text.len(), self.dim, "rows of one width");
                let start = self.pending_texts.len();
                append_whole(text, &mut self.pending_texts);
                add(image_sum, image);
                add(text_sum, &self.pending_texts[start..]);
            }
            (Partners::Classes { rows, sums }, Partner::Class(class)) => {
                rows[class] += 1;
                add(&mut sums[class * self.dim..][..self.dim], image);
            }
            _ => unreachable!("partners are of one kind"),
        }
        if self.pending_images.len() == STRIP * self.dim {
            self.settle_with(workspace, threads);
        }
    }

    /// Adds up what is pending; [`Totals::of`] needs it.
    pub fn settle(&mut self, threads: usize) {
        self.settle_with(&mut Workspace::new(self.dim), threads);
    }

    fn settle_with(&mut self, workspace: &mut Workspace, threads: usize) {
        let Workspace { left, right } = workspace;
        left.fill(&self.pending_images, threads);
        right.fill(&self.pending_images, threads);
        add_products(left, right, &mut self.images, Part::Upper, threads);
        if let Partners::Texts { cross, .. } = &mut self.partners {
            right.fill(&self.pending_texts, threads);
            add_products(left, right, cross, Part::Whole, threads);
        }
        self.pending_images.clear();
        self.pending_texts.clear();
    }
}

/// Rows as they are multiplied, for several sums of one width.
#[derive(Debug)]
pub struct Workspace {
    left: LeftTiles,
    right: RightTiles,
}

impl Workspace {
    /// For rows of `dim` values.
    pub fn new(dim: usize) -> Self {
        Self {
            left: LeftTiles::new(dim),
            right: RightTiles::new(dim),
        }
    }
}

/// Adding it to a number up to 2^22 rounds that to a whole one, which are the lowest bits of the sum then.
const ROUNDING: f32 = 1.5 * (1u32 << 23) as f32;

/// Appends values in units; those of unit rows are within [-1, 1].
#[expect(
    clippy::cast_possible_truncation,
    reason = "the lowest 16 bits are the number"
)]
fn append_whole(values: &[f32], to: &mut Vec<i16>) {
    let are_finite = values
        .iter()
        .fold(true, |are, value| are & value.is_finite());
    assert!(are_finite, "values are finite");
    let largest = f32::from(LARGEST);
    to.extend(values.iter().map(|value| {
        let units = (value * UNITS).clamp(-largest, largest);
        (units + ROUNDING).to_bits() as i16
    }));
}

fn add(sums: &mut [i64], values: &[i16]) {
    for (sum, value) in sums.iter_mut().zip(values) {
        *sum += i64::from(*value);
    }
}

/// What some [`PairSums`] hold together, in double precision.
#[derive(Debug, Clone, PartialEq)]
pub struct Totals {
    pub(crate) rows: f64,
    pub(crate) image_mean: Array1<f64>,
    /// Sum of f f'.
    pub(crate) images: Array2<f64>,
    pub(crate) partners: TotalPartners,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum TotalPartners {
    Texts {
        mean: Array1<f64>,
        /// Sum of f g'.
        cross: Array2<f64>,
    },
    Classes {
        rows: Array1<f64>,
        /// Classes x dim.
        sums: Array2<f64>,
    },
}

impl Totals {
    /// Of all folds, or of all but one; `None` of no rows.
    ///
    /// # Panics
    /// If folds differ in shape, or one has pairs that are pending.
    pub fn of(folds: &[PairSums], without: Option<usize>) -> Option<Self> {
        let counted = || {
            let folds = folds.iter().enumerate();
            folds.filter(move |(fold, _)| Some(*fold) != without)
        };
        let counted = || counted().map(|(_, fold)| fold);
        assert!(
            counted().all(|fold| fold.pending_images.is_empty()),
            "nothing is pending"
        );
        let count: u64 = counted().map(|fold| fold.rows).sum();
        let folds: Vec<&PairSums> = counted().collect();
        let first = folds.first().filter(|_| count > 0)?;
        let (dim, rows) = (first.dim, number(count));
        let unit = f64::from(UNITS);
        let mut images = square(sum(&folds, unit * unit, |fold| &fold.images), dim);
        for row in 0..dim {
            for column in 0..row {
                images[[row, column]] = images[[column, row]];
            }
        }
        let (image_mean, partners) = match &first.partners {
            Partners::Texts { .. } => {
                let part = |unit, part| sum(&folds, unit, |fold| fold.text_part(part));
                let mean = |of| Array1::from(part(unit * rows, of));
                let partners = TotalPartners::Texts {
                    mean: mean(TextPart::Texts),
                    cross: square(part(unit * unit, TextPart::Cross), dim),
                };
                (mean(TextPart::Images), partners)
            }
            Partners::Classes { .. } => {
                let sums = sum(&folds, unit, PairSums::class_sums);
                let Ok(sums) = Array2::from_shape_vec((sums.len() / dim, dim), sums) else {
                    unreachable!("folds of one shape")
                };
                let mut counts = vec![0u64; sums.nrows()];
                for fold in &folds {
                    counts
                        .iter_mut()
                        .zip(fold.class_rows())
                        .for_each(|(sum, n)| *sum += n);
                }
                let counts = counts.into_iter().map(number).collect();
                let mean = sums.sum_axis(Axis(0)) / rows;
                (mean, TotalPartners::Classes { rows: counts, sums })
            }
        };
        Some(Self {
            rows,
            image_mean,
            images,
            partners,
        })
    }
}

/// A part of some folds together, as integers, then in `unit`.
fn sum(folds: &[&PairSums], unit: f64, of: impl Fn(&PairSums) -> &[i64]) -> Vec<f64> {
    let mut sum: Vec<i64> = Vec::new();
    for fold in folds {
        let part = of(fold);
        sum.resize(part.len(), 0);
        sum.iter_mut()
            .zip(part)
            .for_each(|(sum, part)| *sum += part);
    }
    sum.into_iter().map(|units| float(units) / unit).collect()
}

/// Sums of captioned pairs.
#[derive(Clone, Copy)]
enum TextPart {
    Images,
    Texts,
    Cross,
}

impl PairSums {
    fn text_part(&self, part: TextPart) -> &[i64] {
        match (&self.partners, part) {
            (Partners::Texts { image_sum, .. }, TextPart::Images) => image_sum,
            (Partners::Texts { text_sum, .. }, TextPart::Texts) => text_sum,
            (Partners::Texts { cross, .. }, TextPart::Cross) => cross,
            (Partners::Classes { .. }, _) => &[],
        }
    }

    fn class_sums(&self) -> &[i64] {
        match &self.partners {
            Partners::Classes { sums, .. } => sums,
            Partners::Texts { .. } => &[],
        }
    }

    /// Pairs of each class; none of captioned pairs.
    pub fn class_rows(&self) -> &[u64] {
        match &self.partners {
            Partners::Classes { rows, .. } => rows,
            Partners::Texts { .. } => &[],
        }
    }
}

fn square(values: Vec<f64>, dim: usize) -> Array2<f64> {
    match Array2::from_shape_vec((dim, dim), values) {
        Ok(square) => square,
        Err(_) => unreachable!("folds of one shape"),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a count of rows")]
fn number(rows: u64) -> f64 {
    rows as f64
}

#[expect(clippy::cast_precision_loss, reason = "rounded once, at the end")]
fn float(units: i64) -> f64 {
    units as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn unit_row(random: &mut Random, dim: usize) -> Vec<f32> {
        #[expect(clippy::cast_possible_truncation, reason = "made up")]
        let mut row: Vec<f32> = (0..dim).map(|_| random.unit() as f32 - 0.5).collect();
        crate::normalise(&mut row, dim);
        row
    }

    #[test]
    fn neither_order_nor_partition_nor_threads_matter() {
        let dim = 70;
        for seed in 0..3 {
            let mut random = Random::new(seed);
            let rows: Vec<_> = (0..1500)
                .map(|_| {
                    let (image, text) = (unit_row(&mut random, dim), unit_row(&mut random, dim));
                    (image, text, random.below(3))
                })
                .collect();
            let mut order: Vec<usize> = (0..rows.len()).collect();
            for last in (1..order.len()).rev() {
                order.swap(last, random.below(last + 1));
            }
            for labelled in [false, true] {
                let none = || match labelled {
                    true => PairSums::of_classes(dim, 3),
                    false => PairSums::of_texts(dim),
                };
                let add = |sums: &mut PairSums, row: usize, threads| {
                    let (image, text, class) = &rows[row];
                    let partner = match labelled {
                        true => Partner::Class(*class),
                        false => Partner::Text(text),
                    };
                    sums.push(image, partner, &mut Workspace::new(dim), threads);
                };
                let mut batch = none();
                (0..rows.len()).for_each(|row| add(&mut batch, row, 1));
                batch.settle(1);
                let mut parts = [none(), none(), none()];
                for &row in &order {
                    let part = &mut parts[random.below(3)];
                    add(part, row, 2);
                    if random.below(100) == 0 {
                        part.settle(2);
                    }
                }
                parts.iter_mut().for_each(|part| part.settle(2));
                let expected = Totals::of(&[batch], None);
                assert_eq!(Totals::of(&parts, None), expected, "seed {seed}");
                assert!(expected.is_some());
            }
        }
    }

    #[test]
    fn sums_are_those_of_the_rounded_rows() {
        let dim = 5;
        let mut random = Random::new(4);
        let rows: Vec<_> = (0..600).map(|_| unit_row(&mut random, dim)).collect();
        let mut sums = PairSums::of_texts(dim);
        for pair in rows.windows(2) {
            sums.push(
                &pair[0],
                Partner::Text(&pair[1]),
                &mut Workspace::new(dim),
                1,
            );
        }
        sums.settle(1);
        let totals = Totals::of(&[sums], None).unwrap();
        let TotalPartners::Texts { cross, .. } = &totals.partners else {
            panic!("of texts")
        };
        let rounded = |value: f32| f64::from((value * UNITS).round_ties_even()) / f64::from(UNITS);
        for a in 0..dim {
            for b in 0..dim {
                let pairs = || rows.windows(2);
                let images: f64 = pairs().map(|p| rounded(p[0][a]) * rounded(p[0][b])).sum();
                let texts: f64 = pairs().map(|p| rounded(p[0][a]) * rounded(p[1][b])).sum();
                assert!((totals.images[[a, b]] - images).abs() < 1e-11);
                assert!((cross[[a, b]] - texts).abs() < 1e-11);
            }
        }
        assert_eq!(Totals::of(&[PairSums::of_texts(dim)], None), None);
    }
}
