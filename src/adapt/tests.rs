//! What a fit makes of made-up pairs.

use std::ops::ControlFlow;

pub(super) mod made_up;
mod refused;

use made_up::{CLASSES, DIM, Flipped, Random, captioned, random_images, unit_rows};

use super::{
    Adapters, EpochRecord, FitOptions, Fitted, MemoryPairs, Mode, Outcome, PairPass, PairSource,
    Split, StoredTargets, fit,
};
use crate::schema::Side;

fn options() -> FitOptions {
    FitOptions {
        batch_rows: 64,
        learning_rate: 5e-3,
        seed: 3,
        ..FitOptions::new("model-1")
    }
}

fn fitted(mut pairs: MemoryPairs, options: &FitOptions) -> Fitted {
    fit(&mut pairs, options, &mut |_| ControlFlow::Continue(())).unwrap()
}

fn identity() -> Adapters {
    let nothing = fitted(random_images(64, 1), &options());
    Adapters::identity(DIM, "model-1", nothing.adapters.record().clone())
}

#[test]
fn wrong_labels_are_told_apart_better_than_by_plain_cosine() {
    let data = Flipped::new(1500, 11);
    let before = data.separation(&identity());
    for lock_text in [true, false] {
        let options = FitOptions {
            lock_text,
            ..options()
        };
        let result = fitted(data.pairs(), &options);
        let after = data.separation(&result.adapters);
        assert!(result.accepted(), "{}", result.adapters.record().reason);
        assert!(
            before < 0.85 && after > 0.95,
            "{before} to {after}, text locked: {lock_text}"
        );
        assert_eq!(result.adapters.is_identity(Side::Text), lock_text);
    }
}

#[test]
fn captions_lower_the_held_out_loss() {
    let options = FitOptions {
        lock_text: false,
        ..options()
    };
    let result = fitted(captioned(1600, 4, 5), &options);
    let record = result.adapters.record();
    assert!(result.accepted(), "{}", record.reason);
    assert_eq!((record.mode, record.classes), (Mode::Captioned, None));
    let last = record.epochs[usize::try_from(record.best_epoch).unwrap() - 1];
    assert!(
        last.held_out_loss < 0.7 * record.start_held_out_loss,
        "{record:?}"
    );
}

#[test]
fn images_without_signal_leave_the_identity() {
    for seed in 1..6 {
        let result = fitted(random_images(400, seed), &options());
        let record = result.adapters.record();
        assert_eq!(record.outcome, Outcome::Rejected, "{record:?}");
        assert_eq!(record.best_epoch, 0);
        assert!(
            Side::BOTH
                .iter()
                .all(|side| result.adapters.is_identity(*side))
        );
    }
}

#[test]
fn training_stops_when_the_held_out_loss_rises_and_keeps_the_best_epoch() {
    // So few rows that a map of this size learns them by heart.
    let data = Flipped::new(160, 21);
    let options = FitOptions {
        epochs: 200,
        patience: 2,
        ..options()
    };
    let mut seen: Vec<EpochRecord> = Vec::new();
    let result = fit(&mut data.pairs(), &options, &mut |epoch| {
        seen.push(*epoch);
        ControlFlow::Continue(())
    })
    .unwrap();
    let record = result.adapters.record();
    assert!(result.accepted(), "{}", record.reason);
    assert!(seen.len() < 200);
    assert_eq!(record.epochs, seen);
    let least = seen
        .iter()
        .min_by(|a, b| a.held_out_loss.total_cmp(&b.held_out_loss))
        .unwrap();
    assert_eq!(record.best_epoch, least.epoch);
    assert_eq!(least.epoch + options.patience, seen.last().unwrap().epoch);
    assert_eq!(result.adapters.logit_scale(), least.logit_scale);
    // Training up to that epoch only gives the same weights.
    let shorter = FitOptions {
        epochs: least.epoch,
        ..options
    };
    let shorter = fitted(data.pairs(), &shorter).adapters;
    assert_eq!(
        shorter.weights(Side::Image),
        result.adapters.weights(Side::Image)
    );
}

#[test]
fn a_fit_ends_when_it_is_told_to() {
    let data = Flipped::new(800, 2);
    let result = fit(&mut data.pairs(), &options(), &mut |_| {
        ControlFlow::Break(())
    })
    .unwrap();
    let record = result.adapters.record();
    assert_eq!(record.epochs.len(), 1);
    assert!(
        record.reason.ends_with("stopped when asked"),
        "{}",
        record.reason
    );
}

#[test]
fn the_same_pairs_and_seed_give_the_same_bytes() {
    let data = Flipped::new(400, 9);
    let options = FitOptions {
        epochs: 2,
        lock_text: false,
        ..options()
    };
    let bytes = |options: &FitOptions| fitted(data.pairs(), options).adapters.to_bytes().unwrap();
    let first = bytes(&options);
    assert_eq!(first, bytes(&options));
    let other = FitOptions { seed: 4, ..options };
    assert_ne!(first, bytes(&other));
}

#[test]
fn a_better_scale_of_logits_alone_is_no_improvement() {
    // Noise that is alike in all directions, and texts at right angles: no linear map is better than none, but the
    // best scale is far from the lowest.
    let mut random = Random(4);
    let (mut images, mut classes) = (Vec::new(), Vec::new());
    for row in 0..1200 {
        let class = row % CLASSES;
        let mut image: Vec<f32> = random.normals(DIM).iter().map(|x| 0.35 * x).collect();
        image[class] += 1.0;
        images.extend(image);
        classes.push(u32::try_from(class).unwrap());
    }
    let texts = (0..CLASSES * DIM)
        .map(|position| f32::from(u8::from(position / DIM == position % DIM)))
        .collect();
    let targets = StoredTargets::Classes { texts, classes };
    let pairs = MemoryPairs::try_new(DIM, unit_rows(images, DIM), targets, 4).unwrap();
    let record = fitted(pairs, &options()).adapters.record().clone();
    assert!(record.start_logit_scale > 10.0, "{record:?}");
    assert_eq!(record.outcome, Outcome::Rejected, "{record:?}");
}

#[test]
fn frequent_classes_alone_are_no_improvement() {
    let mut random = Random(15);
    let rows = 1500;
    let classes = (0..rows)
        .map(|_| u32::from(random.uniform() < 0.15) * (1 + u32::from(random.uniform() < 0.3)))
        .collect();
    let texts = random.units(CLASSES, DIM);
    let targets = StoredTargets::Classes { texts, classes };
    let images = random.units(rows, DIM);
    let pairs = MemoryPairs::try_new(DIM, images, targets, 4).unwrap();
    let record = fitted(pairs, &options()).adapters.record().clone();
    assert_eq!(record.outcome, Outcome::Rejected, "{record:?}");
}

#[test]
fn adapters_that_are_the_identity_change_nothing() {
    let rows = Random(6).units(5, DIM);
    for side in Side::BOTH {
        let adapted = identity().apply(side, &rows).unwrap();
        for (before, after) in rows.iter().zip(&adapted) {
            assert!((before - after).abs() < 1e-6);
        }
    }
}

#[test]
fn rows_of_another_length_are_refused() {
    let error = identity().apply(Side::Image, &[1.0; DIM + 1]).unwrap_err();
    assert!(
        error.report().contains("dim of the adapters: 24"),
        "{}",
        error.report()
    );
}

#[test]
fn every_row_is_in_one_split_and_each_epoch_has_its_own_order() {
    let mut pairs = random_images(100, 8);
    let mut read = |split, epoch| {
        let pass = PairPass {
            split,
            epoch,
            seed: 1,
            batch_rows: 7,
        };
        let mut images = Vec::new();
        pairs
            .read(&pass, &mut |batch| {
                assert!(batch.images.len() <= 7 * DIM);
                images.extend(batch.images.chunks_exact(DIM).map(|row| row[0].to_bits()));
                Ok(())
            })
            .unwrap();
        images
    };
    let (first, second) = (read(Split::Training, 1), read(Split::Training, 2));
    let held_out = read(Split::HeldOut, 0);
    assert_ne!(first, second);
    assert_eq!(first, read(Split::Training, 1));
    assert!(!held_out.is_empty());
    let mut all = [first, held_out].concat();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 100);
}
