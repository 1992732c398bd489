//! Artifacts that are not what they say.

use super::*;
use crate::{
    adapt::{EpochRecord, Method, Mode, Outcome},
    error::ErrorKind,
};

const DIM: usize = 3;

fn adapters() -> Adapters {
    let epoch = EpochRecord {
        epoch: 1,
        training_loss: 1.25,
        held_out_loss: 1.1,
        gain_error: 0.01,
        logit_scale: 21.5,
    };
    let record = TrainingRecord {
        method: Method::Infonce,
        mode: Mode::Labelled,
        prompts: vec!["a photo of a {}".to_owned()],
        classes: Some(10),
        training_rows: 900,
        held_out_rows: 100,
        seed: 7,
        batch_rows: 256,
        learning_rate: 1e-3,
        weight_decay: 1e-2,
        lock_text: true,
        start_logit_scale: 18.0,
        start_held_out_loss: 2.0,
        epochs: vec![epoch],
        best_epoch: 1,
        outcome: Outcome::Accepted,
        reason: "held-out loss 2.0000 before training, 1.1000 after epoch 1".to_owned(),
        closed: None,
        tool_version: "0.1.0".to_owned(),
    };
    let mut adapters = Adapters::identity(DIM, "0123abcd", record);
    adapters.image.weight[1] = -0.125;
    adapters.text.bias[2] = 1e-30;
    adapters.logit_scale = 21.5;
    adapters
}

/// The artifact with another header.
fn with_header(change: impl Fn(&mut serde_json::Value)) -> Vec<u8> {
    let bytes = adapters().to_bytes().unwrap();
    let (length, rest) = bytes.split_at(8);
    let length = usize::try_from(u64::from_le_bytes(length.try_into().unwrap())).unwrap();
    let mut header = serde_json::from_slice(&rest[..length]).unwrap();
    change(&mut header);
    let header = serde_json::to_vec(&header).unwrap();
    let length = u64::try_from(header.len()).unwrap().to_le_bytes();
    [
        &length,
        header.as_slice(),
        &rest[bytes.len() - 8 - data_bytes()..],
    ]
    .concat()
}

fn data_bytes() -> usize {
    4 * (2 * DIM * DIM + 2 * DIM + 1)
}

fn refused(bytes: &[u8]) -> String {
    let error = Adapters::from_bytes(bytes).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Input);
    let report = error.report();
    assert!(report.contains("try: "), "{report}");
    report
}

#[test]
fn what_is_written_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("adapters.safetensors");
    std::fs::write(&path, adapters().to_bytes().unwrap()).unwrap();
    let read = Adapters::read(&path).unwrap();
    assert_eq!(read, adapters());
    assert_eq!(
        read.fingerprint().unwrap(),
        adapters().fingerprint().unwrap()
    );
}

#[test]
fn reading_and_writing_again_changes_no_byte() {
    let mut adapters = adapters();
    // Losses of fits, in as many digits as a number has.
    for (position, loss) in [
        3.8543068374157965,
        3.6526247155800293,
        1.0 / 3.0,
        1e-13,
        7e4 / 9.0,
    ]
    .into_iter()
    .enumerate()
    {
        let mut epoch = adapters.record.epochs[0];
        epoch.training_loss = loss;
        epoch.gain_error = loss / 1e3;
        epoch.held_out_loss = loss + position as f64;
        adapters.record.epochs.push(epoch);
        adapters.record.start_held_out_loss = loss;
    }
    let bytes = adapters.to_bytes().unwrap();
    let read = Adapters::from_bytes(&bytes).unwrap();
    assert!(read.to_bytes().unwrap() == bytes);
    assert_eq!(read.fingerprint().unwrap(), adapters.fingerprint().unwrap());
}

#[test]
fn the_artifact_is_plain_safetensors() {
    let bytes = adapters().to_bytes().unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let mut names = tensors.names();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "image.bias",
            "image.weight",
            "logit_scale",
            "text.bias",
            "text.weight"
        ]
    );
    assert_eq!(tensors.tensor("image.weight").unwrap().shape(), [DIM, DIM]);
}

#[test]
fn the_fingerprint_follows_weights_model_and_record() {
    let mut weight = adapters();
    weight.text.weight[0] = 1.5;
    let mut model = adapters();
    model.model.push('0');
    let mut record = adapters();
    record.record.seed += 1;
    let prints: std::collections::BTreeSet<String> = [adapters(), weight, model, record]
        .iter()
        .map(|adapters| adapters.fingerprint().unwrap())
        .collect();
    assert_eq!(prints.len(), 4);
    assert!(prints.iter().all(|print| print.len() == 64));
}

#[test]
fn a_missing_file_is_named() {
    let report = Adapters::read(Path::new("nowhere/a.safetensors"))
        .unwrap_err()
        .report();
    assert!(report.contains("file: nowhere/a.safetensors"), "{report}");
}

#[test]
fn files_that_are_no_adapters_are_refused() {
    for bytes in [&b""[..], b"PAR1PAR1PAR1", &[0xff; 64]] {
        assert!(refused(bytes).contains("expected: safetensors"));
    }
    let foreign = serialize::<String, TensorView<'_>, _>(Vec::new(), None).unwrap();
    assert!(refused(&foreign).contains("missing in the metadata"));
}

#[test]
fn a_file_that_ends_early_is_refused() {
    let bytes = adapters().to_bytes().unwrap();
    for length in 0..bytes.len() {
        refused(&bytes[..length]);
    }
}

#[test]
fn another_format_is_refused() {
    let newer = with_header(|header| {
        // A later format may hold anything else.
        header["__metadata__"][CARD] = r#"{"format": 3}"#.into();
    });
    let report = refused(&newer);
    assert!(report.contains("format: 3\n  expected: 1 or 2"), "{report}");
}

#[test]
fn a_closed_form_that_is_not_said_or_not_there_is_refused() {
    let of = |closed: &str| {
        refused(&with_header(|header| {
            let card = header["__metadata__"][CARD].as_str().unwrap().to_owned();
            let card = card.replace("\"format\":1", "\"format\":2");
            let card = format!("{}{closed}}}", card.strip_suffix('}').unwrap());
            header["__metadata__"][CARD] = card.into();
        }))
    };
    assert!(of("").contains("missing in the metadata: closed"));
    assert!(of(r#","closed":{"classes":[]}"#).contains("missing in the metadata: closed"));
    let report = of(r#","closed":{"classes":["a","b"]}"#);
    assert!(report.contains("tensor: class.weight"), "{report}");
}

#[test]
fn a_record_that_is_not_understood_is_refused() {
    let report = refused(&with_header(|header| {
        header["__metadata__"][CARD] = r#"{"format": 1, "model": "m"}"#.into();
    }));
    assert!(report.contains("missing field `record`"), "{report}");
}

#[test]
fn wrong_shapes_types_and_names_are_refused() {
    let report = refused(&with_header(|header| {
        header["image.weight"]["shape"] = serde_json::json!([DIM * DIM]);
    }));
    assert!(report.contains("expected: F32 [3, 3]"), "{report}");
    let report = refused(&with_header(|header| {
        header["text.weight"]["dtype"] = "I32".into();
    }));
    assert!(report.contains("found: I32 [3, 3]"), "{report}");
    let report = refused(&with_header(|header| {
        let header = header.as_object_mut().unwrap();
        let bias = header.remove("text.bias").unwrap();
        header.insert("other.bias".to_owned(), bias);
    }));
    assert!(report.contains("tensor: text.bias"), "{report}");
}

#[test]
fn weights_that_are_not_finite_are_refused() {
    for value in [f32::NAN, f32::INFINITY] {
        let mut damaged = adapters();
        damaged.text.weight[4] = value;
        let report = refused(&damaged.to_bytes().unwrap());
        assert!(
            report.contains("tensor: text.weight\n  position: 4\n  not finite:"),
            "{report}"
        );
    }
}
