//! `clip-filter inspect`.

use std::{path::Path, sync::Arc};

use arrow::{
    array::{ArrayRef, AsArray, Int64Array},
    datatypes::UInt32Type,
};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use serde_json::{Value, json};

use crate::{
    program::{Place, ROOT, Ran},
    shards,
};

/// Two shards of 30 mixed pairs.
fn place() -> Place {
    let place = Place::new();
    std::fs::create_dir(place.path("in")).unwrap();
    for shard in 0..2 {
        let mut pairs = shards::mixed_pairs(30);
        pairs.rotate_left(shard);
        shards::write_pairs(&place.path(&format!("in/{shard}.parquet")), &pairs, 20);
    }
    place
}

fn inspect(place: &Place, args: &str) -> Ran {
    place.mock(&format!("inspect {args}")).exits(0)
}

/// What is printed, without what differs from run to run: paths, and the size of a store, which holds paths.
fn shown(place: &Place, args: &str) -> String {
    let ran = inspect(place, args);
    assert_eq!(ran.stderr, "");
    let text = place.without_path(&ran.stdout);
    match text.split_once(" KiB, format") {
        Some((before, after)) if args.starts_with("scores") => {
            let (before, _) = before.rsplit_once(' ').unwrap();
            format!("{before} [SIZE], format{after}")
        }
        _ => text,
    }
}

#[test]
fn shards_are_described_on_one_screen() {
    let place = place();
    insta::assert_snapshot!(shown(&place, "in"), @r"
    shards      2 files, 43.8 KiB, 60 rows
    row groups  4: rows 10 to 20, median 10
                bytes 6.7 KiB to 12.2 KiB, median 6.7 KiB
    codec       uncompressed
    page index  yes: pages that hold no wanted row are skipped
    image       image   (struct of bytes and path)
    caption     text
    key         uid
    metadata    huggingface
    columns
      uid    string                                2.3 KiB   5.3 %
      image  struct<bytes: binary, path: string>  33.0 KiB  75.4 %
      text   string                                1.7 KiB   3.8 %
      rank   int64                                   690 B   1.5 %
    ");
    assert_eq!(shown(&place, "in/{0..1}.parquet"), shown(&place, "in"));
    place.mock("in out.parquet --keep 0.5 --quiet").exits(0);
}

#[test]
fn an_earlier_run_is_named() {
    let place = place();
    place.mock("in out.parquet --keep 0.5 --quiet").exits(0);
    let text =
        shown(&place, "out.parquet").replace(env!("CARGO_BIN_EXE_clip-filter"), "clip-filter");
    let run = |line: &&str| {
        ["written", "selection", "command"]
            .iter()
            .any(|name| line.starts_with(name))
    };
    let lines: Vec<&str> = text.lines().filter(run).collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    written by  clip-filter 0.1.0 with mock (sha256 mock-1)
    selection   keep 0.5 by s_cliploss
    command     clip-filter in out.parquet --keep 0.5 --quiet
    ");
    let run = inspect(&place, "out.parquet --json").json()["earlier_run"].clone();
    assert_eq!(
        (&run["model"], &run["selection"]),
        (&json!("mock"), &json!("keep 0.5 by s_cliploss"))
    );
}

#[test]
fn a_page_index_that_is_missing_is_told() {
    let place = place();
    let properties = WriterProperties::builder()
        .set_statistics_enabled(EnabledStatistics::None)
        .set_offset_index_disabled(true)
        .build();
    let batch = shards::hf_batch(&shards::good_pairs(4));
    shards::write_with(&place.path("in/2.parquet"), &batch, properties);
    let line = |args: &str| {
        let text = shown(&place, args);
        let line = text.lines().find(|line| line.starts_with("page index"));
        line.unwrap()["page index  ".len()..].to_owned()
    };
    let why = "only with it are pages skipped that hold no wanted row";
    assert_eq!(line("in/2.parquet"), format!("no; {why}"));
    assert_eq!(line("in"), format!("in 4 of 5 row groups; {why}"));
}

#[test]
fn shards_as_json() {
    let place = place();
    insta::assert_snapshot!(pretty(&inspect(&place, "in --json")), @r#"
    {
      "codecs": {
        "uncompressed": 38558
      },
      "columns": [
        {
          "compressed_bytes": 2370,
          "data_type": "string",
          "name": "uid",
          "uncompressed_bytes": 2370
        },
        {
          "compressed_bytes": 33808,
          "data_type": "struct<bytes: binary, path: string>",
          "name": "image",
          "uncompressed_bytes": 33808
        },
        {
          "compressed_bytes": 1690,
          "data_type": "string",
          "name": "text",
          "uncompressed_bytes": 1690
        },
        {
          "compressed_bytes": 690,
          "data_type": "int64",
          "name": "rank",
          "uncompressed_bytes": 690
        }
      ],
      "earlier_run": null,
      "files": 2,
      "huggingface": true,
      "indexed_row_groups": 4,
      "kind": "shards",
      "notes": [],
      "odd": [],
      "pairs": {
        "caption": {
          "column": "text"
        },
        "image": {
          "column": "image"
        },
        "image_layout": "struct",
        "key": "uid",
        "label": null
      },
      "row_groups": {
        "bytes": {
          "max": 12446,
          "median": 6834,
          "min": 6833
        },
        "count": 4,
        "rows": {
          "max": 20,
          "median": 10,
          "min": 10
        }
      },
      "rows": 60,
      "size_bytes": 44820
    }
    "#);
}

fn pretty(ran: &Ran) -> String {
    assert_eq!(ran.stdout.lines().count(), 1);
    serde_json::to_string_pretty(&ran.json()).unwrap()
}

#[test]
fn columns_that_cannot_be_told_are_no_error() {
    let place = Place::new();
    let pairs = shards::good_pairs(3);
    let number: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    let batch = shards::batch(vec![
        ("picture", shards::bytes_column(&pairs)),
        ("text", shards::text_column(&pairs)),
        ("caption", shards::text_column(&pairs)),
        ("label", number),
    ]);
    shards::write(&place.path("a.parquet"), &batch);
    let label = shards::text_column(&pairs);
    shards::write(
        &place.path("b.parquet"),
        &shards::batch(vec![("label", label)]),
    );
    std::fs::write(place.path("c.parquet"), "PAR1 and no more").unwrap();
    insta::assert_snapshot!(shown(&place, "."), @r"
    shards      1 file, 3.6 KiB, 3 rows
    row groups  1: rows 3
                bytes 2.2 KiB
    codec       uncompressed
    page index  yes: pages that hold no wanted row are skipped
    image       unclear: name it with --image-column NAME
                find the image column (looked for: image, image_bytes, jpg, jpeg, png, webp, of type: binary, or struct<bytes: binary, path: string>)
    caption     unclear: name it with --text-column NAME
                choose the text column: several fit (they are: text, caption)
    key         none
    label       label
    columns
      picture  binary  1.9 KiB  52.6 %
      text     string    115 B   3.1 %
      caption  string    115 B   3.1 %
      label    int64      65 B   1.8 %
    left out    2 shards that cannot be read in one run with the first
      ./b.parquet  failed to read the column 'label' of two shards as one: no type holds the values of both
      ./c.parquet  failed to read the Parquet footer: Parquet error: Invalid Parquet file. Corrupt footer
    ");
}

#[test]
fn a_store_is_described_on_one_screen() {
    let place = place();
    // One after the other: small shards of one run share a file.
    for shards in ["in/0.parquet", "in"] {
        place
            .mock(&format!("score {shards} --scores scores --quiet"))
            .exits(0);
    }
    insta::assert_snapshot!(shown(&place, "scores"), @r"
    score store scores, [SIZE], format 2, made by clip-filter 0.1.0
    model       mock (fp32, sha256 mock-1)
    embeddings  8 numbers
    pixels      resize 8x8 bilinear, scale 0.003921569 mean [0.5, 0.5, 0.5] std [0.5, 0.5, 0.5]
    columns     image image, caption text; embeddings f16
    pictures    --orientation ignore, --truncated drop, --max-pixels 178956970
    condition   none
    rows        60 of 60 scored (100.0 %)
    bad         8   (2 empty_image, 2 null_image, 2 truncated_image, 2 unsupported_image)
    clip_score  -0.6042 to 0.5882, mean -0.0386, of 52 rows
    quantile       0.01    0.05     0.1    0.25     0.5    0.75     0.9    0.95    0.99
                -0.6042 -0.4671 -0.4607 -0.2419 -0.1493  0.2040  0.4103  0.5557  0.5882
    shards      2 complete
      complete  [DIR]/in/0.parquet
      complete  [DIR]/in/1.parquet
    ");
    std::fs::remove_file(place.path("in/0.parquet")).unwrap();
    let pairs = shards::good_pairs(4);
    shards::write_pairs(&place.path("in/1.parquet"), &pairs, 20);
    let mut files = std::fs::read_dir(place.path("scores/scores")).unwrap();
    let file = files.next().unwrap().unwrap().path();
    let name = file.file_stem().unwrap().to_str().unwrap();
    let parts = place.path(&format!("scores/parts/{name}"));
    std::fs::create_dir_all(&parts).unwrap();
    std::fs::rename(&file, parts.join("000000000000-000000000012.parquet")).unwrap();
    let text = shown(&place, "scores");
    for part in [
        "42 of 60 scored (70.0 %)",
        "1 complete, 1 partial, 1 whose file has changed, 1 whose file is gone",
        "12 of 30 rows",
    ] {
        assert!(text.contains(part), "'{part}' is not in:\n{text}");
    }
}

#[test]
fn columns_computed_from_embeddings_are_described() {
    let place = place();
    place
        .mock("score in/0.parquet --scores scores --quiet --cells 3 --add dup_max_sim,selection_score,proto_dist")
        .exits(0);
    let text = shown(&place, "scores");
    let derived = |text: &str| -> String {
        let lines = text.lines().skip_while(|line| !line.starts_with("derived"));
        let lines = lines.take_while(|line| !line.starts_with("shards"));
        lines.collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(derived(&text), @r"
    derived     adapters none, cells 3, neighbours auto, pairs captions, seed 0, diversity weight 0.1
                3 cells: rows 7 to 11, median 8
                       rows      min     0.05      0.5    0.95     max     mean
      sas                26  -0.6042  -0.4672  -0.1493  0.5556  0.5882  -0.0386
      sds                26   0.4914   0.5363   0.7632  0.9395  0.9450   0.7348
      dup_max_sim        26  -1.0000  -1.0000   0.9268  0.9854  0.9885   0.6760
      proto_dist         26   0.0033   0.0258   0.1372  0.3054  0.3537   0.1543
      selection_score    26   0.1062   0.3328   0.9061  2.1152  2.2118   1.1000
    ");
    assert!(inspect(&place, "scores --json").json()["derived"]["fit"].is_null());
    place.mock("score in --scores scores --quiet").exits(0);
    let text = derived(&shown(&place, "scores"));
    assert!(text.contains("made over 1 of 2 shards"), "{text}");
}

#[test]
fn a_store_says_whether_fitted_adapters_are_used() {
    let place = place();
    place
        .mock("score in --scores scores --adapt --add sas --quiet")
        .exits(0);
    let fit = inspect(&place, "scores --json").json()["derived"]["fit"].clone();
    let text = shown(&place, "scores");
    let line = match fit["outcome"].as_str().unwrap() {
        "accepted" => "adapters: closed form over ".to_owned(),
        _ => format!(
            "adapters change nothing: {}",
            fit["reason"].as_str().unwrap()
        ),
    };
    assert!(text.contains(&line), "'{line}' is not in:\n{text}");
}

#[test]
fn derived_columns_as_json_are_those_of_the_rows() {
    let place = place();
    place
        .mock("in out.parquet --scores scores --keep 1 --cells 2 --add sds,cell --quiet")
        .exits(0);
    let kept = shards::read(&place.path("out.parquet"));
    let mut values: Vec<f32> = shards::floats(&kept, "sds").into_iter().flatten().collect();
    values.sort_by(f32::total_cmp);
    let facts = inspect(&place, "scores --json").json()["derived"].clone();
    assert_eq!(
        facts["made_with"],
        json!({"adapters": "none", "cells": "2", "neighbours": "auto", "pairs": "captions", "seed": "0"})
    );
    assert_eq!(
        (&facts["selection"], &facts["shards"]),
        (&Value::Null, &json!(2))
    );
    let [sds] = facts["columns"].as_array().unwrap().as_slice() else {
        panic!("{facts}");
    };
    let float = |value: &Value| value.to_string().parse::<f32>().unwrap();
    assert_eq!(sds["name"], "sds");
    assert_eq!(sds["scores"]["count"], values.len());
    assert_eq!(float(&sds["scores"]["min"]), values[0]);
    let median = &sds["scores"]["quantiles"][4];
    assert_eq!(
        float(&median["score"]),
        values[values.len().div_ceil(2) - 1]
    );
    let cells = kept["cell"].as_primitive::<UInt32Type>();
    let of_cell = |cell| cells.iter().filter(|found| *found == Some(cell)).count();
    let (fewer, more) = (of_cell(0).min(of_cell(1)), of_cell(0).max(of_cell(1)));
    assert_eq!(
        facts["cells"],
        json!({"count": 2, "rows": {"min": fewer, "median": fewer, "max": more}})
    );
}

#[test]
fn a_store_as_json() {
    let place = place();
    place.mock("score in --scores scores --quiet").exits(0);
    let mut facts = inspect(&place, "scores --json").json();
    assert!(facts["size_bytes"].as_u64().unwrap() > 1000);
    facts["size_bytes"] = Value::Null;
    let text = serde_json::to_string_pretty(&facts).unwrap();
    insta::assert_snapshot!(place.without_path(&text), @r#"
    {
      "bad": {
        "empty_image": 2,
        "null_image": 2,
        "truncated_image": 2,
        "unsupported_image": 2
      },
      "claims": 0,
      "derived": null,
      "directory": "scores",
      "format": 2,
      "in_use": false,
      "kind": "store",
      "made_with": {
        "allow_external_paths": false,
        "condition": null,
        "embeddings": "f16",
        "image_column": "image",
        "max_pixels": 178956970,
        "model": {
          "batch_dependent": false,
          "device": "mock",
          "dim": 8,
          "fingerprint": "mock-1",
          "name": "mock",
          "precision": "fp32",
          "preprocessing": "resize 8x8 bilinear, scale 0.003921569 mean [0.5, 0.5, 0.5] std [0.5, 0.5, 0.5]",
          "runtime": ""
        },
        "text_column": "text"
      },
      "models": [
        {
          "fingerprint": "mock-1",
          "key": "38e3fa68c0b92034",
          "name": "mock",
          "precision": "fp32"
        }
      ],
      "rows": 60,
      "rows_bad": 8,
      "rows_decided": 60,
      "rows_stored": 60,
      "scores": {
        "count": 52,
        "max": 0.58820933,
        "mean": -0.038616012065456465,
        "min": -0.6042233,
        "quantiles": [
          {
            "q": 0.01,
            "score": -0.6042233
          },
          {
            "q": 0.05,
            "score": -0.46710157
          },
          {
            "q": 0.1,
            "score": -0.4606893
          },
          {
            "q": 0.25,
            "score": -0.24185765
          },
          {
            "q": 0.5,
            "score": -0.14926797
          },
          {
            "q": 0.75,
            "score": 0.20397742
          },
          {
            "q": 0.9,
            "score": 0.4102556
          },
          {
            "q": 0.95,
            "score": 0.5556984
          },
          {
            "q": 0.99,
            "score": 0.58820933
          }
        ]
      },
      "shards": [
        {
          "decided_rows": 30,
          "file": "same",
          "path": "[DIR]/in/0.parquet",
          "progress": "complete",
          "rows": 30
        },
        {
          "decided_rows": 30,
          "file": "same",
          "path": "[DIR]/in/1.parquet",
          "progress": "complete",
          "rows": 30
        }
      ],
      "size_bytes": null,
      "written_by": "clip-filter 0.1.0"
    }
    "#);
}

#[test]
fn the_scores_are_those_of_the_rows() {
    let place = place();
    place.mock("score in --scores scores --quiet").exits(0);
    place
        .mock("in out.parquet --scores scores --keep 1 --quiet")
        .exits(0);
    let mut scores: Vec<f32> =
        shards::floats(&shards::read(&place.path("out.parquet")), "clip_score")
            .into_iter()
            .flatten()
            .collect();
    scores.sort_by(f32::total_cmp);
    let found = inspect(&place, "scores --json").json()["scores"].clone();
    let float = |value: &Value| value.to_string().parse::<f32>().unwrap();
    assert_eq!(found["count"], scores.len());
    assert_eq!(float(&found["min"]), scores[0]);
    assert_eq!(float(&found["max"]), scores[scores.len() - 1]);
    let median = found["quantiles"].as_array().unwrap()[4].clone();
    assert_eq!(
        float(&median["score"]),
        scores[scores.len().div_ceil(2) - 1]
    );
}

#[test]
fn a_store_in_use_is_shown_as_it_is() {
    let place = place();
    place.mock("score in --scores scores --quiet").exits(0);
    let lock = std::fs::File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(place.path("scores/state/lock"))
        .unwrap();
    lock.lock().unwrap();
    assert_eq!(inspect(&place, "scores --json").json()["in_use"], true);
    let text = shown(&place, "scores");
    assert!(text.contains("in use      by another process"), "{text}");
}

#[test]
fn a_model_is_described_without_a_runtime() {
    let place = Place::new();
    insta::assert_snapshot!(shown(&place, "bundled"), @r"
    model       bundled (quantized, sha256 5eda9f1864d7)
    embeddings  384 numbers
    pixels      over white, shortest edge 260 bicubic, centre crop 260x260, scale 0.003921569 mean [0.49803922, 0.49803922, 0.49803922] std [0.5019608, 0.5019608, 0.5019608]
    as          transformers (Pillow resizes)
    layout      one graph per tower
    images      260 x 260 pixels
    captions    WordPiece with 30,522 tokens; at most 77 per caption, padded to the longest of a batch
    cleaned     by the tokenizer's own rules alone
    example     A Red Fox &amp; 2 dogs, snow_day!
                [CLS] a red fox & amp ; 2 dogs , snow _ day ! [SEP]
                101 1037 2417 4419 1004 23713 1025 1016 6077 1010 4586 1035 2154 999 102
    precision   quantized; no other is here
    files       30.2 MiB
      config.json                           968 B
      onnx/text_model_quantized.onnx     22.6 MiB
      onnx/vision_model_quantized.onnx    7.2 MiB
      preprocessor_config.json              531 B
      tokenizer.json                    455.2 KiB
      tokenizer_config.json                 205 B
    ");
    let directory = Path::new(ROOT).join("assets/model");
    let facts = inspect(&place, &format!("{} --json", directory.display())).json();
    assert_eq!(facts["kind"], "model");
    assert_eq!(facts["card"]["precision"], "quantized");
    assert_eq!(facts["files"].as_array().unwrap().len(), 6);
    let tokenizer =
        json!({"kind": "WordPiece", "vocabulary": 30522, "max_length": 77, "padded_to": null});
    assert_eq!(facts["tokenizer"], tokenizer);
}

#[test]
fn what_cannot_be_inspected_says_what_to_type() {
    let place = place();
    place.mock("score in --scores scores --quiet").exits(0);
    std::fs::write(place.path("notes.txt"), "notes").unwrap();
    std::fs::create_dir(place.path("empty")).unwrap();
    let report = |args: &str| {
        let ran = place.mock(&format!("inspect {args}"));
        assert_eq!(ran.stdout, "");
        format!("{args}: {:?}\n{}", ran.code.unwrap(), ran.stderr)
    };
    let reports: Vec<String> = [
        "notes.txt",
        "empty",
        "gone.parquet",
        "Some/model",
        "scores/manifest.json",
        "scores in",
        "ftp://host/a.parquet",
    ]
    .into_iter()
    .map(report)
    .collect();
    insta::assert_snapshot!(reports.join("\n"), @r"
    notes.txt: 1
    error: failed to inspect a file: it is no Parquet file
      path: notes.txt
      try: give Parquet shards, a --scores directory, a model directory, bundled or hf:org/name

    empty: 1
    error: failed to tell what the directory is: it has no *.parquet file, no manifest of a score store, no ONNX file of a model
      directory: empty
      it holds: nothing
      try: give a directory of shards, a --scores directory, or a model directory with onnx/

    gone.parquet: 1
    error: failed to open the input
      path: gone.parquet
      cause: No such file or directory (os error 2)
      try: give Parquet shards, a --scores directory, a model directory, bundled or hf:org/name

    Some/model: 1
    error: failed to find the path
      path: Some/model
      try: clip-filter inspect hf:Some/model, if it is a model of the hub

    scores/manifest.json: 1
    error: failed to inspect the manifest of a score store: it is no Parquet file
      path: scores/manifest.json
      try: clip-filter inspect scores

    scores in: 2
    error: failed to inspect several things: only shards can be more than one path
      paths: scores, in
      try: clip-filter inspect PATH, with one score store or model at a time

    ftp://host/a.parquet: 2
    error: failed to read a URL as a shard
      input: ftp://host/a.parquet
      try: download or mount it first; URLs begin with abfs, abfss, az, azure, gs, hf, http, https, s3, s3a
    ");
    std::fs::write(place.path("scores/manifest.json"), "{\"format\": 2,").unwrap();
    place
        .mock("inspect scores")
        .exits(1)
        .says(&["it is damaged"]);
}

#[test]
fn the_help_has_examples() {
    let help = Place::new().mock("inspect --help").exits(0).stdout;
    insta::assert_snapshot!(help, @r"
    Say what shards, a score store or a model are, without running a model

    Usage: clip-filter inspect [OPTIONS] <PATH>...

    Arguments:
      <PATH>...  Parquet files, directories, globs or brace ranges; or one directory of scores; or one
                 model: bundled, a directory with ONNX files, or hf:org/name[@revision]

    Options:
          --text-model <MODEL>     Where the text tower of a model is, if PATH has its image tower
                                   alone: a directory or hf:org/name[@revision] [env:
                                   CLIP_FILTER_TEXT_MODEL=]
          --precision <PRECISION>  Variant of a model's weights: fp32, fp16, quantized, ...; auto takes
                                   fp32 if it is there [env: CLIP_FILTER_PRECISION=] [default: auto]
          --check-model            Compare a handful of pairs with the model's own Python stack
                                   (transformers or open_clip, where that is installed), print the
                                   cosines, and fail if a picture or a caption is prepared in another
                                   way [env: CLIP_FILTER_CHECK_MODEL=]
          --offline                Fetch nothing: a hf: model must be in the cache [env:
                                   CLIP_FILTER_OFFLINE=]
          --json                   Print the facts as one JSON object [env: CLIP_FILTER_JSON=]
      -q, --quiet                  Say nothing but errors on stderr [env: CLIP_FILTER_QUIET=]
      -h, --help                   Print help

    Inputs:
          --no-table           Read the files of a Delta, Iceberg or Hudi table as they lie, with rows
                               that it has deleted; if not given, a Delta table is read as a table, and
                               folders of the others are refused [env: CLIP_FILTER_NO_TABLE=]
          --table-version <N>  Read this version of a Delta table, the newest if not given; --version N
                               does, too [env: CLIP_FILTER_TABLE_VERSION=]
          --timestamp <TIME>   Read a Delta table as it was at this time, as in 2026-01-31 or
                               2026-01-31T12:00:00Z; of UTC where no zone is given [env:
                               CLIP_FILTER_TIMESTAMP=]

    Output:
          --config <FILE>  Take options from this TOML file too: keep = 0.2 at the top for the main job,
                           a table such as [score] for a command; a flag wins over the environment, the
                           environment over the file [env: CLIP_FILTER_CONFIG=]

    Reads footers and manifests, and of a score store its scores and the columns computed from its
    embeddings; no image is decoded and, but for --check-model, no model is run, so neither ONNX Runtime
    nor the model of a store is needed. A store can be inspected while it is written to.

    Examples:
      clip-filter inspect in.parquet
      clip-filter inspect 'shards/{00000..00127}.parquet'
      clip-filter inspect scores/ --json
      clip-filter inspect bundled
      clip-filter inspect hf:Xenova/clip-vit-base-patch32 --offline
      clip-filter inspect model/ --check-model
    ");
}
