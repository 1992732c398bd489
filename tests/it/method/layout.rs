//! Columns and selections are the same however rows lie in shards, and with however much to work with.

use super::reference::{CAPTIONED, LABELLED, ROWS, Reference, assert_scores};
use crate::{program::Place, shards};

const COLUMNS: &str = "cell,sas,sas_margin,sds,s_cliploss,dup_max_sim,moderate,normsim_inf,normsim_2,vas,selection_score";
/// Columns whose values the reference has under another name.
const OF_CAPTIONS: [(&str, &str); 7] = [
    ("s_cliploss", "s_cliploss_captioned"),
    ("sas", "sas_captioned"),
    ("sas_margin", "sas_margin_captioned"),
    ("sds", "sds_3_captioned"),
    ("dup_max_sim", "dup_max_sim_captioned"),
    ("moderate", "moderate_captioned"),
    ("selection_score", "selection_score_captioned"),
];
const OF_CLASSES: [(&str, &str); 1] = [("sds", "sds_3")];
/// Inputs, and further arguments. A model that embeds prompts needs a quarter of a gigabyte.
const LAYOUTS: [(&str, &str); 6] = [
    ("in.parquet", "--threads 1"),
    ("in.parquet", "--threads 3 --memory-limit 257MiB"),
    ("a.parquet b.parquet c.parquet", ""),
    ("c.parquet a.parquet b.parquet", "--threads 1"),
    ("b.parquet c.parquet a.parquet", "--memory-limit 257MiB"),
    ("mixed.parquet", ""),
];

/// The same rows in one shard, in three, and in another order.
fn place(reference: &Reference) -> Place {
    let place = Place::new();
    reference.write_beside(&place);
    let rows: Vec<usize> = (0..ROWS).collect();
    let mixed: Vec<usize> = (0..ROWS).map(|row| row * 37 % ROWS).collect();
    for (name, rows) in [
        ("in.parquet", rows.as_slice()),
        ("a.parquet", &rows[..7]),
        ("b.parquet", &rows[7..40]),
        ("c.parquet", &rows[40..]),
        ("mixed.parquet", &mixed),
    ] {
        reference.write_shard(&place, name, rows);
        reference.fill(&place, "scores", &[name]);
    }
    place
}

/// Of equal images in a class, the one whose row comes first is no copy of another.
fn first_copies_first(reference: &Reference, rows: &[usize], values: &mut [Option<f64>]) {
    for copies in reference.copies() {
        let places: Vec<usize> = (0..rows.len())
            .filter(|&place| copies.contains(&rows[place]))
            .collect();
        let mut of_copies: Vec<Option<f64>> = places.iter().map(|&place| values[place]).collect();
        of_copies.sort_by(|a, b| a.partial_cmp(b).unwrap());
        for (place, value) in places.into_iter().zip(of_copies) {
            values[place] = value;
        }
    }
}

/// Every column in every layout is that of the reference; `kept` are the 18 rows that align-diverse keeps.
fn is_the_same_in_every_layout(args: &str, renamed: &[(&str, &str)], kept: &str) {
    let reference = Reference::read();
    let place = place(&reference);
    for (inputs, more) in LAYOUTS {
        let run = |keep: &str| {
            let args = format!("{inputs} out.parquet --overwrite {keep} {args} {more}");
            place.mock(&args).exits(0);
            shards::read(&place.path("out.parquet"))
        };
        let written = run(&format!("--keep 1 --add {COLUMNS}"));
        let rows = shards::row_numbers(&written);
        for column in COLUMNS.split(',').skip(1) {
            let name = renamed.iter().find(|(name, _)| *name == column);
            let expected = reference.score(name.map_or(column, |(_, of_reference)| of_reference));
            let mut expected: Vec<_> = rows.iter().map(|&row| expected[row]).collect();
            if column == "dup_max_sim" {
                first_copies_first(&reference, &rows, &mut expected);
            }
            let found = shards::floats(&written, column);
            assert_scores(&found, &expected, &format!("{column} of {inputs} {more}"));
        }
        let mut kept_rows = shards::row_numbers(&run("--keep 0.3"));
        kept_rows.sort_unstable();
        assert_eq!(kept_rows, reference.kept(kept), "{inputs} {more}");
    }
}

#[test]
fn labelled_columns_do_not_depend_on_shards_order_threads_or_memory() {
    is_the_same_in_every_layout(LABELLED, &OF_CLASSES, "align_diverse");
}

#[test]
fn captioned_columns_do_not_depend_on_shards_order_threads_or_memory() {
    let by_both = format!("{CAPTIONED} --select align-diverse");
    is_the_same_in_every_layout(&by_both, &OF_CAPTIONS, "align_diverse_captioned");
}

#[test]
fn the_least_memory_limit_changes_nothing() {
    let place = Place::new();
    shards::write_pairs(&place.path("in.parquet"), &shards::good_pairs(3000), 500);
    place.mock("score in.parquet --scores whole").exits(0);
    place.mock("score in.parquet --scores pieces").exits(0);
    let columns = "cell,sas_margin,sds,s_cliploss,dup_max_sim,moderate,selection_score";
    let run = |store: &str, more: &str| {
        let args = format!(
            "in.parquet {store}.parquet --keep 0.4 --cells 5 --scores {store} --add {columns} {more}"
        );
        place.mock(&args).exits(0);
        shards::read(&place.path(&format!("{store}.parquet")))
    };
    let (whole, pieces) = (
        run("whole", ""),
        run("pieces", "--memory-limit 192MiB --threads 1"),
    );
    assert_eq!(whole.num_rows(), 1200);
    assert_eq!(shards::row_numbers(&whole), shards::row_numbers(&pieces));
    assert_eq!(
        shards::strings(&whole, "cell"),
        shards::strings(&pieces, "cell")
    );
    for column in columns.split(',').skip(1) {
        let [whole, pieces] = [&whole, &pieces].map(|batch| shards::floats(batch, column));
        for (row, (one, other)) in whole.iter().zip(&pieces).enumerate() {
            let (one, other) = (one.unwrap(), other.unwrap());
            assert!(
                (one - other).abs() <= 1e-6,
                "{column}, row {row}: {one}, {other}"
            );
        }
    }
}
