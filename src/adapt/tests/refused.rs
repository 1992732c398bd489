//! What no fit is made of.

use std::ops::ControlFlow;

use super::made_up::{CLASSES, DIM, Random};
use crate::{
    adapt::{
        Batch, FitOptions, MemoryPairs, PairPass, PairSource, Split, StoredTargets, Targets, fit,
        fit_closed,
    },
    error::{Error, ErrorKind, Result},
};

fn labelled(rows: usize, held_out_every: u64) -> MemoryPairs {
    let mut random = Random(1);
    let targets = StoredTargets::Classes {
        texts: random.units(CLASSES, DIM),
        classes: vec![1; rows],
    };
    MemoryPairs::try_new(DIM, random.units(rows, DIM), targets, held_out_every).unwrap()
}

fn refused(pairs: &mut dyn PairSource, options: &FitOptions) -> Error {
    fit(pairs, options, &mut |_| ControlFlow::Continue(())).unwrap_err()
}

fn options() -> FitOptions {
    FitOptions::new("model-1")
}

/// Gives one batch, whatever is asked for.
struct OneBatch {
    class_texts: Option<Vec<f32>>,
    images: Vec<f32>,
    classes: Option<Vec<u32>>,
    texts: Vec<f32>,
    ids: Vec<u64>,
}

impl OneBatch {
    fn captioned() -> Self {
        let mut random = Random(2);
        Self {
            class_texts: None,
            images: random.units(4, DIM),
            classes: None,
            texts: random.units(4, DIM),
            ids: vec![1, 2, 3, 4],
        }
    }

    fn labelled() -> Self {
        Self {
            class_texts: Some(Random(3).units(CLASSES, DIM)),
            classes: Some(vec![0, 1, 2, 3]),
            ..Self::captioned()
        }
    }
}

impl PairSource for OneBatch {
    fn dim(&self) -> usize {
        DIM
    }

    fn class_texts(&self) -> Option<&[f32]> {
        self.class_texts.as_deref()
    }

    fn each(&mut self, take: &mut dyn FnMut(Batch<'_>) -> Result<()>) -> Result<()> {
        let pass = PairPass {
            split: Split::Training,
            epoch: 0,
            seed: 0,
            batch_rows: 4,
        };
        self.read(&pass, take)
    }

    fn read(&mut self, _: &PairPass, take: &mut dyn FnMut(Batch<'_>) -> Result<()>) -> Result<()> {
        let targets = match &self.classes {
            Some(classes) => Targets::Classes(classes),
            None => Targets::Captions {
                texts: &self.texts,
                ids: &self.ids,
            },
        };
        take(Batch {
            images: &self.images,
            targets,
        })
    }
}

#[test]
fn options_that_make_no_sense() {
    let cases = [
        (
            FitOptions {
                epochs: 0,
                ..options()
            },
            "epochs: 0",
        ),
        (
            FitOptions {
                batch_rows: 1,
                ..options()
            },
            "batch rows: 1",
        ),
        (
            FitOptions {
                learning_rate: 0.0,
                ..options()
            },
            "learning rate: 0",
        ),
        (
            FitOptions {
                learning_rate: f64::NAN,
                ..options()
            },
            "learning rate: NaN",
        ),
        (
            FitOptions {
                weight_decay: -1.0,
                ..options()
            },
            "weight decay: -1",
        ),
    ];
    for (options, expected) in cases {
        let error = refused(&mut labelled(100, 4), &options);
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(error.report().contains(expected), "{}", error.report());
    }
}

#[test]
fn no_rows_held_out_and_no_rows_left() {
    let error = refused(&mut labelled(40, u64::MAX), &options());
    assert!(
        error.report().contains("there are too few"),
        "{}",
        error.report()
    );
    let error = refused(&mut labelled(40, 1), &options());
    assert!(
        error.report().contains("no row is left to train on"),
        "{}",
        error.report()
    );
}

#[test]
fn embeddings_that_are_not_finite() {
    for value in [f32::NAN, f32::NEG_INFINITY] {
        let mut pairs = OneBatch::captioned();
        pairs.images[2 * DIM + 3] = value;
        let report = refused(&mut pairs, &options()).report();
        assert!(
            report.contains("side: image\n  row of the batch: 2"),
            "{report}"
        );
        let mut pairs = OneBatch::captioned();
        pairs.texts[DIM] = value;
        let report = refused(&mut pairs, &options()).report();
        assert!(
            report.contains("side: text\n  row of the batch: 1"),
            "{report}"
        );
        let mut pairs = OneBatch::labelled();
        pairs.class_texts.as_mut().unwrap()[5 * DIM] = value;
        let report = refused(&mut pairs, &options()).report();
        assert!(
            report.contains("side: class\n  row of the batch: 5"),
            "{report}"
        );
    }
}

#[test]
fn a_label_without_a_prompt() {
    let mut pairs = OneBatch::labelled();
    pairs.classes = Some(vec![0, 1, 6, 2]);
    let report = refused(&mut pairs, &options()).report();
    assert!(report.contains("label: 6\n  classes: 6"), "{report}");
}

#[test]
fn a_single_class() {
    let mut pairs = OneBatch::labelled();
    pairs.class_texts.as_mut().unwrap().truncate(DIM);
    let report = refused(&mut pairs, &options()).report();
    assert!(report.contains("two classes or more"), "{report}");
}

#[test]
fn batches_whose_lengths_do_not_agree() {
    let mut short_images = OneBatch::captioned();
    short_images.images.pop();
    let mut short_texts = OneBatch::captioned();
    short_texts.texts.truncate(3 * DIM);
    let mut short_ids = OneBatch::captioned();
    short_ids.ids.pop();
    let mut short_classes = OneBatch::labelled();
    short_classes.classes.as_mut().unwrap().pop();
    let mut captions_for_classes = OneBatch::labelled();
    captions_for_classes.classes = None;
    let all = [
        short_images,
        short_texts,
        short_ids,
        short_classes,
        captions_for_classes,
    ];
    for mut pairs in all {
        assert_eq!(refused(&mut pairs, &options()).kind(), ErrorKind::Internal);
    }
    let targets = StoredTargets::Captions {
        texts: vec![0.0; 4 * DIM],
        ids: vec![1; 4],
    };
    assert!(MemoryPairs::try_new(DIM, vec![0.0; 3 * DIM], targets, 4).is_err());
}

#[test]
fn errors_of_the_source_come_through() {
    struct Interrupted;
    impl PairSource for Interrupted {
        fn dim(&self) -> usize {
            DIM
        }
        fn class_texts(&self) -> Option<&[f32]> {
            None
        }
        fn each(&mut self, _: &mut dyn FnMut(Batch<'_>) -> Result<()>) -> Result<()> {
            Err(Error::new(ErrorKind::Interrupted, "finish"))
        }
        fn read(&mut self, _: &PairPass, _: &mut dyn FnMut(Batch<'_>) -> Result<()>) -> Result<()> {
            Err(Error::new(ErrorKind::Interrupted, "finish"))
        }
    }
    let closed = fit_closed(&mut Interrupted, &options()).unwrap_err();
    for error in [refused(&mut Interrupted, &options()), closed] {
        assert_eq!(error.kind(), ErrorKind::Interrupted);
    }
}
