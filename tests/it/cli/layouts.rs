//! Every shape that image and caption columns come in.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, StructArray},
    compute::cast,
    datatypes::{DataType, Field},
};
use parquet::file::properties::{WriterProperties, WriterVersion};

use crate::{
    program::Place,
    shards::{self, Pair},
};

const ROWS: u32 = 24;

fn dictionary(of: DataType) -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(of))
}

/// The struct with children of other types, `path` left out if there is none.
fn image_struct(bytes: &DataType, path: Option<&DataType>, pairs: &[Pair]) -> ArrayRef {
    let mut columns = vec![(
        Arc::new(Field::new("bytes", bytes.clone(), true)),
        cast(&shards::bytes_column(pairs), bytes).unwrap(),
    )];
    if let Some(path) = path {
        let paths = arrow::array::new_null_array(path, pairs.len());
        columns.insert(0, (Arc::new(Field::new("path", path.clone(), true)), paths));
    }
    Arc::new(StructArray::from(columns))
}

/// Filters a shard of these two columns and compares every value with the plain layout's run.
#[track_caller]
fn check(image: (&str, ArrayRef), text: (&str, ArrayRef)) {
    let place = Place::new();
    let pairs = shards::mixed_pairs(ROWS);
    shards::write_pairs(&place.path("plain.parquet"), &pairs, 10);
    place
        .mock("plain.parquet expected.parquet --keep 0.5 --on-error keep --add status")
        .exits(0);
    let expected = shards::read(&place.path("expected.parquet"));
    let rank = shards::hf_batch(&pairs)
        .column_by_name("rank")
        .unwrap()
        .clone();
    let uid = shards::hf_batch(&pairs)
        .column_by_name("uid")
        .unwrap()
        .clone();
    let input = shards::batch(vec![
        ("uid", uid),
        text.clone(),
        ("rank", rank),
        image.clone(),
    ]);
    shards::write(&place.path("in.parquet"), &input);
    place
        .mock("in.parquet out.parquet --keep 0.5 --on-error keep --add status")
        .exits(0);
    let written = shards::read(&place.path("out.parquet"));
    let added = ["clip_score", "status"];
    assert_eq!(
        shards::project(&written, &added).columns(),
        shards::project(&expected, &added).columns(),
        "{} and {}",
        image.1.data_type(),
        text.1.data_type()
    );
    let kept = shards::project(&written, &["uid", text.0, "rank", image.0]);
    assert_eq!(kept.schema().fields(), input.schema().fields());
    assert_eq!(kept, shards::take(&input, &shards::row_numbers(&written)));
}

#[test]
fn every_image_layout_is_read_and_kept() {
    let pairs = shards::mixed_pairs(ROWS);
    let text = ("text", shards::text_column(&pairs));
    let bytes = shards::bytes_column(&pairs);
    check(("image", shards::image_column(&pairs)), text.clone());
    for (name, data_type) in [
        ("image", DataType::Binary),
        ("image_bytes", DataType::LargeBinary),
        ("jpg", DataType::BinaryView),
        ("jpeg", DataType::Binary),
        ("png", DataType::LargeBinary),
        ("webp", DataType::BinaryView),
    ] {
        check((name, cast(&bytes, &data_type).unwrap()), text.clone());
    }
    let paths = [
        None,
        Some(DataType::Utf8),
        Some(DataType::LargeUtf8),
        Some(DataType::Utf8View),
    ];
    for (bytes, path) in [
        DataType::Binary,
        DataType::LargeBinary,
        DataType::BinaryView,
        DataType::Binary,
    ]
    .iter()
    .zip(&paths)
    {
        check(
            ("image", image_struct(bytes, path.as_ref(), &pairs)),
            text.clone(),
        );
    }
}

#[test]
fn every_caption_layout_is_read_and_kept() {
    let pairs = shards::mixed_pairs(ROWS);
    let image = ("image", shards::image_column(&pairs));
    let texts = shards::text_column(&pairs);
    for (name, data_type) in [
        ("text", DataType::Utf8),
        ("caption", DataType::LargeUtf8),
        ("TEXT", DataType::Utf8View),
        ("txt", dictionary(DataType::Utf8)),
        ("caption", dictionary(DataType::LargeUtf8)),
    ] {
        check(image.clone(), (name, cast(&texts, &data_type).unwrap()));
    }
}

#[test]
fn a_null_struct_is_a_null_image() {
    let place = Place::new();
    let pairs = shards::good_pairs(4);
    let DataType::Struct(fields) = shards::image_column(&pairs).data_type().clone() else {
        unreachable!()
    };
    let nulls = Some(vec![true, false, true, true].into());
    let parts = shards::image_column(&pairs);
    let parts = arrow::array::AsArray::as_struct(&parts).columns().to_vec();
    let image: ArrayRef = Arc::new(StructArray::try_new(fields, parts, nulls).unwrap());
    shards::write(
        &place.path("in.parquet"),
        &shards::batch(vec![
            ("image", image),
            ("text", shards::text_column(&pairs)),
        ]),
    );
    let report = place.mock("in.parquet out.parquet --json").exits(0).json();
    assert_eq!(report["bad"], serde_json::json!({"null_image": 1}));
}

#[test]
fn columns_of_any_name_can_be_named() {
    let place = Place::new();
    let pairs = shards::good_pairs(5);
    let columns = || {
        vec![
            ("photo", shards::bytes_column(&pairs)),
            ("image", shards::bytes_column(&pairs)),
            ("caption", shards::text_column(&pairs)),
            ("Title of it", shards::text_column(&pairs)),
        ]
    };
    shards::write(&place.path("in.parquet"), &shards::batch(columns()));
    place
        .mock_with(
            "in.parquet out.parquet --image-column photo",
            &["--text-column", "Title of it"],
        )
        .exits(0);
    place
        .mock("in.parquet b.parquet --image-column foto")
        .exits(2)
        .says(&["foto", "--image-column photo"]);
    place
        .mock("in.parquet b.parquet --image-column caption")
        .exits(2)
        .says(&["Utf8", "binary"]);
    shards::write(
        &place.path("two.parquet"),
        &shards::batch(
            columns()
                .into_iter()
                .chain([("text", shards::text_column(&pairs))])
                .collect(),
        ),
    );
    place
        .mock("two.parquet b.parquet")
        .exits(1)
        .says(&["text, caption", "--text-column text"]);
    shards::write(
        &place.path("none.parquet"),
        &shards::batch(columns().split_off(2)),
    );
    place.mock("none.parquet b.parquet").exits(1).says(&[
        "find the image column",
        "caption Utf8",
        "--image-column NAME",
    ]);
    shards::write(
        &place.path("mute.parquet"),
        &shards::batch(columns().into_iter().take(2).collect()),
    );
    place.mock("mute.parquet b.parquet").exits(1).says(&[
        "find the text column",
        "image Binary",
        "--text-column NAME",
    ]);
}

#[test]
fn parquet_of_every_version_codec_and_encoding_is_read() {
    use parquet::basic::{Compression, Encoding};
    let place = Place::new();
    let input = shards::hf_batch(&shards::mixed_pairs(ROWS));
    let builders = [
        WriterProperties::builder().set_writer_version(WriterVersion::PARQUET_2_0),
        WriterProperties::builder().set_compression(Compression::SNAPPY),
        WriterProperties::builder().set_compression(Compression::LZ4_RAW),
        WriterProperties::builder().set_compression(Compression::GZIP(Default::default())),
        WriterProperties::builder().set_compression(Compression::BROTLI(Default::default())),
        WriterProperties::builder().set_compression(Compression::ZSTD(Default::default())),
        WriterProperties::builder()
            .set_dictionary_enabled(false)
            .set_encoding(Encoding::DELTA_BYTE_ARRAY)
            .set_column_encoding("rank".into(), Encoding::DELTA_BINARY_PACKED),
        WriterProperties::builder()
            .set_data_page_row_count_limit(3)
            .set_write_batch_size(1),
        WriterProperties::builder().set_offset_index_disabled(true),
    ];
    let mut expected = None;
    for (number, builder) in builders.into_iter().enumerate() {
        shards::write_with(&place.path("in.parquet"), &input, builder.build());
        place
            .mock("in.parquet out.parquet --overwrite --keep 0.5")
            .exits(0);
        let written = shards::read(&place.path("out.parquet"));
        assert_eq!(
            &written,
            expected.get_or_insert(written.clone()),
            "{number}"
        );
    }
}
