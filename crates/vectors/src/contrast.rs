//! Soft maxima of the rows and columns of a product that is never held as a whole.

use crate::{
    budget::Budget,
    exponential::exponential,
    parallel::share,
    product::{largest, products},
    rows::{RowSource, Rows, load, ranges},
};

/// Edge of the squares in which sums are formed. Fixed and laid on absolute positions, so that a sum has the same
/// order with any number of threads and any memory.
const SQUARE: usize = 256;

/// How every image stands against all texts, and every text against all images.
#[derive(Debug, Clone, PartialEq)]
pub struct Contrast {
    /// t * ln sum_j exp(s_ij / t) for each image i.
    pub of_images: Vec<f32>,
    /// t * ln sum_i exp(s_ij / t) for each text j.
    pub of_texts: Vec<f32>,
}

/// The soft maximum t * logsumexp(s / t) of every row and column of s_ij = image_i · text_j, in units of s.
///
/// With it `s_cliploss` is s_ii less half the sum of both, averaged over random batches. The memory is a goal: 256
/// images and as many texts are held in any case. `NEG_INFINITY` where the other side is empty.
///
/// # Source
/// arXiv 2405.19547, negCLIPLoss.
///
/// # Errors
/// When a source cannot be read.
///
/// # Panics
/// If images and texts differ in width.
pub fn contrast<A: RowSource, B: RowSource<Error = A::Error>>(
    images: &A,
    texts: &B,
    temperature: f32,
    budget: Budget,
) -> Result<Contrast, A::Error> {
    let mut image_sums = vec![SoftSum::default(); images.len()];
    let mut text_sums = vec![SoftSum::default(); texts.len()];
    let (image_step, text_step) = steps(images, texts, budget);
    let (mut image_buffer, mut text_buffer) = (Vec::new(), Vec::new());
    for text_range in ranges(texts.len(), text_step) {
        let text_rows = load(texts, text_range.clone(), &mut text_buffer)?;
        let text_sums = &mut text_sums[text_range];
        for image_range in ranges(images.len(), image_step) {
            let image_rows = load(images, image_range.clone(), &mut image_buffer)?;
            let block = Block {
                images: image_rows,
                texts: text_rows,
                temperature,
            };
            let parts = block.add(text_sums, budget.threads);
            // Squares of one image follow each other from left to right, whichever thread was done first.
            for part in parts.chunks(image_rows.len()) {
                for (sum, part) in image_sums[image_range.clone()].iter_mut().zip(part) {
                    sum.add(*part, temperature);
                }
            }
        }
    }
    let value = |sum: &SoftSum| sum.value(temperature);
    Ok(Contrast {
        of_images: image_sums.iter().map(value).collect(),
        of_texts: text_sums.iter().map(value).collect(),
    })
}

/// Images and texts to hold at a time, whole squares of each.
fn steps<A: RowSource, B: RowSource>(images: &A, texts: &B, budget: Budget) -> (usize, usize) {
    let cost = |lent: bool, dim: usize| if lent { 0 } else { dim * 4 };
    let image_bytes = cost(images.in_memory(0..0).is_some(), images.dim());
    let text_bytes = cost(texts.in_memory(0..0).is_some(), texts.dim());
    let squares = |bytes: usize, row_bytes: usize| {
        let rows = bytes.checked_div(row_bytes).unwrap_or(usize::MAX);
        (rows / SQUARE).max(1).saturating_mul(SQUARE)
    };
    let left = budget
        .bytes
        .saturating_sub(budget.threads.max(1) * SQUARE * SQUARE * 4);
    let text_step = squares(left / 2, text_bytes).min(texts.len().next_multiple_of(SQUARE));
    let left = left.saturating_sub(text_step.saturating_mul(text_bytes));
    // Every image has one part of a sum per square of texts.
    let part_bytes = text_step.div_ceil(SQUARE) * std::mem::size_of::<Part>();
    (squares(left, image_bytes + part_bytes), text_step)
}

/// Sum of exp((s - largest) / t) over some of the values of a row or column.
#[derive(Clone, Copy)]
struct Part {
    largest: f32,
    sum: f32,
}

impl Part {
    const NONE: Self = Self {
        largest: f32::NEG_INFINITY,
        sum: 0.0,
    };
}

/// The same over all values so far.
#[derive(Clone, Copy)]
struct SoftSum {
    largest: f32,
    sum: f64,
}

impl Default for SoftSum {
    fn default() -> Self {
        Self {
            largest: f32::NEG_INFINITY,
            sum: 0.0,
        }
    }
}

impl SoftSum {
    fn add(&mut self, part: Part, temperature: f32) {
        let scale = |from: f32, to: f32| match from == to {
            true => 1.0,
            false => ((f64::from(from) - f64::from(to)) / f64::from(temperature)).exp(),
        };
        let largest = self.largest.max(part.largest);
        self.sum = self.sum * scale(self.largest, largest)
            + f64::from(part.sum) * scale(part.largest, largest);
        self.largest = largest;
    }

    #[expect(clippy::cast_possible_truncation, reason = "rounded to f32")]
    fn value(&self, temperature: f32) -> f32 {
        (f64::from(self.largest) + f64::from(temperature) * self.sum.ln()) as f32
    }
}

struct Block<'a> {
    images: Rows<'a>,
    texts: Rows<'a>,
    temperature: f32,
}

impl Block<'_> {
    /// Adds all images to the sums of the texts; the parts of the sums of the images, one run of them per square.
    fn add(&self, text_sums: &mut [SoftSum], threads: usize) -> Vec<Part> {
        let images = self.images.len();
        let mut parts = vec![Part::NONE; images * text_sums.len().div_ceil(SQUARE)];
        let jobs = text_sums.chunks_mut(SQUARE).zip(parts.chunks_mut(images));
        let jobs = jobs.zip(ranges(self.texts.len(), SQUARE).collect::<Vec<_>>());
        share(
            threads,
            jobs,
            Vec::new,
            |((text_sums, parts), columns), square| {
                let texts = self.texts.slice(columns);
                for rows in ranges(images, SQUARE) {
                    let count = rows.len() * texts.len();
                    square.resize(count, 0.0);
                    products(self.images.slice(rows.clone()), texts, &mut square[..count]);
                    for (row, part) in square.chunks_exact(texts.len()).zip(&mut parts[rows]) {
                        *part = row_part(row, self.temperature);
                    }
                    let columns = column_parts(square, texts.len(), self.temperature);
                    for (sum, part) in text_sums.iter_mut().zip(columns) {
                        sum.add(part, self.temperature);
                    }
                }
            },
        );
        parts
    }
}

fn row_part(row: &[f32], temperature: f32) -> Part {
    const LANES: usize = 16;
    let largest = largest(row);
    let scale = temperature.recip();
    let mut lanes = [0.0f32; LANES];
    let chunks = row.chunks_exact(LANES);
    let rest = chunks.remainder().iter();
    let rest = rest
        .map(|s| exponential((s - largest) * scale))
        .sum::<f32>();
    for chunk in chunks {
        for lane in 0..LANES {
            lanes[lane] += exponential((chunk[lane] - largest) * scale);
        }
    }
    let sum = lanes.iter().fold(rest, |sum, lane| sum + lane);
    Part { largest, sum }
}

fn column_parts(square: &[f32], width: usize, temperature: f32) -> Vec<Part> {
    let scale = temperature.recip();
    let mut largest = vec![f32::NEG_INFINITY; width];
    for row in square.chunks_exact(width) {
        for (largest, value) in largest.iter_mut().zip(row) {
            *largest = if value > largest { *value } else { *largest };
        }
    }
    let mut sums = vec![0.0f32; width];
    for row in square.chunks_exact(width) {
        for ((sum, value), largest) in sums.iter_mut().zip(row).zip(&largest) {
            *sum += exponential((value - largest) * scale);
        }
    }
    let parts = largest.into_iter().zip(sums);
    parts.map(|(largest, sum)| Part { largest, sum }).collect()
}
