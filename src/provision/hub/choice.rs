//! Which files of a repository a run needs.

use std::collections::BTreeSet;

use super::HubSpec;
use crate::config::model_files::{self, NoTowers, TowerFiles};

/// The files to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    /// Paths in the repository, sorted.
    pub(super) files: Vec<String>,
    /// `fp32`, `fp16`, `quantized`, …
    pub(super) precision: String,
}

/// Chooses among the paths of a repository what `spec` asks for.
pub(super) fn choose(paths: &[String], spec: &HubSpec) -> Result<Choice, NoTowers> {
    let names: BTreeSet<String> = paths.iter().cloned().collect();
    let folder = match &spec.folder {
        Some(folder) => format!("{folder}/"),
        None => String::new(),
    };
    let precision = spec.wanted_precision();
    let towers = match spec.part {
        None => model_files::find(&names, &folder, precision)?,
        Some(part) => model_files::find_part(&names, &folder, part, precision)?,
    };
    Ok(Choice {
        files: files(&names, &towers),
        precision: towers.precision,
    })
}

/// The graphs, their weights, and what describes them.
fn files(names: &BTreeSet<String>, towers: &TowerFiles) -> Vec<String> {
    let graphs = [&towers.image, &towers.text];
    let described = model_files::DESCRIPTIONS.iter().flat_map(|file| {
        graphs
            .iter()
            .filter_map(|graph| model_files::beside(names, graph, file))
    });
    let mut files: BTreeSet<String> = described.collect();
    if files.iter().any(|name| name.ends_with("tokenizer.json")) {
        // What `tokenizer.json` was made of.
        files.retain(|name| !name.ends_with("vocab.json") && !name.ends_with("merges.txt"));
    }
    let weights = names
        .iter()
        .filter(|name| graphs.iter().any(|graph| model_files::belongs(name, graph)));
    files.extend(weights.cloned());
    files.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(paths: &[String], precision: Option<&str>) -> Result<Choice, NoTowers> {
        let spec = HubSpec {
            precision: precision.map(str::to_owned),
            ..HubSpec::default()
        };
        super::choose(paths, &spec)
    }

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
        let other = NoTowers::OtherPrecisions(paths(&["fp32", "quantized"]));
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
            Err(NoTowers::NoGraphs)
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

    #[test]
    fn what_describes_a_tower_is_taken_from_its_folder_or_above() {
        let immich = paths(&[
            "README.md",
            "config.json",
            "textual/model.onnx",
            "textual/tokenizer.json",
            "textual/tokenizer_config.json",
            "textual/vocab.json",
            "visual/model.armnn",
            "visual/model.onnx",
            "visual/onnx__MatMul_12",
            "visual/preprocess_cfg.json",
        ]);
        let mut expected = immich.clone();
        expected.retain(|name| {
            !["README.md", "textual/vocab.json", "visual/model.armnn"].contains(&name.as_str())
        });
        assert_eq!(choose(&immich, None).unwrap().files, expected);
    }

    #[test]
    fn a_folder_or_one_tower_is_taken_alone() {
        let sizes = paths(&[
            "config.json",
            "onnx/s0/text_model.onnx",
            "onnx/s0/vision_model.onnx",
            "onnx/s2/preprocessor_config.json",
            "onnx/s2/text_model.onnx",
            "onnx/s2/vision_model.onnx",
            "preprocessor_config.json",
            "vocab.json",
        ]);
        assert!(matches!(choose(&sizes, None), Err(NoTowers::Several(_))));
        let spec: HubSpec = "hf:org/name/onnx/s2".parse().unwrap();
        let mut expected = sizes[..1].to_vec();
        expected.extend_from_slice(&sizes[3..6]);
        expected.push("vocab.json".to_owned());
        let files = |spec: &HubSpec, paths: &[String]| super::choose(paths, spec).unwrap().files;
        assert_eq!(files(&spec, &sizes), expected);
        let image = HubSpec {
            part: Some(crate::schema::Side::Image),
            ..HubSpec::default()
        };
        let half = paths(&["config.json", "model.onnx", "preprocessor_config.json"]);
        assert_eq!(files(&image, &half), half);
    }
}
