//! From the folder of a table to the shards that it has.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Arc,
};

use delta_kernel::{
    KernelError, KernelResult, Snapshot, SnapshotRef,
    history_manager::{HistoryCommitType, latest_version_as_of},
};

use super::{
    columns::{Columns, PartitionColumn},
    engine::LogEngine,
    files::{DataFile, files_of},
    root::{ALLOW, OUT_OF_FOLDER, TableRoot},
    since::Wanted,
};
use crate::{
    error::{Error, Result, contained},
    source::{
        AsOf, Constant, FoundTable, LeftOut, Listed, Location, TableRequest, TableShard,
        TableVersion, Tables,
    },
};

pub(super) const LIBRARY: &str = "delta_kernel";

/// Reads Delta tables.
#[derive(Debug, Default)]
pub struct DeltaTables;

impl Tables for DeltaTables {
    fn open(&self, request: &TableRequest<'_>) -> Result<FoundTable> {
        let engine = LogEngine::of(TableRoot::of(request)?);
        let read = contained(LIBRARY, || Version::read(&engine, request));
        let version = read.map_err(|error| of_log(engine.root(), error))??;
        version.found(engine.root())
    }
}

/// What the log of a table cannot be read for.
pub(super) fn of_log(root: &TableRoot, cause: impl fmt::Display) -> Error {
    let cause = cause.to_string();
    let error = Error::input("read the log of a Delta table").with("table", &root.name);
    let error = match cause.contains(OUT_OF_FOLDER) {
        true => error.hint(ALLOW),
        false => error,
    };
    error.source(cause)
}

/// What the library says, without where in its sources it says so.
pub(super) fn of_library(root: &TableRoot, error: &KernelError) -> Error {
    of_log(root, error.without_backtrace())
}

/// A version of a table.
struct Version {
    of_table: TableVersion,
    columns: Columns,
    /// Each with where it is, and its rows that are left out.
    files: Vec<TableFile>,
    notes: Vec<String>,
}

struct TableFile {
    location: Location,
    file: DataFile,
    left_out: LeftOut,
}

impl Version {
    fn read(engine: &LogEngine, request: &TableRequest<'_>) -> Result<Self> {
        let root = engine.root();
        let failed = |error: KernelError| of_library(root, &error);
        let snapshot = snapshot(engine, request.as_of)?;
        let columns = Columns::of(&snapshot).map_err(failed)?;
        let mut of_table = TableVersion {
            table: root.address(),
            id: snapshot.table_configuration().metadata().id().to_owned(),
            number: snapshot.version(),
            files: BTreeMap::new(),
        };
        let mut known = request.known.iter();
        let known = known.find(|it| it.table == of_table.table && it.id == of_table.id);
        let wanted = match known {
            None => Wanted {
                files: all_files(engine, &snapshot).map_err(failed)?,
                ..Wanted::default()
            },
            Some(known) => Wanted::since(known, engine, &snapshot).map_err(failed)?,
        };
        of_table.files = wanted.known.into_iter().map(|key| (key, None)).collect();
        let mut files = Vec::new();
        for file in wanted.files {
            let left_out = file
                .left_out(engine, &root.url)
                .map_err(|error| failed(error).with("file", &file.path))?;
            let location = root.data_file(&file.path)?;
            let address = Some(location.address());
            of_table.files.insert(file.key(), address);
            files.push(TableFile {
                location,
                file,
                left_out,
            });
        }
        files.sort_by(|a, b| a.location.name().cmp(b.location.name()));
        let mut pairs = files.windows(2);
        if let Some(twice) = pairs.find(|pair| pair[0].location == pair[1].location) {
            return Err(of_log(root, "it has one file twice").with("file", &twice[0].location));
        }
        Ok(Self {
            of_table,
            columns,
            files,
            notes: wanted.notes,
        })
    }

    fn found(self, root: &TableRoot) -> Result<FoundTable> {
        if self.of_table.files.is_empty() {
            return Err(Error::input("read a table that has no file")
                .with("table", &root.name)
                .with("version", self.of_table.number));
        }
        let listed = root.listed()?.map(|files| {
            let files = files
                .into_iter()
                .map(|file| (file.file.name.clone(), file.file));
            files.collect::<HashMap<String, Listed>>()
        });
        let shards = self.files.into_iter().map(|entry| {
            let listed = listed
                .as_ref()
                .and_then(|all| all.get(&entry.location.listed().name));
            Ok(TableShard {
                constants: constants(&self.columns.partitions, &entry.file)
                    .map_err(|error| of_log(root, error).with("file", &entry.file.path))?,
                location: match listed {
                    Some(listed) => entry.location.listed_as(listed.clone()),
                    None => entry.location,
                },
                left_out: entry.left_out,
                columns: Some(Arc::clone(&self.columns.of_table)),
            })
        });
        Ok(FoundTable {
            shards: shards.collect::<Result<_>>()?,
            notes: self.notes,
            versions: vec![self.of_table],
        })
    }
}

/// The files of a version, as its log has them.
pub(super) fn all_files(engine: &LogEngine, snapshot: &SnapshotRef) -> KernelResult<Vec<DataFile>> {
    let scan = Arc::clone(snapshot).scan_builder().without_row_transforms();
    let mut files = Vec::new();
    for batch in scan.build()?.scan_metadata(engine)? {
        files.extend(files_of(&batch?.scan_files)?);
    }
    Ok(files)
}

fn snapshot(engine: &LogEngine, as_of: AsOf) -> Result<SnapshotRef> {
    let root = engine.root();
    let build = |version: Option<u64>| {
        let builder = Snapshot::builder_for(root.url.as_str());
        match version {
            None => builder.build(engine),
            Some(version) => builder.at_version(version).build(engine),
        }
    };
    let version = match as_of {
        AsOf::Newest => return build(None).map_err(|error| of_library(root, &error)),
        AsOf::Version(version) => version,
        AsOf::Time(millis) => {
            let newest = build(None).map_err(|error| of_library(root, &error))?;
            let kind = HistoryCommitType::Recreatable;
            let found = latest_version_as_of(&newest, engine, millis, kind);
            let found = found.map_err(|error| {
                of_library(root, &error).hint("name a --timestamp at which the table was there")
            })?;
            found.version
        }
    };
    build(Some(version)).map_err(|error| {
        let error = of_library(root, &error).with("version", version);
        match build(None) {
            Ok(newest) => error.hint(format!(
                "the newest version is {}; of older ones, those can be read whose log and files are still there",
                newest.version()
            )),
            Err(_) => error,
        }
    })
}

/// The columns whose values the log says.
fn constants(partitions: &[PartitionColumn], file: &DataFile) -> Result<Vec<Constant>> {
    let constants = partitions.iter().map(|column| {
        let text = file
            .partition
            .get(&column.stored_as)
            .map_or("", String::as_str);
        let value = column.data_type.parse_scalar(text);
        let value = value.and_then(|value| value.to_array(1)).map_err(|error| {
            Error::input(format!("read the value of the column '{}'", column.name)).source(error)
        })?;
        Constant::try_new(&column.name, &value)
    });
    constants.collect()
}
