//! Every score equals the NumPy reference to 1e-5, whichever way it is asked for.

use std::path::PathBuf;

use serde_json::Value;

use super::reference::{CAPTIONED, LABELLED, Reference, assert_scores, single};
use crate::{
    program::{Place, Ran, program},
    shards,
};

/// Columns, and their names in the reference.
const OF_CLASSES: [(&str, &str); 11] = [
    ("sas", "sas"),
    ("sas_margin", "sas_margin"),
    ("sds", "sds_3"),
    ("s_cliploss", "s_cliploss"),
    ("dup_max_sim", "dup_max_sim"),
    ("proto_dist", "proto_dist"),
    ("moderate", "moderate"),
    ("normsim_inf", "normsim_inf"),
    ("normsim_2", "normsim_2"),
    ("vas", "vas"),
    ("selection_score", "selection_score"),
];
/// The same where captions stand for classes and all rows are one cell.
const OF_CAPTIONS: [(&str, &str); 10] = [
    ("sas", "sas_captioned"),
    ("sas_margin", "sas_margin_captioned"),
    ("sds", "sds_3_captioned"),
    ("s_cliploss", "s_cliploss_captioned"),
    ("dup_max_sim", "dup_max_sim_captioned"),
    ("moderate", "moderate_captioned"),
    ("normsim_inf", "normsim_inf"),
    ("normsim_2", "normsim_2"),
    ("vas", "vas"),
    ("selection_score", "selection_score_captioned"),
];

fn names(columns: &[(&str, &str)]) -> String {
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    names.join(",")
}

/// The one file with derived columns in the store.
fn derived_file(place: &Place) -> PathBuf {
    let model = place.only_directory("scores/derived");
    let directory = place.only_directory(model.to_str().unwrap());
    let files = std::fs::read_dir(directory).unwrap();
    let files = files.map(|entry| entry.unwrap().path());
    let mut files = files.filter(|path| path.extension().is_some_and(|end| end == "parquet"));
    files.next().unwrap()
}

fn sql(place: &Place, args: &[&str]) -> Ran {
    let mut command = program();
    command
        .current_dir(place.dir())
        .env("CLIP_FILTER_MODEL", "mock")
        .env("CLIP_FILTER_THREADS", "2")
        .args(["sql", "--scores", "scores", "--format", "json"])
        .args(args);
    command.output().unwrap().into()
}

/// The rows of an answer in JSON.
fn answer(place: &Place, query: &str) -> Vec<Value> {
    let ran = sql(place, &[query]).exits(0);
    ran.json().as_array().unwrap().clone()
}

/// The columns in the store, in an output, in SQL and as plain Parquet are those of the reference.
fn are_those_of_the_reference(columns: &[(&str, &str)], args: &str) {
    let reference = Reference::read();
    let place = reference.place();
    let names = names(columns);
    let report = place
        .mock(&format!("score in.parquet --add {names} {args} --json"))
        .exits(0)
        .json();
    assert_eq!(report["rows_scored"], 0);
    let stored = shards::read(&derived_file(&place));
    place
        .mock(&format!(
            "in.parquet out.parquet --keep 1 --add {names} {args}"
        ))
        .exits(0);
    let written = shards::read(&place.path("out.parquet"));
    assert_eq!(written.num_rows(), reference.labels().len());
    let asked = answer(&place, &format!("SELECT {names} FROM pairs ORDER BY rank"));
    for (name, of_reference) in columns {
        let expected = reference.score(of_reference);
        for (found, at) in [(&stored, "in the store"), (&written, "written")] {
            let found = shards::floats(found, name);
            assert_scores(&found, &expected, &format!("{name} {at}"));
        }
        let found: Vec<Option<f32>> = asked
            .iter()
            .map(|row| row.get(*name)?.as_f64().map(single))
            .collect();
        assert_scores(&found, &expected, &format!("{name} in SQL"));
    }
}

#[test]
fn labelled_scores_are_those_of_the_reference() {
    are_those_of_the_reference(&OF_CLASSES, LABELLED);
}

#[test]
fn captioned_scores_are_those_of_the_reference() {
    are_those_of_the_reference(&OF_CAPTIONS, CAPTIONED);
}

#[test]
fn prompts_are_embedded_as_the_reference_has_them() {
    let reference = Reference::read();
    let place = reference.place();
    let prompts = reference.names().into_iter().map(|name| {
        let name = name.replace('_', " ");
        format!("clip_text_embedding('a photo of a {name}') AS v")
    });
    let queries: Vec<String> = prompts.map(|prompt| format!("SELECT {prompt}")).collect();
    let found = answer(&place, &queries.join(" UNION ALL "));
    let texts = found.iter().flat_map(|row| row["v"].as_array().unwrap());
    let mut texts: Vec<f64> = texts.map(|value| value.as_f64().unwrap()).collect();
    let mut expected: Vec<f64> = reference
        .data("/class_texts")
        .into_iter()
        .map(f64::from)
        .collect();
    // The branches of a union come in any order.
    let order = |texts: &mut Vec<f64>| {
        let mut rows: Vec<Vec<f64>> = texts.chunks(reference.dim()).map(<[f64]>::to_vec).collect();
        rows.sort_by(|a, b| a[0].total_cmp(&b[0]));
        *texts = rows.concat();
    };
    order(&mut texts);
    order(&mut expected);
    assert_eq!(texts.len(), expected.len());
    for (found, expected) in texts.iter().zip(&expected) {
        assert!((found - expected).abs() < 1e-6, "{found}, {expected}");
    }
}

#[test]
fn several_prompts_are_averaged() {
    let reference = Reference::read();
    let place = reference.place();
    let args = format!("score in.parquet --add sas,sas_margin {LABELLED}");
    let prompts = reference.prompts();
    let [one, other] = prompts.as_slice() else {
        panic!("{prompts:?}")
    };
    place
        .mock_with(&args, &["--prompt", one, "--prompt", other])
        .exits(0);
    let stored = shards::read(&derived_file(&place));
    for (name, of_reference) in [("sas", "sas_of_both"), ("sas_margin", "sas_margin_of_both")] {
        let found = shards::floats(&stored, name);
        assert_scores(&found, &reference.score(of_reference), name);
    }
}

#[test]
fn without_adapters_embeddings_are_compared_as_they_are() {
    let reference = Reference::read();
    let place = reference.place();
    place
        .mock("score in.parquet --scores scores --add sas,sas_margin --label-column label")
        .exits(0);
    let stored = shards::read(&derived_file(&place));
    for (name, of_reference) in [("sas", "sas_plain"), ("sas_margin", "sas_margin_plain")] {
        let found = shards::floats(&stored, name);
        assert_scores(&found, &reference.score(of_reference), name);
    }
}

#[test]
fn columns_are_the_same_however_they_are_asked_for() {
    let reference = Reference::read();
    let whole = reference.place();
    let names = names(&OF_CLASSES);
    whole
        .mock(&format!("score in.parquet --add {names} {LABELLED}"))
        .exits(0);
    let expected = shards::read(&derived_file(&whole));
    let one_by_one = reference.place();
    for (name, _) in OF_CLASSES.iter().rev() {
        one_by_one
            .mock(&format!("score in.parquet --add {name} {LABELLED}"))
            .exits(0);
    }
    let found = shards::read(&derived_file(&one_by_one));
    for (name, _) in OF_CLASSES {
        let [found, expected] = [&found, &expected].map(|batch| shards::floats(batch, name));
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn names_of_classes_may_come_from_a_column_a_file_or_the_metadata() {
    let reference = Reference::read();
    let place = reference.place();
    std::fs::write(place.path("names.txt"), reference.names().join("\n")).unwrap();
    for (labels, cells_are_classes) in [
        ("--label-column kind", false),
        ("--label-column label", true),
        ("--label-column label --class-names names.txt", true),
    ] {
        let args = "--adapters adapters.safetensors --neighbours 3 --scores scores";
        place
            .mock(&format!(
                "score in.parquet {labels} {args} --add sas,sas_margin,sds,moderate,cell"
            ))
            .exits(0);
        let stored = shards::read(&derived_file(&place));
        for (name, of_reference) in &OF_CLASSES[..3] {
            let found = shards::floats(&stored, name);
            assert_scores(&found, &reference.score(of_reference), labels);
        }
        let cells = shards::strings(&stored, "cell");
        let classes = reference.labels();
        let mut pairs: Vec<_> = cells.iter().zip(&classes).collect();
        pairs.sort_unstable();
        pairs.dedup();
        assert_eq!(pairs.len(), reference.names().len(), "{labels}: {pairs:?}");
        if cells_are_classes {
            let classes: Vec<Option<String>> = classes
                .iter()
                .map(|class| Some(class.to_string()))
                .collect();
            assert_eq!(cells, classes, "{labels}");
        }
    }
}
