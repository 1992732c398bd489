//! What a memory limit has no room for ends a run, and says so; it never makes a row bad.

use std::{fs::File, sync::Arc};

use arrow::array::{ArrayRef, Float64Array};
use parquet::{
    arrow::ArrowWriter, basic::Encoding, file::properties::WriterProperties,
    schema::types::ColumnPath,
};

use crate::{
    pictures,
    program::Place,
    shards::{self, Pair},
};

/// Pairs with a column `weight` whose one page of 12.8 MB is of an encoding that is read as a whole.
fn place_with_a_large_page() -> Place {
    const ROWS: u32 = 1_600_000;
    let place = Place::new();
    let weights: ArrayRef = Arc::new(Float64Array::from_iter_values((0..ROWS).map(f64::from)));
    let pair = Pair::new(pictures::bmp(0), "a picture");
    let pairs = vec![pair; 1];
    let one = |column: ArrayRef| {
        let rows = arrow::array::UInt32Array::from_iter_values((0..ROWS).map(|_| 0));
        arrow::compute::take(&column, &rows, None).unwrap()
    };
    let batch = shards::batch(vec![
        ("image", one(shards::bytes_column(&pairs))),
        ("text", one(shards::text_column(&pairs))),
        ("weight", weights),
    ]);
    let weight = ColumnPath::from("weight");
    let properties = WriterProperties::builder()
        .set_column_dictionary_enabled(weight.clone(), false)
        .set_column_encoding(weight, Encoding::BYTE_STREAM_SPLIT)
        .set_data_page_size_limit(1 << 30)
        .set_data_page_row_count_limit(usize::MAX)
        .set_write_batch_size(ROWS as usize)
        .set_max_row_group_row_count(Some(ROWS as usize))
        .build();
    let file = File::create(place.path("in.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    place
}

#[test]
fn a_page_that_is_read_as_a_whole_is_counted_before_anything_starts() {
    let place = place_with_a_large_page();
    let count = "select count(*) n, max(weight) most from pairs";
    let narrow = "select count(*) n from pairs where text = 'a picture'";
    let sql = |limit: &str, query: &str| {
        let sql = "sql --input in.parquet --format csv --memory-limit";
        place.mock_with(&format!("{sql} {limit}"), &[query])
    };
    let ran = sql("160MiB", count)
        .exits(1)
        .says(&["in.parquet", "12.2 MiB", "--memory-limit 16"]);
    let hint = ran.stderr.rsplit("--memory-limit ").next().unwrap();
    let least = hint.split(',').next().unwrap();
    assert_eq!(
        sql(least, count).exits(0).stdout.trim(),
        "n,most\n1600000,1599999.0"
    );
    // Columns that are not read take no room.
    assert_eq!(sql("160MiB", narrow).exits(0).stdout.trim(), "n\n1600000");
    place
        .mock("in.parquet out.parquet --memory-limit 160MiB")
        .exits(1)
        .says(&["in.parquet", "12.2 MiB", least]);
    assert!(!place.path("out.parquet").exists());
}

#[test]
fn a_file_that_is_too_large_for_the_limit_ends_the_run() {
    let place = Place::new();
    let file = File::create(place.path("large.jpg")).unwrap();
    file.set_len(72 << 20).unwrap();
    let pairs = [
        Pair::new(pictures::bmp(1), "a picture"),
        Pair::at("large.jpg"),
    ];
    shards::write_pairs(&place.path("in.parquet"), &pairs, 4);
    let run = |flags: &str| place.mock(&format!("in.parquet --dry-run --json --threads 2 {flags}"));
    run("--memory-limit 300MiB").exits(1).says(&[
        "decode an image within the memory limit",
        "72.0 MiB",
        "large.jpg",
    ]);
    let bad = |flags: &str| run(flags).exits(0).json()["bad"].clone();
    assert_eq!(
        bad("--memory-limit 1GiB"),
        serde_json::json!({"unsupported_image": 1})
    );
    // That no image of so many pixels has so many bytes is true under any limit.
    for limit in ["300MiB", "1GiB"] {
        assert_eq!(
            bad(&format!("--memory-limit {limit} --max-pixels 1000000")),
            serde_json::json!({"unreadable_path": 1})
        );
    }
}

#[test]
fn decoders_that_hold_files_do_not_wait_for_each_other() {
    let place = Place::new();
    // The file has 11 MiB and takes twice that to decode, of 57 MiB for all decoders.
    std::fs::write(place.path("wide.bmp"), pictures::bmp_of(2000, 2000, 1)).unwrap();
    shards::write_pairs(
        &place.path("in.parquet"),
        &vec![Pair::at("wide.bmp"); 12],
        4,
    );
    let report = place
        .mock("in.parquet --dry-run --json --threads 4 --memory-limit 300MiB")
        .exits(0)
        .json();
    assert_eq!(
        (&report["rows_in"], &report["rows_bad"]),
        (&12.into(), &0.into())
    );
}
