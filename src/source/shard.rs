use std::{
    collections::HashMap,
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use parquet::{
    arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions},
    basic::Compression,
};

use super::{fingerprint::fingerprint, view_schema};
use crate::error::{Error, Result};

/// One input Parquet file.
#[derive(Debug, Clone)]
pub struct Shard {
    /// Where it is.
    pub path: PathBuf,
    /// Rows in it.
    pub rows: u64,
    /// Rows of each of its row groups.
    pub row_groups: Vec<u64>,
    /// Its size.
    pub size_bytes: u64,
    /// Tells whether the file is still the one that was scored; hex.
    pub fingerprint: String,
}

impl Shard {
    /// The directory that relative image paths in it start from.
    pub fn directory(&self) -> &Path {
        match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        }
    }
}

/// The shards of a run, all of one schema.
#[derive(Debug, Clone)]
pub struct ShardSet {
    /// In the order in which rows are numbered and written.
    pub shards: Vec<Shard>,
    /// Columns of the first shard, with the Arrow types its writer declared; null is allowed where any shard
    /// allows it.
    pub schema: SchemaRef,
    /// Key-value metadata of the first shard, without the Arrow schema.
    pub metadata: HashMap<String, String>,
    /// Codec of the first shard's first column.
    pub compression: Compression,
}

impl ShardSet {
    /// Reads the footer of every file.
    ///
    /// # Errors
    /// When a file is missing, is not Parquet, or has other columns than the first.
    pub fn open(paths: &[PathBuf]) -> Result<Self> {
        let mut set: Option<Self> = None;
        for path in paths {
            let (shard, footer) = open_shard(path)?;
            match &mut set {
                None => set = Some(Self::start(shard, &footer)),
                Some(set) => {
                    set.check_schema(&shard, footer.schema())?;
                    set.schema = Arc::new(relax(&set.schema, footer.schema()));
                    set.shards.push(shard);
                }
            }
        }
        set.ok_or_else(|| Error::usage("find an input: no path was given"))
    }

    /// Shards that are not there any more: nothing can be read of them but what somebody has kept.
    pub fn remembered(shards: Vec<Shard>, image: &str, text: &str) -> Self {
        let fields = [(image, DataType::Binary), (text, DataType::Utf8)];
        let fields = fields.map(|(name, data_type)| Field::new(name, data_type, true));
        Self {
            shards,
            schema: Arc::new(Schema::new(fields.to_vec())),
            metadata: HashMap::new(),
            compression: Compression::UNCOMPRESSED,
        }
    }

    /// Rows in all shards.
    pub fn rows(&self) -> u64 {
        self.shards.iter().map(|shard| shard.rows).sum()
    }

    /// The directory that relative image paths in each shard start from.
    pub fn directories(&self) -> Vec<PathBuf> {
        self.shards
            .iter()
            .map(|shard| shard.directory().to_path_buf())
            .collect()
    }

    /// Where the shards are.
    pub fn paths(&self) -> Vec<&Path> {
        self.shards
            .iter()
            .map(|shard| shard.path.as_path())
            .collect()
    }

    fn start(shard: Shard, footer: &ArrowReaderMetadata) -> Self {
        let compression = footer
            .metadata()
            .row_groups()
            .first()
            .and_then(|group| group.columns().first())
            .map_or(Compression::UNCOMPRESSED, |column| column.compression());
        Self {
            shards: vec![shard],
            schema: Arc::clone(footer.schema()),
            metadata: key_values(footer),
            compression,
        }
    }

    fn check_schema(&self, shard: &Shard, other: &Schema) -> Result<()> {
        let Some(position) = first_difference(&self.schema, other) else {
            return Ok(());
        };
        Err(Error::input("read shards of different columns in one run")
            .with("shard", shard.path.display())
            .with("column", position + 1)
            .with("it has", describe(other, position))
            .with("the first shard has", describe(&self.schema, position))
            .hint("filter them in separate runs, or bring them to one schema first"))
    }
}

/// Key-value pairs of a file, without the Arrow schema.
pub(super) fn key_values(footer: &ArrowReaderMetadata) -> HashMap<String, String> {
    // Some writers put them only into the Arrow schema, others beside it too.
    let mut pairs = footer.schema().metadata().clone();
    let in_file = footer.metadata().file_metadata().key_value_metadata();
    pairs.extend(
        in_file
            .into_iter()
            .flatten()
            .filter_map(|pair| Some((pair.key.clone(), pair.value.clone()?))),
    );
    pairs.remove(parquet::arrow::ARROW_SCHEMA_META_KEY);
    pairs
}

/// The first position at which two schemas have columns that cannot be read as one.
pub(super) fn first_difference(ours: &Schema, theirs: &Schema) -> Option<usize> {
    let (ours, theirs) = (view_schema(ours), view_schema(theirs));
    let same = |position: usize| match (ours.fields().get(position), theirs.fields().get(position))
    {
        (Some(a), Some(b)) => a.name() == b.name() && same_type(a.data_type(), b.data_type()),
        _ => false,
    };
    (0..ours.fields().len().max(theirs.fields().len())).find(|&position| !same(position))
}

/// The column at a position, in the words of an error.
pub(super) fn describe(schema: &Schema, position: usize) -> String {
    schema
        .fields()
        .get(position)
        .map_or("no such column".to_owned(), |field| {
            format!("{} {}", field.name(), field.data_type())
        })
}

/// `ours` with null allowed wherever `theirs` allows it; both have the same columns.
fn relax(ours: &Schema, theirs: &Schema) -> Schema {
    Schema::new_with_metadata(
        relax_fields(ours.fields(), theirs.fields()),
        ours.metadata().clone(),
    )
}

fn relax_fields(ours: &Fields, theirs: &Fields) -> Fields {
    ours.iter()
        .zip(theirs)
        .map(|(ours, theirs)| relax_field(ours, theirs))
        .collect()
}

fn relax_field(ours: &Field, theirs: &Field) -> Field {
    let data_type = match (ours.data_type(), theirs.data_type()) {
        (DataType::Struct(a), DataType::Struct(b)) => DataType::Struct(relax_fields(a, b)),
        (DataType::List(a), DataType::List(b)) => DataType::List(Arc::new(relax_field(a, b))),
        (kept, _) => kept.clone(),
    };
    ours.clone()
        .with_data_type(data_type)
        .with_nullable(ours.is_nullable() || theirs.is_nullable())
}

/// Equal but for nullability and field metadata, at any depth.
fn same_type(a: &DataType, b: &DataType) -> bool {
    a.equals_datatype(b)
        || match (a, b) {
            (DataType::Struct(a), DataType::Struct(b)) => {
                a.len() == b.len()
                    && a.iter().zip(b).all(|(a, b)| {
                        a.name() == b.name() && same_type(a.data_type(), b.data_type())
                    })
            }
            (DataType::List(a), DataType::List(b)) => same_type(a.data_type(), b.data_type()),
            _ => false,
        }
}

/// Opens a file of the run, naming it in the error.
///
/// # Errors
/// When it cannot be opened.
pub fn open_file(path: &Path) -> Result<File> {
    File::open(path).map_err(|error| {
        Error::input("open the shard")
            .with("shard", path.display())
            .source(error)
    })
}

/// The file, its size and its footer.
pub(super) fn open_footer(path: &Path) -> Result<(File, u64, ArrowReaderMetadata)> {
    let file = open_file(path)?;
    let size_bytes = file
        .metadata()
        .map_err(|error| {
            Error::input("read the size of the shard")
                .with("shard", path.display())
                .source(error)
        })?
        .len();
    let footer = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()).map_err(|error| {
        Error::input("read the Parquet footer")
            .with("shard", path.display())
            .with("size", format!("{size_bytes} bytes"))
            .source(error)
            .hint("the file is not Parquet, is damaged, or was not written to its end; fetch it again or leave it out")
    })?;
    Ok((file, size_bytes, footer))
}

fn open_shard(path: &Path) -> Result<(Shard, ArrowReaderMetadata)> {
    let (file, size_bytes, footer) = open_footer(path)?;
    let row_groups = footer
        .metadata()
        .row_groups()
        .iter()
        .map(|group| {
            u64::try_from(group.num_rows()).map_err(|error| {
                Error::input("read a row group's row count")
                    .with("shard", path.display())
                    .source(error)
            })
        })
        .collect::<Result<Vec<u64>>>()?;
    let shard = Shard {
        path: path.to_path_buf(),
        rows: row_groups.iter().sum(),
        row_groups,
        size_bytes,
        fingerprint: fingerprint(&file, size_bytes).map_err(|error| {
            Error::input("read the shard")
                .with("shard", path.display())
                .source(error)
        })?,
    };
    Ok((shard, footer))
}
