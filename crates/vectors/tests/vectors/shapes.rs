//! Rows and what is refused.

use clip_filter_vectors::{Rows, class_matches};

use crate::world::{Random, dot64, rows};

#[test]
fn values_must_fill_whole_rows() {
    assert!(Rows::new(&[1.0; 6], 4).is_none());
    assert!(Rows::new(&[], 0).is_none());
    let cell = rows(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2);
    assert_eq!((cell.len(), cell.dim()), (3, 2));
    assert_eq!(cell.slice(1..3).row(0), [3.0, 4.0]);
    assert!(cell.slice(3..3).is_empty());
}

#[test]
fn the_best_other_class_is_never_the_own_one() {
    let random = Random::new(61);
    let (len, classes, dim) = (600, 11, 8);
    let (images, texts) = (random.cell(len, dim), random.values(classes * dim));
    let labels: Vec<u32> = (0..len).map(|_| random.below(classes) as u32).collect();
    let found = class_matches(rows(&images, dim), rows(&texts, dim), &labels, 2);
    for (row, found) in found.iter().enumerate() {
        let product =
            |class: usize| dot64(&images[row * dim..][..dim], &texts[class * dim..][..dim]);
        let own = labels[row] as usize;
        let others = (0..classes).filter(|class| *class != own).map(product);
        assert!((f64::from(found.own) - product(own)).abs() < 1e-5);
        assert!(
            (f64::from(found.best_other) - others.fold(f64::NEG_INFINITY, f64::max)).abs() < 1e-5
        );
    }
    let alone = class_matches(rows(&images[..dim], dim), rows(&texts[..dim], dim), &[0], 1);
    assert_eq!(alone[0].best_other, f32::NEG_INFINITY);
}
