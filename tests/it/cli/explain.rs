//! `clip-filter explain`.

use serde_json::Value;

use crate::{
    program::{Place, Ran},
    shards,
};

/// 60 mixed pairs, the last an image that occurs before; row 3 has no image.
fn place() -> Place {
    let place = Place::new();
    std::fs::create_dir(place.path("in")).unwrap();
    let mut pairs = shards::mixed_pairs(60);
    pairs[59].bytes = pairs[58].bytes.clone();
    shards::write_pairs(&place.path("in/a.parquet"), &pairs, 16);
    place.mock("score in --scores scores --quiet").exits(0);
    place
}

fn explained(place: &Place, args: &str) -> Value {
    let args = format!("explain {args} --scores scores --json --quiet");
    place.mock(&args).exits(0).json()
}

fn rows(place: &Place, query: &str) -> Vec<Value> {
    let ran = place
        .mock_with("sql --scores scores --format ndjson --quiet", &[query])
        .exits(0);
    let lines = ran.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn ranks_and_the_budget_are_those_of_sql() {
    let place = place();
    let ranked = rows(
        &place,
        "SELECT __row, clip_score FROM pairs WHERE clip_score IS NOT NULL ORDER BY clip_score DESC, __row",
    );
    let keep = 20;
    for place_in_order in [0, 19, 20, ranked.len() - 1] {
        let row = &ranked[place_in_order];
        let facts = explained(
            &place,
            &format!(
                "a.parquet:{} --keep-rows {keep} --select clip-score",
                row["__row"]
            ),
        );
        let higher = ranked
            .iter()
            .filter(|other| other["clip_score"].as_f64() > row["clip_score"].as_f64());
        let score = &facts["scores"][0];
        assert_eq!(score["rank"], higher.count() + 1);
        assert_eq!(score["of"], ranked.len());
        assert!(
            (score["score"].as_f64().unwrap() - row["clip_score"].as_f64().unwrap()).abs() < 1e-6
        );
        let kept = place_in_order < keep;
        assert_eq!(facts["row"]["kept"], kept, "{facts:#}");
        let decision = facts["decision"].as_str().unwrap();
        let start = if kept {
            "kept, one of 20 rows: clip_score"
        } else {
            "cut by the budget, which keeps 20 rows"
        };
        assert!(decision.starts_with(start), "{decision}");
    }
}

#[test]
fn every_rule_is_named() {
    let place = place();
    let decision = |args: &str, more: &[&str]| {
        let args = format!("explain --scores scores --json --quiet {args}");
        let facts = place.mock_with(&args, more).exits(0).json();
        (
            facts["row"]["removed_by"].clone(),
            facts["decision"].as_str().unwrap().to_owned(),
        )
    };
    let (rule, text) = decision("a.parquet:3", &[]);
    assert_eq!(rule, "bad");
    assert_eq!(
        text,
        "bad, so it has no score: null_image: the image is null"
    );
    let (rule, text) = decision("a.parquet:5 --condition", &["rank > 7"]);
    assert_eq!(rule, "early_condition");
    assert!(
        text.ends_with("which it does not fulfil: rank > 7"),
        "{text}"
    );
    assert_eq!(
        decision("a.parquet:5 --condition", &["clip_score > 2"]).0,
        "condition"
    );
    let (rule, text) = decision("a.parquet:5 --min-score 2", &[]);
    assert_eq!(
        (rule, text.as_str()),
        (
            "min_score".into(),
            "cut by --min-score 2: its clip_score is below"
        )
    );
    let twins = ["a.parquet:58", "a.parquet:59"].map(|row| {
        decision(
            &format!("{row} --dedup 0.05 --keep 1 --cells 1 --select clip-score"),
            &[],
        )
    });
    let cut = twins.iter().find(|(rule, _)| rule == "duplicate").unwrap();
    assert!(
        cut.1.contains("cosine of 1.0000 to a.parquet:5"),
        "{}",
        cut.1
    );
}

#[test]
fn neighbours_come_most_alike_first() {
    let place = place();
    let facts = explained(&place, "a.parquet:59");
    let neighbours = facts["neighbours"].as_array().unwrap();
    assert_eq!(neighbours.len(), 8);
    assert_eq!(neighbours[0]["row"]["reference"], "a.parquet:58");
    let cosines: Vec<f64> = neighbours
        .iter()
        .map(|near| near["cosine"].as_f64().unwrap())
        .collect();
    assert!(
        cosines.is_sorted_by(|a, b| a >= b) && cosines[0] > 0.999,
        "{cosines:?}"
    );
}

#[test]
fn a_row_is_found_by_a_condition() {
    let place = place();
    let key = format!("{:032x}", 8);
    let by_key = place
        .mock_with(
            "explain in --scores scores --json --quiet --where",
            &[&format!("uid = '{key}'")],
        )
        .exits(0)
        .json();
    assert_eq!(by_key, explained(&place, "in/a.parquet:8 in"));
    assert_eq!(by_key["row"]["key"], key.as_str());
    // A bad row too.
    let bad = place
        .mock_with(
            "explain --scores scores --json --quiet --where",
            &["rank = 3"],
        )
        .exits(0)
        .json();
    assert_eq!(bad["status"], "null_image");
    let text = place
        .mock("explain a.parquet:8 --scores scores --quiet")
        .exits(0)
        .stdout;
    for part in [
        "a.parquet:8",
        "a picture of thing 8",
        "decision",
        "clip_score",
        "quantile",
        "neighbours",
    ] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
}

#[test]
fn an_output_explains_its_rows() {
    let place = place();
    place.mock("in out.parquet --keep 0.5 --quiet").exits(0);
    let facts = place
        .mock("explain out.parquet:0 out.parquet --json --quiet")
        .exits(0)
        .json();
    assert_eq!(facts["row"]["kept"], true);
    assert_eq!(facts["neighbours"], Value::Null);
}

#[track_caller]
fn refused(ran: Ran, texts: &[&str]) {
    ran.exits(2).says(texts);
}

#[test]
fn what_names_no_row_is_refused_with_a_remedy() {
    let place = place();
    let one = |more: &[&str]| place.mock_with("explain --scores scores --where", more);
    refused(
        one(&["rank > 50"]),
        &["9 rows fulfil the condition", "a.parquet:51", "say more"],
    );
    refused(
        one(&["uid = 'none'"]),
        &["no row fulfils", "case-sensitive"],
    );
    refused(one(&["rnk = 3"]), &["rnk"]);
    refused(
        place.mock("explain a.parquet:60 --scores scores"),
        &["shorter", "rows: 60", "count from 0"],
    );
    refused(
        place.mock("explain b.parquet:1 --scores scores"),
        &["find the shard", "a.parquet"],
    );
    refused(
        place.mock("explain in --scores scores"),
        &["none was named"],
    );
    refused(place.mock("explain a.parquet:1"), &["--scores DIR"]);
    refused(
        place.mock("explain a.parquet:1 in"),
        &["without their scores"],
    );
}

#[test]
fn a_second_copy_of_a_shard_is_explained_as_the_first() {
    let place = place();
    std::fs::copy(place.path("in/a.parquet"), place.path("in/b.parquet")).unwrap();
    place.mock("score in --scores scores --quiet").exits(0);
    let [first, second] = ["a", "b"].map(|name| explained(&place, &format!("{name}.parquet:5 in")));
    assert_eq!(first["scores"], second["scores"]);
    let near = |facts: &Value| -> Vec<(String, f64)> {
        let found = facts["neighbours"].as_array().unwrap().iter();
        let near = found.map(|near| {
            let row = near["row"]["reference"].as_str().unwrap().to_owned();
            (row, near["cosine"].as_f64().unwrap())
        });
        near.collect()
    };
    let [first, second] = [near(&first), near(&second)];
    // The other copy, then the same rows.
    assert_eq!(first[0], ("b.parquet:5".to_owned(), 1.0));
    assert_eq!(second[0], ("a.parquet:5".to_owned(), 1.0));
    assert_eq!((first.len(), &first[1..]), (8, &second[1..]));
}
