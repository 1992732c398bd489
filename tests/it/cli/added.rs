//! Columns in, columns out.

use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, DictionaryArray, Float64Array, ListArray, StringArray},
    datatypes::{DataType, Field, Int32Type, Int64Type, Schema, UInt32Type},
};
use serde_json::Value;

use crate::{
    program::{Place, program},
    shards,
};

fn place(rows: u32) -> Place {
    let place = Place::new();
    shards::write_pairs(&place.path("in.parquet"), &shards::mixed_pairs(rows), 8);
    place
}

#[test]
fn input_columns_come_first_in_order_and_unchanged() {
    let place = Place::new();
    let pairs = shards::mixed_pairs(30);
    let base = shards::hf_batch(&pairs);
    let mut fields: Vec<_> = base.schema().fields().iter().cloned().collect();
    let mut columns = base.columns().to_vec();
    let mut add = |name: &str, column: ArrayRef| {
        let facts = HashMap::from([("note".to_owned(), format!("about {name}"))]);
        fields.push(Arc::new(
            Field::new(name, column.data_type().clone(), true).with_metadata(facts),
        ));
        columns.push(column);
    };
    let lists =
        (0..30).map(|row| (row % 4 != 0).then(|| (0..row % 3).map(Some).collect::<Vec<_>>()));
    add(
        "boxes",
        Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists)),
    );
    add(
        "license",
        Arc::new(
            (0..30)
                .map(|row| Some(["cc0", "mit"][row % 2]))
                .collect::<DictionaryArray<Int32Type>>(),
        ),
    );
    add(
        "similarity",
        Arc::new(
            (0..30)
                .map(|row| (row != 4).then_some(f64::from(row) / 7.0))
                .collect::<Float64Array>(),
        ),
    );
    let seconds = arrow::compute::cast(
        base.column_by_name("rank").unwrap(),
        &DataType::Timestamp(arrow::datatypes::TimeUnit::Millisecond, Some("UTC".into())),
    )
    .unwrap();
    add("seen", seconds);
    let schema = Schema::new_with_metadata(fields, base.schema().metadata().clone());
    let input = arrow::array::RecordBatch::try_new(Arc::new(schema), columns).unwrap();
    shards::write(&place.path("in.parquet"), &input);
    place
        .mock("in.parquet out.parquet --keep-rows 11 --add height,status")
        .exits(0);
    let written = shards::read(&place.path("out.parquet"));
    let names = shards::names(&input);
    let expected = [
        names.iter().map(String::as_str).collect::<Vec<_>>(),
        vec!["clip_score", "status", "height"],
    ]
    .concat();
    assert_eq!(shards::names(&written), expected);
    let rows = shards::row_numbers(&written);
    assert_eq!(rows.len(), 11);
    let kept = shards::project(&written, &expected[..names.len()]);
    assert_eq!(
        kept.columns(),
        shards::take(&input, &rows).columns(),
        "values, image bytes among them"
    );
    for (before, after) in input.schema().fields().iter().zip(kept.schema().fields()) {
        assert_eq!(before, after, "name, type, nullability and metadata");
    }
}

#[test]
fn every_addable_column_holds_what_it_says() {
    let place = place(30);
    let add = "--add image_embedding,text_embedding,status,width,height";
    place
        .mock(&format!(
            "in.parquet out.parquet --keep 1 --on-error keep {add}"
        ))
        .exits(0);
    let written = shards::read(&place.path("out.parquet"));
    assert_eq!(
        shards::names(&written),
        [
            "uid",
            "image",
            "text",
            "rank",
            "clip_score",
            "status",
            "width",
            "height",
            "image_embedding",
            "text_embedding"
        ]
    );
    let statuses: Vec<String> = shards::strings(&written, "status")
        .into_iter()
        .map(Option::unwrap)
        .collect();
    let bad = [
        (3, "null_image"),
        (10, "empty_image"),
        (17, "unsupported_image"),
        (24, "truncated_image"),
    ];
    for (row, status) in statuses.iter().enumerate() {
        let expected = bad
            .iter()
            .find(|(bad, _)| *bad == row)
            .map_or("ok", |(_, status)| status);
        assert_eq!(status, expected, "row {row}");
    }
    let scores = shards::floats(&written, "clip_score");
    let images = shards::vectors(&written, "image_embedding");
    let texts = shards::vectors(&written, "text_embedding");
    let widths = written
        .column_by_name("width")
        .unwrap()
        .as_primitive::<UInt32Type>();
    let heights = written
        .column_by_name("height")
        .unwrap()
        .as_primitive::<UInt32Type>();
    for (row, status) in statuses.iter().enumerate() {
        let good = status == "ok";
        assert_eq!(
            (
                scores[row].is_some(),
                images[row].is_some(),
                texts[row].is_some()
            ),
            (good, good, good),
            "row {row}"
        );
        if good {
            assert_eq!((widths.value(row), heights.value(row)), (16, 12));
        }
    }
    assert!(widths.is_null(3) && heights.is_null(10));
}

#[test]
fn only_the_score_is_added_unasked() {
    let place = place(20);
    place.mock("in.parquet out.parquet").exits(0);
    assert_eq!(
        shards::names(&shards::read(&place.path("out.parquet"))),
        ["uid", "image", "text", "rank", "clip_score"]
    );
}

#[test]
fn an_unknown_addition_is_a_usage_error_that_lists_the_known() {
    place(4)
        .mock("in.parquet out.parquet --add widht")
        .exits(2)
        .says(&[
            "widht",
            "image_embedding, text_embedding, status, width, height",
        ]);
}

#[test]
fn a_clash_names_prefix_and_a_prefix_resolves_it() {
    let place = place(20);
    place.mock("in.parquet once.parquet --keep 1").exits(0);
    place
        .mock("once.parquet twice.parquet")
        .exits(2)
        .says(&["clip_score", "--prefix"]);
    assert!(!place.path("twice.parquet").exists());
    place
        .mock_with(
            "once.parquet twice.parquet --prefix new_ --add status",
            &["--where", "new_clip_score = clip_score"],
        )
        .exits(0);
    let written = shards::read(&place.path("twice.parquet"));
    assert_eq!(
        shards::names(&written),
        [
            "uid",
            "image",
            "text",
            "rank",
            "clip_score",
            "new_clip_score",
            "new_status"
        ]
    );
    assert_eq!(
        shards::floats(&written, "clip_score"),
        shards::floats(&written, "new_clip_score")
    );
    assert_eq!(written.num_rows(), 17);
}

#[test]
fn an_input_column_that_is_named_like_a_fact_is_the_one_that_is_meant() {
    let place = Place::new();
    let pairs = shards::good_pairs(6);
    let widths: ArrayRef = Arc::new(
        (0..6)
            .map(|row| Some(row * 100))
            .collect::<arrow::array::Int64Array>(),
    );
    let statuses: ArrayRef = Arc::new(StringArray::from(vec!["draft"; 6]));
    let columns = vec![
        ("image", shards::bytes_column(&pairs)),
        ("text", shards::text_column(&pairs)),
        ("width", widths),
        ("status", statuses),
    ];
    shards::write(&place.path("in.parquet"), &shards::batch(columns));
    let condition = "width >= 300 AND status = 'draft' AND height = 12";
    place
        .mock_with("in.parquet out.parquet", &["--where", condition])
        .exits(0);
    let written = shards::read(&place.path("out.parquet"));
    assert_eq!(
        shards::names(&written),
        ["image", "text", "width", "status", "clip_score"]
    );
    assert_eq!(
        written.column(2).as_primitive::<Int64Type>().values(),
        &[300, 400, 500]
    );
    place
        .mock("in.parquet out2.parquet --add width")
        .exits(2)
        .says(&["width", "--prefix"]);
}

#[test]
fn metadata_is_kept_and_extended() {
    let place = place(20);
    place
        .mock("in.parquet out.parquet --add width,image_embedding --keep 0.5")
        .exits(0);
    let path = place.path("out.parquet");
    let features =
        |text: &str| serde_json::from_str::<Value>(text).unwrap()["info"]["features"].clone();
    let mut expected = features(shards::HUGGINGFACE);
    expected["clip_score"] = serde_json::json!({"dtype": "float32", "_type": "Value"});
    expected["width"] = serde_json::json!({"dtype": "uint32", "_type": "Value"});
    expected["image_embedding"] =
        serde_json::json!({"feature": {"dtype": "float32", "_type": "Value"}, "_type": "Sequence"});
    assert_eq!(
        features(&shards::file_value(&path, "huggingface").unwrap()),
        expected
    );
    let model: Value =
        serde_json::from_str(&shards::file_value(&path, "clip_filter.model").unwrap()).unwrap();
    assert_eq!(
        (&model["name"], &model["precision"]),
        (&"mock".into(), &"fp32".into())
    );
    assert!(
        model["preprocessing"]
            .as_str()
            .unwrap()
            .contains("resize 8x8")
    );
    assert_eq!(
        shards::file_value(&path, "clip_filter.version").unwrap(),
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(
        shards::file_value(&path, "clip_filter.selection").unwrap(),
        "keep 0.5 by s_cliploss"
    );
    let command = shards::file_value(&path, "clip_filter.command").unwrap();
    assert!(
        command
            .ends_with("clip-filter in.parquet out.parquet --add width,image_embedding --keep 0.5"),
        "{command}"
    );
    let written = shards::read(&path);
    let schema = written.schema();
    let score = schema.field_with_name("clip_score").unwrap();
    assert_eq!(score.metadata()["clip_filter.model"], "mock");
    assert_eq!(score.metadata()["clip_filter.precision"], "fp32");
    assert_eq!(score.metadata()["clip_filter.model_sha256"], "mock-1");
}

#[test]
fn image_bytes_are_stored_as_they_are_and_pages_are_small() {
    let place = Place::new();
    let pairs: Vec<shards::Pair> = (0..64)
        .map(|row| {
            shards::Pair::new(
                crate::pictures::bmp_of(200, 200, row),
                &format!("picture {row}"),
            )
        })
        .collect();
    shards::write_pairs(&place.path("in.parquet"), &pairs, 64);
    place.mock("in.parquet out.parquet --keep-rows 63").exits(0);
    let footer = shards::footer(&place.path("out.parquet"));
    let column = footer
        .row_group(0)
        .columns()
        .iter()
        .find(|column| column.column_path().string() == "image.bytes")
        .unwrap();
    assert_eq!(
        column.compression(),
        parquet::basic::Compression::UNCOMPRESSED
    );
    assert!(column.dictionary_page_offset().is_none());
    assert!(
        column.offset_index_offset().is_some(),
        "the page index is on"
    );
    assert!(
        column.statistics().is_none(),
        "no image bytes in the footer"
    );
}

/// The bytes of a column chunk.
fn chunk(path: &std::path::Path, group: usize, name: &str) -> Vec<u8> {
    let footer = shards::footer(path);
    let columns = footer.row_group(group).columns();
    let named = |column: &&parquet::file::metadata::ColumnChunkMetaData| {
        column.column_path().string() == name
    };
    let (start, length) = columns.iter().find(named).unwrap().byte_range();
    let start = usize::try_from(start).unwrap();
    let bytes = std::fs::read(path).unwrap();
    bytes[start..start + usize::try_from(length).unwrap()].to_vec()
}

#[test]
fn row_groups_that_stay_whole_are_taken_as_they_lie() {
    let place = Place::new();
    let (input, output) = (place.path("in.parquet"), place.path("out.parquet"));
    shards::write_pairs(&input, &shards::good_pairs(64), 16);
    place
        .mock_with(
            "in.parquet out.parquet",
            &["--where", "rank < 20 OR rank >= 32"],
        )
        .exits(0);
    let groups: Vec<i64> = shards::footer(&output)
        .row_groups()
        .iter()
        .map(|group| group.num_rows())
        .collect();
    assert_eq!(groups, [16, 4, 16, 16], "the second one was written anew");
    for (from, to) in [(0, 0), (2, 2), (3, 3)] {
        for name in ["uid", "image.bytes", "text", "rank"] {
            assert_eq!(
                chunk(&input, from, name),
                chunk(&output, to, name),
                "{name}"
            );
        }
    }
    let (read, written) = (shards::read(&input), shards::read(&output));
    let kept: Vec<bool> = (0..64).map(|row| !(20..32).contains(&row)).collect();
    let names = ["uid", "image", "text", "rank"];
    assert_eq!(
        shards::project(&written, &names),
        shards::project(&shards::filter(&read, &kept), &names)
    );
    assert!(
        shards::floats(&written, "clip_score")
            .iter()
            .all(Option::is_some)
    );
    let footer = shards::footer(&output);
    let indexed = |group: &parquet::file::metadata::RowGroupMetaData| {
        group
            .columns()
            .iter()
            .all(|column| column.offset_index_offset().is_some())
    };
    assert!(
        footer.row_groups().iter().all(indexed),
        "page indexes came along"
    );
}

/// A column of the shards that is named as one of the scores from embeddings is what a condition means.
#[test]
fn a_condition_means_the_shards_own_columns() {
    let place = place(20);
    let query = "SELECT *, rank AS cell, {sas: rank} AS meta FROM t_shards";
    place
        .mock_with("sql --input t=in.parquet --output own.parquet", &[query])
        .exits(0);
    for (more, derived) in [
        ("", "cell > 9"),
        ("--scores s --embeddings none", "cell > 9"),
        ("--scores s", "meta['sas'] > 9 AND meta.sas > 9"),
    ] {
        let args = format!("own.parquet out.parquet --overwrite --keep 1 --json {more}");
        let summary = place
            .mock_with(&args, &["--where", derived])
            .exits(0)
            .json();
        let kept = shards::read(&place.path("out.parquet"));
        assert_eq!(summary["rows_kept"], kept.num_rows());
        assert!(kept.num_rows() > 0 && kept.num_rows() < 10);
        assert_eq!(shards::floats(&kept, "clip_score").len(), kept.num_rows());
    }
    let spec = std::fs::read_to_string(place.path("s/manifest.json")).unwrap();
    assert!(
        !spec.contains("\"cell\"") && !spec.contains("\"sas\""),
        "{spec}"
    );
    let online = program()
        .current_dir(place.dir())
        .env("CLIP_FILTER_MODEL", "mock")
        .args("own.parquet - --online --keep 1 --where".split(' '))
        .arg("cell > 9")
        .stdout(std::process::Stdio::null())
        .status();
    assert!(online.unwrap().success());
}
