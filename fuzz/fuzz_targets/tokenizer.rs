//! The text side of a model: `tokenizer.json`, three configurations and a caption, which becomes tokens.
//!
//! The graphs are fixed: an input and an output each, no node.
#![no_main]

use std::cell::LazyCell;

use clip_filter::encode::{ModelSource, ModelSpec, Precision};
use clip_filter_fuzz::{Folder, sections, tolerate_others};
use libfuzzer_sys::fuzz_target;

const VISION: &[u8] = include_bytes!("../models/vision_model.onnx");
const TEXT: &[u8] = include_bytes!("../models/text_model.onnx");

thread_local! {
    static FOLDER: LazyCell<Folder> = LazyCell::new(Folder::new);
}

/// Tokens of a caption by the model that these files describe; none where they describe none.
fn tokens(bytes: &[u8]) -> Option<()> {
    let [config, tokenizer_config, pixels, caption, tokenizer] = sections(bytes);
    let files = [
        ("config.json", config),
        ("tokenizer_config.json", tokenizer_config),
        ("preprocessor_config.json", pixels),
        ("tokenizer.json", tokenizer),
        ("onnx/vision_model.onnx", VISION),
        ("onnx/text_model.onnx", TEXT),
    ];
    let spec = FOLDER.with(|folder| {
        let directory = folder.with(&files).to_path_buf();
        ModelSpec::open(&ModelSource::Directory(directory), &Precision::Auto)
    });
    let tokens = spec.ok()?.preprocessing().ok()?.tokens;
    let caption = String::from_utf8_lossy(caption);
    let rows = tokens.encode(&[&caption, "", "a photo of a cat"]).ok()?;
    let rows: Vec<&[i64]> = rows.iter().map(Vec::as_slice).collect();
    let batch = tokens.batch(&rows);
    assert!(rows.iter().all(|row| row.len() <= tokens.max_length()));
    assert_eq!(batch.ids.len(), batch.rows * batch.length);
    assert_eq!(batch.mask.len(), batch.ids.len());
    Some(())
}

fuzz_target!(init: tolerate_others(), |bytes: &[u8]| {
    tokens(bytes);
});
