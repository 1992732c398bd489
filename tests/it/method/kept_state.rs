//! What columns computed from embeddings are made with stays from run to run where it should.

use arrow::{array::AsArray, datatypes::UInt32Type};

use crate::{program::Place, shards};

/// Cells of the good rows of `a.parquet`, the first of the inputs.
fn cells(place: &Place, args: &str) -> Vec<Option<u32>> {
    let args = format!("{args} out.parquet --cells 4 --add cell --keep 1 --overwrite --quiet");
    place.mock(&args).exits(0);
    let rows = shards::read(&place.path("out.parquet"));
    let cells = rows["cell"].as_primitive::<UInt32Type>();
    cells.iter().take(51).collect()
}

#[test]
fn only_new_goes_on_with_the_clusters_of_runs_that_added_other_columns_since() {
    let place = Place::new();
    let mut pairs = shards::mixed_pairs(660);
    shards::write_pairs(&place.path("b.parquet"), &pairs.split_off(60), 64);
    shards::write_pairs(&place.path("a.parquet"), &pairs, 16);
    let before = cells(&place, "a.parquet --scores scores");
    assert!(before.contains(&Some(3)), "{before:?}");
    place
        .mock("score a.parquet --scores scores --cells 4 --add cell,s_cliploss --quiet")
        .exits(0);
    let both = "a.parquet b.parquet --scores";
    assert_eq!(cells(&place, &format!("{both} scores --only-new")), before);
    // Found anew over both they are others, so the line above says something.
    assert_ne!(cells(&place, &format!("{both} anew")), before);
}
