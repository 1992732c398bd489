//! Layouts of model files, by the names of files alone.

use super::*;

fn names(list: &[&str]) -> BTreeSet<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

fn found(list: &[&str], precision: Option<&str>) -> [String; 3] {
    let towers = find(&names(list), "", precision).unwrap();
    [towers.image, towers.text, towers.precision]
}

const HUB: [&str; 8] = [
    "onnx/model.onnx",
    "onnx/model_quantized.onnx",
    "onnx/text_model.onnx",
    "onnx/text_model_fp16.onnx",
    "onnx/text_model_quantized.onnx",
    "onnx/vision_model.onnx",
    "onnx/vision_model_fp16.onnx",
    "onnx/vision_model_quantized.onnx",
];

#[test]
fn a_pair_is_preferred_to_a_combined_graph() {
    let pair = ["onnx/vision_model.onnx", "onnx/text_model.onnx", "fp32"];
    assert_eq!(found(&HUB, None), pair);
    let half = "onnx/vision_model_fp16.onnx onnx/text_model_fp16.onnx fp16";
    assert_eq!(found(&HUB, Some("fp16")).join(" "), half);
    let both = ["onnx/model.onnx", "onnx/model.onnx", "fp32"];
    assert_eq!(found(&HUB[..2], None), both);
}

#[test]
fn every_layout_is_found_in_both_folders_and_told_in_the_docs() {
    let page = include_str!("../../../docs/models.md");
    for folder in FOLDERS {
        for layout in &LAYOUTS {
            let list = [layout.image, layout.text].map(|stem| format!("{folder}{stem}.onnx"));
            let list: Vec<&str> = list.iter().map(String::as_str).collect();
            assert_eq!(found(&list, None)[..2], list[..]);
            for stem in [layout.image, layout.text] {
                assert!(
                    page.contains(&format!("{stem}.onnx"))
                        || page.contains(&format!("{stem}*.onnx"))
                );
            }
        }
    }
}

#[test]
fn the_best_precision_there_is_is_taken() {
    let quantized = [
        "vision_model_q4.onnx",
        "text_model_q4.onnx",
        "vision_model_uint8.onnx",
        "text_model_uint8.onnx",
    ];
    assert_eq!(found(&quantized, None)[2], "uint8");
    assert_eq!(found(&["model_O4.onnx"], None)[2], "O4");
}

#[test]
fn what_is_missing_is_told() {
    let why = |list: &[&str], precision| find(&names(list), "", precision).unwrap_err();
    let list = [
        "onnx/text_model_fp16.onnx",
        "onnx/vision_model_fp16.onnx",
        "onnx/vision_model.onnx",
    ];
    let other = NoTowers::OtherPrecisions(vec!["fp16".to_owned()]);
    assert_eq!(why(&list, Some(FP32)), other);
    assert_eq!(why(&["decoder.onnx"], None), NoTowers::NoGraphs);
    assert_eq!(why(&list[2..], None), NoTowers::Only(Side::Image));
    assert_eq!(why(&["text/model.onnx"], None), NoTowers::Only(Side::Text));
}

#[test]
fn several_sizes_are_listed_and_one_is_taken() {
    let list = [
        "onnx/s0/text_model.onnx",
        "onnx/s0/vision_model.onnx",
        "onnx/s2/text_model.onnx",
        "onnx/s2/vision_model.onnx",
    ];
    let sizes = NoTowers::Several(vec!["onnx/s0/".to_owned(), "onnx/s2/".to_owned()]);
    assert_eq!(find(&names(&list), "", None), Err(sizes));
    assert_eq!(found(&list[2..], None)[0], list[3]);
    let chosen = find(&names(&list), "onnx/s0/", None).unwrap();
    assert_eq!([chosen.image, chosen.text], [list[1], list[0]]);
}

#[test]
fn two_directories_are_one_model() {
    let list = names(&["image/onnx/model.onnx", "text/text_model.onnx"]);
    let towers = find_apart(&list, None).unwrap();
    let files = ["image/onnx/model.onnx", "text/text_model.onnx"];
    assert_eq!([towers.image, towers.text], files);
    let half = names(&["image/model.onnx"]);
    assert_eq!(find_apart(&half, None), Err(NoTowers::Only(Side::Image)));
}

#[test]
fn a_description_is_taken_from_the_nearest_folder() {
    let list = names(&["config.json", "visual/config.json", "textual/model.onnx"]);
    let of = |graph| beside(&list, graph, "config.json");
    assert_eq!(
        of("visual/model.onnx").as_deref(),
        Some("visual/config.json")
    );
    assert_eq!(of("textual/model.onnx").as_deref(), Some("config.json"));
    assert_eq!(beside(&list, "textual/model.onnx", "vocab.json"), None);
}

#[test]
fn weights_belong_to_their_graph() {
    let graph = "onnx/vision_model.onnx";
    for weights in [
        "onnx/vision_model.onnx_data",
        "onnx/vision_model.onnx_data_1",
    ] {
        assert!(belongs(weights, graph));
    }
    assert!(!belongs("onnx/text_model.onnx_data", graph));
    assert!(!belongs("onnx/README", graph));
    assert!(belongs("visual/onnx__MatMul_12", "visual/model.onnx"));
    assert!(belongs("visual/trunk.norm.weight", "visual/model.onnx"));
    assert!(!belongs("visual/model.armnn", "visual/model.onnx"));
    assert!(!belongs("textual/onnx__MatMul_12", "visual/model.onnx"));
}
