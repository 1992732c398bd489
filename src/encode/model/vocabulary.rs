//! `vocab.json` and `merges.txt` to the `tokenizer.json` of CLIP.
//!
//! # Source
//! `CLIPTokenizer` of <https://github.com/huggingface/transformers>.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::error::{Error, Result};

/// Names of the token before a caption and the one behind it: of OpenAI, and of open_clip's own file.
const ENDS: [(&str, &str); 2] = [
    ("<|startoftext|>", "<|endoftext|>"),
    ("<start_of_text>", "<end_of_text>"),
];
/// Ends the last piece of a word.
const SUFFIX: &str = "</w>";
const WORDS: &str = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// CLIP's tokenizer of this vocabulary.
///
/// # Errors
/// When a file is damaged, or the vocabulary is not CLIP's.
pub(super) fn tokenizer_json(vocabulary: &[u8], merges: &[u8]) -> Result<Vec<u8>> {
    let damaged =
        |file: &'static str| Error::model("read the vocabulary of the model").with("file", file);
    let vocabulary: BTreeMap<String, u32> =
        serde_json::from_slice(vocabulary).map_err(|error| damaged("vocab.json").source(error))?;
    let merges =
        std::str::from_utf8(merges).map_err(|error| damaged("merges.txt").source(error))?;
    let merges = merges
        .lines()
        .filter(|line| !line.starts_with("#version") && !line.is_empty());
    let merges: Vec<Vec<&str>> = merges.map(|line| line.split(' ').collect()).collect();
    if merges.iter().any(|pair| pair.len() != 2) {
        return Err(damaged("merges.txt").with("expected", "two pieces a line"));
    }
    let ends = ENDS.iter().find_map(|(start, end)| {
        let id = |token: &str| vocabulary.get(token).copied();
        Some(((*start, id(start)?), (*end, id(end)?)))
    });
    let clips = vocabulary.keys().any(|piece| piece.ends_with(SUFFIX));
    let Some(((start, start_id), (end, end_id))) = ends.filter(|_| clips) else {
        return Err(Error::model(
            "make a tokenizer of vocab.json and merges.txt: they are not of CLIP",
        )
        .hint("`AutoTokenizer.from_pretrained(...).save_pretrained(DIR)` writes tokenizer.json"));
    };
    let special = |token: &str, id: u32| {
        json!({"id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true})
    };
    let json: Value = json!({
        "version": "1.0",
        "added_tokens": [special(start, start_id), special(end, end_id)],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "NFC"},
            {"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": " "},
            {"type": "Lowercase"}]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": WORDS}, "behavior": "Removed", "invert": true},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}]},
        "post_processor": {"type": "RobertaProcessing", "sep": [end, end_id], "cls": [start, start_id],
            "trim_offsets": false, "add_prefix_space": false},
        "decoder": null,
        "model": {"type": "BPE", "dropout": null, "unk_token": end, "continuing_subword_prefix": "",
            "end_of_word_suffix": SUFFIX, "fuse_unk": false, "byte_fallback": false,
            "vocab": vocabulary, "merges": merges},
    });
    serde_json::to_vec(&json).map_err(|error| Error::internal("write a tokenizer").source(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preprocess::{Tokenize, TokenizeOptions};

    fn vocabulary(start: &str, end: &str) -> Vec<u8> {
        let tokens = ["a", "b", "a</w>", "b</w>", "ab</w>", start, end];
        let ids: BTreeMap<&str, usize> = tokens.iter().copied().zip(0..).collect();
        serde_json::to_vec(&ids).unwrap()
    }

    #[test]
    fn captions_get_the_ids_of_the_vocabulary() {
        for (start, end) in ENDS {
            let json =
                tokenizer_json(&vocabulary(start, end), b"#version: 0.2\na b</w>\n").unwrap();
            let tokenize = Tokenize::try_new(&json, &TokenizeOptions::default()).unwrap();
            assert_eq!(tokenize.encode(&["AB  a"]).unwrap(), [[5, 4, 2, 6]]);
        }
    }

    #[test]
    fn what_is_not_of_clip_or_damaged_is_refused() {
        for (words, merges) in [
            (vocabulary("<s>", "</s>"), &b"a b</w>"[..]),
            (vocabulary(ENDS[0].0, ENDS[0].1), b"a b c"),
            (vocabulary(ENDS[0].0, ENDS[0].1), b"\xff"),
            (b"[]".to_vec(), b""),
            (
                b"{\"<|startoftext|>\": 0, \"<|endoftext|>\": 1}".to_vec(),
                b"",
            ),
        ] {
            assert!(tokenizer_json(&words, merges).is_err());
        }
    }
}
