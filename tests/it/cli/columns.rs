//! Columns of any type and name, in shards that differ.

use std::{fs::File, path::Path, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BinaryArray, Decimal128Array, DictionaryArray,
        DurationMillisecondArray, DurationSecondArray, FixedSizeBinaryArray, Float64Array,
        Int32Array, Int64Array, StringArray, StructArray, TimestampMicrosecondArray,
        TimestampMillisecondArray, TimestampNanosecondArray,
    },
    datatypes::{DataType, DurationMillisecondType, Field, Int8Type, Int64Type, Schema, TimeUnit},
};
use parquet::{
    arrow::{ArrowWriter, arrow_writer::ArrowWriterOptions, encode_arrow_schema},
    basic::Compression,
    column::{reader::ColumnReader, writer::ColumnWriter},
    data_type::Int96,
    file::{
        metadata::KeyValue,
        properties::WriterProperties,
        reader::{FileReader, SerializedFileReader},
        writer::SerializedFileWriter,
    },
    schema::{parser::parse_message_type, types::SchemaDescriptor},
};

use crate::{
    pictures,
    program::{Place, program},
    shards::{self, Pair},
};

const ROWS: u8 = 10;

fn pairs(first: u32) -> Vec<(&'static str, ArrayRef)> {
    let pairs: Vec<Pair> = (first..first + u32::from(ROWS))
        .map(|row| Pair::new(pictures::bmp(row), &format!("picture {row}")))
        .collect();
    let numbers = (i64::from(first)..).take(usize::from(ROWS));
    vec![
        ("image", shards::bytes_column(&pairs)),
        ("text", shards::text_column(&pairs)),
        ("n", Arc::new(Int64Array::from_iter_values(numbers))),
    ]
}

/// A shard of ten pairs and `more` columns.
fn write(path: &Path, first: u32, more: Vec<(&str, ArrayRef)>) {
    let columns = pairs(first).into_iter().chain(more).collect();
    let batch = shards::batch(columns);
    let file = File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// What Parquet has of each type, over what is stored.
const STORED: &str = "message schema {
    required binary image;
    required binary text (STRING);
    required int64 n;
    optional fixed_len_byte_array(16) id (UUID);
    optional binary document (JSON);
    optional int64 hour (TIME(MICROS, true));
    optional int32 day (DATE);
    optional fixed_len_byte_array(12) span (INTERVAL);
    optional fixed_len_byte_array(12) price (DECIMAL(20, 2));
    optional binary place (STRING);
}";

/// A shard of [`STORED`] columns; `place` is text in Latin-1.
fn write_stored(path: &Path) {
    let fixed = |length: u8| -> ArrayRef {
        let values = (0..ROWS).map(|row| vec![row; usize::from(length)]);
        Arc::new(FixedSizeBinaryArray::try_from_iter(values).unwrap())
    };
    let bytes = |value: fn(u8) -> Vec<u8>| -> ArrayRef {
        Arc::new(BinaryArray::from_iter_values((0..ROWS).map(value)))
    };
    let mut columns = pairs(0);
    columns[1].1 = bytes(|row| format!("picture {row}").into_bytes());
    columns.extend([
        ("id", fixed(16)),
        (
            "document",
            bytes(|row| format!("{{\"row\":{row}}}").into_bytes()),
        ),
        (
            "hour",
            Arc::new(Int64Array::from_iter_values((0..ROWS).map(i64::from))) as ArrayRef,
        ),
        (
            "day",
            Arc::new(Int32Array::from_iter_values(
                (0..ROWS).map(|row| i32::from(row) - 5),
            )),
        ),
        ("span", fixed(12)),
        ("price", fixed(12)),
        ("place", bytes(|row| vec![b'c', 0xe9, row])),
    ]);
    let fields = columns
        .iter()
        .enumerate()
        .map(|(at, (name, column))| Field::new(*name, column.data_type().clone(), at > 2));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let columns = columns.into_iter().map(|(_, column)| column).collect();
    let batch = arrow::array::RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
    let stored = SchemaDescriptor::new(Arc::new(parse_message_type(STORED).unwrap()));
    let options = ArrowWriterOptions::new()
        .with_parquet_schema(stored)
        .with_skip_arrow_metadata(true)
        .with_properties(
            WriterProperties::builder()
                .set_compression(Compression::SNAPPY)
                .build(),
        );
    let file = File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new_with_options(file, schema, options).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// Type of each leaf of the first `leaves`, and its values as they are stored.
fn stored(path: &Path, leaves: usize) -> Vec<(String, Vec<String>)> {
    let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    let schema = reader.metadata().file_metadata().schema_descr_ptr();
    let group = reader.get_row_group(0).unwrap();
    let rows = usize::try_from(reader.metadata().row_group(0).num_rows()).unwrap();
    let of = |leaf: usize| {
        macro_rules! values {
            ($reader:expr) => {{
                let (mut values, mut levels) = (Vec::new(), Vec::new());
                let _ = $reader.read_records(rows, Some(&mut levels), None, &mut values);
                values.iter().map(|value| format!("{value:?}")).collect()
            }};
        }
        let values: Vec<String> = match group.get_column_reader(leaf).unwrap() {
            ColumnReader::Int32ColumnReader(mut reader) => values!(reader),
            ColumnReader::Int64ColumnReader(mut reader) => values!(reader),
            ColumnReader::ByteArrayColumnReader(mut reader) => values!(reader),
            ColumnReader::FixedLenByteArrayColumnReader(mut reader) => values!(reader),
            _ => panic!("a type that no test has"),
        };
        (format!("{:?}", schema.column(leaf).self_type()), values)
    };
    (0..leaves).map(of).collect()
}

#[test]
fn what_a_value_means_is_kept_copied_and_rewritten() {
    let place = Place::new();
    write_stored(&place.path("in.parquet"));
    let before = stored(&place.path("in.parquet"), 10);
    assert!(
        before
            .iter()
            .all(|(_, values)| values.len() == usize::from(ROWS))
    );
    place.mock("in.parquet whole.parquet --keep 1").exits(0);
    assert_eq!(stored(&place.path("whole.parquet"), 10), before);
    place
        .mock_with("in.parquet some.parquet --where", &["n < 7"])
        .exits(0);
    let some = before.into_iter().map(|(kind, mut values)| {
        values.truncate(7);
        (kind, values)
    });
    assert_eq!(
        stored(&place.path("some.parquet"), 10),
        some.collect::<Vec<_>>()
    );
}

#[test]
fn text_that_is_not_utf_8_is_carried_and_an_error_where_it_decides() {
    let place = Place::new();
    write_stored(&place.path("in.parquet"));
    place
        .mock_with("in.parquet out.parquet --where", &["place > 'a'"])
        .exits(1)
        .says(&["in.parquet", "'place'", "not UTF-8", "row: 0"]);
    let sql = "sql --input in.parquet --format csv";
    place
        .mock_with(sql, &["select place from pairs"])
        .exits(1)
        .says(&["in.parquet", "'place'", "not UTF-8"]);
    place.mock_with(sql, &["select n from pairs"]).exits(0);
}

#[test]
fn a_caption_that_is_not_utf_8_is_a_bad_row() {
    let place = Place::new();
    write_stored(&place.path("in.parquet"));
    let report = place
        .mock("in.parquet out.parquet --text-column place --on-error keep --json")
        .exits(0)
        .json();
    assert_eq!(report["bad"], serde_json::json!({"null_caption": 10}));
    assert_eq!(
        stored(&place.path("out.parquet"), 10),
        stored(&place.path("in.parquet"), 10)
    );
}

#[test]
fn a_dictionary_has_more_words_in_all_shards_than_its_key_counts() {
    let place = Place::new();
    std::fs::create_dir(place.path("in")).unwrap();
    for shard in 0..20u32 {
        let words = (0..ROWS).map(|row| format!("word {}", shard * 10 + u32::from(row)));
        let words: DictionaryArray<Int8Type> = words
            .collect::<Vec<_>>()
            .iter()
            .map(|word| Some(word.as_str()))
            .collect();
        let path = place.path(&format!("in/{shard:02}.parquet"));
        write(&path, shard * 10, vec![("word", Arc::new(words))]);
    }
    for flags in [["--keep", "1"], ["--where", "n % 10 < 9"]] {
        place
            .mock_with("in out.parquet --overwrite", &flags)
            .exits(0);
        let words = shards::read(&place.path("out.parquet"));
        let words = words.column_by_name("word").unwrap();
        let words = arrow::compute::cast(words, &DataType::Utf8).unwrap();
        let expected = if flags[0] == "--keep" { 200 } else { 180 };
        assert_eq!(words.as_string::<i32>().len(), expected);
        assert_eq!(
            words.as_string::<i32>().value(expected - 2),
            if flags[0] == "--keep" {
                "word 198"
            } else {
                "word 197"
            }
        );
    }
    let counted = place
        .mock_with(
            "sql --input in --format csv",
            &["select count(distinct word) w, count(*) n from pairs"],
        )
        .exits(0);
    assert_eq!(counted.stdout.trim(), "w,n\n200,200");
}

/// A shard whose `taken` is in 96 bits: noon of 1 January 1500 and of 31 December 9999.
fn write_far_times(path: &Path) {
    let schema = "message schema {
        required binary image; required binary text (STRING); required int64 n; required int96 taken;
    }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let file = File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let bytes = |row: u8| pictures::bmp(u32::from(row)).into();
    for column in 0..4 {
        let mut writer = group.next_column().unwrap().unwrap();
        match writer.untyped() {
            ColumnWriter::ByteArrayColumnWriter(writer) if column == 0 => {
                writer.write_batch(&(0..2).map(bytes).collect::<Vec<_>>(), None, None)
            }
            ColumnWriter::ByteArrayColumnWriter(writer) => {
                writer.write_batch(&["a".into(), "b".into()], None, None)
            }
            ColumnWriter::Int64ColumnWriter(writer) => writer.write_batch(&[0, 1], None, None),
            ColumnWriter::Int96ColumnWriter(writer) => {
                // Nanoseconds of the day in two halves, and the Julian day.
                let noon = 43_200_000_000_000u64;
                let halves = [(noon & 0xffff_ffff) as u32, (noon >> 32) as u32];
                let day = |julian: u32| {
                    let mut time = Int96::new();
                    time.set_data(halves[0], halves[1], julian);
                    time
                };
                writer.write_batch(&[day(2_268_933), day(5_373_484)], None, None)
            }
            _ => unreachable!(),
        }
        .unwrap();
        writer.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
}

#[test]
fn times_in_96_bits_reach_beyond_what_nanoseconds_do() {
    let place = Place::new();
    write_far_times(&place.path("in.parquet"));
    let micros = [-14_830_948_800_000_000, 253_402_257_600_000_000];
    for (flags, expected) in [("--keep 1", &micros[..]), ("--where n<1", &micros[..1])] {
        place
            .mock(&format!("in.parquet out.parquet --overwrite {flags}"))
            .exits(0);
        let rows = shards::read(&place.path("out.parquet"));
        let taken = rows.column_by_name("taken").unwrap();
        let taken = arrow::compute::cast(taken, &DataType::Int64).unwrap();
        assert_eq!(taken.as_primitive::<Int64Type>().values(), expected);
    }
    let report = place
        .mock_with(
            "in.parquet --dry-run --json --keep 1 --where",
            &["taken > timestamp '2000-01-01T00:00:00'"],
        )
        .exits(0)
        .json();
    assert_eq!(report["rows_kept"], 1);
}

#[test]
fn shards_that_differ_are_read_by_name() {
    let place = Place::new();
    std::fs::create_dir(place.path("in")).unwrap();
    let small: ArrayRef = Arc::new(Int32Array::from_iter_values(0..i32::from(ROWS)));
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values(
        (0..ROWS).map(|row| format!("s{row}")),
    ));
    let large: ArrayRef = Arc::new(Int64Array::from(vec![1 << 40; usize::from(ROWS)]));
    let prices = Decimal128Array::from(vec![1250; usize::from(ROWS)]);
    let price: ArrayRef = Arc::new(prices.with_precision_and_scale(38, 2).unwrap());
    write(
        &place.path("in/a.parquet"),
        0,
        vec![("size", small), ("source", texts.clone())],
    );
    write(
        &place.path("in/b.parquet"),
        10,
        vec![("late", texts), ("size", large), ("price", price)],
    );
    place.mock("in out.parquet --keep 1").exits(0);
    let rows = shards::read(&place.path("out.parquet"));
    assert_eq!(
        shards::names(&rows)[..6],
        ["image", "text", "n", "size", "source", "late"]
    );
    let sizes = rows
        .column_by_name("size")
        .unwrap()
        .as_primitive::<Int64Type>();
    assert_eq!((sizes.value(9), sizes.value(10)), (9, 1 << 40));
    let nulls = |name: &str| rows.column_by_name(name).unwrap().null_count();
    for name in ["source", "late", "price"] {
        assert_eq!(nulls(name), 10, "{name}");
    }
    let kept = place
        .mock_with(
            "in --dry-run --json --keep 1 --where",
            &["late = 's3' or size < 2"],
        )
        .exits(0)
        .json();
    assert_eq!(kept["rows_kept"], 3);
}

/// Parquet has no type for them: of a second and a millisecond the bytes are the same.
#[test]
fn durations_of_two_units_keep_their_length() {
    let place = Place::new();
    std::fs::create_dir(place.path("in")).unwrap();
    let seconds: ArrayRef = Arc::new(DurationSecondArray::from(vec![1; usize::from(ROWS)]));
    let millis: ArrayRef = Arc::new(DurationMillisecondArray::from(vec![1; usize::from(ROWS)]));
    write(&place.path("in/a.parquet"), 0, vec![("took", seconds)]);
    write(&place.path("in/b.parquet"), 10, vec![("took", millis)]);
    for (condition, last) in [("n >= 0", 19), ("n % 2 = 1", 9)] {
        place
            .mock_with("in out.parquet --overwrite --where", &[condition])
            .exits(0);
        let rows = shards::read(&place.path("out.parquet"));
        let took = rows.column_by_name("took").unwrap();
        let took = took.as_primitive::<DurationMillisecondType>().values();
        assert_eq!((took[0], took[last]), (1000, 1));
    }
}

#[test]
fn a_value_that_the_wider_type_has_not_is_no_damage() {
    let place = Place::new();
    std::fs::create_dir(place.path("in")).unwrap();
    let far = vec![253_402_257_600_000_000; usize::from(ROWS)];
    let far: ArrayRef = Arc::new(TimestampMicrosecondArray::from(far));
    let near: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![1; usize::from(ROWS)]));
    write(&place.path("in/a.parquet"), 0, vec![("taken", far)]);
    write(&place.path("in/b.parquet"), 10, vec![("taken", near)]);
    for flags in [["--keep", "1"], ["--where", "taken is null or n < 3"]] {
        let ran = place.mock_with("in out.parquet", &flags).exits(1).says(&[
            "'taken'",
            "in/a.parquet",
            "the other shard: in/b.parquet",
            "separate runs",
        ]);
        assert!(!ran.stderr.contains("damaged"), "{}", ran.stderr);
    }
}

#[test]
fn a_comparison_with_nan_selects_nothing() {
    let place = Place::new();
    let scores = (0..ROWS).map(|row| match row % 4 {
        3 => f64::NAN,
        _ => f64::from(row) / 10.0,
    });
    let scores: ArrayRef = Arc::new(Float64Array::from_iter_values(scores));
    write(&place.path("in.parquet"), 0, vec![("score", scores)]);
    let sql = |query: &str| {
        let ran = place.mock_with("sql --input in.parquet --format csv", &[query]);
        ran.exits(0).stdout.trim().replace('\n', " ")
    };
    // Rows 3 and 7 are NaN.
    for (condition, expected) in [
        ("score > 0.5", 3),
        ("not (score > 0.5)", 5),
        ("score <> 0.5", 7),
        ("score = score", 8),
        ("score between 0 and 1", 8),
        ("score not in (0.1)", 7),
    ] {
        let report = place
            .mock_with("in.parquet --dry-run --json --keep 1 --where", &[condition])
            .exits(0)
            .json();
        assert_eq!(report["rows_kept"], expected, "{condition}");
        assert_eq!(report["rows_nan"], 2, "{condition}");
        let counted = sql(&format!("select count(*) n from pairs where {condition}"));
        assert_eq!(counted, format!("n {expected}"), "{condition}");
    }
    for condition in ["score > 0.5", "score > clip_score and n > 3"] {
        let online = program()
            .current_dir(place.dir())
            .args("in.parquet - --online --keep 1 --json --model mock --where".split(' '))
            .arg(condition)
            .output()
            .unwrap();
        let report = String::from_utf8(online.stderr).unwrap();
        assert!(report.contains("\"rows_nan\":2,"), "{condition}: {report}");
    }
    place.mock("score in.parquet --scores scores").exits(0);
    let note = "2 rows have NaN in a column of --where";
    for (args, told) in [
        ("report scores --text --where score>0.5", true),
        ("report scores --text --where n>2", false),
    ] {
        let report = place.mock(args).exits(0).stdout;
        assert_eq!(report.contains(note), told, "{report}");
    }
    place
        .mock("in.parquet --dry-run --keep 1 --where score>0.5 --report run.html")
        .exits(0);
    let page = std::fs::read_to_string(place.path("run.html")).unwrap();
    assert!(page.contains(note));
    let told = place
        .mock("in.parquet nan.parquet --keep 1 --where score>0.5")
        .exits(0)
        .stderr;
    assert!(
        told.contains("\n  NaN        2   (in a column of --where"),
        "{told}"
    );
    let other = place.mock("in.parquet --dry-run --json --keep 1 --where n>2");
    assert_eq!(other.exits(0).json()["rows_nan"], 0);
    assert_eq!(
        sql("select n from pairs order by score desc limit 2"),
        "n 9 8"
    );
    assert_eq!(
        sql(
            "select n from (select n, row_number() over (order by score desc) r from pairs) where r = 1"
        ),
        "n 9"
    );
}

#[test]
fn names_that_cannot_be_told_apart_are_refused() {
    let place = Place::new();
    let column = || -> ArrayRef { Arc::new(Int64Array::from(vec![1; usize::from(ROWS)])) };
    write(&place.path("own.parquet"), 0, vec![("__row", column())]);
    place
        .mock("own.parquet out.parquet")
        .exits(1)
        .says(&["own.parquet", "'__row'", "EXCLUDE"]);
    let by_case = vec![("v", column()), ("V", column())];
    write(&place.path("case.parquet"), 0, by_case);
    place
        .mock("case.parquet case-out.parquet --keep 1")
        .exits(0);
    assert_eq!(
        shards::names(&shards::read(&place.path("case-out.parquet")))[3..5],
        ["v", "V"]
    );
}

#[test]
fn a_choice_of_captions_names_the_shards_that_lack_one() {
    let place = Place::new();
    let pairs = shards::good_pairs(2);
    for (file, caption) in [("a.parquet", "text"), ("b.parquet", "caption")] {
        let batch = shards::batch(vec![
            ("image", shards::bytes_column(&pairs)),
            (caption, shards::text_column(&pairs)),
        ]);
        shards::write(&place.path(file), &batch);
    }
    place
        .mock("a.parquet b.parquet out.parquet")
        .exits(1)
        .says(&[
            "several fit",
            "text is not in b.parquet",
            "caption is not in a.parquet",
        ]);
}

#[test]
fn a_query_is_told_that_pictures_are_text() {
    let place = Place::new();
    let pairs = shards::good_pairs(2);
    let batch = shards::batch(vec![
        ("image", shards::text_column(&pairs)),
        ("text", shards::text_column(&pairs)),
    ]);
    shards::write(&place.path("in.parquet"), &batch);
    place
        .mock_with("sql --input in.parquet", &["SELECT count(*) FROM pairs"])
        .exits(0)
        .says(&[
            "note: pairs is no table of pairs",
            "output_format_parquet_string_as_string = 0",
        ]);
}

/// Parquet has them in milliseconds, and their zone in the Arrow schema alone, which says seconds.
#[test]
fn whole_seconds_keep_their_zone() {
    let place = Place::new();
    let seconds = DataType::Timestamp(TimeUnit::Second, Some("Europe/Berlin".into()));
    let millis = |zone: &str| DataType::Timestamp(TimeUnit::Millisecond, Some(zone.into()));
    let times =
        || TimestampMillisecondArray::from_iter_values((0..i64::from(ROWS)).map(|row| row * 1_000));
    let utc: ArrayRef = Arc::new(times().with_timezone("UTC"));
    let within = StructArray::from(vec![(
        Arc::new(Field::new("at", millis("UTC"), true)),
        Arc::clone(&utc),
    )]);
    let mut columns = pairs(0);
    columns.extend([("taken", Arc::clone(&utc)), ("plain", utc)]);
    columns.push(("made", Arc::new(within)));
    let batch = shards::batch(columns);
    let schema = batch.schema();
    let declared = schema.fields().iter().map(|field| {
        let inner = Field::new("at", seconds.clone(), true);
        match field.name().as_str() {
            "taken" => Field::clone(field).with_data_type(seconds.clone()),
            "made" => Field::clone(field).with_data_type(DataType::Struct(vec![inner].into())),
            _ => Field::clone(field),
        }
    });
    let declared = encode_arrow_schema(&Schema::new(declared.collect::<Vec<_>>()));
    let declared = KeyValue::new("ARROW:schema".to_owned(), declared);
    let properties = WriterProperties::builder().set_key_value_metadata(Some(vec![declared]));
    let options = ArrowWriterOptions::new()
        .with_skip_arrow_metadata(true)
        .with_properties(properties.build());
    let file = File::create(place.path("in.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new_with_options(file, batch.schema(), options).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    for args in [
        "in.parquet out.parquet --overwrite --keep 1",
        "in.parquet out.parquet --overwrite --keep 1 --where n<7",
    ] {
        place.mock(args).exits(0);
        let rows = shards::read(&place.path("out.parquet"));
        let schema = rows.schema();
        let of = |name: &str| schema.field_with_name(name).unwrap().data_type().clone();
        assert_eq!(of("taken"), millis("Europe/Berlin"));
        assert_eq!(of("plain"), millis("UTC"));
        let within = Field::new("at", millis("Europe/Berlin"), true);
        assert_eq!(of("made"), DataType::Struct(vec![within].into()));
        let taken = arrow::compute::cast(&rows["taken"], &DataType::Int64).unwrap();
        assert_eq!(taken.as_primitive::<Int64Type>().value(6), 6_000);
    }
    // The clock there is an hour ahead.
    let query = "SELECT count(*) n FROM pairs WHERE taken >= timestamp '1970-01-01 01:00:04'";
    let ran = place.mock_with("sql --input in.parquet --format csv", &[query]);
    assert_eq!(ran.exits(0).stdout, "n\n6\n");
}

/// The Arrow schema of image, text and `big`, as Polars 2.1 writes it where `big` is Int128.
const INT128: [&str; 4] = [
    "/////9IAAAAEAAAA8v///xQAAAAEAAEAAAAKAAsACAAKAAQA+P///wwAAAAIAAgAAAAEAAMAAABoAAAAPAAAAAQAAA",
    "CQ////KAAAABAAAAAIAAAAAQIAAAAAAAD0////gAAAAAEAAAAIAAkABAAIAAMAAABiaWcAxP///xgAAAAQAAAACAAA",
    "AAEUAAAAAAAAxP///wQAAAB0ZXh0AAAAAOz///8sAAAAIAAAABgAAAABEwAAEAASAAQAEAARAAgAAAAMAAAAAAD8//",
    "//BAAEAAUAAABpbWFnZQA=",
];

#[test]
fn a_column_that_its_writer_alone_knows_is_named_with_a_remedy() {
    let place = Place::new();
    let pairs = shards::good_pairs(1);
    let big = FixedSizeBinaryArray::try_from_iter([[0_u8; 16]].iter()).unwrap();
    let batch = shards::batch(vec![
        ("image", shards::bytes_column(&pairs)),
        ("text", shards::text_column(&pairs)),
        ("big", Arc::new(big)),
    ]);
    let declared = KeyValue::new("ARROW:schema".to_owned(), INT128.concat());
    let properties = WriterProperties::builder().set_key_value_metadata(Some(vec![declared]));
    let options = ArrowWriterOptions::new()
        .with_skip_arrow_metadata(true)
        .with_properties(properties.build());
    let file = File::create(place.path("in.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new_with_options(file, batch.schema(), options).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    for command in ["in.parquet out.parquet", "inspect in.parquet"] {
        let ran = place.mock(command).exits(1).says(&[
            "its writer declared a type that is not known",
            "in.parquet",
            "big of 16 bytes",
            "bit width of 128",
            "cast(pl.Decimal(38, 0))",
        ]);
        assert!(!ran.stderr.contains("damaged"), "{}", ran.stderr);
    }
}

#[test]
fn a_condition_may_begin_with_a_minus() {
    let place = Place::new();
    shards::write_pairs(&place.path("in.parquet"), &shards::good_pairs(6), 4);
    let ran = place.mock_with("in.parquet --dry-run --json --where", &["-rank < -3"]);
    assert_eq!(ran.exits(0).json()["rows_kept"], 2);
}
