//! Which rows stay.

use arrow::array::{Array, AsArray, RecordBatch};

use crate::{
    pictures,
    program::Place,
    shards::{self, Pair},
};

/// `rows` mixed pairs as `in.parquet`, in row groups of 16, and the scores of all rows (null on bad ones).
fn scored(rows: u32) -> (Place, RecordBatch) {
    let place = Place::new();
    shards::write_pairs(&place.path("in.parquet"), &shards::mixed_pairs(rows), 16);
    place
        .mock("in.parquet all.parquet --keep 1 --on-error keep --add status")
        .exits(0);
    let all = shards::read(&place.path("all.parquet"));
    assert_eq!(all.num_rows(), rows as usize);
    (place, all)
}

/// The rows among `candidates` with the `budget` best scores, ties by row order, in row order.
fn best(
    scores: &[Option<f32>],
    candidates: impl Fn(usize, f32) -> bool,
    budget: usize,
) -> Vec<usize> {
    let score = |row: usize| scores[row].unwrap();
    let mut rows: Vec<usize> = (0..scores.len())
        .filter(|&row| scores[row].is_some_and(|score| candidates(row, score)))
        .collect();
    rows.sort_by(|&a, &b| score(b).total_cmp(&score(a)));
    rows.truncate(budget);
    rows.sort_unstable();
    rows
}

fn round_half_up(keep_per_mille: usize, candidates: usize) -> usize {
    (2 * keep_per_mille * candidates + 1000) / 2000
}

/// Runs with `args` and checks the rows written, and kept + cut + bad = rows in.
#[track_caller]
fn expect(place: &Place, args: &str, condition: Option<&str>, rows: &[usize]) {
    let more: Vec<&str> = condition
        .into_iter()
        .flat_map(|condition| ["--where", condition])
        .collect();
    let ran = place
        .mock_with(
            &format!("in.parquet out.parquet --overwrite --json --select clip-score {args}"),
            &more,
        )
        .exits(0);
    let written = shards::read(&place.path("out.parquet"));
    assert_eq!(shards::row_numbers(&written), rows, "{args} {condition:?}");
    let report = ran.json();
    let count = |name: &str| report[name].as_u64().unwrap();
    assert_eq!(count("rows_kept"), rows.len() as u64);
    assert_eq!(
        count("rows_kept") + count("rows_cut") + count("rows_bad"),
        count("rows_in")
    );
    let by_reason: u64 = report["bad"]
        .as_object()
        .unwrap()
        .values()
        .map(|rows| rows.as_u64().unwrap())
        .sum();
    assert_eq!(by_reason, count("rows_bad"));
}

#[test]
fn every_combination_means_where_then_min_score_then_keep() {
    let (place, all) = scored(60);
    let scores = shards::floats(&all, "clip_score");
    let good = scores.iter().flatten().count();
    assert_eq!(good, 51);
    let any = |_: usize, _: f32| true;
    expect(
        &place,
        "",
        None,
        &best(&scores, any, round_half_up(300, good)),
    );
    expect(&place, "--keep 1", None, &best(&scores, any, good));
    expect(&place, "--keep 0.5", None, &best(&scores, any, 26));
    expect(&place, "--keep-rows 7", None, &best(&scores, any, 7));
    expect(&place, "--keep-rows 1000", None, &best(&scores, any, good));
    expect(&place, "--keep-rows 0", None, &[]);
    let above = |_: usize, score: f32| score >= 0.1;
    let many = best(&scores, above, good).len();
    assert!(many > 10 && many < good, "{many}");
    expect(&place, "--min-score 0.1", None, &best(&scores, above, good));
    expect(
        &place,
        "--threshold=-0.1",
        None,
        &best(&scores, |_, score| score >= -0.1, good),
    );
    expect(
        &place,
        "--min-score 0.1 --keep 0.5",
        None,
        &best(&scores, above, round_half_up(500, many)),
    );
    expect(
        &place,
        "--min-score 0.1 --keep-rows 5",
        None,
        &best(&scores, above, 5),
    );
    expect(&place, "--min-score 2", None, &[]);
    let odd = |row: usize, _: f32| row % 2 == 1;
    let both = |row: usize, score: f32| odd(row, score) && above(row, score);
    let odds = best(&scores, odd, good).len();
    expect(&place, "", Some("rank % 2 = 1"), &best(&scores, odd, good));
    expect(
        &place,
        "--keep 0.5",
        Some("rank % 2 = 1"),
        &best(&scores, odd, round_half_up(500, odds)),
    );
    let rows = best(&scores, both, good).len();
    expect(
        &place,
        "--min-score 0.1",
        Some("rank % 2 = 1"),
        &best(&scores, both, good),
    );
    expect(
        &place,
        "--min-score 0.1 --keep 0.5",
        Some("rank % 2 = 1"),
        &best(&scores, both, round_half_up(500, rows)),
    );
    expect(
        &place,
        "--keep-rows 3",
        Some("rank % 2 = 1 AND clip_score >= 0.1"),
        &best(&scores, both, 3),
    );
}

#[test]
fn captions_are_ordered_by_s_cliploss_unless_clip_score_is_asked_for() {
    let (place, all) = scored(60);
    place
        .mock("in.parquet every.parquet --keep 1 --on-error keep --add s_cliploss")
        .exits(0);
    let order = shards::floats(&shards::read(&place.path("every.parquet")), "s_cliploss");
    let scores = shards::floats(&all, "clip_score");
    let any = |_: usize, _: f32| true;
    let run = |args: &str| {
        let ran = place
            .mock(&format!("in.parquet out.parquet --overwrite --json {args}"))
            .exits(0);
        let written = shards::read(&place.path("out.parquet"));
        (shards::row_numbers(&written), ran.json())
    };
    let (rows, summary) = run("--keep-rows 13");
    let (expected, others) = (best(&order, any, 13), best(&scores, any, 13));
    assert_ne!(expected, others);
    assert_eq!(rows, expected);
    assert_eq!(summary["ordered_by"], "s_cliploss");
    assert_eq!(summary["selection"], "keep 13 rows by s_cliploss");
    let lowest = expected.iter().filter_map(|&row| order[row]);
    let lowest = lowest.fold(f32::INFINITY, f32::min);
    let said: f32 = serde_json::from_value(summary["lowest_kept_order"].clone()).unwrap();
    assert_eq!(said, lowest);
    assert_eq!(run("--keep-rows 13 --select s-cliploss").0, expected);
    let (rows, summary) = run("--keep-rows 13 --select clip-score");
    assert_eq!(
        (rows, &summary["ordered_by"]),
        (others, &"clip_score".into())
    );
    // Where nothing has to be ordered, nothing is compared.
    assert_eq!(
        run("--min-score 0.1").1["ordered_by"],
        serde_json::Value::Null
    );
}

#[test]
fn a_store_without_embeddings_orders_by_clip_score_and_says_so() {
    let (place, all) = scored(60);
    place
        .mock("score in.parquet --scores scores --embeddings none --quiet")
        .exits(0);
    let ran = place
        .mock("in.parquet out.parquet --scores scores --keep-rows 13 --json")
        .exits(0)
        .says(&["ordered by clip_score", "no embeddings"]);
    assert_eq!(ran.json()["ordered_by"], "clip_score");
    let scores = shards::floats(&all, "clip_score");
    let written = shards::read(&place.path("out.parquet"));
    assert_eq!(
        shards::row_numbers(&written),
        best(&scores, |_, _| true, 13)
    );
}

#[test]
fn conditions_may_name_input_columns_added_columns_and_both() {
    let (place, all) = scored(40);
    let scores = shards::floats(&all, "clip_score");
    let rows = |wanted: &dyn Fn(usize, f32) -> bool| best(&scores, wanted, 1000);
    let expect = |condition: &str, wanted: &dyn Fn(usize, f32) -> bool| {
        expect(&place, "", Some(condition), &rows(wanted));
    };
    expect("rank < 10", &|row, _| row < 10);
    expect("clip_score > 0", &|_, score| score > 0.0);
    expect("rank < 10 OR clip_score > 0.2", &|row, score| {
        row < 10 || score > 0.2
    });
    expect(
        "rank < 30 AND clip_score > 0 AND width = 16 AND height < 13",
        &|row, score| row < 30 && score > 0.0,
    );
    expect("width > 16", &|_, _| false);
    expect("status = 'ok'", &|_, _| true);
    expect("text LIKE '%thing 1%'", &|row, _| {
        row == 1 || (10..20).contains(&row)
    });
    expect("rank IN (1, 2, 8) AND uid IS NOT NULL", &|row, _| {
        [1, 2, 8].contains(&row)
    });
    expect("image IS NOT NULL AND rank < 5", &|row, _| row < 5);
    expect("image['path'] IS NULL", &|_, _| true);
    expect("length(text) > 20 AND rank > 5", &|row, _| row >= 10);
    expect("true", &|_, _| true);
    expect("false", &|_, _| false);
    expect("NULL::boolean", &|_, _| false);
    expect("rank % 2 = random() * 0 AND rank < 9", &|row, _| {
        row < 9 && row % 2 == 0
    });
}

#[test]
fn rows_cut_by_a_condition_on_input_columns_are_never_decoded() {
    let (place, _) = scored(60);
    let ran = place
        .mock_with(
            "in.parquet out.parquet --json -vv",
            &["--where", "rank < 20"],
        )
        .exits(0);
    let report = ran.json();
    // Rows 3, 10 and 17 are bad; later bad rows were cut before anybody looked.
    assert_eq!(report["rows_bad"], 3);
    assert_eq!(
        (&report["rows_kept"], &report["rows_cut"]),
        (&17.into(), &40.into())
    );
    let late = place.mock_with(
        "in.parquet late.parquet --json",
        &["--where", "rank + clip_score * 0 < 20"],
    );
    assert_eq!(late.exits(0).json()["rows_bad"], 9);
}

#[test]
fn conditions_may_call_the_functions_of_this_program() {
    let (place, _) = scored(14);
    for (condition, rows, bad) in [
        (
            "image_width(image) = 16 AND text_length(text) > 20",
            vec![11, 12, 13],
            0,
        ),
        ("cosine_similarity([rank, 4], [3, 4]) > 0.98", vec![2, 4], 1),
        ("image_status(image) = 'empty_image'", vec![], 1),
        (
            "clip_score > -2 AND word_count(text) = 5 AND rank < 3",
            vec![0, 1, 2],
            0,
        ),
    ] {
        let ran = place
            .mock_with(
                "in.parquet out.parquet --overwrite --json",
                &["--where", condition],
            )
            .exits(0);
        let kept = shards::row_numbers(&shards::read(&place.path("out.parquet")));
        assert_eq!(kept, rows, "{condition}");
        assert_eq!(ran.json()["rows_bad"], bad, "{condition}");
    }
}

#[test]
fn equal_scores_stay_in_row_order() {
    let place = Place::new();
    let mut pairs: Vec<Pair> = (0..40)
        .map(|_| Pair::new(pictures::bmp(1), "the same"))
        .collect();
    pairs[35] = Pair::new(pictures::bmp(2), "another");
    shards::write_pairs(&place.path("in.parquet"), &pairs, 8);
    place.mock("in.parquet all.parquet --keep 1").exits(0);
    let scores = shards::floats(&shards::read(&place.path("all.parquet")), "clip_score");
    assert_ne!(scores[0], scores[35]);
    for budget in [1, 2, 13, 39] {
        expect(
            &place,
            &format!("--keep-rows {budget}"),
            None,
            &best(&scores, |_, _| true, budget),
        );
    }
}

#[test]
fn ties_go_by_row_order_over_shards_too() {
    let place = Place::new();
    for name in ["a", "b"] {
        let pairs: Vec<Pair> = (0..5)
            .map(|_| Pair::new(pictures::bmp(1), "the same"))
            .collect();
        shards::write_pairs(&place.path(&format!("{name}.parquet")), &pairs, 2);
    }
    place
        .mock("b.parquet a.parquet out.parquet --keep-rows 7 --add status")
        .exits(0);
    let written = shards::read(&place.path("out.parquet"));
    assert_eq!(
        shards::row_numbers(&written),
        [0, 1, 2, 3, 4, 0, 1],
        "shards in the order of the arguments"
    );
}

#[test]
fn fractions_round_half_up_and_count_good_rows_only() {
    let place = Place::new();
    for (rows, keep, kept) in [
        (5, "0.5", 3),
        (5, "0.1", 1),
        (4, "0.1", 0),
        (10, "0.25", 3),
        (1, "0.3", 0),
        (2, "0.3", 1),
    ] {
        let mut pairs = shards::good_pairs(rows);
        pairs.insert(
            0,
            Pair {
                bytes: None,
                path: None,
                text: Some("bad".to_owned()),
            },
        );
        shards::write_pairs(&place.path("in.parquet"), &pairs, 100);
        let ran = place
            .mock(&format!(
                "in.parquet out.parquet --overwrite --json --keep {keep}"
            ))
            .exits(0);
        assert_eq!(ran.json()["rows_kept"], kept, "{keep} of {rows}");
    }
}

#[test]
fn a_run_without_a_selection_keeps_three_tenths_and_says_so() {
    let (place, _) = scored(20);
    let ran = place
        .mock("in.parquet out.parquet --json")
        .exits(0)
        .says(&["no selection was given", "0.3"]);
    let report = ran.json();
    assert_eq!(
        (&report["rows_kept"], &report["selection"]),
        (&5.into(), &"keep 0.3 by s_cliploss".into())
    );
    assert!(
        report["warnings"][0]
            .as_str()
            .unwrap()
            .contains("no selection was given")
    );
    let ran = place
        .mock("in.parquet other.parquet --min-score 0")
        .exits(0);
    assert!(!ran.stderr.contains("no selection was given"));
}

#[test]
fn a_selection_that_makes_no_sense_is_a_usage_error() {
    let (place, _) = scored(8);
    let refused = |args: &str, condition: Option<&str>, says: &[&str]| {
        let more: Vec<&str> = condition
            .into_iter()
            .flat_map(|condition| ["--where", condition])
            .collect();
        place
            .mock_with(&format!("in.parquet out.parquet {args}"), &more)
            .exits(2)
            .says(says);
        assert!(!place.path("out.parquet").exists());
    };
    refused("--keep 0", None, &["(0, 1]"]);
    refused("--keep 30%", None, &["(0, 1]"]);
    refused("--keep 1.5", None, &["(0, 1]"]);
    refused("--keep 0.3 --keep-rows 3", None, &["cannot be used with"]);
    refused("--keep-rows -3", None, &[]);
    refused("--min-score high", None, &["invalid value"]);
    refused("--min-score nan", None, &["not a number"]);
    refused("", Some("ranc > 3"), &["--where", "ranc", "rank"]);
    refused("", Some("rank + 1"), &["not true or false", "rank + 1"]);
    refused("", Some("rank >"), &["--where", "rank >"]);
    refused("", Some("nosuch(rank)"), &["nosuch"]);
    refused("", Some("word_count(rank) > 1"), &["word_count(Int64)"]);
    refused("", Some("rank > 3; DROP TABLE pairs"), &["--where"]);
    refused("", Some("rank IN (SELECT 1)"), &["more than one row"]);
    refused(
        "",
        Some("rank = (SELECT 1) AND clip_score > 0"),
        &["more than one row"],
    );
    refused("", Some("EXISTS (SELECT 1)"), &["more than one row"]);
    refused("", Some("count(*) > 3"), &["more than one row"]);
    refused("", Some("row_number() OVER () < 3"), &["more than one row"]);
    refused("", Some("rank IN (SELECT rank FROM pairs)"), &["--where"]);
    refused("", Some(""), &["--where"]);
}

#[test]
fn scores_do_not_depend_on_threads_batch_size_row_groups_or_memory() {
    let (place, all) = scored(50);
    let expected = all.columns();
    for args in [
        "--threads 1",
        "--threads 4",
        "--batch-size 1",
        "--batch-size 7",
        "--batch-size 16 --threads 4",
        "--memory-limit 300MiB",
    ] {
        let ran = place.mock(&format!(
            "in.parquet other.parquet --overwrite --keep 1 --on-error keep --add status {args}"
        ));
        ran.exits(0);
        let other = shards::read(&place.path("other.parquet"));
        assert_eq!(other.columns(), expected, "{args}");
    }
    for group_rows in [1, 7, 1000] {
        shards::write_pairs(
            &place.path("regrouped.parquet"),
            &shards::mixed_pairs(50),
            group_rows,
        );
        place
            .mock(
                "regrouped.parquet other.parquet --overwrite --keep 1 --on-error keep --add status",
            )
            .exits(0);
        assert_eq!(
            shards::read(&place.path("other.parquet")).columns(),
            expected,
            "{group_rows} rows a group"
        );
    }
}

#[test]
fn the_same_command_writes_the_same_bytes() {
    let (place, _) = scored(50);
    let mut files = Vec::new();
    for _ in 0..2 {
        place
            .mock("in.parquet again.parquet --overwrite --keep 0.4 --add image_embedding,width")
            .exits(0);
        files.push(std::fs::read(place.path("again.parquet")).unwrap());
    }
    assert!(files[0] == files[1]);
}

#[test]
fn clip_score_is_a_plain_cosine_and_embeddings_have_length_one() {
    let (place, _) = scored(12);
    place
        .mock("in.parquet e.parquet --keep 1 --add image_embedding,text_embedding")
        .exits(0);
    let written = shards::read(&place.path("e.parquet"));
    let (images, texts) = (
        shards::vectors(&written, "image_embedding"),
        shards::vectors(&written, "text_embedding"),
    );
    for ((score, image), text) in shards::floats(&written, "clip_score")
        .into_iter()
        .zip(images)
        .zip(texts)
    {
        let (image, text) = (image.unwrap(), text.unwrap());
        let cosine: f32 = image.iter().zip(&text).map(|(a, b)| a * b).sum();
        let length: f32 = image.iter().map(|a| a * a).sum();
        assert!((score.unwrap() - cosine).abs() < 1e-6 && (length - 1.0).abs() < 1e-5);
    }
    assert!(
        written
            .column_by_name("clip_score")
            .unwrap()
            .as_primitive::<arrow::datatypes::Float32Type>()
            .null_count()
            == 0
    );
}

#[test]
fn cover_fills_the_budget_whatever_else_the_store_has() {
    let (place, _) = scored(60);
    let kept = |args: &str| {
        let ran = place.mock(&format!(
            "in.parquet --dry-run --json --solver cover {args}"
        ));
        ran.exits(0).json()["rows_kept"].as_u64().unwrap()
    };
    assert_eq!(kept("--keep 0.5"), 26);
    assert_eq!(kept("--keep-rows 9"), 9);
    assert_eq!(kept("--keep-rows 9 --add selection_score"), 9);
    // Near-duplicates of a row are taken away first.
    let distinct = kept("--keep 1 --dedup 0.2");
    assert!((1..51).contains(&distinct), "{distinct}");
}
