//! Losses, derivatives and steps beside the same in double precision, or by differences.

use std::sync::Arc;

use ndarray::Array2;

use super::{
    Corrections, Descent, PairBatch, Sought,
    adam::{Adam, Moments},
    losses::Losses,
    residual::Residual,
};
use crate::{random::Random, rows::Rows};

const DESCENT: Descent = Descent {
    learning_rate: 0.1,
    weight_decay: 0.5,
    lock_text: false,
};

#[expect(clippy::cast_possible_truncation, reason = "made up")]
fn made_up(random: &mut Random, count: usize) -> Vec<f32> {
    (0..count).map(|_| random.unit() as f32 - 0.5).collect()
}

fn cosines(rows: usize, texts: usize) -> Array2<f32> {
    let values = made_up(&mut Random::new(5), rows * texts);
    Array2::from_shape_vec((rows, texts), values).unwrap()
}

/// Losses of captions, written out.
fn expected(cosines: &Array2<f32>, ids: &[u64], scale: f64) -> Vec<f64> {
    let logit = |image: usize, text: usize| scale * f64::from(cosines[[image, text]]);
    let loss = |own: usize| {
        let others =
            || (0..ids.len()).filter(move |other| *other == own || ids[*other] != ids[own]);
        let of_image: f64 = others().map(|other| logit(own, other).exp()).sum();
        let of_text: f64 = others().map(|other| logit(other, own).exp()).sum();
        (of_image.ln() + of_text.ln()) / 2.0 - logit(own, own)
    };
    (0..ids.len()).map(loss).collect()
}

#[test]
fn equal_captions_are_no_negatives() {
    let ids = [1, 2, 1, 3, 2, 1];
    let cosines = cosines(6, 6);
    let found = Losses::of(&cosines, 20.0, &Sought::captions(&ids)).rows;
    for (found, expected) in found.iter().zip(expected(&cosines, &ids, 20.0)) {
        assert!((f64::from(*found) - expected).abs() < 1e-5);
    }
    let one = Losses::of(&cosines, 20.0, &Sought::captions(&[7; 6]));
    assert_eq!(one.rows, [0.0; 6], "nothing to lose");
}

#[test]
fn classes_count_by_their_shares() {
    let cosines = cosines(3, 2);
    let (own, shares) = ([0usize, 1, 0], [0.75f32, 0.25]);
    let logs: Arc<[f32]> = shares.iter().map(|share| share.ln()).collect();
    let found = Losses::of(&cosines, 4.0, &Sought::classes(&own, logs)).rows;
    for (row, class) in own.into_iter().enumerate() {
        let weight = |image: usize, text: usize| (4.0 * f64::from(cosines[[image, text]])).exp();
        let among = |text: usize| f64::from(shares[text]) * weight(row, text);
        let of_image = (among(class) / (among(0) + among(1))).ln();
        let images = (0..3).filter(|image| *image == row || own[*image] != class);
        let of_text = weight(row, class) / images.map(|image| weight(image, class)).sum::<f64>();
        let expected = -(of_image + of_text.ln()) / 2.0;
        assert!((f64::from(found[row]) - expected).abs() < 1e-5, "row {row}");
    }
}

#[test]
fn slopes_of_losses_are_those_of_differences() {
    let ids = [1, 2, 1, 3];
    let (scale, step) = (5.0f32, 1e-3f32);
    let cosines = cosines(4, 4);
    let sought = Sought::captions(&ids);
    let slopes = Losses::of(&cosines, scale, &sought).slopes(&cosines, scale, &sought);
    let mean = |cosines: &Array2<f32>, scale: f32| {
        expected(cosines, &ids, f64::from(scale))
            .iter()
            .sum::<f64>()
            / 4.0
    };
    for (place, found) in slopes.cosines.indexed_iter() {
        let moved = |by: f32| {
            let mut moved = cosines.clone();
            moved[place] += by;
            mean(&moved, scale)
        };
        let expected = (moved(step) - moved(-step)) / (2.0 * f64::from(step));
        assert!((f64::from(*found) - expected).abs() < 1e-3, "{place:?}");
    }
    let expected =
        (mean(&cosines, scale + step) - mean(&cosines, scale - step)) / (2.0 * f64::from(step));
    assert!((f64::from(slopes.scale) - expected).abs() < 1e-3);
    assert_eq!(slopes.cosines[[0, 2]], 0.0, "rows 0 and 2 have one caption");
}

/// A step of plain descent: what Adam leaves of one is its sign only.
#[test]
fn slopes_of_maps_are_those_of_differences() {
    let (rows, dim) = (5, 3);
    let mut random = Random::new(9);
    let values = made_up(&mut random, rows * dim);
    let of = Array2::from_shape_vec((rows, dim), made_up(&mut random, rows * dim)).unwrap();
    let view = super::view(Rows::new(&values, dim).unwrap());
    let mut start = Residual::zero(dim);
    start.change(|weight, bias| {
        weight
            .iter_mut()
            .zip(made_up(&mut random, dim * dim))
            .for_each(|(w, v)| *w = v);
        bias.iter_mut()
            .zip(made_up(&mut random, dim))
            .for_each(|(b, v)| *b = v);
    });
    let value = |map: &Residual| -> f64 {
        let units = map.adapted(view).rows;
        units
            .iter()
            .zip(&of)
            .map(|(a, b)| f64::from(*a) * f64::from(*b))
            .sum()
    };
    let slopes = start.slopes(view, &start.adapted(view), of.clone());
    let step = 1e-3f32;
    let difference = |change: &dyn Fn(&mut Residual, f32)| {
        let moved = |by: f32| {
            let mut map = start.clone();
            change(&mut map, by);
            value(&map)
        };
        (moved(step) - moved(-step)) / (2.0 * f64::from(step))
    };
    for (place, found) in slopes.weight.indexed_iter() {
        let expected = difference(&|map, by| map.change(|weight, _| weight[place] += by));
        assert!(
            (f64::from(*found) - expected).abs() < 2e-3,
            "{place:?}: {found}, {expected}"
        );
    }
    for (place, found) in slopes.bias.indexed_iter() {
        let expected = difference(&|map, by| map.change(|_, bias| bias[place] += by));
        assert!(
            (f64::from(*found) - expected).abs() < 2e-3,
            "{place}: {found}, {expected}"
        );
    }
}

#[test]
fn steps_are_those_of_the_paper() {
    let start = [1.0f32, -2.0, 0.25];
    let mut values = start;
    let mut moments = Moments::default();
    let mut expected = start.map(|value| (f64::from(value), 0.0, 0.0));
    for step in 1..=5 {
        let slopes = values.map(|value| value.powi(3));
        Adam::at(step, DESCENT).step(&mut moments, values.iter_mut().zip(&slopes));
        for (value, first, second) in &mut expected {
            let slope = value.powi(3);
            *first = 0.9 * *first + 0.1 * slope;
            *second = 0.999 * *second + 0.001 * slope * slope;
            let mean = *first / (1.0 - 0.9f64.powi(step));
            let square: f64 = *second / (1.0 - 0.999f64.powi(step));
            *value -= 0.1 * (mean / (square.sqrt() + 1e-8) + 0.5 * *value);
        }
    }
    for (found, (expected, ..)) in values.into_iter().zip(expected) {
        assert!((f64::from(found) - expected).abs() < 1e-5);
    }
    assert_ne!(values, start);
}

#[test]
fn a_step_lowers_the_loss() {
    let (rows, dim) = (12, 6);
    let mut random = Random::new(2);
    let mut units = || {
        let mut values = made_up(&mut random, rows * dim);
        crate::normalise(&mut values, dim);
        values
    };
    let (images, texts) = (units(), units());
    let batch = PairBatch {
        images: Rows::new(&images, dim).unwrap(),
        texts: Rows::new(&texts, dim).unwrap(),
        sought: Sought::captions(&(0..12).collect::<Vec<u64>>()),
    };
    for lock_text in [true, false] {
        let descent = Descent {
            learning_rate: 1e-2,
            weight_decay: 0.0,
            lock_text,
        };
        let mut maps = Corrections::none(dim, 10.0, descent);
        let plain = &batch.plain_losses(&[10.0])[0];
        let first = maps.row_losses(&batch);
        assert!(plain.iter().zip(&first).all(|(a, b)| (a - b).abs() < 1e-5));
        let mut last = f32::INFINITY;
        for _ in 0..20 {
            let loss = maps.step(&batch);
            assert!(loss < last, "{loss} after {last}");
            last = loss;
        }
        assert_eq!(maps.text().is_none(), lock_text);
    }
}
