//! Which files of a directory are the towers, and in which precisions they come.

use std::collections::BTreeSet;

use super::{ModelLayout, Precision};
use crate::error::{Error, Result};

/// File stems of the image and the text tower, by who exports them so.
const PAIRS: [(&str, &str); 2] = [
    // Optimum and the exports made with it.
    ("vision_model", "text_model"),
    // open_clip exports.
    ("visual", "textual"),
];
/// File stem of a graph that holds both towers.
const COMBINED: &str = "model";
/// Folders that are looked into.
pub(super) const FOLDERS: [&str; 2] = ["onnx/", ""];

/// What `auto` prefers, best first; anything else comes after these by name.
const PREFERENCE: [&str; 8] = [
    "fp32",
    "fp16",
    "quantized",
    "int8",
    "uint8",
    "q4f16",
    "q4",
    "bnb4",
];

/// The files of one model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    /// The file with the image tower.
    pub(super) image: String,
    /// The file with the text tower; the same for a combined graph.
    pub(super) text: String,
    /// The variant, `fp32` where the file name says none.
    pub(super) precision: String,
    /// Every variant in which both towers are there.
    pub(super) precisions: BTreeSet<String>,
}

impl Layout {
    /// Both towers are in one graph.
    pub(super) fn combined(&self) -> bool {
        self.image == self.text
    }

    /// How the towers are stored.
    pub(super) fn kind(&self) -> ModelLayout {
        if self.combined() {
            ModelLayout::Combined
        } else {
            ModelLayout::Pair
        }
    }
}

/// Finds the towers among `names`, paths relative to the model directory.
///
/// A pair is preferred to a combined graph, which holds the same weights but has to be pruned.
///
/// # Errors
/// When there is no model, or not in the precision asked for; the error lists what there is.
pub(super) fn find(names: &BTreeSet<String>, precision: &Precision) -> Result<Layout> {
    let mut stems = Vec::new();
    for (image, text) in PAIRS {
        stems.extend(FOLDERS.map(|folder| (format!("{folder}{image}"), format!("{folder}{text}"))));
    }
    stems.extend(
        FOLDERS.map(|folder| (format!("{folder}{COMBINED}"), format!("{folder}{COMBINED}"))),
    );
    for (image, text) in &stems {
        let texts = variants(names, text);
        let both: BTreeSet<String> = variants(names, image)
            .intersection(&texts)
            .cloned()
            .collect();
        if !both.is_empty() {
            let precision = choose(&both, precision)?;
            return Ok(Layout {
                image: file(image, &precision),
                text: file(text, &precision),
                precision,
                precisions: both,
            });
        }
    }
    let found: Vec<&str> = names
        .iter()
        .filter(|name| name.ends_with(".onnx"))
        .map(String::as_str)
        .collect();
    Err(Error::model("find the towers of the model")
        .with("ONNX files", if found.is_empty() { "none".to_owned() } else { found.join(", ") })
        .hint("a model directory holds onnx/vision_model.onnx and onnx/text_model.onnx, visual.onnx and textual.onnx, or onnx/model.onnx"))
}

/// The precisions in which `stem` comes.
fn variants(names: &BTreeSet<String>, stem: &str) -> BTreeSet<String> {
    let suffixes = names
        .iter()
        .filter_map(|name| name.strip_prefix(stem)?.strip_suffix(".onnx"));
    suffixes
        .filter_map(|suffix| match suffix {
            "" => Some("fp32".to_owned()),
            suffix => suffix
                .strip_prefix('_')
                .filter(|name| !name.is_empty())
                .map(str::to_owned),
        })
        .collect()
}

fn file(stem: &str, precision: &str) -> String {
    match precision {
        "fp32" => format!("{stem}.onnx"),
        variant => format!("{stem}_{variant}.onnx"),
    }
}

fn choose(both: &BTreeSet<String>, precision: &Precision) -> Result<String> {
    let asked = match precision {
        Precision::Auto => {
            let known = PREFERENCE
                .iter()
                .find(|name| both.contains(**name))
                .map(|name| (*name).to_owned());
            return known
                .or_else(|| both.first().cloned())
                .ok_or_else(|| Error::internal("choose among no precisions"));
        }
        Precision::Variant(name) => name,
    };
    if both.contains(asked) {
        return Ok(asked.clone());
    }
    let list: Vec<&str> = both.iter().map(String::as_str).collect();
    Err(
        Error::model(format!("find precision '{asked}' of the model"))
            .with("there is", list.join(", "))
            .hint(format!("--precision {}", list.first().unwrap_or(&"auto"))),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> BTreeSet<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    fn found(list: &[&str], precision: &str) -> (String, String, String) {
        let layout = find(&names(list), &precision.parse().unwrap()).unwrap();
        (layout.image, layout.text, layout.precision)
    }

    fn owned(image: &str, text: &str, precision: &str) -> (String, String, String) {
        (image.to_owned(), text.to_owned(), precision.to_owned())
    }

    #[test]
    fn a_pair_is_preferred_to_a_combined_graph() {
        let hub = [
            "onnx/model.onnx",
            "onnx/model_quantized.onnx",
            "onnx/text_model.onnx",
            "onnx/text_model_fp16.onnx",
            "onnx/text_model_quantized.onnx",
            "onnx/vision_model.onnx",
            "onnx/vision_model_fp16.onnx",
            "onnx/vision_model_quantized.onnx",
        ];
        assert_eq!(
            found(&hub, "auto"),
            owned("onnx/vision_model.onnx", "onnx/text_model.onnx", "fp32")
        );
        assert_eq!(
            found(&hub, "fp16"),
            owned(
                "onnx/vision_model_fp16.onnx",
                "onnx/text_model_fp16.onnx",
                "fp16"
            )
        );
        assert_eq!(found(&hub, "q8").2, "quantized");
        assert_eq!(
            found(&hub[..2], "auto"),
            owned("onnx/model.onnx", "onnx/model.onnx", "fp32")
        );
    }

    #[test]
    fn other_places_and_stems_are_found() {
        assert_eq!(
            found(&["visual.onnx", "textual.onnx"], "auto"),
            owned("visual.onnx", "textual.onnx", "fp32")
        );
        let quantized = [
            "vision_model_q4.onnx",
            "text_model_q4.onnx",
            "vision_model_uint8.onnx",
            "text_model_uint8.onnx",
        ];
        assert_eq!(found(&quantized, "auto").2, "uint8");
        assert_eq!(
            found(&["model_O4.onnx"], "auto"),
            owned("model_O4.onnx", "model_O4.onnx", "O4")
        );
    }

    #[test]
    fn a_missing_precision_or_model_lists_what_there_is() {
        let list = names(&[
            "onnx/text_model_fp16.onnx",
            "onnx/vision_model_fp16.onnx",
            "onnx/vision_model.onnx",
        ]);
        let report = find(&list, &"fp32".parse().unwrap()).unwrap_err().report();
        assert!(report.contains("there is: fp16"), "{report}");
        let report = find(
            &names(&["decoder.onnx", "modelling.onnx"]),
            &Precision::Auto,
        )
        .unwrap_err()
        .report();
        assert!(report.contains("decoder.onnx, modelling.onnx"), "{report}");
    }
}
