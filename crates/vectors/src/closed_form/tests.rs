//! Closed forms against `tests/golden/closed.py`, and where there is none.

use serde_json::Value;

use super::*;
use crate::{PairSums, Partner, Workspace};

struct Golden(Value);

impl Golden {
    fn read() -> Self {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/golden/closed.json"
        );
        Self(serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap())
    }

    fn numbers(&self, name: &str) -> Vec<f32> {
        let values = self.0.pointer(name).unwrap().as_array().unwrap().iter();
        values
            .map(|value| single(value.as_f64().unwrap()))
            .collect()
    }

    fn size(&self, name: &str) -> usize {
        usize::try_from(self.0[name].as_u64().unwrap()).unwrap()
    }

    fn totals(&self, labelled: bool) -> Totals {
        let dim = self.size("dim");
        let (images, texts) = (self.numbers("/images"), self.numbers("/texts"));
        let labels = self.0["labels"].as_array().unwrap();
        let mut sums = match labelled {
            true => PairSums::of_classes(dim, self.size("classes")),
            false => PairSums::of_texts(dim),
        };
        let pairs = images.chunks_exact(dim).zip(texts.chunks_exact(dim));
        for ((image, text), label) in pairs.zip(labels) {
            let label = usize::try_from(label.as_u64().unwrap()).unwrap();
            let partner = match labelled {
                true => Partner::Class(label),
                false => Partner::Text(text),
            };
            sums.push(image, partner, &mut Workspace::new(image.len()), 1);
        }
        sums.settle(1);
        Totals::of(&[sums], None).unwrap()
    }

    #[track_caller]
    fn assert_map(&self, found: &LinearMap, at: &str) {
        for (part, found) in [("weight", &found.weight), ("bias", &found.bias)] {
            let expected = self.numbers(&format!("{at}/{part}"));
            assert_eq!(found.len(), expected.len(), "{at} {part}");
            for (found, expected) in found.iter().zip(expected) {
                let error = (found - expected).abs() / expected.abs().max(1.0);
                assert!(error <= 1e-5, "{at} {part}: {found} is not {expected}");
            }
        }
    }
}

#[test]
fn classes_and_captions_are_those_of_the_reference() {
    let golden = Golden::read();
    let discriminant = Discriminant::of(&golden.totals(true));
    for shrinkage in ["0.1", "0.9"] {
        let at = format!("/discriminant/{shrinkage}");
        let shrinkage = shrinkage.parse().unwrap();
        golden.assert_map(
            &discriminant.classes(shrinkage).unwrap(),
            &format!("{at}/classes"),
        );
        golden.assert_map(
            &discriminant.whitening(shrinkage).unwrap(),
            &format!("{at}/whitening"),
        );
    }
    let ridge = Ridge::of(&golden.totals(false));
    for strength in ["0.3", "3"] {
        let map = ridge.map(strength.parse().unwrap()).unwrap();
        golden.assert_map(&map, &format!("/ridge/{strength}"));
    }
}

#[test]
fn rows_that_do_not_differ_have_no_map() {
    let row = [0.6, 0.8];
    let mut labelled = PairSums::of_classes(2, 3);
    let mut captioned = PairSums::of_texts(2);
    for _ in 0..5 {
        labelled.push(&row, Partner::Class(1), &mut Workspace::new(2), 1);
        captioned.push(&[1.0, 0.0], Partner::Text(&row), &mut Workspace::new(2), 1);
    }
    labelled.settle(1);
    captioned.settle(1);
    let of = |sums: PairSums| Totals::of(&[sums], None).unwrap();
    assert_eq!(Ridge::of(&of(captioned)).map(1.0), None);
    let discriminant = Discriminant::of(&of(labelled));
    // What rounding leaves is no variance.
    let classes = discriminant.classes(0.5);
    assert!(classes.is_none_or(|map| map.weight.iter().all(|w| w.is_finite())));
}

#[test]
fn fewer_rows_than_dimensions_and_classes_of_one_row_or_none_are_fine() {
    let dim = 40;
    let mut random = crate::random::Random::new(1);
    let mut sums = PairSums::of_classes(dim, 4);
    for class in [0, 0, 0, 1, 1, 2] {
        let mut image: Vec<f32> = (0..dim).map(|_| single(random.unit() - 0.5)).collect();
        image[class] += 1.0;
        crate::normalise(&mut image, dim);
        sums.push(
            &image,
            Partner::Class(class),
            &mut Workspace::new(image.len()),
            1,
        );
    }
    sums.settle(1);
    let discriminant = Discriminant::of(&Totals::of(&[sums], None).unwrap());
    for shrinkage in [0.01, 0.9] {
        let map = discriminant.classes(shrinkage).unwrap();
        assert!(
            map.weight
                .iter()
                .chain(&map.bias)
                .all(|value| value.is_finite())
        );
        // A class without rows stands at the mean.
        assert!(map.weight[3 * dim..].iter().all(|w| *w == 0.0) && map.bias[3] == 0.0);
    }
}
