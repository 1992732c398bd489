//! Images against their own texts and against those of all classes.

use crate::{
    judge::Classes,
    parallel::share,
    product::{dot, largest, products},
    rows::{Rows, ranges},
};

/// Images that one thread compares at a time.
const STRIP: usize = 256;

/// The product of each row of one side with the row of the same position of the other: the alignment of captioned
/// pairs.
///
/// # Panics
/// If the sides differ in width or length.
pub fn paired_products(images: Rows<'_>, texts: Rows<'_>) -> Vec<f32> {
    assert_eq!(images.dim(), texts.dim(), "rows of one width");
    assert_eq!(images.len(), texts.len(), "one text per image");
    let pairs = 0..images.len();
    pairs
        .map(|pair| dot(images.row(pair), texts.row(pair)))
        .collect()
}

/// How an image stands against the texts of all classes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassMatch {
    /// Product with the text of its own class.
    pub own: f32,
    /// Largest product with the text of another class; `NEG_INFINITY` if there is no other.
    pub best_other: f32,
}

impl ClassMatch {
    /// Own less best other: positive if the encoder's best class is the image's own.
    pub fn margin(&self) -> f32 {
        self.own - self.best_other
    }
}

/// Every image against one text per class; `labels` are positions among these.
///
/// # Panics
/// If the sides differ in width, there is not one label per image, or a label has no text.
pub fn class_matches(
    images: Rows<'_>,
    texts: Rows<'_>,
    labels: &[u32],
    threads: usize,
) -> Vec<ClassMatch> {
    let classes = Classes {
        directions: texts,
        offsets: &vec![0.0; texts.len()],
    };
    linear_matches(images, classes, labels, threads)
}

/// The same where every class has an offset that is added to its products.
///
/// # Panics
/// As [`class_matches`], and if there is not one offset per class.
pub fn linear_matches(
    images: Rows<'_>,
    classes: Classes<'_>,
    labels: &[u32],
    threads: usize,
) -> Vec<ClassMatch> {
    let texts = classes.directions;
    assert_eq!(images.len(), labels.len(), "one label per image");
    assert_eq!(texts.len(), classes.offsets.len(), "one offset per class");
    let own = |label: u32| usize::try_from(label).unwrap_or(usize::MAX);
    let none = ClassMatch {
        own: f32::NEG_INFINITY,
        best_other: f32::NEG_INFINITY,
    };
    let mut matches = vec![none; images.len()];
    let strips: Vec<_> = ranges(images.len(), STRIP).collect();
    let jobs = matches.chunks_mut(STRIP).zip(strips);
    share(threads, jobs, Vec::new, |(matches, strip), tile| {
        let count = matches.len() * texts.len();
        tile.resize(count, 0.0);
        products(images.slice(strip.clone()), texts, &mut tile[..count]);
        let rows = tile[..count].chunks_exact_mut(texts.len().max(1));
        for ((row, label), found) in rows.zip(&labels[strip]).zip(matches) {
            let offsets = classes.offsets.iter();
            row.iter_mut()
                .zip(offsets)
                .for_each(|(value, o)| *value += o);
            let own = &mut row[own(*label)];
            found.own = std::mem::replace(own, f32::NEG_INFINITY);
            found.best_other = largest(row);
        }
    });
    matches
}
