//! Pairs made up for tests, and what a fit makes of them.

use std::ops::ControlFlow;

use super::{
    Adapters, EpochRecord, FitOptions, Fitted, MemoryPairs, Mode, Outcome, PairSource, Pass, Side,
    Split, StoredTargets, fit,
};

/// xorshift64*, and normal numbers as sums of uniform ones.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn uniform(&mut self) -> f32 {
        f32::from(u16::try_from(self.next() >> 48).unwrap()) / 65536.0
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() >> 32).unwrap() % end
    }

    fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.uniform()).sum::<f32>() - 6.0
    }

    fn normals(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.normal()).collect()
    }

    fn units(&mut self, rows: usize, dim: usize) -> Vec<f32> {
        unit_rows(self.normals(rows * dim), dim)
    }
}

fn unit_rows(mut rows: Vec<f32>, dim: usize) -> Vec<f32> {
    for row in rows.chunks_exact_mut(dim) {
        let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        row.iter_mut().for_each(|x| *x /= norm);
    }
    rows
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

const DIM: usize = 24;
const CLASSES: usize = 6;

/// Labelled pairs, a fifth of the labels wrong, whose images are turned against the texts.
struct Flipped {
    images: Vec<f32>,
    texts: Vec<f32>,
    labels: Vec<u32>,
    flipped: Vec<bool>,
}

impl Flipped {
    fn new(rows: usize, seed: u64) -> Self {
        let mut random = Random(seed);
        let texts = random.units(CLASSES, DIM);
        let turn = random.normals(DIM * DIM);
        let (mut images, mut labels, mut flipped) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rows {
            let class = random.below(CLASSES);
            let text = &texts[class * DIM..(class + 1) * DIM];
            let noise = random.normals(DIM);
            images.extend(
                turn.chunks_exact(DIM)
                    .zip(text)
                    .zip(noise)
                    .map(|((turn, own), noise)| 0.8 * dot(turn, text) + 0.5 * own + 0.3 * noise),
            );
            let flip = random.uniform() < 0.2;
            let other = (class + 1 + random.below(CLASSES - 1)) % CLASSES;
            labels.push(u32::try_from(if flip { other } else { class }).unwrap());
            flipped.push(flip);
        }
        Self {
            images: unit_rows(images, DIM),
            texts,
            labels,
            flipped,
        }
    }

    fn pairs(&self) -> MemoryPairs {
        let targets = StoredTargets::Classes {
            texts: self.texts.clone(),
            classes: self.labels.clone(),
        };
        MemoryPairs::try_new(DIM, self.images.clone(), targets, 8).unwrap()
    }

    /// How likely a pair with the right label has a higher cosine than one with a wrong label.
    fn separation(&self, adapters: &Adapters) -> f64 {
        let images = adapters.apply(Side::Image, &self.images).unwrap();
        let texts = adapters.apply(Side::Text, &self.texts).unwrap();
        let cosines: Vec<f32> = images
            .chunks_exact(DIM)
            .zip(&self.labels)
            .map(|(image, label)| {
                let label = usize::try_from(*label).unwrap();
                dot(image, &texts[label * DIM..(label + 1) * DIM])
            })
            .collect();
        let of = |flipped| {
            let rows = cosines.iter().zip(&self.flipped);
            rows.filter(move |(_, flip)| **flip == flipped)
                .map(|(cosine, _)| *cosine)
        };
        let (mut higher, mut compared) = (0.0, 0.0);
        for right in of(false) {
            for wrong in of(true) {
                higher += f64::from(u8::from(right > wrong));
                compared += 1.0;
            }
        }
        higher / compared
    }
}

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

/// Images that have nothing to do with their labels.
fn random_images(rows: usize, seed: u64) -> MemoryPairs {
    let mut random = Random(seed);
    let targets = StoredTargets::Classes {
        texts: random.units(CLASSES, DIM),
        classes: (0..rows)
            .map(|_| u32::try_from(random.below(CLASSES)).unwrap())
            .collect(),
    };
    let images = random.units(rows, DIM);
    MemoryPairs::try_new(DIM, images, targets, 4).unwrap()
}

/// Captions that their images follow through a fixed map; every caption occurs `copies` times.
fn captioned(rows: usize, copies: usize, seed: u64) -> MemoryPairs {
    let mut random = Random(seed);
    let map = random.normals(DIM * DIM);
    let captions = random.units(rows / copies, DIM);
    let (mut images, mut texts, mut ids) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..rows {
        let caption = row % (rows / copies);
        let text = &captions[caption * DIM..(caption + 1) * DIM];
        images.extend(
            map.chunks_exact(DIM)
                .zip(text)
                .map(|(map, own)| 0.3 * dot(map, text) + 0.4 * own + 0.1 * random.normal()),
        );
        texts.extend_from_slice(text);
        ids.push(u64::try_from(caption).unwrap());
    }
    let targets = StoredTargets::Captions { texts, ids };
    MemoryPairs::try_new(DIM, unit_rows(images, DIM), targets, 8).unwrap()
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
fn the_scale_of_logits_alone_is_no_improvement() {
    // Texts and images already agree: all that a fit could do is sharpen the softmax.
    let data = Flipped::new(600, 4);
    let images: Vec<f32> = data
        .labels
        .iter()
        .flat_map(|label| {
            let label = usize::try_from(*label).unwrap();
            data.texts[label * DIM..(label + 1) * DIM].to_vec()
        })
        .collect();
    let targets = StoredTargets::Classes {
        texts: data.texts.clone(),
        classes: data.labels.clone(),
    };
    let pairs = MemoryPairs::try_new(DIM, images, targets, 4).unwrap();
    let record = fitted(pairs, &options()).adapters.record().clone();
    assert!(record.start_logit_scale > 90.0, "{record:?}");
    assert!(record.start_held_out_loss < 1e-6, "{record:?}");
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
        let pass = Pass {
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
