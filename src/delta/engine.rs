//! What the library of the log reads and writes through: bytes of files, JSON, and expressions over Arrow.

use std::{io::Cursor, sync::Arc};

use bytes::Bytes;
use delta_kernel::{
    Engine, EngineData, EvaluationHandler, FileDataReadResultIterator, FileMeta, FileSize,
    FileSlice, FilteredEngineData, JsonHandler, KernelError, KernelResult, KernelResultIterator,
    KernelResultIteratorStatic, ParquetHandler, PredicateRef, StorageHandler,
    arrow::json::ReaderBuilder,
    engine::{
        arrow_data::ArrowEngineData,
        arrow_expression::ArrowEvaluationHandler,
        arrow_utils::{
            build_json_reorder_indices, fixup_json_read, json_arrow_schema, parse_json,
            to_json_bytes,
        },
    },
    schema::SchemaRef,
};
use url::Url;

use super::{checkpoints::Checkpoints, root::TableRoot};
use crate::source::{Location, LogFile};

/// Most bytes of a commit: one with a million files has half of that.
const MOST_COMMIT_BYTES: u64 = 1 << 30;
/// Most bytes of other files that are read whole: deletion vectors, hints.
const MOST_FILE_BYTES: u64 = 256 << 20;

/// Reads the log of one table.
#[derive(Debug, Clone)]
pub(super) struct LogEngine {
    files: Arc<LogFiles>,
}

/// Files of a log.
#[derive(Debug)]
pub(super) struct LogFiles(TableRoot);

impl LogEngine {
    pub(super) fn of(root: TableRoot) -> Self {
        Self {
            files: Arc::new(LogFiles(root)),
        }
    }

    pub(super) fn root(&self) -> &TableRoot {
        &self.files.0
    }
}

impl Engine for LogEngine {
    fn evaluation_handler(&self) -> Arc<dyn EvaluationHandler> {
        Arc::new(ArrowEvaluationHandler {})
    }

    fn storage_handler(&self) -> Arc<dyn StorageHandler> {
        Arc::clone(&self.files) as _
    }

    fn json_handler(&self) -> Arc<dyn JsonHandler> {
        Arc::clone(&self.files) as _
    }

    fn parquet_handler(&self) -> Arc<dyn ParquetHandler> {
        Arc::new(Checkpoints::of(self.root().clone()))
    }
}

/// What a handler is asked to do that nothing here asks for.
pub(super) fn never_asked<T>(what: &str) -> KernelResult<T> {
    Err(KernelError::unsupported(format!(
        "{what} of a table that is read"
    )))
}

impl LogFiles {
    fn bytes(&self, file: &Location, most: u64) -> KernelResult<Bytes> {
        let opened = file.open().map_err(|error| match file.exists() {
            true => KernelError::generic_err(error),
            false => KernelError::file_not_found(file.name()),
        })?;
        let size = opened.size_bytes();
        if size > most {
            return Err(KernelError::generic(format!(
                "{file} has {size} bytes, more than {most} that are read of such a file"
            )));
        }
        opened.read_at(0..size).map_err(KernelError::IOError)
    }

    fn meta(&self, file: LogFile) -> KernelResult<FileMeta> {
        Ok(FileMeta {
            location: self.0.url_of(&format!("_delta_log/{}", file.path))?,
            last_modified: file.written_millis,
            size: file.file.size_bytes.unwrap_or(0),
        })
    }
}

impl StorageHandler for LogFiles {
    fn list_from(&self, path: &Url) -> KernelResult<KernelResultIteratorStatic<FileMeta>> {
        let log = self.0.log().map_err(KernelError::generic_err)?;
        let metas = log.into_iter().map(|file| self.meta(file));
        let mut metas = metas.collect::<KernelResult<Vec<_>>>()?;
        let (folder, _) = path.as_str().rsplit_once('/').unwrap_or_default();
        metas.retain(|meta| {
            let url = meta.location.as_str();
            let below = url.strip_prefix(folder);
            let name = below.and_then(|below| below.strip_prefix('/'));
            // What another writer has not finished, or a killed one has left, makes no table.
            name.is_some_and(|name| !name.starts_with('.')) && url > path.as_str()
        });
        metas.sort_unstable();
        Ok(Box::new(metas.into_iter().map(Ok)))
    }

    fn read_files(&self, files: Vec<FileSlice>) -> KernelResult<KernelResultIteratorStatic<Bytes>> {
        let files = files.into_iter().map(|(url, range)| {
            let file = self.0.at_url(&url)?;
            match range {
                None => self.bytes(&file, MOST_FILE_BYTES),
                Some(range) if range.end.saturating_sub(range.start) <= MOST_FILE_BYTES => {
                    let opened = file.open().map_err(KernelError::generic_err)?;
                    opened.read_at(range).map_err(KernelError::IOError)
                }
                Some(_) => Err(KernelError::generic(format!(
                    "{file}: a range is too large"
                ))),
            }
        });
        Ok(Box::new(files.collect::<Vec<_>>().into_iter()))
    }

    fn copy_atomic(&self, _: &Url, _: &Url) -> KernelResult<()> {
        never_asked("copy a file")
    }

    fn put(&self, path: &Url, data: Bytes, overwrite: bool) -> KernelResult<()> {
        if overwrite {
            return never_asked("replace a file");
        }
        match self.0.put_new(path, data)? {
            true => Ok(()),
            false => Err(KernelError::FileAlreadyExists(path.to_string())),
        }
    }

    fn head(&self, path: &Url) -> KernelResult<FileMeta> {
        let file = self.0.at_url(path)?;
        if !file.exists() {
            return Err(KernelError::file_not_found(path));
        }
        let opened = file.open().map_err(KernelError::generic_err)?;
        Ok(FileMeta {
            location: path.clone(),
            last_modified: 0,
            size: opened.size_bytes(),
        })
    }

    fn delete(&self, _: &Url) -> KernelResult<()> {
        never_asked("remove a file")
    }
}

/// What `read` makes of each file in turn: one at a time is in memory.
pub(super) fn one_at_a_time(
    files: &[FileMeta],
    read: impl Fn(&Url) -> KernelResult<FileDataReadResultIterator> + Send + 'static,
) -> FileDataReadResultIterator {
    let urls: Vec<Url> = files.iter().map(|file| file.location.clone()).collect();
    Box::new(urls.into_iter().flat_map(move |url| {
        read(&url).unwrap_or_else(|error| Box::new(std::iter::once(Err(error))))
    }))
}

impl JsonHandler for LogFiles {
    fn parse_json(
        &self,
        json_strings: Box<dyn EngineData>,
        output_schema: SchemaRef,
    ) -> KernelResult<Box<dyn EngineData>> {
        parse_json(json_strings, output_schema)
    }

    fn read_json_files(
        &self,
        files: &[FileMeta],
        physical_schema: SchemaRef,
        _: Option<PredicateRef>,
    ) -> KernelResult<FileDataReadResultIterator> {
        let root = LogFiles(self.0.clone());
        Ok(one_at_a_time(files, move |url| {
            root.batches(url, &physical_schema)
        }))
    }

    fn write_json_file(
        &self,
        path: &Url,
        data: KernelResultIterator<'_, FilteredEngineData>,
        overwrite: bool,
    ) -> KernelResult<FileSize> {
        let bytes = to_json_bytes(data)?;
        let size = bytes.len() as FileSize;
        self.put(path, bytes.into(), overwrite)?;
        Ok(size)
    }
}

impl LogFiles {
    fn batches(&self, url: &Url, schema: &SchemaRef) -> KernelResult<FileDataReadResultIterator> {
        let bytes = self.bytes(&self.0.at_url(url)?, MOST_COMMIT_BYTES)?;
        let places = build_json_reorder_indices(schema)?;
        let reader = ReaderBuilder::new(Arc::new(json_arrow_schema(schema)?))
            .with_coerce_primitive(true)
            .build(Cursor::new(bytes))?;
        let name = url.to_string();
        Ok(Box::new(reader.map(move |batch| {
            let batch: ArrowEngineData = fixup_json_read(batch?, &places, &name)?;
            Ok(Box::new(batch) as Box<dyn EngineData>)
        })))
    }
}
