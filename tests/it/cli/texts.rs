//! Help, errors and plans, word for word.

use crate::{
    program::{Place, program},
    shards,
};

fn place() -> Place {
    let place = Place::new();
    shards::write_pairs(&place.path("in.parquet"), &shards::mixed_pairs(30), 8);
    place
}

fn help(flag: &str) -> String {
    String::from_utf8(program().arg(flag).output().unwrap().stdout).unwrap()
}

#[test]
fn long_help() {
    insta::assert_snapshot!(help("--help"));
}

#[test]
fn short_help() {
    insta::assert_snapshot!(help("-h"));
}

#[test]
fn errors_read_as_sentences() {
    let place = place();
    std::fs::write(place.path("text.parquet"), b"no Parquet at all").unwrap();
    let mut all = String::new();
    for (args, condition) in [
        ("in.parquet in.parquet", None),
        ("text.parquet out.parquet", None),
        ("in.parquet out.parquet --on-error fail", None),
        ("in.parquet out.parquet --text-column test", None),
        ("in.parquet out.parquet", Some("ranc > 3")),
        ("in.parquet out.parquet", Some("rank + 1")),
        ("in.parquet out.parquet --keep 3", None),
    ] {
        let more: Vec<&str> = condition
            .into_iter()
            .flat_map(|condition| ["--where", condition])
            .collect();
        let ran = place.mock_with(args, &more);
        let stderr = place.without_path(&ran.stderr);
        all.push_str(&format!(
            "$ clip-filter {args} {}\n{stderr}-> {}\n\n",
            more.join(" "),
            ran.code.unwrap()
        ));
    }
    insta::assert_snapshot!(all);
}

/// The plan without the summary that follows it.
fn plan(condition: &str) -> String {
    let ran = place()
        .mock_with(
            "in.parquet out.parquet -vv --batch-size 16",
            &["--where", condition],
        )
        .exits(0);
    ran.stderr.split("\n\n").next().unwrap().to_owned()
}

#[test]
fn a_condition_on_input_columns_reaches_the_scan_and_the_model_runs_once() {
    let plan = plan(
        "rank < 20 AND text IS NOT NULL AND clip_score > 0 AND clip_score < 0.9 AND width > 10",
    );
    insta::assert_snapshot!(plan);
    assert_eq!(plan.matches("ClipEncodeExec").count(), 1);
}

#[test]
fn a_condition_on_the_image_column_is_kept_out_of_the_scan() {
    insta::assert_snapshot!(plan("image IS NOT NULL AND rank < 20"));
}
