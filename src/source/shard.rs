//! The shards of a run: what each is, and what they have in common.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use parquet::{basic::Compression, schema::types::TypePtr};

use super::{
    Constant, Found, LeftOut, Location, ReadPlan,
    fingerprint::fingerprint,
    fitting::ShardColumns,
    kind::{Kind, OpenRows, Outline, ShardRows},
    stored::carried_fields,
    union::{FileColumns, Union},
    view_schema,
};
use crate::{
    config::OnBadShard,
    error::{Error, Result},
    schema::{ROW, SHARD},
    summary::BadShard,
};

/// A file of a table, with what the table says of it.
#[derive(Debug, Clone)]
pub struct TableShard {
    /// The file.
    pub location: Location,
    /// Columns behind its own, each of one value in all its rows.
    pub constants: Vec<Constant>,
    /// Rows that the table has given up.
    pub left_out: LeftOut,
}

impl From<Location> for TableShard {
    /// A file of which nothing is said.
    fn from(location: Location) -> Self {
        Self {
            location,
            constants: Vec::new(),
            left_out: LeftOut::default(),
        }
    }
}

/// One input file.
#[derive(Debug, Clone)]
pub struct Shard {
    /// Where it is.
    pub location: Location,
    /// Rows in the file, by which they are numbered; those that are left out among them.
    pub rows: u64,
    /// Rows of each of its row groups: the stretches that are read one by one.
    pub row_groups: Vec<u64>,
    /// Its size.
    pub size_bytes: u64,
    /// Tells whether the file is still the one that was scored; hex.
    pub fingerprint: String,
    /// Rows that are never read.
    pub left_out: LeftOut,
    /// Where it has the columns of the set.
    pub(super) columns: ShardColumns,
    /// A bound on what cannot be read in parts.
    pub(super) whole_bytes: u64,
    pub(super) content: Arc<dyn ShardRows>,
}

impl Shard {
    /// A shard that is not there any more: of its rows nothing can be read.
    pub fn remembered(location: Location, rows: u64) -> Self {
        Self {
            location,
            rows,
            row_groups: vec![rows],
            size_bytes: 0,
            fingerprint: String::new(),
            left_out: LeftOut::default(),
            columns: ShardColumns::none(),
            whole_bytes: 0,
            content: Arc::new(Gone),
        }
    }

    /// The same with the rows that are left out: for whoever goes by the rows of a store, which may have them.
    #[must_use]
    pub fn with_every_row(&self) -> Self {
        Self {
            left_out: LeftOut::default(),
            ..self.clone()
        }
    }

    /// Rows that count: those that are not left out.
    pub fn rows_in(&self) -> u64 {
        self.rows - self.left_out.count_in(0..self.rows)
    }

    fn open(entry: &TableShard) -> Result<(Self, Outline)> {
        let location = &entry.location;
        let file = location.open()?;
        let outline = (Kind::of(location).outline)(location, &file)?;
        let read_error = |error| {
            Error::input("read the shard")
                .with("shard", location)
                .source(error)
        };
        let rows = outline.row_groups.iter().sum();
        if entry.left_out.end() > rows {
            return Err(Error::input("leave out a row that the shard does not have")
                .with("shard", location)
                .with("rows", rows)
                .with("row", entry.left_out.end() - 1));
        }
        let shard = Self {
            location: location.clone(),
            rows,
            row_groups: outline.row_groups.clone(),
            size_bytes: file.size_bytes(),
            fingerprint: fingerprint(location, &file).map_err(read_error)?,
            left_out: entry.left_out.clone(),
            columns: ShardColumns::none(),
            whole_bytes: outline.whole_bytes,
            content: Arc::clone(&outline.rows),
        };
        Ok((shard, outline))
    }
}

/// The rows of a shard that is not there.
#[derive(Debug)]
struct Gone;

impl ShardRows for Gone {
    fn open(&self, location: &Location, _: ReadPlan) -> Result<Box<dyn OpenRows>> {
        Err(Error::input("read a shard that is not there any more").with("shard", location))
    }
}

/// The shards of a run and the columns of all.
#[derive(Debug, Clone)]
pub struct ShardSet {
    /// In the order in which rows are numbered and written.
    pub shards: Vec<Shard>,
    /// All columns by name: those of the first shard, with the Arrow types its writer declared or, where another has
    /// more values, wider ones; what other shards have besides; those of one value in a shard. Null is allowed where any
    /// shard allows it or lacks the column.
    pub schema: SchemaRef,
    /// What Parquet has each as, where all shards store it alike: as such it is carried.
    pub(super) stored: Vec<Option<TypePtr>>,
    /// Key-value metadata of the first shard, without the Arrow schema.
    pub metadata: HashMap<String, String>,
    /// Codec of the first shard's first column.
    pub compression: Compression,
    /// Shards that are not among them because they cannot be read.
    pub bad: Vec<BadShard>,
    /// What the caller should know of files that are not among them, one line each.
    pub notes: Vec<String>,
}

impl ShardSet {
    /// Reads the footer of every file.
    ///
    /// # Errors
    /// When a file is missing, is no shard, or has a column that cannot be brought to one type with that of another.
    pub fn open(locations: &[Location]) -> Result<Self> {
        Self::of_table(locations.iter().cloned().map(TableShard::from))
    }

    /// As [`ShardSet::open`], of a table that says something of its files.
    ///
    /// # Errors
    /// As [`ShardSet::open`], and when what the table says does not fit a file.
    pub fn of_table(shards: impl IntoIterator<Item = TableShard>) -> Result<Self> {
        Self::opened(shards, OnBadShard::Fail)
    }

    /// Reads the footer of every file that inputs name; what is to be told of others is in the notes.
    ///
    /// # Errors
    /// As [`ShardSet::open`]; of shards that may be left out only when none can be read.
    pub fn of_found(found: Found, on_bad_shard: OnBadShard) -> Result<Self> {
        let shards = found.files.into_iter().map(TableShard::from);
        let mut set = Self::opened(shards, on_bad_shard)?;
        set.notes = found.notes;
        Ok(set)
    }

    fn opened(
        shards: impl IntoIterator<Item = TableShard>,
        on_bad_shard: OnBadShard,
    ) -> Result<Self> {
        let (mut union, mut first) = (Union::default(), None);
        let (mut bad, mut first_error) = (Vec::new(), None);
        let mut opened = Vec::new();
        for entry in shards {
            let (shard, outline) = match Shard::open(&entry) {
                Ok(opened) => opened,
                Err(error) if on_bad_shard == OnBadShard::Skip && error.bad_shard().is_some() => {
                    bad.push(BadShard::of(entry.location.name(), &error, None));
                    first_error.get_or_insert(error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let columns = FileColumns {
                schema: Arc::new(Schema::new(outline.schema.fields().clone())),
                stored: outline.stored,
            };
            refuse_references(&shard.location, &columns.schema)?;
            let columns = union.add(&shard.location, columns)?;
            first.get_or_insert((outline.metadata, outline.compression));
            opened.push((shard, columns, entry.constants));
        }
        let Some((metadata, compression)) = first else {
            let none = || Error::usage("find an input: no path was given");
            return Err(first_error.unwrap_or_else(none));
        };
        for (shard, columns, constants) in &opened {
            if let Some(fields) = constant_fields(&shard.location, columns, constants)? {
                union.add(&shard.location, fields)?;
            }
        }
        let all = union.columns(opened.len());
        let mut known: Option<(Arc<FileColumns>, ShardColumns)> = None;
        let shards = opened.into_iter().map(|(shard, own, constants)| {
            let same = known.as_ref().filter(|(known, _)| Arc::ptr_eq(known, &own));
            let columns = match same {
                Some((_, columns)) if constants.is_empty() => columns.clone(),
                _ => ShardColumns::of(&all.schema, &own, &constants)?,
            };
            known = constants.is_empty().then(|| (own, columns.clone()));
            Ok(Shard { columns, ..shard })
        });
        Ok(Self {
            shards: shards.collect::<Result<_>>()?,
            schema: all.schema,
            stored: all.stored,
            metadata,
            compression,
            bad,
            notes: Vec::new(),
        })
    }

    /// The same without the shard that `error` says is damaged; `None` if it names none of them, or the only one.
    #[must_use]
    pub fn without_bad(&self, error: &Error) -> Option<Self> {
        let name = error.bad_shard()?;
        let mut set = self.clone();
        let position = set
            .shards
            .iter()
            .position(|shard| shard.location.name() == name)?;
        let shard = set.shards.remove(position);
        set.bad
            .push(BadShard::of(name, error, Some(shard.rows_in())));
        (!set.shards.is_empty()).then_some(set)
    }

    /// What the caller should know of files that are not among them, bad ones too, one line each.
    pub fn told(&self) -> Vec<String> {
        let bad = self.bad.iter().map(|bad| {
            let BadShard { shard, reason, .. } = bad;
            format!("left out the shard {shard}, which cannot be read: {reason}")
        });
        self.notes.iter().cloned().chain(bad).collect()
    }

    /// Shards that are not there any more: nothing can be read of them but what somebody has kept.
    pub fn remembered(shards: Vec<Shard>, image: &str, text: &str) -> Self {
        let fields = [(image, DataType::Binary), (text, DataType::Utf8)];
        let fields = fields.map(|(name, data_type)| Field::new(name, data_type, true));
        Self {
            shards,
            schema: Arc::new(Schema::new(fields.to_vec())),
            stored: vec![None; 2],
            metadata: HashMap::new(),
            compression: Compression::UNCOMPRESSED,
            bad: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// The shard of which most is in memory at one time because it cannot be read in parts when `columns` are read,
    /// and how many bytes that is; `None` where it is at most `share` in every shard.
    ///
    /// # Errors
    /// When a shard cannot be read any more.
    pub fn whole_pages_over(&self, share: u64, columns: &[usize]) -> Result<Option<(&Shard, u64)>> {
        let mut most = None;
        for shard in self.shards.iter().filter(|shard| shard.whole_bytes > share) {
            let own = shard.columns.own(columns);
            let bytes = shard
                .content
                .whole_bytes(&shard.location, &own, share / 4)?;
            if bytes > share && most.is_none_or(|(_, known)| bytes > known) {
                most = Some((shard, bytes));
            }
        }
        Ok(most)
    }

    /// A shard in which the column `name` is missing.
    pub fn lacking(&self, name: &str) -> Option<&Shard> {
        let column = self.schema.index_of(name).ok()?;
        self.shards.iter().find(|shard| shard.columns.lacks(column))
    }

    /// What Parquet has each column as, where all shards store it alike; as such it can be carried.
    pub fn stored(&self) -> &[Option<TypePtr>] {
        &self.stored
    }

    /// Positions of the columns that all shards store alike.
    pub fn carried(&self) -> Vec<usize> {
        let columns = self.stored.iter().enumerate();
        columns
            .filter_map(|(at, stored)| stored.as_ref().map(|_| at))
            .collect()
    }

    /// All columns as they are read for whoever writes them again: [carried](Self::carried) ones as they are stored, the
    /// others as [`view_schema`] has them.
    ///
    /// # Errors
    /// When a type is none that Parquet has.
    pub fn carried_schema(&self) -> Result<Schema> {
        let mut fields = view_schema(&self.schema).fields().to_vec();
        for (field, stored) in fields.iter_mut().zip(&self.stored) {
            if let Some(stored) = stored {
                let carried = carried_fields(std::slice::from_ref(stored)).map_err(|error| {
                    Error::input(format!("carry the column '{}'", field.name())).source(error)
                })?;
                *field = Arc::clone(&carried[0]);
            }
        }
        Ok(Schema::new(fields))
    }

    /// Rows in all shards, without those that are left out.
    pub fn rows(&self) -> u64 {
        self.shards.iter().map(Shard::rows_in).sum()
    }

    /// Whether any row of a shard is left out.
    pub fn leaves_out_rows(&self) -> bool {
        self.shards.iter().any(|shard| !shard.left_out.is_empty())
    }

    /// The directory that relative image paths in each shard start from; `None` where it has none.
    pub fn directories(&self) -> Vec<Option<PathBuf>> {
        let of = |shard: &Shard| shard.location.directory().map(Path::to_path_buf);
        self.shards.iter().map(of).collect()
    }

    /// Paths of the shards that lie on this machine's file system.
    pub fn paths(&self) -> Vec<&Path> {
        let shards = self.shards.iter();
        shards.filter_map(|shard| shard.location.path()).collect()
    }
}

/// A file that a query has written with the rows' places in it: those would stand for its own rows' places.
fn refuse_references(shard: &Location, schema: &Schema) -> Result<()> {
    let taken = [SHARD, ROW]
        .into_iter()
        .find(|name| schema.index_of(name).is_ok());
    match taken {
        None => Ok(()),
        Some(name) => Err(Error::input(format!(
            "use the column '{name}': queries have the place of a row under that name"
        ))
        .with("shard", shard)
        .hint("write the shard without it: DuckDB does, COPY (SELECT * EXCLUDE (__shard, __row) FROM 'IN') TO 'OUT'")),
    }
}

/// The columns that a table adds to a file; `None` if it adds none.
fn constant_fields(
    shard: &Location,
    own: &FileColumns,
    constants: &[Constant],
) -> Result<Option<FileColumns>> {
    for constant in constants {
        let name = constant.field().name();
        if own.schema.index_of(name).is_ok() {
            return Err(Error::input(format!(
                "add the column '{name}' of the table: the shard has one"
            ))
            .with("shard", shard));
        }
    }
    let fields: Vec<_> = constants
        .iter()
        .map(|constant| Arc::clone(constant.field()))
        .collect();
    let stored = vec![None; fields.len()];
    let schema = Arc::new(Schema::new(fields));
    Ok((!constants.is_empty()).then_some(FileColumns { schema, stored }))
}

#[cfg(test)]
mod tests {
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
            Places, RowPredicate, ShardReader,
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
        assert!(says(clash).starts_with("failed to add the column 'n' of the table"));
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
}
