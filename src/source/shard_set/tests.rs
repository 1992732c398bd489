//! Sets of shards and how their rows are read.

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray,
        StringViewArray,
    },
    datatypes::Int64Type,
};
use parquet::{arrow::ArrowWriter, file::properties::WriterProperties};

use super::*;
use crate::{
    schema::ROW,
    source::{
        LeftOut, Places, ReadPlan, RowPredicate, ShardReader,
        kind::{OpenRows, ShardRows},
        memory::{MemoryFile, MemoryPlace},
    },
};

/// Row groups of 4 rows, numbers from `first` on.
fn parquet(first: i64, rows: i64) -> Vec<u8> {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(first..first + rows));
    let batch = RecordBatch::try_from_iter([("n", numbers)]).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(4));
    let properties = Some(properties.build());
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), properties).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

struct Table {
    files: Vec<Arc<MemoryFile>>,
    set: ShardSet,
}

/// Two shards of ten rows, numbers from 0 and from 100 on.
fn table(left_out: [&[u64]; 2], days: [Option<&str>; 2]) -> Table {
    let memory = Arc::new(MemoryPlace::default());
    let names = ["mem://a.parquet", "mem://b.parquet"];
    let files = [0, 100].iter().zip(names);
    let files = files.map(|(&first, name)| memory.put(name, parquet(first, 10)));
    let files = files.collect();
    let places = Places::default().with_place("mem", memory);
    let shards = names.iter().zip(left_out.iter().zip(days));
    let shards = shards.map(|(name, (rows, day))| {
        let day: ArrayRef = Arc::new(StringArray::from(vec![day]));
        TableShard {
            columns: None,
            location: places.at(name).unwrap(),
            constants: vec![Constant::try_new("day", &day).unwrap()],
            left_out: LeftOut::of(rows.to_vec()),
        }
    });
    let set = ShardSet::of_table(shards).unwrap();
    Table { files, set }
}

fn plan(columns: &[usize], predicates: Vec<RowPredicate>) -> ReadPlan {
    ReadPlan {
        columns: columns.to_vec(),
        stored: Vec::new(),
        lenient: Vec::new(),
        row_numbers: true,
        predicates,
        batch_rows: 3,
        batch_bytes: u64::MAX,
    }
}

fn read(shard: &Shard, plan: &ReadPlan) -> Vec<RecordBatch> {
    let reader = ShardReader::open(shard, plan.clone()).unwrap();
    let groups = 0..shard.row_groups.len();
    let batches = groups.flat_map(|group| reader.row_group(group, None).unwrap());
    batches.map(|batch| batch.unwrap()).collect()
}

fn numbers(batches: &[RecordBatch], column: &str) -> Vec<i64> {
    let of = |batch: &RecordBatch| {
        let column = batch.column_by_name(column).unwrap();
        column.as_primitive::<Int64Type>().values().to_vec()
    };
    batches.iter().flat_map(of).collect()
}

#[test]
fn constants_are_columns_behind_the_files_own() {
    let Table { set, .. } = table([&[], &[]], [Some("monday"), None]);
    let names: Vec<_> = set
        .schema
        .fields()
        .iter()
        .map(|field| field.name())
        .collect();
    assert_eq!(names, ["n", "day"]);
    let batches = read(&set.shards[0], &plan(&[0, 1], Vec::new()));
    for batch in &batches {
        let names: Vec<_> = batch.schema_ref().fields().iter().cloned().collect();
        let names: Vec<_> = names.iter().map(|field| field.name().clone()).collect();
        assert_eq!(names, ["n", "day", ROW]);
        let days = batch.column(1).as_string_view();
        let all = vec!["monday"; batch.num_rows()];
        assert_eq!(*days, StringViewArray::from(all));
    }
    assert_eq!(numbers(&batches, ROW), (0..10).collect::<Vec<_>>());
    let batches = read(&set.shards[1], &plan(&[1], Vec::new()));
    assert!(
        batches
            .iter()
            .all(|batch| batch.column(0).null_count() == batch.num_rows())
    );
    assert_eq!(numbers(&batches, ROW), (0..10).collect::<Vec<_>>());
}

#[test]
fn row_groups_with_columns_of_a_table_are_not_copied_as_they_lie() {
    let Table { set, .. } = table([&[], &[]], [None, None]);
    let encoded = |shard: &Shard| {
        let reader = ShardReader::open(shard, plan(&[0], Vec::new())).unwrap();
        reader.encoded().is_some()
    };
    assert!(!encoded(&set.shards[0]));
    let plain = ShardSet::open(&[set.shards[0].location.clone()]).unwrap();
    assert!(encoded(&plain.shards[0]));
}

/// `day = 'monday'`, over the column 1.
fn on_monday() -> RowPredicate {
    RowPredicate {
        columns: vec![1],
        evaluate: Arc::new(|batch| {
            let days = batch.column(0).as_string_view().iter();
            Ok(days.map(|day| day.map(|day| day == "monday")).collect())
        }),
    }
}

#[test]
fn a_condition_on_constants_leaves_out_a_file_unread() {
    let Table { files, set } = table([&[], &[]], [Some("monday"), Some("sunday")]);
    let plan = plan(&[0], vec![on_monday()]);
    assert_eq!(numbers(&read(&set.shards[0], &plan), "n").len(), 10);
    let before = files[1].ranges();
    assert_eq!(read(&set.shards[1], &plan).len(), 0);
    assert_eq!(files[1].ranges(), before);
}

#[test]
fn a_condition_may_name_columns_of_both_sorts() {
    let Table { set, .. } = table([&[], &[]], [Some("monday"), Some("sunday")]);
    // n > 5 on mondays, every row else.
    let both = RowPredicate {
        columns: vec![0, 1],
        evaluate: Arc::new(|batch| {
            let numbers = batch.column(0).as_primitive::<Int64Type>().values().iter();
            let days = batch.column(1).as_string_view().iter();
            let passes = numbers
                .zip(days)
                .map(|(&n, day)| n > 5 || day != Some("monday"));
            Ok(BooleanArray::from_iter(passes.map(Some)))
        }),
    };
    let plan = plan(&[0], vec![both]);
    assert_eq!(numbers(&read(&set.shards[0], &plan), "n"), [6, 7, 8, 9]);
    assert_eq!(
        read(&set.shards[1], &plan)
            .iter()
            .map(RecordBatch::num_rows)
            .sum::<usize>(),
        10
    );
}

#[test]
fn rows_that_are_left_out_are_neither_read_nor_counted_and_the_others_keep_their_numbers() {
    let Table { set, .. } = table([&[0, 4, 5, 6, 7, 9], &[]], [None, None]);
    assert_eq!(set.shards[0].rows, 10);
    assert_eq!(set.shards[0].rows_in(), 4);
    assert_eq!(set.rows(), 14);
    assert!(set.leaves_out_rows());
    let batches = read(&set.shards[0], &plan(&[0], Vec::new()));
    assert_eq!(numbers(&batches, "n"), [1, 2, 3, 8]);
    assert_eq!(numbers(&batches, ROW), [1, 2, 3, 8]);
    let every = read(&set.shards[0].with_every_row(), &plan(&[0], Vec::new()));
    assert_eq!(numbers(&every, "n"), (0..10).collect::<Vec<_>>());
    let reader = ShardReader::open(&set.shards[0], plan(&[0], Vec::new())).unwrap();
    let some = reader.row_group(0, Some(vec![0..1, 2..4])).unwrap();
    let some: Vec<_> = some.map(|batch| batch.unwrap()).collect();
    assert_eq!(numbers(&some, "n"), [2, 3]);
}

/// A shard of ten rows whose `v` is of these values, and what a folder says of it.
fn says_itself(own: ArrayRef, folder: &str) -> Result<ShardSet> {
    let batch = RecordBatch::try_from_iter([("v", own)]).unwrap();
    let mut bytes = Vec::new();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(2));
    let properties = Some(properties.build());
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), properties).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let memory = Arc::new(MemoryPlace::default());
    let name = format!("mem://t/v={folder}/a.parquet");
    memory.put(&name, bytes);
    let places = Places::default().with_place("mem", memory);
    let found = places.find(&[name])?.table()?;
    ShardSet::of_found(found, OnBadShard::Fail)
}

#[test]
fn a_column_of_a_folder_and_its_file_is_one_where_they_agree() {
    use arrow::array::{Float64Array, Int32Array, new_null_array};
    let ints = |values: &[i32]| -> ArrayRef { Arc::new(Int32Array::from(values.to_vec())) };
    let text = |value: &str| -> ArrayRef { Arc::new(StringArray::from(vec![value; 3])) };
    let long = "l".repeat(500);
    let agree: [(ArrayRef, &str); 8] = [
        (ints(&[3, 3, 3]), "3"),
        (text("3"), "3"),
        (text("0x10"), "0x10"),
        (text("007"), "007"),
        (text("a/b"), "a%2Fb"),
        (Arc::new(Float64Array::from(vec![3.0; 3])), "3"),
        (
            new_null_array(&DataType::Int32, 3),
            "__HIVE_DEFAULT_PARTITION__",
        ),
        (ints(&[]), "4"),
    ];
    for (own, folder) in agree {
        let set = says_itself(Arc::clone(&own), folder).unwrap();
        let field = set.schema.field(0);
        assert_eq!(
            (field.name().as_str(), field.data_type()),
            ("v", own.data_type())
        );
        assert_eq!(set.schema.fields().len(), 1);
        let rows: usize = read(&set.shards[0], &plan(&[0], Vec::new()))
            .iter()
            .map(RecordBatch::num_rows)
            .sum();
        assert_eq!(rows, own.len());
    }
    let some: ArrayRef = Arc::new(Int32Array::from(vec![Some(3), None, Some(3)]));
    let differ: [(ArrayRef, &str, &str); 7] = [
        (
            ints(&[4, 4, 4]),
            "3",
            "the folder has: 3\n  the shard has: 4",
        ),
        (ints(&[3, 3, 4]), "3", "the shard has: several values"),
        (ints(&[3, 4, 4]), "3", "the shard has: several values"),
        (some, "3", "the shard has: several values"),
        (text("7"), "007", "the folder has: 007\n  the shard has: 7"),
        (
            ints(&[3, 3, 3]),
            "__HIVE_DEFAULT_PARTITION__",
            "the folder has: null\n  the shard has: 3",
        ),
        (
            text(&long),
            "l",
            "the shard has: what its footer does not tell",
        ),
    ];
    for (own, folder, expected) in differ {
        let report = says_itself(own, folder).unwrap_err().report();
        for text in [expected, "a.parquet", "'v'", "--no-hive"] {
            assert!(report.contains(text), "{folder}: {report}");
        }
    }
}

#[test]
fn what_does_not_fit_a_file_is_refused() {
    let Table { set, .. } = table([&[], &[]], [None, None]);
    let entry = || TableShard::from(set.shards[0].location.clone());
    let clash: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let clash = Constant::try_new("n", &clash).unwrap();
    let clash = TableShard {
        constants: vec![clash],
        ..entry()
    };
    let beyond = TableShard {
        left_out: LeftOut::of(vec![10]),
        ..entry()
    };
    let says = |shard| ShardSet::of_table([shard]).unwrap_err().report();
    let report = says(clash);
    for text in [
        "the column 'n'",
        "the folder has: 1",
        "the shard has: several values",
        "--no-hive",
    ] {
        assert!(report.contains(text), "{report}");
    }
    assert!(says(beyond).contains("rows: 10\n  row: 10"));
}

/// Planning a run reads each footer once: its length, then the footer itself.
#[test]
fn a_footer_is_read_once() {
    let memory = Arc::new(MemoryPlace::default());
    let file = memory.put("mem://a.parquet", parquet(0, 10));
    memory.set_version("mem://a.parquet", "1");
    let places = Places::default().with_place("mem", memory);
    let set = ShardSet::open(&[places.at("mem://a.parquet").unwrap()]).unwrap();
    assert_eq!(file.ranges(), 2);
    // So does every reader, and the page index beside it.
    ShardReader::open(&set.shards[0], plan(&[0], Vec::new())).unwrap();
    assert_eq!(file.ranges(), 5);
}

/// Rows that are no Parquet: the second kind of shard.
#[derive(Debug)]
struct Made(Vec<RecordBatch>);

impl ShardRows for Made {
    fn open(&self, _: &Location, _: ReadPlan) -> Result<Box<dyn OpenRows>> {
        Ok(Box::new(Made(self.0.clone())))
    }
}

impl OpenRows for Made {
    fn row_group(
        &self,
        group: usize,
        wanted: Option<Vec<std::ops::Range<usize>>>,
    ) -> Result<crate::source::kind::Batches> {
        let batch = self.0[group].clone();
        let all = std::iter::once(0..batch.num_rows()).collect();
        let wanted = wanted.unwrap_or(all).into_iter();
        Ok(Box::new(
            wanted.map(move |run| Ok(batch.slice(run.start, run.len()))),
        ))
    }
}

#[test]
fn another_kind_of_shard_is_read_as_parquet_is() {
    let Table { set, .. } = table([&[2, 3, 5], &[]], [Some("monday"), None]);
    let batch = |numbers: Vec<i64>| {
        let numbers: ArrayRef = Arc::new(Int64Array::from(numbers));
        RecordBatch::try_from_iter([("n", numbers)]).unwrap()
    };
    let made = Shard {
        rows: 6,
        row_groups: vec![3, 3],
        content: Arc::new(Made(vec![batch(vec![0, 1, 2]), batch(vec![3, 4, 5])])),
        ..set.shards[0].clone()
    };
    let batches = read(&made, &plan(&[0, 1], Vec::new()));
    assert_eq!(numbers(&batches, "n"), [0, 1, 4]);
    assert!(batches.iter().all(|batch| batch.num_columns() == 2));
    let reader = ShardReader::open(&made, plan(&[0], Vec::new())).unwrap();
    assert!(reader.encoded().is_none());
}
