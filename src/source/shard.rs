//! What a shard is.

use std::sync::Arc;

use arrow::{array::BooleanArray, datatypes::Schema};

use super::{
    Constant, LeftOut, Location, ReadPlan, TableColumns, TableVersion,
    agreement::columns_added,
    fingerprint::fingerprint,
    fitting::ShardColumns,
    kind::{OpenRows, Outline, ShardKind, ShardRows},
};
use crate::error::{Error, Result};

/// A file of a table, with what the table says of it.
#[derive(Debug, Clone, PartialEq)]
pub struct TableShard {
    /// The file.
    pub location: Location,
    /// Columns behind its own, each of one value in all its rows.
    pub constants: Vec<Constant>,
    /// Rows that the table has given up.
    pub left_out: LeftOut,
    /// What its columns are; `None` if the file says it.
    pub columns: Option<Arc<TableColumns>>,
}

impl From<Location> for TableShard {
    /// A file of which nothing is said.
    fn from(location: Location) -> Self {
        Self {
            location,
            constants: Vec::new(),
            left_out: LeftOut::default(),
            columns: None,
        }
    }
}

/// The shards that inputs name, with what is said of them.
#[derive(Debug, Clone)]
pub struct FoundTable {
    /// The shards.
    pub shards: Vec<TableShard>,
    /// What the caller should know of files that are not among them, one line each.
    pub notes: Vec<String>,
    /// The versions of tables that they are of.
    pub versions: Vec<TableVersion>,
}

impl FoundTable {
    /// The shards of which `wanted` is true, and what is told of the others. One is there always: an output without rows
    /// has columns, too.
    #[must_use]
    pub fn only(&self, wanted: &BooleanArray) -> Self {
        let none = wanted.true_count() == 0;
        let shards = self.shards.iter().enumerate();
        let shards: Vec<TableShard> = shards
            .filter(|(at, _)| none && *at == 0 || wanted.value(*at))
            .map(|(_, shard)| shard.clone())
            .collect();
        let (all, left_out) = (self.shards.len(), self.shards.len() - shards.len());
        let mut notes = self.notes.clone();
        if left_out > 0 {
            notes.push(format!(
                "the condition leaves out {left_out} of {all} shards by their folders: their rows are not counted"
            ));
        }
        Self {
            shards,
            notes,
            versions: self.versions.clone(),
        }
    }

    /// Whether the columns of folders have in `schema` the types that the folders give them.
    pub fn has_types_of(&self, schema: &Schema) -> bool {
        let constants = self
            .shards
            .first()
            .map_or(&[][..], |shard| &shard.constants);
        constants.iter().all(|constant| {
            let field = schema.field_with_name(constant.field().name());
            field.is_ok_and(|field| field.data_type() == constant.field().data_type())
        })
    }
}

/// What opening a file tells.
pub(super) struct OpenedShard {
    pub(super) shard: Shard,
    pub(super) outline: Outline,
    /// Columns of one value that the file does not have itself.
    pub(super) constants: Vec<Constant>,
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
    /// A column that it lacks is one that each of its rows lacks.
    pub(super) is_loose: bool,
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
            is_loose: false,
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

    /// Whether reading it is a matter of waiting.
    pub fn is_far(&self) -> bool {
        self.location.requests().is_some()
    }

    /// Rows that count: those that are not left out.
    pub fn rows_in(&self) -> u64 {
        self.rows - self.left_out.count_in(0..self.rows)
    }

    pub(super) fn open(entry: &TableShard) -> Result<OpenedShard> {
        let location = &entry.location;
        let file = location.open()?;
        let outline = (ShardKind::of(location).outline)(location, &file)?;
        let outline = match &entry.columns {
            None => outline,
            Some(columns) => columns.outline(outline),
        };
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
            fingerprint: fingerprint(location, &file, outline.seal.as_deref())
                .map_err(read_error)?,
            is_loose: outline.is_loose,
            left_out: entry.left_out.clone(),
            columns: ShardColumns::none(),
            whole_bytes: outline.whole_bytes,
            content: Arc::clone(&outline.rows),
        };
        Ok(OpenedShard {
            constants: columns_added(entry, &outline, &file)?,
            shard,
            outline,
        })
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
