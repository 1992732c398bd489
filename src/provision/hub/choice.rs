//! Which files of a repository a run needs.

use std::collections::BTreeSet;

/// The files to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    /// Paths in the repository, sorted.
    pub(super) files: Vec<String>,
    /// `fp32`, `fp16`, `quantized`, …
    pub(super) precision: String,
}

/// Why no files were chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoChoice {
    /// The repository has no graphs at all.
    NoGraphs,
    /// It has graphs, of these precisions.
    OtherPrecisions(Vec<String>),
}

/// Taken where they are there.
const DESCRIPTIONS: &[&str] = &[
    "config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "open_clip_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
];

/// Graph names without precision, the preferred layout first: a pair of towers runs each on its own batch.
const LAYOUTS: &[&[&str]] = &[
    &["onnx/vision_model", "onnx/text_model"],
    &["vision_model", "text_model"],
    &["onnx/visual", "onnx/textual"],
    &["visual", "textual"],
    &["onnx/model"],
    &["model"],
];

const FP32: &str = "fp32";

/// Chooses among the paths of a repository; `precision` of `None` takes fp32, else the first there is.
pub(super) fn choose(paths: &[String], precision: Option<&str>) -> Result<Choice, NoChoice> {
    let mut others = BTreeSet::new();
    for layout in LAYOUTS {
        let there = precisions(paths, layout);
        let chosen = match precision {
            Some(wanted) => there.iter().find(|name| *name == wanted),
            None => there
                .iter()
                .find(|name| *name == FP32)
                .or_else(|| there.first()),
        };
        if let Some(chosen) = chosen {
            return Ok(Choice {
                files: files(paths, layout, chosen),
                precision: chosen.clone(),
            });
        }
        others.extend(there);
    }
    if others.is_empty() {
        return Err(NoChoice::NoGraphs);
    }
    Err(NoChoice::OtherPrecisions(others.into_iter().collect()))
}

/// The precisions in which every graph of a layout exists.
fn precisions(paths: &[String], layout: &[&str]) -> BTreeSet<String> {
    let of = |stem: &&str| -> BTreeSet<String> {
        let suffixes = paths
            .iter()
            .filter_map(|path| path.strip_prefix(stem)?.strip_suffix(".onnx"));
        suffixes
            .filter_map(|suffix| match suffix {
                "" => Some(FP32.to_owned()),
                suffix => suffix.strip_prefix('_').map(str::to_owned),
            })
            .collect()
    };
    layout
        .iter()
        .map(of)
        .reduce(|a, b| &a & &b)
        .unwrap_or_default()
}

fn files(paths: &[String], layout: &[&str], precision: &str) -> Vec<String> {
    let suffix = if precision == FP32 {
        String::new()
    } else {
        format!("_{precision}")
    };
    let graphs: Vec<String> = layout
        .iter()
        .map(|stem| format!("{stem}{suffix}.onnx"))
        .collect();
    let mut chosen: Vec<String> = paths
        .iter()
        .filter(|path| {
            DESCRIPTIONS.contains(&path.as_str()) || graphs.iter().any(|graph| belongs(path, graph))
        })
        .cloned()
        .collect();
    chosen.sort();
    chosen
}

/// Whether a path is a graph or holds its weights: `x.onnx_data`, `x.onnx_data_1`, `x.onnx.data`, `x.data`.
fn belongs(path: &str, graph: &str) -> bool {
    let stem = graph.strip_suffix(".onnx").unwrap_or(graph);
    if path.strip_prefix(stem) == Some(".data") {
        return true;
    }
    path.strip_prefix(graph)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("_data") || rest == ".data")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    const XENOVA: &[&str] = &[
        ".gitattributes",
        "README.md",
        "config.json",
        "merges.txt",
        "onnx/model.onnx",
        "onnx/model_quantized.onnx",
        "onnx/text_model.onnx",
        "onnx/text_model_fp16.onnx",
        "onnx/text_model_quantized.onnx",
        "onnx/vision_model.onnx",
        "onnx/vision_model.onnx_data",
        "onnx/vision_model_quantized.onnx",
        "preprocessor_config.json",
        "pytorch_model.bin",
        "tokenizer.json",
    ];

    #[test]
    fn the_pair_of_one_precision_is_taken_with_its_weights_and_nothing_else() {
        let choice = choose(&paths(XENOVA), None).unwrap();
        let expected = [
            "config.json",
            "onnx/text_model.onnx",
            "onnx/vision_model.onnx",
            "onnx/vision_model.onnx_data",
            "preprocessor_config.json",
            "tokenizer.json",
        ];
        assert_eq!(
            choice,
            Choice {
                files: paths(&expected),
                precision: "fp32".to_owned()
            }
        );
        let choice = choose(&paths(XENOVA), Some("quantized")).unwrap();
        assert_eq!(
            choice.files[1..3],
            paths(&[
                "onnx/text_model_quantized.onnx",
                "onnx/vision_model_quantized.onnx"
            ])
        );
    }

    #[test]
    fn a_precision_of_one_tower_only_is_none() {
        let other = NoChoice::OtherPrecisions(paths(&["fp32", "quantized"]));
        assert_eq!(choose(&paths(XENOVA), Some("fp16")), Err(other));
    }

    #[test]
    fn other_layouts_are_known() {
        let open_clip = paths(&[
            "open_clip_config.json",
            "textual.onnx",
            "visual.onnx",
            "visual.data",
        ]);
        assert_eq!(choose(&open_clip, None).unwrap().files, open_clip_sorted());
        let combined = paths(&[
            "onnx/model_fp16.onnx",
            "onnx/model_q4.onnx",
            "onnx/model_q4.onnx_data",
        ]);
        let choice = choose(&combined, None).unwrap();
        assert_eq!(
            choice,
            Choice {
                files: paths(&["onnx/model_fp16.onnx"]),
                precision: "fp16".to_owned()
            }
        );
        assert_eq!(
            choose(&paths(&["model.safetensors", "config.json"]), None),
            Err(NoChoice::NoGraphs)
        );
    }

    fn open_clip_sorted() -> Vec<String> {
        paths(&[
            "open_clip_config.json",
            "textual.onnx",
            "visual.data",
            "visual.onnx",
        ])
    }
}
