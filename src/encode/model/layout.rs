//! The towers of a model among the names of its files, with errors that say what there is.

use std::collections::BTreeSet;

use super::{ModelLayout, Precision};
use crate::config::model_files::{self, NoTowers, TowerFiles};
use crate::error::{Error, Result};
use crate::schema::Side;

/// How the towers of `found` are stored.
pub(super) fn kind(found: &TowerFiles) -> ModelLayout {
    if found.image == found.text {
        ModelLayout::Combined
    } else {
        ModelLayout::Pair
    }
}

/// Where among the names the towers are looked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Where<'a> {
    /// In this folder, empty or with a trailing `/`, or the only one below it.
    Folder(&'a str),
    /// In two directories.
    Apart,
}

/// Finds the towers among `names`, paths relative to the model directory.
///
/// # Errors
/// When there is no model, or not in the precision asked for, or several; the error lists what there is.
pub(super) fn find(
    names: &BTreeSet<String>,
    place: Where<'_>,
    precision: &Precision,
) -> Result<TowerFiles> {
    let asked = match precision {
        Precision::Auto => None,
        Precision::Variant(name) => Some(name.as_str()),
    };
    let found = match place {
        Where::Folder(folder) => model_files::find(names, folder, asked),
        Where::Apart => model_files::find_apart(names, asked),
    };
    found.map_err(|none| match none {
        NoTowers::NoGraphs => no_graphs(names),
        NoTowers::Only(part) => half(part),
        NoTowers::OtherPrecisions(there) => {
            let asked = asked.unwrap_or("auto");
            let first = there.first().map_or("auto", String::as_str);
            Error::model(format!("find precision '{asked}' of the model"))
                .with("there is", there.join(", "))
                .hint(format!("--precision {first}"))
        }
        NoTowers::Several(folders) => {
            let folders: Vec<&str> = folders
                .iter()
                .map(|name| name.trim_end_matches('/'))
                .collect();
            let first = folders.first().copied().unwrap_or_default();
            Error::model("choose a model: there are several in the directory")
                .with("folders", folders.join(", "))
                .hint(format!(
                    "name the folder of one, such as --model DIR/{first}"
                ))
        }
    })
}

/// The error of a model of which there is one tower alone.
pub(super) fn half(there: Side) -> Error {
    match there {
        Side::Image => Error::model("find the text tower of the model: the image tower is there alone")
            .hint("name the directory, or hf:org/name, that has it: --text-model DIR"),
        Side::Text => Error::model("find the image tower of the model: the text tower is there alone")
            .hint("name the directory, or hf:org/name, that has it with --model, and this one with --text-model"),
    }
}

fn no_graphs(names: &BTreeSet<String>) -> Error {
    let found: Vec<&str> = names
        .iter()
        .filter(|name| name.ends_with(".onnx"))
        .map(String::as_str)
        .collect();
    let found = match found.as_slice() {
        [] => "none".to_owned(),
        found => found.join(", "),
    };
    Error::model("find the towers of the model")
        .with("ONNX files", found)
        .hint(format!(
            "a model directory holds, there or in onnx/, {}",
            model_files::known()
        ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(list: &[&str], precision: &str) -> String {
        let names = list.iter().map(|name| (*name).to_owned()).collect();
        let Ok(precision) = precision.parse();
        let found = find(&names, Where::Folder(""), &precision);
        found.unwrap_err().report()
    }

    #[test]
    fn what_there_is_is_listed() {
        let list = [
            "onnx/text_model_fp16.onnx",
            "onnx/vision_model_fp16.onnx",
            "onnx/vision_model.onnx",
        ];
        assert!(report(&list, "fp32").contains("there is: fp16"));
        let other = report(&["decoder.onnx", "modelling.onnx"], "auto");
        assert!(other.contains("decoder.onnx, modelling.onnx"), "{other}");
        assert!(report(&["vision_model.onnx"], "auto").contains("--text-model DIR"));
        let sizes = report(&["a/model.onnx", "b/model.onnx"], "auto");
        assert!(sizes.contains("folders: a, b"), "{sizes}");
        assert!(sizes.contains("--model DIR/a"), "{sizes}");
    }

    #[test]
    fn the_name_that_other_programs_give_to_quantized_weights_is_known() {
        let Ok(precision) = "q8".parse::<Precision>();
        assert_eq!(precision, Precision::Variant("quantized".to_owned()));
    }
}
