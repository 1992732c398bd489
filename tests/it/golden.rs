//! Embeddings and token ids against the Python stack (see `tests/golden/README.md`).

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, StringArray},
    datatypes::Int64Type,
};
use clip_filter::{
    encode::{ModelSource, ModelSpec, Precision},
    preprocess::{Tokenize, TokenizeOptions},
};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{
    program::{Place, ROOT, Ran, program},
    runtime, shards,
};

fn golden(name: &str) -> PathBuf {
    Path::new(ROOT).join("tests/golden").join(name)
}

fn manifest() -> Value {
    serde_json::from_slice(&std::fs::read(golden("manifest.json")).unwrap()).unwrap()
}

/// One model of the manifest, put together in a directory of its own.
struct Layout {
    facts: Value,
    place: Place,
    /// What `--model` takes.
    model: String,
}

impl Layout {
    fn assemble(name: &str) -> Self {
        let facts = manifest()["layouts"][name].clone();
        assert!(facts.is_object(), "{name} is not in the manifest");
        let place = Place::new();
        let model = match facts["files"].as_object() {
            None => name.to_owned(),
            Some(files) => {
                for (target, source) in files {
                    let target = place.path("model").join(target);
                    std::fs::create_dir_all(target.parent().unwrap()).unwrap();
                    std::os::unix::fs::symlink(golden(source.as_str().unwrap()), target).unwrap();
                }
                place.path("model").to_str().unwrap().to_owned()
            }
        };
        Self {
            facts,
            place,
            model,
        }
    }

    fn precision(&self) -> &str {
        self.facts["precision"].as_str().unwrap()
    }

    fn reference(&self) -> Reference {
        Reference::read(self.facts["reference"].as_str().unwrap())
    }

    fn spec(&self) -> ModelSpec {
        let source = match self.model.as_str() {
            "bundled" => ModelSource::Bundled,
            path => ModelSource::Directory(path.into()),
        };
        ModelSpec::open(&source, &Precision::Variant(self.precision().to_owned())).unwrap()
    }

    /// Every row of `input` with both embeddings and its status, and the report.
    fn run(&self, input: &Path, args: &[&str]) -> (RecordBatch, Value) {
        let output = self.place.path("out.parquet");
        let mut command = program();
        command.arg(input).arg(&output).args([
            "--model",
            &self.model,
            "--precision",
            self.precision(),
        ]);
        command.arg("--onnxruntime").arg(runtime::library());
        command.args([
            "--device",
            "cpu",
            "--offline",
            "--keep",
            "1",
            "--on-error",
            "keep",
            "--overwrite",
            "--json",
        ]);
        command
            .args(["--add", "image_embedding,text_embedding,status"])
            .args(args);
        let ran = Ran::from(command.output().unwrap()).exits(0);
        (shards::read(&output), ran.json())
    }
}

/// A CLIP in the layout of the hub, and the directory it lies in.
pub(crate) fn clip_pair() -> (Place, ModelSpec) {
    let layout = Layout::assemble("clip-xenova");
    let spec = layout.spec();
    (layout.place, spec)
}

/// The same in 16-bit floats.
pub(crate) fn clip_half() -> (Place, ModelSpec) {
    let layout = Layout::assemble("clip-xenova");
    let source = ModelSource::Directory(layout.model.clone().into());
    let spec = ModelSpec::open(&source, &Precision::Variant("fp16".to_owned())).unwrap();
    (layout.place, spec)
}

/// What Python answered.
struct Reference(RecordBatch);

impl Reference {
    fn read(name: &str) -> Self {
        Self(shards::read(&golden(name)))
    }

    fn of_source(&self, source: &str) -> RecordBatch {
        let keep: Vec<bool> = shards::strings(&self.0, "source")
            .into_iter()
            .map(|found| found.as_deref() == Some(source))
            .collect();
        shards::filter(&self.0, &keep)
    }

    /// Captions with the ids that they must become.
    fn ids(&self) -> Vec<(String, Vec<i64>)> {
        let ids = self.0.column_by_name("ids").unwrap().as_list::<i32>();
        let captions = shards::strings(&self.0, "caption")
            .into_iter()
            .zip(ids.iter());
        captions
            .filter_map(|(caption, ids)| {
                Some((caption?, ids?.as_primitive::<Int64Type>().values().to_vec()))
            })
            .collect()
    }
}

/// The sample's rows that the reference has, then its nasty captions on one picture, as `uid, image, text`.
fn public_input(reference: &Reference, place: &Place) -> PathBuf {
    let sample = shards::read(&Path::new(ROOT).join("assets/sample.parquet"));
    let known: Vec<_> = shards::strings(&reference.of_source("sample"), "key");
    let keep: Vec<bool> = shards::strings(&sample, "uid")
        .iter()
        .map(|uid| known.contains(uid))
        .collect();
    let rows = shards::filter(&shards::project(&sample, &["uid", "image", "text"]), &keep);
    assert_eq!(rows.num_rows(), known.len());
    let nasty = reference.of_source("nasty");
    let keys: ArrayRef = Arc::new(StringArray::from(shards::strings(&nasty, "key")));
    let captions: ArrayRef = Arc::new(StringArray::from(shards::strings(&nasty, "caption")));
    let first = shards::take(&rows, &vec![0; nasty.num_rows()]);
    let nasty =
        RecordBatch::try_new(rows.schema(), vec![keys, first.column(1).clone(), captions]).unwrap();
    let path = place.path("public.parquet");
    shards::write(
        &path,
        &arrow::compute::concat_batches(&rows.schema(), [&rows, &nasty]).unwrap(),
    );
    path
}

type Vectors = BTreeMap<String, Vec<f32>>;

/// Vectors by key, of rows that have one.
fn by_key(batch: &RecordBatch, key: &str, column: &str) -> Vectors {
    let keys = shards::strings(batch, key).into_iter().map(Option::unwrap);
    keys.zip(shards::vectors(batch, column))
        .filter_map(|(key, vector)| Some((key, vector?)))
        .collect()
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let dot = |a: &[f32], b: &[f32]| {
        a.iter()
            .zip(b)
            .map(|(a, b)| f64::from(*a) * f64::from(*b))
            .sum::<f64>()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// Mean and least cosine between the vectors of keys that both have, and how many.
fn agreement(ours: &Vectors, theirs: &Vectors) -> (f64, f64, usize) {
    let cosines: Vec<f64> = ours
        .iter()
        .filter_map(|(key, vector)| Some(cosine(vector, theirs.get(key)?)))
        .collect();
    let mean = cosines.iter().sum::<f64>() / cosines.len() as f64;
    (
        mean,
        cosines.iter().copied().fold(1.0, f64::min),
        cosines.len(),
    )
}

/// Compares `written` with the reference's rows of `source`; what is below the bounds comes back as text.
fn disagreements(layout: &Layout, written: &RecordBatch, key: &str, source: &str) -> Vec<String> {
    let reference = layout.reference().of_source(source);
    let bound = |name: &str| layout.facts[name].as_f64();
    let mut found = Vec::new();
    for column in ["image_embedding", "text_embedding"] {
        let theirs = by_key(&reference, "key", column);
        if theirs.is_empty() {
            continue;
        }
        let (mean, least, rows) = agreement(&by_key(written, key, column), &theirs);
        // One nasty caption is nothing but white space: a bad row here, a vector there.
        let missing = theirs.len() - rows;
        let line = format!(
            "{source} {column}: cosine mean {mean:.6}, min {least:.6} over {rows} rows, {missing} missing"
        );
        eprintln!("{} {line}", layout.model.rsplit('/').next().unwrap());
        let below = mean <= bound("cosine_mean").unwrap()
            || bound("cosine_min").is_some_and(|bound| least <= bound);
        if below || missing > usize::from(source == "nasty") || rows == 0 {
            found.push(line);
        }
    }
    found
}

/// The public rows, then the development pictures if they are there.
fn check(name: &str, args: &[&str]) -> (RecordBatch, Value) {
    let layout = Layout::assemble(name);
    let input = public_input(&layout.reference(), &layout.place);
    let (written, report) = layout.run(&input, args);
    let mut wrong = disagreements(&layout, &written, "uid", "sample");
    wrong.extend(disagreements(&layout, &written, "uid", "nasty"));
    let pictures = [
        ("captioned", "captioned-photos-500.parquet", "key"),
        ("full-size", "full-size-photos-150.parquet", "uid"),
        ("hostile", "hostile-images.parquet", "key"),
    ];
    for (source, file, key) in pictures {
        if layout.reference().of_source(source).num_rows() == 0 {
            continue;
        }
        let Some(folder) = runtime::shared_data(&format!("{name} {source}")) else {
            break;
        };
        let (written, _) = layout.run(
            &folder.join(file),
            &[
                args,
                &[
                    "--text-column",
                    if source == "full-size" {
                        "caption"
                    } else {
                        "text"
                    },
                ],
            ]
            .concat(),
        );
        wrong.extend(disagreements(&layout, &written, key, source));
    }
    assert!(
        wrong.is_empty(),
        "{name} is further from the reference than its bounds allow:\n{}",
        wrong.join("\n")
    );
    (written, report)
}

#[test]
fn the_files_are_those_of_the_manifest() {
    let manifest = manifest();
    let listed = |name: &str| manifest[name].as_object().unwrap().clone();
    let public = listed("sha256")
        .into_iter()
        .map(|(file, hash)| (golden(&file), hash));
    let assets = Path::new(ROOT).join("assets/model/onnx");
    let bundled = listed("bundled_sha256")
        .into_iter()
        .map(|(file, hash)| (assets.join(file), hash));
    for (path, hash) in public.chain(bundled) {
        let digest: String = Sha256::digest(std::fs::read(&path).unwrap())
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(digest, hash.as_str().unwrap(), "{}", path.display());
    }
}

#[test]
fn token_ids_are_equal_for_every_caption_in_every_layout() {
    let mut wrong = Vec::new();
    let mut compare = |name: &str, tokens: &Tokenize, ids: Vec<(String, Vec<i64>)>| {
        assert!(ids.len() >= 47, "{name}: {} captions", ids.len());
        for (caption, expected) in ids {
            let found = tokens.encode(&[&caption]).unwrap().remove(0);
            if found != expected {
                wrong.push(format!(
                    "{name}: {caption:?}\n  expected {expected:?}\n  found    {found:?}"
                ));
            }
        }
    };
    for name in manifest()["layouts"].as_object().unwrap().keys() {
        let layout = Layout::assemble(name);
        let spec = layout.spec();
        let tokens = spec.preprocessing().unwrap().tokens;
        // The CLIP layouts share one tokenizer, and all but open_clip's leave captions as they are.
        let reference = if name.starts_with("clip") && name != "clip-open_clip" {
            Reference::read("clip.parquet")
        } else {
            layout.reference()
        };
        compare(name, &tokens, reference.ids());
    }
    for (file, reference) in manifest()["tokenizers"].as_object().unwrap() {
        let tokens = Tokenize::try_new(
            &std::fs::read(golden(file)).unwrap(),
            &TokenizeOptions::default(),
        )
        .unwrap();
        compare(
            file,
            &tokens,
            Reference::read(reference.as_str().unwrap()).ids(),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_clip_pair_agrees() {
    let (_, report) = check("clip-xenova", &[]);
    assert_eq!(
        (
            &report["model"]["precision"],
            &report["model"]["batch_dependent"]
        ),
        (&"fp32".into(), &false.into())
    );
}

#[test]
fn a_combined_graph_agrees() {
    check("clip-combined", &[]);
}

#[test]
fn an_open_clip_pair_agrees() {
    check("clip-open_clip", &[]);
}

#[test]
fn half_precision_agrees() {
    let (_, report) = check("clip-fp16", &[]);
    assert_eq!(report["model"]["precision"], "fp16");
}

#[test]
fn a_siglip_pair_agrees() {
    check("siglip-xenova", &[]);
}

#[test]
fn the_bundled_model_agrees() {
    let (_, report) = check("bundled", &[]);
    assert_eq!(report["model"]["name"], "bundled");
}

#[test]
fn a_dynamically_quantised_model_agrees_row_by_row() {
    let (_, report) = check("clip-quantized", &["--reproducible"]);
    assert_eq!(report["model"]["batch_dependent"], true);
    assert!(
        !report["warnings"].to_string().contains("quantises"),
        "{}",
        report["warnings"]
    );
}

#[test]
fn a_dynamically_quantised_model_is_named_in_summary_and_metadata() {
    let layout = Layout::assemble("clip-quantized");
    let input = public_input(&layout.reference(), &layout.place);
    let (_, report) = layout.run(&input, &[]);
    assert_eq!(
        (
            &report["model"]["batch_dependent"],
            &report["model"]["precision"]
        ),
        (&true.into(), &"quantized".into())
    );
    assert!(
        report["warnings"].to_string().contains("--reproducible"),
        "{}",
        report["warnings"]
    );
    let model = shards::file_value(&layout.place.path("out.parquet"), "clip_filter.model").unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(&model).unwrap(),
        report["model"]
    );
}

#[test]
fn reproducible_rows_of_a_quantised_model_do_not_depend_on_the_batch() {
    let layout = Layout::assemble("clip-quantized");
    let input = public_input(&layout.reference(), &layout.place);
    let (alone, _) = layout.run(
        &input,
        &["--reproducible", "--batch-size", "1", "--threads", "1"],
    );
    let (together, _) = layout.run(
        &input,
        &["--reproducible", "--batch-size", "16", "--threads", "2"],
    );
    assert_eq!(alone.columns(), together.columns(), "exactly");
}

/// Batch sizes and threads must not move a vector: exact for one image tower thread, else cosine > 0.99999.
fn does_not_depend_on_batch_or_threads(name: &str) {
    let layout = Layout::assemble(name);
    let input = public_input(&layout.reference(), &layout.place);
    let (alone, _) = layout.run(&input, &["--batch-size", "1", "--threads", "1"]);
    let mut wrong = Vec::new();
    for args in [
        ["--batch-size", "16", "--threads", "1"],
        ["--batch-size", "1", "--threads", "4"],
        ["--batch-size", "7", "--threads", "4"],
    ] {
        let (other, _) = layout.run(&input, &args);
        for column in ["image_embedding", "text_embedding"] {
            let (ours, theirs) = (by_key(&other, "uid", column), by_key(&alone, "uid", column));
            assert_eq!(ours.len(), theirs.len());
            let (mean, least, rows) = agreement(&ours, &theirs);
            let equal = ours
                .iter()
                .filter(|(key, vector)| theirs[*key] == **vector)
                .count();
            let line = format!(
                "{} {column}: cosine mean {mean:.8}, min {least:.8}, {equal} of {rows} exact",
                args.join(" ")
            );
            eprintln!("{name} {line}");
            if least <= 0.99999 {
                wrong.push(line);
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{name} against one row and one thread:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn fp32_vectors_do_not_depend_on_batch_or_threads() {
    for name in ["clip-xenova", "clip-combined", "siglip-xenova"] {
        does_not_depend_on_batch_or_threads(name);
    }
}

#[test]
fn bundled_vectors_do_not_depend_on_batch_or_threads() {
    does_not_depend_on_batch_or_threads("bundled");
}

#[test]
fn the_combined_graph_and_the_pair_are_one_model() {
    let (pair, combined) = (
        Layout::assemble("clip-xenova"),
        Layout::assemble("clip-combined"),
    );
    let input = public_input(&pair.reference(), &pair.place);
    let ((a, _), (b, _)) = (pair.run(&input, &[]), combined.run(&input, &[]));
    for column in ["image_embedding", "text_embedding"] {
        let (_, least, rows) = agreement(&by_key(&a, "uid", column), &by_key(&b, "uid", column));
        assert!(
            least > 0.99999 && rows > 100,
            "{column}: {least} over {rows}"
        );
    }
    assert_eq!(a.column_by_name("status").unwrap().null_count(), 0);
}
