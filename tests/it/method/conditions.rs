//! Conditions on derived columns, and the names that columns get.

use std::sync::Arc;

use arrow::array::Float32Array;

use super::{
    pairs::{self, assert_accounted},
    reference::{LABELLED, ROWS, Reference},
};
use crate::{program::Place, shards};

/// Rows of `in.parquet` that pass `condition`.
fn passing(place: &Place, condition: &str, args: &str) -> Vec<usize> {
    let args = format!("in.parquet out.parquet --overwrite --json {args}");
    let ran = place.mock_with(&args, &["--where", condition]).exits(0);
    assert_accounted(&ran.json());
    shards::row_numbers(&shards::read(&place.path("out.parquet")))
}

#[test]
fn a_condition_may_name_columns_that_are_not_there_yet() {
    let reference = Reference::read();
    let sas = reference.score("sas");
    let moderate = reference.score("moderate");
    let place = reference.place();
    let expected: Vec<usize> = (0..ROWS)
        .filter(|&row| sas[row].unwrap() > 0.7 && moderate[row].unwrap() < 0.1)
        .collect();
    assert!((5..50).contains(&expected.len()), "{expected:?}");
    let rows = passing(&place, "sas > 0.7 AND moderate < 0.1", LABELLED);
    assert_eq!(rows, expected);
}

#[test]
fn early_parts_of_a_condition_say_which_rows_are_compared() {
    let reference = Reference::read();
    let place = reference.place();
    // The same rows in a shard and a store of their own.
    let early: Vec<usize> = (0..ROWS).filter(|row| row % 3 != 0).collect();
    let alone = Place::new();
    reference.write_beside(&alone);
    reference.write_shard(&alone, "in.parquet", &early);
    reference.fill(&alone, "scores", &["in.parquet"]);
    let columns = "sas,sas_margin,sds,dup_max_sim,moderate,s_cliploss,selection_score";
    let run = |place: &Place, condition: &str| {
        let rows = passing(place, condition, &format!("{LABELLED} --add {columns}"));
        (rows, shards::read(&place.path("out.parquet")))
    };
    let (rows, found) = run(&place, "rank % 3 <> 0 AND sas > 0.6");
    let (alone_rows, expected) = run(&alone, "sas > 0.6");
    assert!((10..early.len()).contains(&rows.len()));
    assert_eq!(rows, alone_rows);
    for column in columns.split(',') {
        let [found, expected] = [&found, &expected].map(|batch| shards::floats(batch, column));
        for (row, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let close = match (found, expected) {
                (Some(found), Some(expected)) => (found - expected).abs() <= 1e-6,
                (found, expected) => found == expected,
            };
            assert!(close, "{column}, row {row}: {found:?}, {expected:?}");
        }
    }
}

#[test]
fn another_threshold_computes_nothing_anew() {
    let reference = Reference::read();
    let place = reference.place();
    let sas = reference.score("sas");
    let args = format!("{LABELLED} --add sds");
    passing(&place, "rank < 50 AND sas > 0.2", &args);
    let current = place.only_directory("scores/state").join("current.json");
    let (made, at) = (
        std::fs::read(&current).unwrap(),
        std::fs::metadata(&current).unwrap().modified().unwrap(),
    );
    for threshold in [0.5, 0.9] {
        let rows = passing(&place, &format!("rank < 50 AND sas > {threshold}"), &args);
        let expected: Vec<usize> = (0..50)
            .filter(|&row| sas[row].unwrap() > threshold)
            .collect();
        assert_eq!(rows, expected);
        assert_eq!(std::fs::read(&current).unwrap(), made);
        assert_eq!(std::fs::metadata(&current).unwrap().modified().unwrap(), at);
    }
}

#[test]
fn conditions_decide_alike_with_a_store_and_without() {
    let place = pairs::place(150);
    place
        .mock("score in.parquet --scores scores --embeddings f32")
        .exits(0);
    let args = "--label-column kind --add sas,sds,image_embedding";
    for condition in [
        "sas > 0",
        "rank < 100 AND sas > 0",
        "rank < 100",
        "rank < 100 AND sas > 0 AND clip_score > -0.5 AND sds IS NOT NULL",
        "sas IS NOT NULL OR rank = 5",
    ] {
        let fresh = passing(&place, condition, args);
        let one = shards::read(&place.path("out.parquet"));
        let stored = passing(&place, condition, &format!("{args} --scores scores"));
        let other = shards::read(&place.path("out.parquet"));
        assert!(!fresh.is_empty(), "{condition}");
        assert_eq!(fresh, stored, "{condition}");
        assert_eq!(one.columns(), other.columns(), "{condition}");
    }
}

#[test]
fn added_columns_get_the_prefix_and_conditions_name_it() {
    let reference = Reference::read();
    let place = reference.place();
    let args = format!("{LABELLED} --prefix new_ --add sas,cell");
    let rows = passing(&place, "new_sas > 0.7", &args);
    let written = shards::read(&place.path("out.parquet"));
    let names = shards::names(&written);
    assert_eq!(
        names[names.len() - 3..],
        ["new_clip_score", "new_cell", "new_sas"]
    );
    let sas = reference.score("sas");
    let expected: Vec<usize> = (0..ROWS).filter(|&row| sas[row].unwrap() > 0.7).collect();
    assert_eq!(rows, expected);
}

#[test]
fn a_column_of_the_input_is_never_replaced() {
    let place = Place::new();
    let batch = pairs::labelled(&shards::good_pairs(40));
    let mut columns: Vec<_> = shards::names(&batch)
        .into_iter()
        .zip(batch.columns().iter().cloned())
        .collect();
    let own: Float32Array = (0u8..40).map(|row| Some(f32::from(row))).collect();
    columns.push(("sas".to_owned(), Arc::new(own)));
    let columns = columns
        .iter()
        .map(|(name, column)| (name.as_str(), column.clone()))
        .collect();
    shards::write(&place.path("in.parquet"), &shards::batch(columns));
    let args = "in.parquet clash.parquet --label-column kind --add sas,sds";
    place.mock(args).exits(2).says(&["'sas'", "--prefix"]);
    assert!(!place.path("clash.parquet").exists());
    // A condition names the input's column, the selection uses ours.
    let rows = passing(&place, "sas >= 30", "--label-column kind --add sds");
    assert!(
        !rows.is_empty() && rows.iter().all(|&row| row >= 30),
        "{rows:?}"
    );
    let written = shards::read(&place.path("out.parquet"));
    assert!(
        shards::floats(&written, "sas")
            .iter()
            .all(|sas| sas.unwrap() >= 30.0)
    );
}
