//! What a query costs: its plan, whether it loads the model, and how many images it encodes.

use std::{collections::HashMap, sync::Arc};

use arrow::array::AsArray;
use clip_filter::{engine::Recipe, schema::ScoreColumn, score::MethodOptions};

use crate::{
    shards::{good_pairs, hf_batch, mixed_pairs, strings},
    world::{Mock, Opened, Scores, World},
    worlds::with_column,
};

/// Rows of [`large`].
const LARGE: u32 = 5000;

/// 14 pairs in two shards, two of them bad.
fn small() -> World {
    let pairs = hf_batch(&mixed_pairs(14));
    World::new().with("pairs", &[pairs.slice(0, 8), pairs.slice(8, 6)], 4)
}

/// A shard of 5,000 pairs.
fn large() -> World {
    World::new().with("pairs", &[hf_batch(&good_pairs(LARGE))], 1000)
}

/// The physical plan of `sql`.
fn plan(session: &Opened<'_>, sql: &str) -> String {
    let rows = session.rows(&format!("EXPLAIN {sql}"));
    let types = strings(&rows, "plan_type");
    let row = types
        .iter()
        .position(|name| name.as_deref() == Some("physical_plan"));
    strings(&rows, "plan").remove(row.unwrap()).unwrap()
}

/// The plan over shards alone.
fn encoding_plan(sql: &str) -> String {
    let world = small();
    plan(&world.open(Scores::Encoded, Arc::new(Mock::default())), sql)
}

/// The plan over a score store, made and run without a model.
fn stored_plan(sql: &str) -> String {
    let world = small();
    world.score("pairs");
    let model = Arc::new(Mock::refusing());
    let session = world.open(Scores::Stored, model.clone());
    let plan = plan(&session, sql);
    session.rows(sql);
    assert_eq!(model.loads(), 0, "stored scores need no model");
    plan
}

/// What `EXPLAIN ANALYZE sql` says of the first operator called `exec`, by name.
fn metrics(session: &Opened<'_>, sql: &str, exec: &str) -> HashMap<String, String> {
    let rows = session.rows(&format!("EXPLAIN ANALYZE {sql}"));
    let plan = strings(&rows, "plan").remove(0).unwrap();
    let of_exec = |line: &&str| line.trim_start().starts_with(exec);
    let line = plan
        .lines()
        .find(of_exec)
        .unwrap_or_else(|| panic!("{plan}"));
    let (_, metrics) = line.split_once("metrics=[").unwrap();
    let metrics = metrics.trim_end_matches(']').split(", ");
    let pairs = metrics.map(|metric| metric.split_once('=').unwrap());
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Images that `sql` encodes over [`large`], and the rows it gives.
fn encoded(sql: &str) -> (usize, usize) {
    let world = large();
    let log = world.path("log");
    let session = world.open(Scores::Encoded, Arc::new(Mock::logging_to(log.clone())));
    let rows = session.rows(sql).num_rows();
    drop(session);
    let images = std::fs::metadata(log).map_or(0, |log| log.len());
    (usize::try_from(images).unwrap(), rows)
}

#[test]
fn scores_named_everywhere_in_a_query_are_encoded_once() {
    let plan = encoding_plan(
        "SELECT rank, clip_score FROM pairs WHERE clip_score > 0.1 \
         AND clip_score < (SELECT max(clip_score) FROM pairs) ORDER BY clip_score DESC",
    );
    insta::assert_snapshot!(plan);
    assert_eq!(plan.matches("ClipEncodeExec").count(), 1);
}

#[test]
fn a_common_table_that_is_read_twice_is_encoded_once() {
    let plan = encoding_plan(
        "WITH scored AS (SELECT rank, clip_score AS score FROM pairs) \
         SELECT rank, score FROM scored WHERE score > (SELECT avg(score) FROM scored)",
    );
    insta::assert_snapshot!(plan);
    assert_eq!(plan.matches("ClipEncodeExec").count(), 1);
}

#[test]
fn a_table_that_is_joined_with_itself_is_encoded_once() {
    let plan = encoding_plan(
        "SELECT a.rank, b.rank FROM pairs a JOIN pairs b ON a.rank = b.rank + 1 \
         WHERE a.clip_score > b.clip_score",
    );
    insta::assert_snapshot!(plan);
    assert_eq!(plan.matches("ClipEncodeExec").count(), 1);
}

#[test]
fn all_of_it_in_one_query_is_encoded_once() {
    let plan = encoding_plan(
        "WITH scored AS (SELECT rank, clip_score AS score, text FROM pairs) \
         SELECT a.rank, a.score, (SELECT max(clip_score) FROM pairs) AS best \
         FROM scored a JOIN scored b ON a.rank = b.rank + 1 \
         WHERE a.score > b.score AND a.score > (SELECT avg(clip_score) FROM pairs) ORDER BY a.score",
    );
    insta::assert_snapshot!(plan);
    assert_eq!(plan.matches("ClipEncodeExec").count(), 1);
}

#[test]
fn cheap_conditions_come_before_encoding() {
    insta::assert_snapshot!(encoding_plan(
        "SELECT rank, clip_score FROM pairs \
         WHERE clip_score > 0.1 AND text_length(text) > 3 AND rank < 5 AND width > 10"
    ));
}

#[test]
fn stored_scores_read_no_image_and_load_no_model() {
    let plan = stored_plan(
        "SELECT rank, clip_score, status, width FROM pairs \
         WHERE clip_score > 0.1 AND status = 'ok' AND rank < 9 ORDER BY clip_score",
    );
    insta::assert_snapshot!(plan);
    assert!(
        !plan.contains("image") && !plan.contains("ClipEncodeExec"),
        "{plan}"
    );
}

#[test]
fn calls_on_the_columns_of_a_store_are_read_from_it() {
    let plan = stored_plan(
        "SELECT clip_score(image, text), array_length(clip_image_embedding(image)) FROM pairs \
         WHERE clip_status(image, text) = 'ok' AND clip_score(image, text) > 0",
    );
    insta::assert_snapshot!(plan);
    assert!(!plan.contains("ClipEncodeExec"), "{plan}");
}

#[test]
fn counting_stored_scores_opens_no_shard() {
    let world = small();
    world.score("pairs");
    let session = world.open(Scores::Stored, Arc::new(Mock::refusing()));
    std::fs::remove_file(world.path("pairs-00.parquet")).unwrap();
    let rows = session
        .rows("SELECT count(clip_score), max(clip_score) FROM pairs WHERE clip_score IS NOT NULL");
    let counts = rows.column(0).as_primitive::<arrow::datatypes::Int64Type>();
    assert_eq!(counts.value(0), 12);
}

#[test]
fn a_query_without_scores_neither_loads_nor_encodes() {
    let world = small();
    let model = Arc::new(Mock::refusing());
    let session = world.open(Scores::Encoded, model.clone());
    for sql in [
        "SELECT * FROM pairs_shards",
        "SELECT uid, rank, __shard, __row FROM pairs WHERE text_length(text) > 3",
        "SELECT count(*) FROM pairs",
        "SELECT width, height, image_status(image) FROM pairs",
        "SELECT p.rank FROM pairs p JOIN pairs_shards s ON p.uid = s.uid",
        "SELECT rank FROM pairs ORDER BY rank DESC LIMIT 2",
    ] {
        session.rows(sql);
        assert_eq!(model.loads(), 0, "{sql}");
        assert!(!plan(&session, sql).contains("ClipEncodeExec"), "{sql}");
    }
    let error = session.query("SELECT clip_score FROM pairs").unwrap_err();
    assert!(
        error.contains("failed to load a model that no query needs"),
        "{error}"
    );
    assert_eq!(model.loads(), 1);
}

#[test]
fn a_model_is_loaded_once_for_all_queries() {
    let world = small();
    let model = Arc::new(Mock::default());
    let session = world.open(Scores::Encoded, model.clone());
    for _ in 0..2 {
        session.rows("SELECT clip_score FROM pairs");
        session.rows(
            "SELECT cosine_similarity(image_embedding, clip_text_embedding('a dog')) FROM pairs",
        );
    }
    assert_eq!(model.loads(), 1);
}

#[test]
fn a_limit_stops_the_encoding() {
    for (sql, most) in [
        ("SELECT clip_score FROM pairs LIMIT 10", 10),
        ("SELECT clip_score FROM pairs LIMIT 10 OFFSET 300", 310),
        (
            "SELECT * FROM (SELECT clip_score FROM pairs LIMIT 10) WHERE clip_score > -2",
            10,
        ),
        // Three batches of 256 rows are under way when the tenth row has passed.
        (
            "SELECT rank, clip_score FROM pairs WHERE clip_score > -1 LIMIT 10",
            1024,
        ),
    ] {
        let (images, rows) = encoded(sql);
        assert_eq!(rows, 10, "{sql}");
        assert!(images <= most, "{images} images: {sql}");
    }
}

#[test]
fn only_rows_that_are_left_are_encoded() {
    for (sql, images) in [
        ("SELECT clip_score FROM pairs WHERE rank < 40", 40),
        (
            "SELECT clip_score, status, image_embedding FROM pairs WHERE rank < 40 ORDER BY clip_score",
            40,
        ),
        (
            "SELECT clip_score(image, text) FROM (SELECT * FROM pairs_shards ORDER BY rank LIMIT 30)",
            30,
        ),
        (
            "SELECT count(*) FROM pairs WHERE clip_score(image, 'a dog') > clip_score(image, 'a cat')",
            5000,
        ),
        ("SELECT text_embedding FROM pairs", 0),
        (
            "SELECT max(clip_score), min(clip_score) FROM pairs WHERE clip_score > (SELECT avg(clip_score) FROM pairs)",
            5000,
        ),
    ] {
        assert_eq!(encoded(sql).0, images, "{sql}");
    }
}

#[test]
fn rows_of_every_recipe_come_in_the_order_of_the_shards() {
    let rows = 300;
    let pairs = hf_batch(&mixed_pairs(rows));
    let labels = (0..rows).map(|row| Some(format!("class {}", row % 7)));
    let labels = Arc::new(labels.collect::<arrow::array::StringArray>());
    let pairs = with_column(&pairs, "label", labels);
    let wanted: arrow::array::StringArray = (0..rows)
        .rev()
        .step_by(3)
        .map(|row| Some(format!("{row:032x}")))
        .collect();
    let uids = crate::shards::batch(vec![("uid", Arc::new(wanted))]);
    let shards = [
        pairs.slice(0, 100),
        pairs.slice(100, 150),
        pairs.slice(250, 50),
    ];
    let world = World::new()
        .with("pairs", &shards, 40)
        .with("uids", &[uids], 30);
    let computed = [ScoreColumn::S_CLIPLOSS, ScoreColumn::DUP_MAX_SIM];
    world.derive("pairs", MethodOptions::default(), &computed);
    for scores in [Scores::Encoded, Scores::Stored] {
        let session = world.open(scores, Arc::new(Mock::default()));
        let only_stored =
            |recipe: &Recipe| ["s-cliploss-top", "semantic-dedup"].contains(&recipe.name);
        let is_here = |recipe: &Recipe| scores == Scores::Stored || !only_stored(recipe);
        for recipe in Recipe::all().into_iter().filter(is_here) {
            let params: &[(&str, &str)] = match recipe.name {
                "class-quota" => &[("rows", "20")],
                "datacomp-basic" => &[("side", "4")],
                "laion-threshold" | "zero-shot" => &[("threshold", "-0.5")],
                "semantic-dedup" => &[("distance", "0.001")],
                _ => &[],
            };
            let params: Vec<_> = params
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
            let sql = session.recipe(recipe.name, &params).unwrap();
            let kept = crate::shards::row_numbers(&session.rows(&sql));
            assert!(kept.is_sorted(), "{}: {kept:?}", recipe.name);
            assert!(kept.len() > 50, "{}: {}", recipe.name, kept.len());
        }
    }
}

#[test]
fn analyze_counts_what_this_query_did_and_nothing_of_another() {
    let world = World::new().with("pairs", &[hf_batch(&good_pairs(40))], 16);
    let session = world.open(Scores::Encoded, Arc::new(Mock::default()));
    for (condition, rows, batches) in [
        // Eight rows to a model batch, of images and of captions.
        ("rank < 40", "40", "10"),
        // Their captions are known from the query before.
        ("rank < 16", "16", "2"),
        ("rank < 16", "16", "2"),
        ("rank < 0", "0", "0"),
    ] {
        let sql = format!("SELECT clip_score FROM pairs WHERE {condition}");
        let encode = metrics(&session, &sql, "ClipEncodeExec");
        for (name, value) in [
            ("output_rows", rows),
            ("images_decoded", rows),
            ("model_batches", batches),
            ("rows_bad", "0"),
        ] {
            assert_eq!(encode[name], value, "{name} {condition}: {encode:?}");
        }
        for name in ["decode_time", "encode_time", "wait_time"] {
            let worked = name == "wait_time" || rows != "0";
            // A time that was added is shown as a nanosecond at least.
            assert_eq!(encode[name] != "1ns", worked, "{name}: {encode:?}");
        }
        let scan = metrics(&session, &sql, "ShardScanExec");
        assert_eq!(scan["output_rows"], rows, "{scan:?}");
        assert_ne!(scan["elapsed_compute"], "1ns", "{scan:?}");
        assert_eq!(scan["output_bytes"] != "0.0 B", rows != "0", "{scan:?}");
    }
}

#[test]
fn analyze_tells_bad_rows_and_that_their_images_were_not_decoded() {
    let world = small();
    let session = world.open(Scores::Encoded, Arc::new(Mock::default()));
    let sql = "SELECT clip_score FROM pairs";
    let encode = metrics(&session, sql, "ClipEncodeExec");
    assert_eq!(encode["output_rows"], "14", "{encode:?}");
    assert_eq!(encode["rows_bad"], "2", "{encode:?}");
    assert_eq!(encode["images_decoded"], "12", "{encode:?}");
}

#[test]
fn analyze_counts_what_was_done_before_a_limit_stopped_it() {
    let world = large();
    let session = world.open(Scores::Encoded, Arc::new(Mock::default()));
    let sql = "SELECT rank, clip_score FROM pairs WHERE clip_score > -1 LIMIT 10";
    let encode = metrics(&session, sql, "ClipEncodeExec");
    let number = |name: &str| encode[name].parse::<usize>().unwrap();
    assert!(
        number("images_decoded") >= number("output_rows"),
        "{encode:?}"
    );
    assert!(number("output_rows") >= 10, "{encode:?}");
}

#[test]
fn analyze_shows_the_work_on_rows_that_are_shared_and_who_reads_them() {
    let world = small();
    let session = world.open(Scores::Encoded, Arc::new(Mock::default()));
    let sql = "SELECT a.rank, b.rank FROM pairs a JOIN pairs b ON a.rank = b.rank + 1 \
         WHERE a.clip_score > b.clip_score";
    let encode = metrics(&session, sql, "ClipEncodeExec");
    assert_eq!(encode["images_decoded"], "12", "{encode:?}");
    let shared = metrics(&session, sql, "SharedRowsExec");
    assert_eq!(shared["output_rows"], "14", "{shared:?}");
    world.score("pairs");
    let session = world.open(Scores::Stored, Arc::new(Mock::refusing()));
    let stored = "SELECT rank, clip_score FROM pairs";
    let scan = metrics(&session, stored, "ScoredScanExec");
    assert_eq!(scan["output_rows"], "14", "{scan:?}");
    assert_ne!(scan["output_bytes"], "0.0 B", "{scan:?}");
}
