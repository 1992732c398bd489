//! What the arguments name.

use std::{os::unix::fs::symlink, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, StringArray, StructArray},
    datatypes::{DataType, Field},
};

use crate::{program::Place, shards};

/// Shards `part-00..part-03` in `data/`, of 5 rows each, whose `uid`s tell them apart.
fn place() -> Place {
    let place = Place::new();
    std::fs::create_dir_all(place.path("data/nested")).unwrap();
    for number in 0..4 {
        let name = if number == 3 {
            "data/nested/part-03.parquet".to_owned()
        } else {
            format!("data/part-0{number}.parquet")
        };
        shards::write(&place.path(&name), &numbered(number));
    }
    std::fs::write(place.path("data/_metadata.parquet"), b"no shard").unwrap();
    std::fs::write(place.path("data/.hidden.parquet"), b"no shard").unwrap();
    std::fs::write(place.path("data/README.md"), b"no shard").unwrap();
    place
}

fn numbered(shard: usize) -> arrow::array::RecordBatch {
    let pairs = shards::good_pairs(5);
    let uids: ArrayRef = Arc::new(
        (0..5)
            .map(|row| Some(format!("{:x}", shard * 100 + row)))
            .collect::<StringArray>(),
    );
    shards::batch(vec![
        ("uid", uids),
        ("image", shards::image_column(&pairs)),
        ("text", shards::text_column(&pairs)),
    ])
}

/// Shards in the order of their rows in the output.
#[track_caller]
fn shards_read(place: &Place, inputs: &[&str]) -> Vec<usize> {
    let ran = place.mock_with("--keep 1 --overwrite", &[inputs, &["out.parquet"]].concat());
    ran.exits(0);
    let rows = shards::row_numbers(&shards::read(&place.path("out.parquet")));
    let shards: Vec<usize> = rows.chunks(5).map(|chunk| chunk[0] / 100).collect();
    let expected: Vec<usize> = shards
        .iter()
        .flat_map(|shard| (0..5).map(move |row| shard * 100 + row))
        .collect();
    assert_eq!(rows, expected);
    shards
}

#[test]
fn files_directories_globs_and_braces_name_shards() {
    let place = place();
    assert_eq!(shards_read(&place, &["data/part-01.parquet"]), [1]);
    assert_eq!(
        shards_read(&place, &["data/part-02.parquet", "data/part-00.parquet"]),
        [2, 0],
        "as given"
    );
    assert_eq!(
        shards_read(&place, &["data"]),
        [3, 0, 1, 2],
        "sorted by path, hidden ones skipped"
    );
    assert_eq!(shards_read(&place, &["data/part-*.parquet"]), [0, 1, 2]);
    assert_eq!(
        shards_read(&place, &["data/**/part-0[13].parquet"]).len(),
        2
    );
    assert_eq!(
        shards_read(&place, &["data/part-{00..02}.parquet"]),
        [0, 1, 2]
    );
    assert_eq!(shards_read(&place, &["data/part-{02,00}.parquet"]), [0, 2]);
    assert_eq!(
        shards_read(&place, &["data/nested", "data/part-00.parquet"]),
        [3, 0]
    );
    assert_eq!(
        shards_read(&place, &["data/part-00.parquet", "data/part-0?.parquet"]),
        [0, 1, 2],
        "none twice"
    );
}

#[test]
fn names_with_braces_stars_and_spaces_are_taken_literally() {
    let place = place();
    let name = "odd {1..3} *[x] name.parquet";
    std::fs::rename(place.path("data/part-02.parquet"), place.path(name)).unwrap();
    assert_eq!(shards_read(&place, &[name]), [2]);
}

#[test]
fn a_linked_shard_is_read() {
    let place = place();
    symlink(
        place.path("data/part-01.parquet"),
        place.path("link.parquet"),
    )
    .unwrap();
    assert_eq!(shards_read(&place, &["link.parquet"]), [1]);
}

#[test]
fn what_names_nothing_is_an_error_that_repeats_it() {
    let place = place();
    std::fs::create_dir(place.path("empty")).unwrap();
    place
        .mock("nothing.parquet out.parquet")
        .exits(1)
        .says(&["nothing.parquet", "No such file"]);
    place
        .mock("no*thing.parquet out.parquet")
        .exits(1)
        .says(&["no*thing.parquet"]);
    place
        .mock("data/part-{00..09}.parquet out.parquet")
        .exits(1)
        .says(&["data/part-03.parquet"]);
    place
        .mock("data/part-{09..00}.parquet out.parquet")
        .exits(2)
        .says(&["counts down"]);
    place
        .mock("empty out.parquet")
        .exits(1)
        .says(&["*.parquet", "empty"]);
    place
        .mock("ftp://host/a.parquet out.parquet")
        .exits(2)
        .says(&["ftp://host/a.parquet"]);
    place
        .mock("data/part-00.parquet")
        .exits(2)
        .says(&["only one path", "--dry-run"]);
    place.mock("").exits(2).says(&["Usage"]);
    assert!(!place.path("out.parquet").exists());
}

#[test]
fn columns_that_no_type_fits_are_refused_by_name_and_their_order_is_free() {
    let place = place();
    let plain = numbered(7);
    let renamed = shards::project(&plain, &["uid", "image"]);
    let text = plain.column_by_name("text").unwrap().clone();
    let columns = vec![
        ("uid", renamed.column(0).clone()),
        ("image", renamed.column(1).clone()),
        ("caption", text),
    ];
    shards::write(&place.path("data/part-09.parquet"), &shards::batch(columns));
    place
        .mock("data/part-*.parquet out.parquet --text-column text")
        .exits(1)
        .says(&["data/part-09.parquet", "'text'", "other shards have it"]);
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1; 5]));
    let columns = vec![
        ("uid", numbers),
        ("image", renamed.column(1).clone()),
        ("text", plain.column_by_name("text").unwrap().clone()),
    ];
    shards::write(&place.path("data/part-09.parquet"), &shards::batch(columns));
    place.mock("data out.parquet").exits(1).says(&[
        "data/part-09.parquet",
        "data/nested/part-03.parquet",
        "'uid'",
        "Int64",
        "Utf8",
        "separate runs",
    ]);
    let mut reordered = plain.project(&[2, 0, 1]).unwrap();
    shards::write(&place.path("data/part-09.parquet"), &reordered);
    assert_eq!(shards_read(&place, &["data"]), [3, 0, 1, 2, 7]);
    std::fs::remove_file(place.path("out.parquet")).unwrap();
    // Plain and large strings are one type to a reader.
    reordered = plain.clone();
    let large = arrow::compute::cast(
        reordered.column_by_name("text").unwrap(),
        &DataType::LargeUtf8,
    )
    .unwrap();
    let columns = vec![
        ("uid", plain.column(0).clone()),
        ("image", plain.column(1).clone()),
        ("text", large),
    ];
    shards::write(&place.path("data/part-09.parquet"), &shards::batch(columns));
    assert_eq!(shards_read(&place, &["data"]), [3, 0, 1, 2, 7]);
    assert_eq!(
        shards::read(&place.path("out.parquet"))
            .column(2)
            .data_type(),
        &DataType::Utf8
    );
}

/// The same rows, null forbidden in every column and in the parts of the image.
fn without_nulls(batch: &arrow::array::RecordBatch) -> arrow::array::RecordBatch {
    let image = batch.column_by_name("image").unwrap().as_struct();
    let bytes = image.column(0).clone();
    let parts: StructArray = vec![(
        Arc::new(Field::new("bytes", DataType::Binary, false)),
        bytes,
    )]
    .into();
    let columns = [
        ("image", Arc::new(parts) as ArrayRef),
        ("text", batch.column_by_name("text").unwrap().clone()),
    ];
    arrow::array::RecordBatch::try_from_iter_with_nullable(
        columns.map(|(name, column)| (name, column, false)),
    )
    .unwrap()
}

#[test]
fn shards_may_differ_in_what_may_be_null() {
    let place = Place::new();
    let strict = without_nulls(&shards::hf_batch(&shards::good_pairs(20)));
    let pairs = shards::mixed_pairs(40);
    let parts: StructArray = vec![(
        Arc::new(Field::new("bytes", DataType::Binary, true)),
        shards::bytes_column(&pairs),
    )]
    .into();
    let loose = shards::batch(vec![
        ("image", Arc::new(parts) as ArrayRef),
        ("text", shards::text_column(&pairs)),
    ]);
    shards::write(&place.path("strict.parquet"), &strict);
    shards::write(&place.path("loose.parquet"), &loose);
    for inputs in [
        "strict.parquet loose.parquet",
        "loose.parquet strict.parquet",
    ] {
        let args = format!("{inputs} out.parquet --overwrite --json --keep 1 --on-error keep");
        for condition in [&[][..], &["--where", "text IS NULL OR text IS NOT NULL"]] {
            let report = place.mock_with(&args, condition).exits(0).json();
            assert_eq!(
                (&report["rows_in"], &report["rows_bad"]),
                (&60.into(), &6.into()),
                "{inputs}"
            );
        }
        let written = shards::read(&place.path("out.parquet"));
        assert_eq!(written.num_rows(), 60);
        assert_eq!(
            written.schema().field(0).data_type(),
            loose.schema().field(0).data_type()
        );
    }
    place.mock("strict.parquet one.parquet --keep 1").exits(0);
    let kept = shards::project(
        &shards::read(&place.path("one.parquet")),
        &["image", "text"],
    );
    assert_eq!(
        kept.schema().fields(),
        strict.schema().fields(),
        "alone, it stays as strict as it was"
    );
    assert_eq!(kept.columns(), strict.columns());
}
