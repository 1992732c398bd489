//! The shards of a run, and the columns of all.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use parquet::{basic::Compression, schema::types::TypePtr};

use super::{
    Constant, FoundTable, Location, Shard, TableShard,
    fitting::ShardColumns,
    kind::Tally,
    opened_shards::OpenedShards,
    shard::OpenedShard,
    stored::carried_field,
    union::{FileColumns, Union},
    view_schema,
};
use crate::{
    config::OnBadShard,
    error::{Error, Result},
    schema::{ROW, SHARD},
    summary::BadShard,
};

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
    /// Columns of one value in every shard, which no file has.
    pub of_one_value: Vec<FieldRef>,
    /// Bytes of the average value of each, in the row group where that is most.
    pub(super) value_bytes: HashMap<String, u64>,
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
    /// As [`ShardSet::of_table`]; of shards that may be left out only when none can be read.
    pub fn of_found(found: FoundTable, on_bad_shard: OnBadShard) -> Result<Self> {
        let mut set = Self::opened(found.shards, on_bad_shard)?;
        let found = found.notes;
        set.notes.splice(0..0, found);
        Ok(set)
    }

    fn opened(
        shards: impl IntoIterator<Item = TableShard>,
        on_bad_shard: OnBadShard,
    ) -> Result<Self> {
        let (mut union, mut first) = (Union::default(), None);
        let (mut bad, mut first_error) = (Vec::new(), None);
        let (mut opened, mut value_bytes) = (Vec::new(), HashMap::new());
        let mut of_table = None;
        let mut tallies = Vec::new();
        for (entry, outlined) in OpenedShards::of(shards) {
            let OpenedShard {
                shard,
                outline,
                constants,
            } = match outlined {
                Ok(opened) => opened,
                Err(error) if on_bad_shard == OnBadShard::Skip && error.bad_shard().is_some() => {
                    bad.push(BadShard::of(entry.location.name(), &error, None));
                    first_error.get_or_insert(error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            if let (None, Some(columns)) = (&of_table, &entry.columns) {
                of_table = Some((shard.location.clone(), Arc::clone(columns)));
            }
            let columns = FileColumns {
                schema: Arc::new(Schema::new(outline.schema.fields().clone())),
                stored: outline.stored,
            };
            refuse_references(&shard.location, &columns.schema)?;
            for (field, bytes) in columns.schema.fields().iter().zip(outline.value_bytes) {
                let most = value_bytes.entry(field.name().clone()).or_insert(0);
                *most = bytes.max(*most);
            }
            let columns = union.add(&shard.location, columns)?;
            Tally::add(&mut tallies, &shard.location, outline.tallies);
            first.get_or_insert((outline.metadata, outline.compression));
            opened.push((shard, columns, constants));
        }
        let Some((metadata, compression)) = first else {
            let none = || Error::usage("find an input: no path was given");
            return Err(first_error.unwrap_or_else(none));
        };
        let mut of_one_value: Vec<FieldRef> = Vec::new();
        for (shard, _, constants) in opened.iter().filter(|(_, _, more)| !more.is_empty()) {
            let fields = constant_fields(constants);
            refuse_references(&shard.location, &fields.schema)?;
            let is_new = |field: &&FieldRef| union.place(field.name()).is_none();
            of_one_value.extend(fields.schema.fields().iter().filter(is_new).cloned());
            union.add(&shard.location, fields)?;
        }
        if let Some((location, columns)) = of_table {
            let is_new = |field: &&FieldRef| union.place(field.name()).is_none();
            let missing: Vec<FieldRef> = columns.fields.iter().filter(is_new).cloned().collect();
            let missing = FileColumns {
                stored: vec![None; missing.len()],
                schema: Arc::new(Schema::new(missing)),
            };
            of_one_value.extend(missing.schema.fields().iter().cloned());
            union.add(&location, missing)?;
            union.put_in_order(&columns.fields);
        }
        let widest = union.widest();
        let all = union.columns(opened.len());
        let mut known: Option<(Arc<FileColumns>, ShardColumns)> = None;
        let shards = opened.into_iter().map(|(shard, own, constants)| {
            let same = known.as_ref().filter(|(known, _)| Arc::ptr_eq(known, &own));
            let columns = match same {
                Some((_, columns)) if constants.is_empty() => columns.clone(),
                _ => ShardColumns::of(&all.schema, &own, &constants)?.widened_by(&widest),
            };
            known = constants.is_empty().then(|| (own, columns.clone()));
            Ok(Shard { columns, ..shard })
        });
        Ok(Self {
            shards: shards.collect::<Result<_>>()?,
            schema: all.schema,
            stored: all.stored,
            of_one_value,
            value_bytes,
            metadata,
            compression,
            bad,
            notes: tallies.iter().map(Tally::told).collect(),
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

    /// The same, of which columns of these types are read as values and not as they are stored.
    #[must_use]
    pub fn decoding(&self, is_decoded: impl Fn(&DataType) -> bool) -> Self {
        let mut set = self.clone();
        for (field, stored) in self.schema.fields().iter().zip(&mut set.stored) {
            if is_decoded(field.data_type()) {
                *stored = None;
            }
        }
        set
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
            of_one_value: Vec::new(),
            value_bytes: HashMap::new(),
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

    /// Says which shards are opened next, in that order; see [`Location::ask_ahead`].
    pub fn ask_ahead(&self, next: impl Iterator<Item = usize>) {
        let shards = next.filter_map(|number| self.shards.get(number));
        Location::ask_ahead(shards.map(|shard| &shard.location));
    }

    /// Bytes of the average value of the column `name`, where it has most of them; 0 if there is no such column.
    pub fn value_bytes(&self, name: &str) -> u64 {
        self.value_bytes.get(name).copied().unwrap_or(0)
    }

    /// A shard in which the column `name` is missing; not one of those whose rows have each the columns that they have.
    pub fn lacking(&self, name: &str) -> Option<&Shard> {
        let column = self.schema.index_of(name).ok()?;
        let lacks = |shard: &&Shard| !shard.is_loose && shard.columns.lacks(column);
        self.shards.iter().find(lacks)
    }

    /// Whether two shards have the same content, and columns of one value tell their rows apart.
    pub fn has_twins(&self) -> bool {
        let mut seen = HashSet::new();
        let mut contents = self.shards.iter().map(|shard| &shard.fingerprint);
        !self.of_one_value.is_empty() && !contents.all(|content| seen.insert(content))
    }

    /// Whether the column `name` is in no file: folders say what it is.
    pub fn is_of_one_value(&self, name: &str) -> bool {
        self.of_one_value.iter().any(|field| field.name() == name)
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
                *field = carried_field(stored).map_err(|error| {
                    Error::input(format!("carry the column '{}'", field.name())).source(error)
                })?;
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

/// The columns that are said of a file.
fn constant_fields(constants: &[Constant]) -> FileColumns {
    let fields = constants.iter();
    let fields: Vec<_> = fields
        .map(|constant| Arc::clone(constant.field()))
        .collect();
    FileColumns {
        stored: vec![None; fields.len()],
        schema: Arc::new(Schema::new(fields)),
    }
}

#[cfg(test)]
mod tests;
