//! Models in the layouts that people download: each scores five pairs as the Python stack of its authors does.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::array::{ArrayRef, BinaryArray, StringArray};
use serde_json::{Value, json};

use crate::{
    program::{Place, ROOT, Ran, program},
    runtime, shards,
};

/// Scores of one file are rounded to five digits, and sums of floats differ in the sixth.
const ROUNDING: f32 = 5e-5;

fn golden() -> Value {
    let path = Path::new(ROOT).join("tests/golden/tiny.json");
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn clip() -> Value {
    json!({"model_type": "clip", "text_config": {"max_position_embeddings": 77}})
}

fn clip_picture(class: &str) -> Value {
    json!({"image_processor_type": class, "size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32},
        "resample": 3, "image_mean": [0.48, 0.46, 0.41], "image_std": [0.27, 0.26, 0.28]})
}

fn open_picture() -> Value {
    json!({"size": 32, "mode": "RGB", "mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28],
        "interpolation": "bicubic", "resize_mode": "shortest", "fill_color": 0})
}

fn half_picture() -> Value {
    json!({"image_processor_type": "SiglipImageProcessor", "size": {"height": 32, "width": 32}, "resample": 2,
        "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]})
}

fn tokens(class: &str, length: u32) -> Value {
    json!({"tokenizer_class": class, "pad_token": "<pad>", "model_max_length": length})
}

/// A directory that becomes a model.
struct Model(Place);

impl Model {
    fn new() -> Self {
        let model = Self(Place::new());
        let tiny = |name: &str| fs::read(tiny(name)).unwrap();
        let images = (0..5).map(|row| tiny(&format!("{}.png", row % 2)));
        let images: Vec<Vec<u8>> = images.collect();
        let images: ArrayRef = Arc::new(BinaryArray::from_iter_values(images));
        let texts: Vec<String> = serde_json::from_value(golden()["texts"].clone()).unwrap();
        let texts: ArrayRef = Arc::new(StringArray::from(texts));
        let pairs = shards::batch(vec![("image", images), ("text", texts)]);
        shards::write(&model.0.path("pairs.parquet"), &pairs);
        model
    }

    /// Puts a file of `tests/golden/tiny` at `target`.
    fn file(self, target: &str, source: &str) -> Self {
        fs::copy(tiny(source), self.place(target)).unwrap();
        self
    }

    fn json(self, target: &str, value: &Value) -> Self {
        fs::write(self.place(target), value.to_string()).unwrap();
        self
    }

    fn place(&self, target: &str) -> PathBuf {
        let path = self.0.path("model").join(target);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    /// Towers, tokenizer and configuration of a CLIP as the hub has them, without what describes its pictures.
    fn hub(self) -> Self {
        self.file("onnx/vision_model.onnx", "vision.onnx")
            .file("onnx/text_model.onnx", "text.onnx")
            .file("tokenizer.json", "lower/tokenizer.json")
            .json("tokenizer_config.json", &tokens("CLIPTokenizer", 77))
            .json("config.json", &clip())
    }

    fn run(&self, args: &[&str]) -> Ran {
        let path = |name: &str| self.0.path(name);
        let mut command = program();
        command
            .current_dir(path(""))
            .arg("pairs.parquet")
            .arg("out.parquet");
        command.args([
            "--keep",
            "1",
            "--overwrite",
            "--json",
            "--offline",
            "--device",
            "cpu",
        ]);
        command
            .arg("--onnxruntime")
            .arg(runtime::library())
            .args(args);
        Ran::from(command.output().unwrap())
    }

    /// Compares the scores of a run with those of `case`.
    #[track_caller]
    fn scores_with(self, args: &[&str], case: &str) -> (Self, Value) {
        let card = self.run(args).exits(0).json()["model"].clone();
        let written = shards::read(&self.0.path("out.parquet"));
        let found = shards::floats(&written, "clip_score").into_iter();
        let found: Vec<f32> = found.map(Option::unwrap).collect();
        let expected: Vec<f32> = serde_json::from_value(golden()["scores"][case].clone()).unwrap();
        let far = |(a, b): (&f32, &f32)| (a - b).abs() > ROUNDING;
        assert!(
            found.len() == expected.len() && !found.iter().zip(&expected).any(far),
            "{case}: {found:?}, not {expected:?}"
        );
        (self, card)
    }

    #[track_caller]
    fn scores(self, case: &str) -> (Self, Value) {
        self.scores_with(&["--model", "model"], case)
    }
}

fn tiny(name: &str) -> PathBuf {
    Path::new(ROOT).join("tests/golden/tiny").join(name)
}

#[test]
fn an_image_processor_is_known_by_every_name_it_is_saved_under() {
    for class in [
        "CLIPImageProcessor",
        "CLIPImageProcessorFast",
        "CLIPImageProcessorPil",
    ] {
        let model = Model::new()
            .hub()
            .json("preprocessor_config.json", &clip_picture(class));
        let (_, card) = model.scores("transformers");
        let torchvision = card["reference"].as_str().unwrap().contains("torchvision");
        assert_eq!(torchvision, class.ends_with("Fast"), "{card}");
    }
}

#[test]
fn one_file_for_all_processors_is_read() {
    let nested = json!({"image_processor": clip_picture("CLIPImageProcessor"), "processor_class": "CLIPProcessor"});
    let model = Model::new().hub().json("processor_config.json", &nested);
    let (_, card) = model.scores("transformers");
    assert!(
        card["reference"].as_str().unwrap().contains("torchvision"),
        "{card}"
    );
}

#[test]
fn keys_of_open_clip_in_a_processor_crop_as_open_clip_does() {
    let mut picture = open_picture();
    picture["image_processor_type"] = json!("JinaCLIPImageProcessor");
    let model = Model::new()
        .hub()
        .json("preprocessor_config.json", &picture);
    let (_, card) = model
        .json("config.json", &json!({"model_type": "jina_clip"}))
        .scores("jina");
    assert!(
        card["preprocessing"]
            .as_str()
            .unwrap()
            .contains("32x32 rounded"),
        "{card}"
    );
}

#[test]
fn a_folder_for_each_tower_with_a_batch_of_one_is_read() {
    let config = json!({"embed_dim": 12, "vision_cfg": {"image_size": 32}, "text_cfg": {"context_length": 77}});
    let model = Model::new()
        .file("visual/model.onnx", "vision_image.onnx")
        .file("textual/model.onnx", "text_one.onnx")
        .file("textual/tokenizer.json", "lower/tokenizer.json")
        .json(
            "textual/tokenizer_config.json",
            &tokens("PreTrainedTokenizerFast", 77),
        )
        .json("config.json", &config)
        .json("visual/preprocess_cfg.json", &open_picture());
    model.scores("open_clip");
}

#[test]
fn captions_of_open_clip_are_cleaned_as_its_configuration_says() {
    for (name, kwargs) in [
        ("whitespace", json!({})),
        ("canonicalize", json!({"clean": "canonicalize"})),
    ] {
        let text = json!({"context_length": 64, "hf_tokenizer_name": "stub", "no_causal_mask": true, "tokenizer_kwargs": kwargs});
        let config = json!({"model_cfg": {"vision_cfg": {"image_size": 32}, "text_cfg": text}, "preprocess_cfg": open_picture()});
        let model = Model::new()
            .file("visual.onnx", "vision.onnx")
            .file("textual.onnx", "text_64.onnx")
            .file("tokenizer.json", "cased/tokenizer.json")
            .json("tokenizer_config.json", &tokens("T5TokenizerFast", 64))
            .json("open_clip_config.json", &config);
        let (_, card) = model.scores(name);
        assert!(
            card["preprocessing"]
                .as_str()
                .unwrap()
                .contains("captions mojibake repaired"),
            "{card}"
        );
    }
}

#[test]
fn captions_of_siglip_2_are_in_lower_case_and_those_of_siglip_as_its_tokenizer_says() {
    let model = |class: &str| {
        Model::new()
            .file("onnx/vision_model.onnx", "vision.onnx")
            .file("onnx/text_model.onnx", "text_64.onnx")
            .file("tokenizer.json", "cased/tokenizer.json")
            .json("tokenizer_config.json", &tokens(class, 64))
            .json("config.json", &json!({"model_type": "siglip"}))
            .json("preprocessor_config.json", &half_picture())
    };
    let (_, card) = model("GemmaTokenizer").scores("siglip2");
    assert!(
        card["preprocessing"]
            .as_str()
            .unwrap()
            .ends_with("captions in lower case"),
        "{card}"
    );
    model("SiglipTokenizer").scores("cased");
}

/// A SigLIP 2 that takes pictures of any aspect ratio, as patches.
fn naflex() -> Model {
    let picture = json!({"image_processor_type": "Siglip2ImageProcessorPil", "patch_size": 4, "max_num_patches": 60,
        "resample": 2, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]});
    Model::new()
        .file("onnx/vision_model.onnx", "vision_naflex.onnx")
        .file("onnx/text_model.onnx", "text_64.onnx")
        .file("tokenizer.json", "cased/tokenizer.json")
        .json("tokenizer_config.json", &tokens("GemmaTokenizer", 64))
        .json("config.json", &json!({"model_type": "siglip2"}))
        .json("preprocessor_config.json", &picture)
}

#[test]
fn pictures_of_any_aspect_ratio_are_cut_into_patches() {
    let (_, card) = naflex().scores("naflex");
    let preprocessing = card["preprocessing"].as_str().unwrap();
    assert!(
        preprocessing.starts_with("aspect ratio kept, at most 60 patches of 4x4 bilinear"),
        "{card}"
    );
}

#[test]
fn patches_of_another_size_than_the_tower_takes_are_refused() {
    let picture = |kind: &str, edge: u32| json!({"image_processor_type": kind, "patch_size": edge});
    for (picture, said) in [
        (
            picture("Siglip2ImageProcessor", 8),
            "256 patches of 192 values",
        ),
        (half_picture(), "patches"),
    ] {
        let model = naflex().json("preprocessor_config.json", &picture);
        let refused = model.run(&["--model", "model"]).exits(1);
        assert!(refused.stderr.contains(said), "{}", refused.stderr);
    }
}

#[test]
fn mobileclip_sees_its_padding() {
    let model = Model::new()
        .hub()
        .file("onnx/text_model.onnx", "text_bare.onnx")
        .json(
            "config.json",
            &json!({"model_type": "clip", "_name_or_path": "apple/MobileCLIP-S1"}),
        )
        .json(
            "tokenizer_config.json",
            &json!({"pad_token": "<eos>", "model_max_length": 77}),
        )
        .json(
            "preprocessor_config.json",
            &clip_picture("CLIPImageProcessor"),
        );
    model.scores("mobileclip");
}

#[test]
fn two_directories_are_one_model_and_one_alone_says_what_is_missing() {
    let halves = || {
        Model::new()
            .file("image/model.onnx", "vision.onnx")
            .json(
                "image/config.json",
                &json!({"model_type": "clip_vision_model"}),
            )
            .json(
                "image/preprocessor_config.json",
                &clip_picture("CLIPImageProcessor"),
            )
            .file("text/model.onnx", "text.onnx")
            .file("text/tokenizer.json", "lower/tokenizer.json")
            .json(
                "text/config.json",
                &json!({"model_type": "clip_text_model", "max_position_embeddings": 77}),
            )
    };
    let (model, _) = halves().scores("transformers");
    let apart = ["--model", "model/image", "--text-model", "model/text"];
    let (model, card) = model.scores_with(&apart, "transformers");
    assert_eq!(card["name"], "model/image + model/text");
    let alone = |name: &str| model.run(&["--model", name]).exits(1);
    alone("model/image").says(&["the image tower is there alone", "--text-model DIR"]);
    alone("model/text").says(&[
        "the text tower is there alone",
        "--model",
        "this one with --text-model",
    ]);
    // A store knows both by the name of its model.
    let stored = [
        "--model",
        "model/image",
        "--text-model",
        "model/text",
        "--scores",
        "scores",
    ];
    model.run(&stored).exits(0);
    model.run(&["--scores", "scores"]).exits(0);
}

#[test]
fn one_of_several_sizes_is_taken_by_its_folder() {
    let model = Model::new()
        .file("tokenizer.json", "lower/tokenizer.json")
        .json("config.json", &clip())
        .json(
            "preprocessor_config.json",
            &clip_picture("CLIPImageProcessor"),
        )
        .file("onnx/s0/vision_model.onnx", "vision.onnx")
        .file("onnx/s0/text_model.onnx", "text_bare.onnx")
        .file("onnx/s2/vision_model.onnx", "vision.onnx")
        .file("onnx/s2/text_model.onnx", "text.onnx");
    let several = model.run(&["--model", "model"]).exits(1);
    several.says(&["folders: onnx/s0, onnx/s2", "--model DIR/onnx/s0"]);
    model.scores_with(&["--model", "model/onnx/s2"], "transformers");
}

#[test]
fn a_batch_that_the_export_fixed_is_filled() {
    let model = Model::new()
        .hub()
        .file("onnx/vision_model.onnx", "vision_two.onnx")
        .file("onnx/text_model.onnx", "text_two.onnx")
        .json(
            "preprocessor_config.json",
            &clip_picture("CLIPImageProcessor"),
        );
    model.scores("fixed");
}

#[test]
fn weights_are_read_from_beside_the_model_alone() {
    let model = Model::new()
        .hub()
        .file("onnx/text_model.onnx", "text_external.onnx")
        .file("onnx/text.onnx_data", "text.onnx_data")
        .json(
            "preprocessor_config.json",
            &clip_picture("CLIPImageProcessor"),
        );
    let (model, _) = model.scores("transformers");
    let graph = fs::read(tiny("text_external.onnx")).unwrap();
    let (here, away) = (b"text.onnx_data", b"../onnx_weight");
    let start = graph
        .windows(here.len())
        .position(|found| found == here)
        .unwrap();
    let moved = [&graph[..start], away, &graph[start + away.len()..]].concat();
    fs::write(model.place("onnx/text_model.onnx"), moved).unwrap();
    fs::copy(tiny("text.onnx_data"), model.place("onnx_weight")).unwrap();
    let refused = model.run(&["--model", "model"]).exits(1);
    refused.says(&["external weights that lie outside", "../onnx_weight"]);
}

/// A snapshot of the hub's cache: every file is a link to a blob elsewhere.
#[cfg(unix)]
#[test]
fn weights_behind_a_link_are_read() {
    let model = Model::new().hub().json(
        "preprocessor_config.json",
        &clip_picture("CLIPImageProcessor"),
    );
    for (name, source) in [
        ("text_model.onnx", "text_external.onnx"),
        ("text.onnx_data", "text.onnx_data"),
    ] {
        let blob = model.0.path(&format!("blob-{name}"));
        fs::copy(tiny(source), &blob).unwrap();
        let link = model.place(&format!("onnx/{name}"));
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(blob, link).unwrap();
    }
    model.scores("transformers");
}

#[test]
fn a_model_that_is_newer_than_the_runtime_names_both() {
    let model = Model::new().hub().json(
        "preprocessor_config.json",
        &clip_picture("CLIPImageProcessor"),
    );
    let mut graph = fs::read(tiny("vision.onnx")).unwrap();
    // `ir_version` is the first field.
    assert_eq!(graph[..2], [0x08, 8]);
    graph[1] = 99;
    fs::write(model.place("onnx/vision_model.onnx"), graph).unwrap();
    let refused = model.run(&["--model", "model"]).exits(1);
    refused.says(&[
        "newer than this ONNX Runtime",
        "IR version 99, opset 17",
        "ONNX Runtime: 1.",
    ]);
}

#[test]
fn a_tokenizer_that_is_not_known_is_noted_in_the_summary_and_the_card() {
    let model = Model::new()
        .hub()
        .json("tokenizer_config.json", &tokens("OtherTokenizer", 77))
        .json(
            "preprocessor_config.json",
            &clip_picture("CLIPImageProcessor"),
        );
    let report = model.run(&["--model", "model"]).exits(0).json();
    let note = "the tokenizer class OtherTokenizer is not known";
    for notes in [&report["warnings"], &report["model"]["notes"]] {
        let notes = notes.as_array().unwrap();
        assert!(
            notes
                .iter()
                .any(|line| line.as_str().unwrap().starts_with(note)),
            "{report}"
        );
    }
}

/// The Python of `CLIP_FILTER_TEST_PYTHON` if it has what pictures need.
fn python() -> Option<String> {
    let python = std::env::var("CLIP_FILTER_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let has = std::process::Command::new(&python)
        .args(["-c", "import numpy, PIL"])
        .output();
    if has.is_ok_and(|has| has.status.success()) {
        return Some(python);
    }
    eprintln!("skipped: no Python with numpy and Pillow (set CLIP_FILTER_TEST_PYTHON to one)");
    None
}

fn check_model(model: &Model, python: &str, planted: &str) -> Ran {
    let mut command = program();
    command
        .current_dir(model.0.path(""))
        .args(["inspect", "model", "--check-model", "--offline"])
        .env("ORT_DYLIB_PATH", runtime::library())
        .env("CLIP_FILTER_PYTHON", python)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env(
            "PYTHONPATH",
            Path::new(ROOT).join("tests/data/python-stack"),
        )
        .env("PLANTED", planted);
    Ran::from(command.output().unwrap())
}

#[test]
fn a_wrong_crop_and_a_wrong_case_are_found_beside_the_python_stack() {
    let Some(python) = python() else {
        return;
    };
    let model = Model::new().hub().json(
        "preprocessor_config.json",
        &clip_picture("CLIPImageProcessor"),
    );
    let right = check_model(&model, &python, "nothing").exits(0);
    assert!(
        right
            .stdout
            .contains("331 x 449: cosine 1.0000, 0.00 grey levels apart"),
        "{}",
        right.stdout
    );
    assert_eq!(
        right.stdout.matches("cosine 1.0000, same tokens").count(),
        4,
        "{}",
        right.stdout
    );
    let crop = check_model(&model, &python, "crop").exits(1);
    crop.says(&[
        "agree with the model's own Python stack",
        "grey levels apart",
        "transformers",
    ]);
    let case = check_model(&model, &python, "case").exits(1);
    case.says(&["A Red Fox, and TWO dogs!", "other tokens"]);
}

#[test]
fn a_stack_that_is_not_installed_is_an_error_that_says_what_to_install() {
    let Some(python) = python() else {
        return;
    };
    let config = json!({"embed_dim": 12, "vision_cfg": {"image_size": 32}, "text_cfg": {"context_length": 77}});
    let model = Model::new()
        .file("visual.onnx", "vision_image.onnx")
        .file("textual.onnx", "text_one.onnx")
        .file("tokenizer.json", "lower/tokenizer.json")
        .json("open_clip_config.json", &json!({"model_cfg": config}));
    let has = std::process::Command::new(&python)
        .args(["-c", "import open_clip"])
        .output();
    if has.unwrap().status.success() {
        eprintln!("skipped: open_clip is installed");
        return;
    }
    let missing = check_model(&model, &python, "nothing").exits(1);
    missing.says(&[
        "No module named 'open_clip'",
        "-m pip install",
        "CLIP_FILTER_PYTHON",
    ]);
}

#[test]
fn what_is_done_to_a_caption_is_shown_on_one() {
    let model = Model::new()
        .file("onnx/vision_model.onnx", "vision.onnx")
        .file("onnx/text_model.onnx", "text_64.onnx")
        .file("tokenizer.json", "cased/tokenizer.json")
        .json("tokenizer_config.json", &tokens("GemmaTokenizer", 64))
        .json("config.json", &json!({"model_type": "siglip"}))
        .json("preprocessor_config.json", &half_picture());
    let mut command = program();
    command
        .current_dir(model.0.path(""))
        .args(["inspect", "model"]);
    let shown = Ran::from(command.output().unwrap()).exits(0).stdout;
    insta::assert_snapshot!(shown, @r"
    model       model (fp32, sha256 12bc4e993fe0)
    embeddings  12 numbers
    pixels      resize 32x32 bilinear, scale 0.003921569 mean [0.5, 0.5, 0.5] std [0.5, 0.5, 0.5], captions in lower case
    as          transformers (Pillow resizes)
    layout      one graph per tower
    images      32 x 32 pixels
    captions    BPE with 80 tokens; at most 64 per caption, padded to 64
    cleaned     in lower case; then by the tokenizer's own rules
    example     A Red Fox &amp; 2 dogs, snow_day!
                a red fox &amp; 2 dogs, snow_day!
                a ▁ r e d ▁ f o x ▁ & a m p ; ▁ 2 ▁ d o g s , ▁ s n o w _ d a y ! <eos>
                4 79 21 8 7 79 9 18 27 79 72 4 16 19 75 79 58 79 7 18 10 22 67 79 22 17 18 26 71 7 4 28 68 1, and 30 of 0
    precision   fp32; no other is here
    files       6.6 KiB
      config.json                  23 B
      onnx/text_model.onnx      4.2 KiB
      onnx/vision_model.onnx      202 B
      preprocessor_config.json    145 B
      tokenizer.json            1.9 KiB
      tokenizer_config.json        78 B
    ");
}
