//! One commit: files that are already there become a table's, at once or not at all, and never twice.

use std::{sync::Arc, time::Duration};

use arrow::datatypes::SchemaRef;
use delta_kernel::{
    FilteredEngineData, KernelError, KernelResult, Snapshot, SnapshotRef,
    committer::FileSystemCommitter,
    engine::{arrow_conversion::TryIntoKernel, arrow_data::ArrowEngineData},
    schema::StructType,
    table_features::ColumnMappingMode,
    transaction::{
        CommitResult, UpdateTableOperation, create_table::create_table, data_layout::DataLayout,
    },
};

use super::{
    added::{NewFile, added},
    engine::LogEngine,
    files::files_of,
    root::{TablePlace, TableRoot},
    tables::{LIBRARY, of_library, of_log},
};
use crate::{
    contention::pause,
    error::{Error, Result, contained},
};

/// What the log says has written it.
const PROGRAM: &str = concat!("clip-filter/", env!("CARGO_PKG_VERSION"));
/// The number that a write of an application has: each application writes once.
const WRITTEN: i64 = 1;
/// Times that a write gives way to others.
const MOST_CONFLICTS: u32 = 100;
/// How long it waits after the first of them, and at most after each.
const WAITS: [Duration; 2] = [Duration::from_millis(4), Duration::from_millis(250)];

/// What becomes of the rows that a table has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteMode {
    /// There is no table yet.
    Create,
    /// They stay; a table that is not there is made.
    Append,
    /// They go, in the same commit.
    Overwrite,
    /// Those of the partition of these values go; without a value, those that have none.
    Replace(Vec<PartitionValue>),
}

/// A value of a partition column, as the log writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionValue {
    /// The column.
    pub name: String,
    /// `None` for no value.
    pub value: Option<String>,
}

/// A write of a table.
#[derive(Debug)]
pub struct TableWrite<'a> {
    /// Where it is.
    pub place: &'a TablePlace,
    /// Its columns, of types that Delta has.
    pub columns: SchemaRef,
    /// Those whose values the log says.
    pub partitions: &'a [String],
    /// Properties of a table that is made.
    pub properties: Vec<(String, String)>,
    /// What becomes of the rows that are there.
    pub mode: &'a WriteMode,
    /// Who writes: one of this name writes once.
    pub app_id: &'a str,
    /// What is written.
    pub files: &'a [NewFile],
}

/// What has become of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitOutcome {
    /// It is this version.
    Version(u64),
    /// It was there already.
    Before,
}

impl TableWrite<'_> {
    /// Makes the files the table's.
    ///
    /// # Errors
    /// When the log cannot be written, the table has other columns, or is there and must not be.
    pub fn commit(&self) -> Result<CommitOutcome> {
        let root = TableRoot::written(self.place)?;
        let engine = LogEngine::of(root);
        let work = contained(LIBRARY, || self.try_commit(&engine));
        work.map_err(|error| of_log(engine.root(), error))?
    }

    fn try_commit(&self, engine: &LogEngine) -> Result<CommitOutcome> {
        let failed = |error: KernelError| {
            Error::output("commit to a Delta table")
                .with("table", self.place)
                .source(error.without_backtrace().to_string())
        };
        let [first, longest] = WAITS;
        for conflicts in 0..MOST_CONFLICTS {
            let tried = match newest(engine)? {
                None => self.create(engine),
                Some(_) if self.is_written(engine)? => return Ok(CommitOutcome::Before),
                Some(_) if *self.mode == WriteMode::Create => {
                    return Err(Error::output("make a Delta table: it is there")
                        .with("table", self.place)
                        .hint("--mode append, overwrite or replace-where"));
                }
                Some(snapshot) => {
                    self.check_replaced()?;
                    self.check_columns(&snapshot)?;
                    self.update(engine, snapshot)
                }
            };
            match tried {
                Ok(Some(version)) => return Ok(CommitOutcome::Version(version)),
                Ok(None) => std::thread::sleep(pause(conflicts, first, longest)),
                // What was lost may be the answer alone: the log says.
                Err(error) => {
                    return match self.is_written(engine) {
                        Ok(true) => Ok(CommitOutcome::Before),
                        Ok(false) => Err(failed(error)),
                        Err(_) => Err(failed(error).hint(
                            "whether the commit is there is not known: run it again, which finds out and adds nothing twice",
                        )),
                    };
                }
            }
        }
        Err(
            Error::output("commit to a Delta table: others are always before")
                .with("table", self.place)
                .hint("run it again"),
        )
    }

    fn is_written(&self, engine: &LogEngine) -> Result<bool> {
        is_written(engine, self.app_id)
    }

    /// Refuses to replace what is no partition, or to write rows of others.
    fn check_replaced(&self) -> Result<()> {
        let WriteMode::Replace(values) = self.mode else {
            return Ok(());
        };
        let refused = |why: &str| {
            Error::output(format!("replace a partition of a Delta table: {why}"))
                .with("table", self.place)
        };
        for value in values {
            let shown = value.value.as_deref().unwrap_or("null");
            if !self.partitions.contains(&value.name) {
                return Err(refused("the table is not cut by the column")
                    .with("column", &value.name)
                    .with("it is cut by", self.partitions.join(", ")));
            }
            if self
                .files
                .iter()
                .any(|file| !file.partition.contains(value))
            {
                return Err(refused("some rows are of another")
                    .with("column", &value.name)
                    .with("replaced", shown)
                    .hint("--where with the same values"));
            }
        }
        Ok(())
    }

    /// The version that was made; `None` if another has made the table in between.
    fn create(&self, engine: &LogEngine) -> KernelResult<Option<u64>> {
        let columns: StructType = self.columns.as_ref().try_into_kernel()?;
        let root = engine.root().url.as_str();
        let mut builder = create_table(root, Arc::new(columns), PROGRAM, true)
            .with_table_properties(self.properties.iter().cloned());
        if !self.partitions.is_empty() {
            builder = builder.with_data_layout(DataLayout::partitioned(self.partitions));
        }
        let made = builder.build(engine, Box::new(FileSystemCommitter::new()));
        let made = match made {
            Err(error) if is_there(&error) => return Ok(None),
            made => made?,
        };
        let mut transaction = made.with_transaction_id(self.app_id.to_owned(), WRITTEN);
        if !self.files.is_empty() {
            transaction.add_files(Box::new(ArrowEngineData::new(added(self.files)?)));
        }
        version(transaction.commit(engine)?)
    }

    fn update(&self, engine: &LogEngine, snapshot: SnapshotRef) -> KernelResult<Option<u64>> {
        let mut transaction = Arc::clone(&snapshot)
            .update_table(UpdateTableOperation::Write, PROGRAM, true)
            .build(engine, Box::new(FileSystemCommitter::new()))?
            .with_transaction_id(self.app_id.to_owned(), WRITTEN);
        if !matches!(self.mode, WriteMode::Create | WriteMode::Append) {
            for removed in self.removed(engine, &snapshot)? {
                transaction.remove_files(removed);
            }
        }
        if !self.files.is_empty() {
            transaction.add_files(Box::new(ArrowEngineData::new(added(self.files)?)));
        }
        version(transaction.commit(engine)?)
    }

    /// The files of a version that go.
    fn removed(
        &self,
        engine: &LogEngine,
        snapshot: &SnapshotRef,
    ) -> KernelResult<Vec<FilteredEngineData>> {
        let scan = Arc::clone(snapshot).scan_builder().without_row_transforms();
        let mut removed = Vec::new();
        for batch in scan.build()?.scan_metadata(engine)? {
            let (data, selected) = batch?.scan_files.into_parts();
            let goes = match self.mode {
                WriteMode::Replace(values) => {
                    let all = FilteredEngineData::try_new(data, selected)?;
                    let mut goes = vec![false; all.data().len()];
                    for file in files_of(&all)? {
                        let is_of =
                            |it: &PartitionValue| file.partition.get(&it.name) == it.value.as_ref();
                        goes[file.row] = values.iter().all(is_of);
                    }
                    FilteredEngineData::try_new(all.into_parts().0, goes)?
                }
                _ => FilteredEngineData::try_new(data, selected)?,
            };
            removed.push(goes);
        }
        Ok(removed)
    }

    fn check_columns(&self, snapshot: &Snapshot) -> Result<()> {
        let refused = || {
            Error::output("write to a Delta table: it has other columns").with("table", self.place)
        };
        let columns: StructType = self
            .columns
            .as_ref()
            .try_into_kernel()
            .map_err(|error: arrow::error::ArrowError| refused().source(error))?;
        let there = snapshot.schema();
        if snapshot.table_configuration().column_mapping_mode() != ColumnMappingMode::None {
            return Err(refused().hint("tables with column mapping are read, and not written"));
        }
        let partitions = snapshot.table_configuration().logical_partition_columns();
        if partitions != self.partitions {
            return Err(refused()
                .with("it is cut by", partitions.join(", "))
                .with("what is written by", self.partitions.join(", "))
                .hint("--partition-by as the table is"));
        }
        for field in columns.fields() {
            let known = there.field(field.name());
            if known.is_none_or(|known| known.data_type() != field.data_type()) {
                return Err(refused()
                    .with("column", field.name())
                    .with("what is written has", field.data_type())
                    .with(
                        "the table has",
                        known.map_or("none".to_owned(), |it| it.data_type().to_string()),
                    ));
            }
        }
        match there
            .fields()
            .find(|known| columns.field(known.name()).is_none())
        {
            Some(missing) if !missing.is_nullable() => Err(refused()
                .with("column", missing.name())
                .with("what is written has", "none")),
            _ => Ok(()),
        }
    }
}

/// The newest version; `None` if there is no table.
fn newest(engine: &LogEngine) -> Result<Option<SnapshotRef>> {
    let root = engine.root();
    if !has_commits(root)? {
        return Ok(None);
    }
    let snapshot = Snapshot::builder_for(root.url.as_str()).build(engine);
    snapshot.map(Some).map_err(|error| of_library(root, &error))
}

impl TablePlace {
    /// Whether an application of this name has written the table.
    ///
    /// # Errors
    /// When its log cannot be read.
    pub fn has_written(&self, app_id: &str) -> Result<bool> {
        let engine = LogEngine::of(TableRoot::written(self)?);
        let found = contained(LIBRARY, || is_written(&engine, app_id));
        found.map_err(|error| of_log(engine.root(), error))?
    }

    /// Whether there is a table.
    ///
    /// # Errors
    /// When the place cannot be looked at.
    pub fn is_table(&self) -> Result<bool> {
        has_commits(&TableRoot::written(self)?)
    }
}

fn has_commits(root: &TableRoot) -> Result<bool> {
    let log = root.log()?;
    Ok(log.iter().any(|file| file.path.ends_with(".json")))
}

fn is_written(engine: &LogEngine, app_id: &str) -> Result<bool> {
    let Some(snapshot) = newest(engine)? else {
        return Ok(false);
    };
    let found = snapshot.get_app_id_version(app_id, engine);
    found
        .map(|version| version.is_some())
        .map_err(|error| of_library(engine.root(), &error))
}

fn is_there(error: &KernelError) -> bool {
    matches!(
        error.without_backtrace(),
        KernelError::FileAlreadyExists(_) | KernelError::TableAlreadyExistsAtPath(_)
    )
}

/// The version that was made; `None` if another was before.
fn version<S: std::fmt::Debug>(committed: CommitResult<S>) -> KernelResult<Option<u64>> {
    match committed {
        CommitResult::Committed(done) => Ok(Some(done.commit_version())),
        CommitResult::Conflicted(_) => Ok(None),
        CommitResult::Retryable(failed) => Err(failed.error),
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{Field, Schema};

    use super::*;
    use crate::delta::FileStatistics;

    /// A table of files that nobody reads.
    fn write(place: &TablePlace, mode: &WriteMode, app_id: &str) -> Result<CommitOutcome> {
        let columns = vec![Field::new("n", arrow::datatypes::DataType::Int64, true)];
        let file = NewFile {
            path: format!("{app_id}.parquet"),
            size_bytes: 1,
            written_millis: 0,
            partition: Vec::new(),
            statistics: FileStatistics::default(),
        };
        TableWrite {
            place,
            columns: Arc::new(Schema::new(columns)),
            partitions: &[],
            properties: Vec::new(),
            mode,
            app_id,
            files: &[file],
        }
        .commit()
    }

    #[test]
    fn writers_at_one_time_commit_behind_each_other_and_each_once() {
        const WRITERS: u64 = 4;
        let dir = tempfile::tempdir().unwrap();
        let place = TablePlace::local(dir.path()).unwrap();
        let versions = std::thread::scope(|scope| {
            let writers = (0..WRITERS).map(|writer| {
                let place = &place;
                scope.spawn(move || {
                    let commits = (0..3).map(|number| {
                        let app_id = format!("{writer}-{number}");
                        let written = write(place, &WriteMode::Append, &app_id).unwrap();
                        let again = write(place, &WriteMode::Append, &app_id).unwrap();
                        assert_eq!(again, CommitOutcome::Before);
                        written
                    });
                    commits.collect::<Vec<_>>()
                })
            });
            let writers: Vec<_> = writers.collect();
            let done = writers
                .into_iter()
                .flat_map(|writer| writer.join().unwrap());
            done.collect::<Vec<_>>()
        });
        let mut numbers: Vec<u64> = versions
            .into_iter()
            .map(|written| match written {
                CommitOutcome::Version(number) => number,
                CommitOutcome::Before => panic!("nobody has written that"),
            })
            .collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..3 * WRITERS).collect::<Vec<_>>());
        assert!(place.has_written("3-2").unwrap());
        assert!(!place.has_written("3-3").unwrap());
        assert!(write(&place, &WriteMode::Create, "other").is_err());
    }

    #[test]
    fn a_version_that_another_has_taken_is_left_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let place = TablePlace::local(dir.path()).unwrap();
        write(&place, &WriteMode::Append, "first").unwrap();
        let columns = vec![Field::new("n", arrow::datatypes::DataType::Int64, true)];
        let late = TableWrite {
            place: &place,
            columns: Arc::new(Schema::new(columns)),
            partitions: &[],
            properties: Vec::new(),
            mode: &WriteMode::Append,
            app_id: "late",
            files: &[],
        };
        let engine = LogEngine::of(TableRoot::written(&place).unwrap());
        let read = newest(&engine).unwrap().unwrap();
        // Between reading the log and writing it.
        assert_eq!(
            write(&place, &WriteMode::Append, "other").unwrap(),
            CommitOutcome::Version(1)
        );
        assert_eq!(late.update(&engine, read).unwrap(), None, "a conflict");
        assert!(!place.has_written("late").unwrap());
        assert_eq!(late.commit().unwrap(), CommitOutcome::Version(2));
        assert_eq!(late.commit().unwrap(), CommitOutcome::Before);
        for app_id in ["first", "other", "late"] {
            assert!(place.has_written(app_id).unwrap(), "{app_id}");
        }
        assert_eq!(newest(&engine).unwrap().unwrap().version(), 2);
    }

    #[cfg(unix)]
    #[test]
    fn a_log_that_cannot_be_written_is_told_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let place = TablePlace::local(dir.path()).unwrap();
        // No folder can be made where a link leads nowhere.
        std::os::unix::fs::symlink("nowhere", dir.path().join("_delta_log")).unwrap();
        let refused = write(&place, &WriteMode::Append, "first").unwrap_err();
        let told = refused.report();
        assert!(
            told.starts_with("failed to commit to a Delta table\n"),
            "{told}"
        );
    }

    #[test]
    fn what_a_killed_writer_left_in_the_log_is_no_table() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("_delta_log")).unwrap();
        std::fs::write(dir.path().join("_delta_log/.tmpAbCdEf"), "{").unwrap();
        let place = TablePlace::local(dir.path()).unwrap();
        let written = write(&place, &WriteMode::Append, "first").unwrap();
        assert_eq!(written, CommitOutcome::Version(0));
    }
}
