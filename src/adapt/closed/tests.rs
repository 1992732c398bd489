//! What closed forms make of made-up pairs.

use super::*;
use crate::{
    adapt::{
        Batch, MemoryPairs, PairPass, StoredTargets, Targets,
        tests::made_up::{CLASSES, DIM, Flipped, Random, captioned, random_images},
    },
    schema::Side,
};

fn options() -> FitOptions {
    FitOptions {
        threads: 2,
        ..FitOptions::new("model-1")
    }
}

fn fitted(mut pairs: impl PairSource) -> Fitted {
    fit_closed(&mut pairs, &options()).unwrap()
}

/// How likely a pair with the right label is further ahead than one with a wrong label.
fn separation(data: &Flipped, fitted: &Fitted) -> f64 {
    let margins: Vec<f32> = data
        .images
        .chunks_exact(DIM)
        .zip(&data.labels)
        .map(|(image, label)| {
            let scores = fitted.folds[fold_of(image)].class_scores().unwrap();
            let of = |class: usize| {
                let direction = &scores.directions[class * DIM..(class + 1) * DIM];
                let product: f32 = direction.iter().zip(image).map(|(a, b)| a * b).sum();
                product + scores.offsets[class]
            };
            let own = usize::try_from(*label).unwrap();
            let others = (0..CLASSES).filter(|class| *class != own).map(of);
            of(own) - others.fold(f32::NEG_INFINITY, f32::max)
        })
        .collect();
    let of = |flipped| {
        let rows = margins.iter().zip(&data.flipped);
        rows.filter(move |(_, flip)| **flip == flipped)
            .map(|(margin, _)| *margin)
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

#[test]
fn wrong_labels_are_told_apart() {
    let data = Flipped::new(1500, 11);
    let result = fitted(data.pairs());
    let record = result.adapters.record();
    assert!(result.accepted(), "{}", record.reason);
    assert_eq!(
        (record.mode, record.classes),
        (Mode::Labelled, Some(CLASSES))
    );
    assert_eq!((record.method, result.folds.len()), (Method::Closed, FOLDS));
    let after = separation(&data, &result);
    assert!(after > 0.95, "{after}");
    let closed = record.closed.unwrap();
    assert!(closed.held_out_loss < record.start_held_out_loss && closed.shrinkage.is_some());
}

#[test]
fn captions_rank_better() {
    let result = fitted(captioned(1600, 4, 5));
    let record = result.adapters.record();
    assert!(result.accepted(), "{}", record.reason);
    assert_eq!((record.mode, record.classes), (Mode::Captioned, None));
    let closed = record.closed.unwrap();
    assert!(
        closed.held_out_loss < 0.8 * record.start_held_out_loss,
        "{record:?}"
    );
    assert!(!result.adapters.is_identity(Side::Image) && result.adapters.is_identity(Side::Text));
    assert!(result.folds.windows(2).all(|folds| folds[0] != folds[1]));
}

#[test]
fn labels_and_captions_at_random_are_rejected() {
    for seed in 1..8 {
        let mut random = Random(seed);
        let texts = random.units(600, DIM);
        let targets = StoredTargets::Captions {
            texts,
            ids: (0..600).collect(),
        };
        let captions = MemoryPairs::try_new(DIM, random.units(600, DIM), targets, 4).unwrap();
        for result in [fitted(random_images(600, seed)), fitted(captions)] {
            let record = result.adapters.record();
            assert_eq!(record.outcome, Outcome::Rejected, "{record:?}");
            assert!(result.folds.is_empty());
            assert!(
                Side::BOTH
                    .iter()
                    .all(|side| result.adapters.is_identity(*side))
            );
        }
    }
}

#[test]
fn frequent_classes_alone_are_no_improvement() {
    let mut random = Random(15);
    let classes = (0..1500)
        .map(|_| u32::from(random.uniform() < 0.15) * (1 + u32::from(random.uniform() < 0.3)))
        .collect();
    let texts = random.units(CLASSES, DIM);
    let targets = StoredTargets::Classes { texts, classes };
    let images = random.units(1500, DIM);
    let record = fitted(MemoryPairs::try_new(DIM, images, targets, 4).unwrap());
    let record = record.adapters.record().clone();
    assert_eq!(record.outcome, Outcome::Rejected, "{record:?}");
}

/// The rows of some pairs in another order and other batches, their classes under other numbers.
struct Reordered {
    pairs: Flipped,
    order: Vec<usize>,
    /// The class of the source at each place.
    classes: Vec<usize>,
    texts: Vec<f32>,
    batch_rows: usize,
}

impl Reordered {
    fn new(pairs: Flipped, seed: u64, batch_rows: usize) -> Self {
        let mut random = Random(seed);
        let mut shuffled = |len: usize| {
            let mut order: Vec<usize> = (0..len).collect();
            for last in (1..len).rev() {
                order.swap(last, random.below(last + 1));
            }
            order
        };
        let (order, classes) = (shuffled(pairs.labels.len()), shuffled(CLASSES));
        let texts = classes
            .iter()
            .flat_map(|class| &pairs.texts[class * DIM..(class + 1) * DIM]);
        Self {
            texts: texts.copied().collect(),
            pairs,
            order,
            classes,
            batch_rows,
        }
    }

    fn options(&self) -> FitOptions {
        FitOptions {
            class_names: self
                .classes
                .iter()
                .map(|class| format!("class {class}"))
                .collect(),
            ..options()
        }
    }
}

impl PairSource for Reordered {
    fn dim(&self) -> usize {
        DIM
    }

    fn class_texts(&self) -> Option<&[f32]> {
        Some(&self.texts)
    }

    fn each(&mut self, take: &mut dyn FnMut(Batch<'_>) -> Result<()>) -> Result<()> {
        self.order.chunks(self.batch_rows).try_for_each(|rows| {
            let images = rows
                .iter()
                .flat_map(|row| &self.pairs.images[row * DIM..(row + 1) * DIM]);
            let images: Vec<f32> = images.copied().collect();
            let label = |row: &usize| {
                let class = usize::try_from(self.pairs.labels[*row]).unwrap();
                let place = self.classes.iter().position(|of| *of == class).unwrap();
                u32::try_from(place).unwrap()
            };
            let labels: Vec<u32> = rows.iter().map(label).collect();
            take(Batch {
                images: &images,
                targets: Targets::Classes(&labels),
            })
        })
    }

    fn read(&mut self, _: &PairPass, _: &mut dyn FnMut(Batch<'_>) -> Result<()>) -> Result<()> {
        Err(crate::error::Error::internal("read rows in mixed order"))
    }
}

#[test]
fn the_order_of_rows_and_classes_and_the_threads_do_not_matter() {
    // More rows than are judged by, so that it matters which.
    let expected = {
        let mut pairs = Reordered::new(Flipped::new(6000, 3), 1, 6000);
        let options = pairs.options();
        fit_closed(&mut pairs, &options).unwrap()
    };
    assert!(expected.accepted());
    for (seed, batch_rows) in [(2, 1), (3, 97), (4, 4096)] {
        let mut pairs = Reordered::new(Flipped::new(6000, 3), seed, batch_rows);
        let options = FitOptions {
            threads: 1,
            ..pairs.options()
        };
        let found = fit_closed(&mut pairs, &options).unwrap();
        assert!(found == expected, "seed {seed}");
        let bytes = |fitted: &Fitted| fitted.adapters.to_bytes().unwrap();
        assert_eq!(bytes(&found), bytes(&expected));
    }
}

#[test]
fn too_little_to_learn_from_is_rejected_with_a_reason() {
    let of = |images: Vec<f32>, classes: Vec<u32>| {
        let texts = Random(1).units(3, DIM);
        let targets = StoredTargets::Classes { texts, classes };
        let result = fitted(MemoryPairs::try_new(DIM, images, targets, 4).unwrap());
        assert!(!result.accepted());
        result.adapters.record().reason.clone()
    };
    assert!(of(Random(2).units(300, DIM), vec![1; 300]).contains("fewer than two classes"));
    assert!(of(Vec::new(), Vec::new()).contains("fewer than two classes"));
    assert!(of(Random(3).units(2, DIM), vec![0, 1]).len() > 20);
    let same = [1.0, 0.0].repeat(DIM / 2 * 100);
    let labels = (0..100).map(|row| row % 3).collect();
    assert!(of(same, labels).contains("too few"));
    let none = StoredTargets::Captions {
        texts: Vec::new(),
        ids: Vec::new(),
    };
    let none = fitted(MemoryPairs::try_new(DIM, Vec::new(), none, 4).unwrap());
    assert!(
        none.adapters
            .record()
            .reason
            .contains("0 pairs are too few")
    );
}

#[test]
fn a_class_of_one_row_is_scored_as_the_mean_and_one_of_none_not_at_all() {
    let mut data = Flipped::new(800, 8);
    for label in &mut data.labels {
        *label %= 4;
    }
    data.labels[17] = 5;
    let result = fitted(data.pairs());
    assert!(result.accepted(), "{}", result.adapters.record().reason);
    let own = fold_of(&data.images[17 * DIM..18 * DIM]);
    for (fold, adapters) in result.folds.iter().enumerate() {
        let scores = adapters.class_scores().unwrap();
        assert_eq!(scores.names, ["0", "1", "2", "3", "5"]);
        let unknown = scores.offsets[4] == 0.0;
        assert_eq!(unknown, fold == own, "fold {fold}");
    }
}

#[test]
fn what_cannot_be_added_up_is_refused() {
    let refused = |images: Vec<f32>, classes: Vec<u32>, options: &FitOptions| {
        let texts = Random(1).units(3, DIM);
        let targets = StoredTargets::Classes { texts, classes };
        let mut pairs = MemoryPairs::try_new(DIM, images, targets, 4).unwrap();
        fit_closed(&mut pairs, options).unwrap_err().report()
    };
    for value in [f32::NAN, f32::INFINITY] {
        let mut images = Random(2).units(10, DIM);
        images[3 * DIM + 1] = value;
        let report = refused(images, vec![0; 10], &options());
        assert!(
            report.contains("not finite") && report.contains("row of the batch: 3"),
            "{report}"
        );
    }
    let report = refused(Random(2).units(2, DIM), vec![0, 3], &options());
    assert!(report.contains("without a prompt"), "{report}");
    let little = FitOptions {
        memory_bytes: 1000,
        ..options()
    };
    let report = refused(Random(2).units(2, DIM), vec![0, 1], &little);
    assert!(report.contains("--memory-limit"), "{report}");
}

#[test]
fn artifacts_give_back_what_they_were_made_of() {
    for result in [
        fitted(Flipped::new(900, 4).pairs()),
        fitted(captioned(900, 3, 6)),
    ] {
        assert!(result.accepted());
        let bytes = result.adapters.to_bytes().unwrap();
        let read = Adapters::from_bytes(&bytes).unwrap();
        assert_eq!(read.to_bytes().unwrap(), bytes);
        assert_eq!(read.closed, result.adapters.closed);
        for side in Side::BOTH {
            assert_eq!(read.weights(side), result.adapters.weights(side));
        }
    }
}
