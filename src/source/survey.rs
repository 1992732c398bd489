//! What shards are made of: sizes, codecs and columns, from their footers alone.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use serde::Serialize;

use super::{
    Constant, LeftOut, Location, TableShard,
    kind::{GroupLayout, Layout, ShardKind},
    union::{FileColumns, Union},
};
use crate::error::{Error, Result};

/// What the footers of shards say, read without any of their rows.
///
/// A shard that cannot be read, or has a column that cannot be one with that of those before, is named and not counted.
#[derive(Debug)]
pub struct Survey {
    /// Shards that are counted.
    pub files: u64,
    /// Their rows.
    pub rows: u64,
    /// Their size.
    pub size_bytes: u64,
    /// Their row groups.
    pub row_groups: RowGroups,
    /// Compressed bytes by codec.
    pub codecs: BTreeMap<String, u64>,
    /// How many of their row groups have a page index.
    pub indexed_row_groups: u64,
    /// Their columns: those of the first and what others have besides.
    pub columns: Vec<ColumnFacts>,
    /// The columns of all.
    pub schema: SchemaRef,
    /// Key-value metadata of the first, without the Arrow schema.
    pub metadata: HashMap<String, String>,
    /// Shards that cannot be read in one run with the first, and why.
    pub odd: Vec<OddShard>,
}

/// How large row groups are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RowGroups {
    /// How many there are.
    pub count: u64,
    /// Rows of one; `None` if there is no row group.
    pub rows: Option<Spread>,
    /// Compressed bytes of one; `None` if there is no row group.
    pub bytes: Option<Spread>,
}

/// Smallest, middle and largest of some numbers; of two in the middle the smaller one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Spread {
    /// The smallest.
    pub min: u64,
    /// The middle one.
    pub median: u64,
    /// The largest.
    pub max: u64,
}

/// A column of shards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ColumnFacts {
    /// Its name.
    pub name: String,
    /// Its type, as in `struct<bytes: binary, path: string>`.
    pub data_type: String,
    /// No file has it: names of folders say what it is.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub of_folders: bool,
    /// Its bytes in all shards.
    pub compressed_bytes: u64,
    /// The same before compression.
    pub uncompressed_bytes: u64,
}

/// A shard that is not counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OddShard {
    /// Where it is.
    pub path: String,
    /// What is wrong with it, in one line.
    pub reason: String,
}

impl Survey {
    /// Reads the footer of every file. The columns of its folders are behind its own.
    ///
    /// # Errors
    /// When none of them can be read.
    pub fn open(shards: &[TableShard]) -> Result<Self> {
        let mut open: Option<Open> = None;
        let mut unreadable = Vec::new();
        let mut first_error = None;
        for (number, shard) in shards.iter().enumerate() {
            let next = shards.iter().skip(number + 1);
            Location::ask_ahead(next.map(|shard| &shard.location));
            match layout_of(shard) {
                Err(error) => {
                    unreadable.push(OddShard::new(&shard.location, error.in_one_line()));
                    first_error.get_or_insert(error);
                }
                Ok((size_bytes, layout)) => open
                    .get_or_insert_with(|| Open::start(&layout))
                    .add(shard, size_bytes, &layout),
            }
        }
        match (open, first_error) {
            (Some(mut open), _) => {
                open.add_constants(shards);
                Ok(open.finish(unreadable))
            }
            (None, Some(error)) => Err(error),
            (None, None) => Err(Error::usage("find an input: no path was given")),
        }
    }
}

fn layout_of(shard: &TableShard) -> Result<(u64, Layout)> {
    let location = &shard.location;
    let file = location.open()?;
    let layout = (ShardKind::of(location).layout)(location, &file)?;
    let layout = match &shard.columns {
        None => layout,
        Some(columns) => columns.layout(layout),
    };
    Ok((file.size_bytes(), layout))
}

impl OddShard {
    fn new(location: &Location, reason: String) -> Self {
        Self {
            path: location.to_string(),
            reason,
        }
    }
}

/// A survey under way.
struct Open {
    survey: Survey,
    union: Union,
    /// Compressed and other bytes of each column.
    chunks: Vec<(u64, u64)>,
    group_rows: Vec<u64>,
    group_bytes: Vec<u64>,
    /// Columns that names of folders make.
    of_folders: HashSet<String>,
}

impl Open {
    fn start(first: &Layout) -> Self {
        Self {
            survey: Survey {
                files: 0,
                rows: 0,
                size_bytes: 0,
                row_groups: RowGroups {
                    count: 0,
                    rows: None,
                    bytes: None,
                },
                codecs: BTreeMap::new(),
                indexed_row_groups: 0,
                columns: Vec::new(),
                schema: SchemaRef::clone(&first.schema),
                metadata: first.metadata.clone(),
                odd: Vec::new(),
            },
            union: Union::default(),
            chunks: Vec::new(),
            group_rows: Vec::new(),
            group_bytes: Vec::new(),
            of_folders: HashSet::new(),
        }
    }

    fn add(&mut self, shard: &TableShard, size_bytes: u64, layout: &Layout) {
        let fields = layout.schema.fields();
        let said = shard.constants.iter().filter(|_| shard.columns.is_some());
        let said = said.map(|constant| Arc::clone(constant.field()));
        let all: Vec<FieldRef> = fields.iter().cloned().chain(said).collect();
        let columns = FileColumns {
            stored: vec![None; all.len()],
            schema: Arc::new(Schema::new(all)),
        };
        if let Err(error) = self.union.add(&shard.location, columns) {
            let odd = OddShard::new(&shard.location, error.in_one_line());
            self.survey.odd.push(odd);
            return;
        }

        self.survey.files += 1;
        self.survey.size_bytes += size_bytes;
        let places = fields.iter().map(|field| self.union.place(field.name()));
        let places: Vec<Option<usize>> = places.collect();
        for group in &layout.row_groups {
            self.add_group(group, &places);
        }
        self.survey.rows -= left_out(&shard.left_out, layout);
    }

    /// What files have themselves is theirs.
    fn add_constants(&mut self, shards: &[TableShard]) {
        for shard in shards {
            let of_folders = shard.constants.iter().map(Constant::field);
            let is_new = |name: &str| self.union.place(name).is_none();
            let new = of_folders.filter(|field| is_new(field.name()));
            let new: Vec<_> = new.map(Arc::clone).collect();
            self.of_folders
                .extend(new.iter().map(|field| field.name().clone()));
            let columns = FileColumns {
                stored: vec![None; new.len()],
                schema: Arc::new(Schema::new(new)),
            };
            if let Err(error) = self.union.add(&shard.location, columns) {
                let odd = OddShard::new(&shard.location, error.in_one_line());
                self.survey.odd.push(odd);
            }
        }
    }

    fn add_group(&mut self, group: &GroupLayout, places: &[Option<usize>]) {
        let survey = &mut self.survey;
        survey.rows += group.rows;
        self.group_rows.push(group.rows);
        self.group_bytes.push(group.compressed_bytes);
        survey.indexed_row_groups += u64::from(group.is_indexed);
        for chunk in &group.chunks {
            let of_codec = survey.codecs.entry(chunk.codec.clone()).or_default();
            *of_codec += chunk.compressed_bytes;
            if let Some(place) = places.get(chunk.column).copied().flatten() {
                if self.chunks.len() <= place {
                    self.chunks.resize(place + 1, (0, 0));
                }
                let (compressed, uncompressed) = &mut self.chunks[place];
                *compressed += chunk.compressed_bytes;
                *uncompressed += chunk.uncompressed_bytes;
            }
        }
    }

    fn finish(self, unreadable: Vec<OddShard>) -> Survey {
        let mut survey = self.survey;
        let all = self
            .union
            .columns(usize::try_from(survey.files).unwrap_or(usize::MAX));
        let bytes = self.chunks.into_iter().chain(std::iter::repeat((0, 0)));
        let columns = all.schema.fields().iter().zip(bytes);
        survey.columns = columns
            .map(
                |(field, (compressed_bytes, uncompressed_bytes))| ColumnFacts {
                    name: field.name().clone(),
                    of_folders: self.of_folders.contains(field.name()),
                    data_type: type_name(field.data_type()),
                    compressed_bytes,
                    uncompressed_bytes,
                },
            )
            .collect();
        let metadata = survey.schema.metadata().clone();
        let fields = all.schema.fields().clone();
        survey.schema = Arc::new(Schema::new_with_metadata(fields, metadata));
        survey.row_groups = RowGroups {
            count: self.group_rows.len() as u64,
            rows: Spread::of(self.group_rows),
            bytes: Spread::of(self.group_bytes),
        };
        survey.odd.extend(unreadable);
        survey
    }
}

/// How many of a file's rows are left out.
fn left_out(rows: &LeftOut, layout: &Layout) -> u64 {
    rows.count_in(0..layout.row_groups.iter().map(|group| group.rows).sum())
}

impl Spread {
    /// `None` of no numbers.
    pub fn of(mut numbers: Vec<u64>) -> Option<Self> {
        numbers.sort_unstable();
        Some(Self {
            min: *numbers.first()?,
            median: numbers[(numbers.len() - 1) / 2],
            max: *numbers.last()?,
        })
    }
}

/// The type in the words that people know from Parquet and HF.
fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Struct(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|field| format!("{}: {}", field.name(), type_name(field.data_type())))
                .collect();
            format!("struct<{}>", fields.join(", "))
        }
        DataType::List(element) => format!("list<{}>", type_name(element.data_type())),
        DataType::LargeList(element) => format!("large_list<{}>", type_name(element.data_type())),
        DataType::FixedSizeList(element, len) => {
            format!("list<{}, {len}>", type_name(element.data_type()))
        }
        DataType::Utf8 => "string".to_owned(),
        DataType::LargeUtf8 => "large_string".to_owned(),
        DataType::Utf8View => "string_view".to_owned(),
        DataType::LargeBinary => "large_binary".to_owned(),
        DataType::BinaryView => "binary_view".to_owned(),
        DataType::Float16 => "halffloat".to_owned(),
        DataType::Float32 => "float".to_owned(),
        DataType::Float64 => "double".to_owned(),
        other => other.to_string().to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, path::Path};

    use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
    use parquet::{arrow::ArrowWriter, file::properties::WriterProperties};

    use super::*;

    fn write(path: &Path, columns: Vec<(&str, ArrayRef)>, group_rows: usize) {
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let properties = WriterProperties::builder()
            .set_max_row_group_row_count(Some(group_rows))
            .build();
        let file = File::create(path).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    }

    fn numbers(rows: i64) -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(0..rows))
    }

    #[test]
    fn odd_shards_are_named_and_not_counted() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        write(&path("a"), vec![("n", numbers(10))], 4);
        let text: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
        write(&path("b"), vec![("n", text)], 4);
        std::fs::write(path("c"), "no Parquet").unwrap();
        write(&path("d"), vec![("n", numbers(3))], 4);
        let shards = ["c", "a", "b", "d"].map(|name| TableShard::from(Location::local(path(name))));
        let survey = Survey::open(&shards).unwrap();
        assert_eq!((survey.files, survey.rows), (2, 13));
        let rows = Spread {
            min: 2,
            median: 3,
            max: 4,
        };
        assert_eq!(survey.row_groups.rows, Some(rows));
        assert_eq!(survey.row_groups.count, 4);
        let odd: Vec<&str> = survey.odd.iter().map(|odd| odd.reason.as_str()).collect();
        assert!(odd[0].contains("the column 'n' of two shards"), "{odd:?}");
        assert!(
            odd[1].starts_with("failed to read the Parquet footer: "),
            "{odd:?}"
        );
        assert!(Survey::open(&shards[..1]).is_err());
    }

    #[test]
    fn of_two_numbers_in_the_middle_the_smaller_is_the_median() {
        let median = |numbers: &[u64]| Spread::of(numbers.to_vec()).map(|spread| spread.median);
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[4, 1]), Some(1));
        assert_eq!(median(&[9, 1, 4]), Some(4));
    }
}
