//! Checkpoints of a log: Parquet of strangers, read row group by row group.

use std::sync::Arc;

use delta_kernel::{
    EngineData, FileDataReadResultIterator, FileMeta, FileSize, KernelError, KernelResult,
    KernelResultIteratorStatic, ParquetFooter, ParquetHandler, PredicateRef,
    engine::{
        arrow_conversion::TryFromArrow,
        arrow_utils::{
            RowIndexBuilder, fixup_parquet_read, ordering_needs_row_indexes, parquet_read_plan,
        },
        reader_options,
    },
    schema::{SchemaRef, StructType},
};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReaderBuilder};
use url::Url;

use super::{
    engine::{never_asked, one_at_a_time},
    root::TableRoot,
};
use crate::source::{ContainedBatches, ShardBytes, check_pages, read_footer};

/// Most bytes of a page: writers make pages of a mebibyte.
const MOST_PAGE_BYTES: u64 = 256 << 20;
/// Rows of a batch: each is an action of up to some kilobytes.
const BATCH_ROWS: usize = 1024;

/// Reads the checkpoints of one table.
#[derive(Debug)]
pub(super) struct Checkpoints(TableRoot);

impl Checkpoints {
    pub(super) fn of(root: TableRoot) -> Self {
        Self(root)
    }

    fn footer(&self, url: &Url) -> KernelResult<(ShardBytes, ArrowReaderMetadata)> {
        let file = self.0.at_url(url)?;
        let bytes = file.open().map_err(KernelError::generic_err)?;
        let footer = read_footer(&bytes, reader_options())?;
        Ok((bytes, footer))
    }

    fn batches(&self, url: &Url, schema: &SchemaRef) -> KernelResult<FileDataReadResultIterator> {
        let (bytes, footer) = self.footer(url)?;
        check_pages(&bytes, footer.metadata(), MOST_PAGE_BYTES)?;
        let (order, mask) = parquet_read_plan(schema, &footer)?;
        let rows = ordering_needs_row_indexes(&order)
            .then(|| RowIndexBuilder::new(footer.metadata().row_groups()).build())
            .transpose()?;
        let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(bytes, footer)
            .with_batch_size(BATCH_ROWS);
        if let Some(mask) = mask {
            builder = builder.with_projection(mask);
        }
        let (mut rows, name, schema) = (rows, url.to_string(), Arc::clone(schema));
        let batches = ContainedBatches::new(builder.build()?);
        Ok(Box::new(batches.map(move |batch| {
            let fixed =
                fixup_parquet_read(batch?, &order, rows.as_mut(), Some(&name), Some(&schema))?;
            Ok(Box::new(fixed) as Box<dyn EngineData>)
        })))
    }
}

impl ParquetHandler for Checkpoints {
    fn read_parquet_files(
        &self,
        files: &[FileMeta],
        physical_schema: SchemaRef,
        _: Option<PredicateRef>,
    ) -> KernelResult<FileDataReadResultIterator> {
        let own = Self(self.0.clone());
        Ok(one_at_a_time(files, move |url| {
            own.batches(url, &physical_schema)
        }))
    }

    fn write_parquet_file(
        &self,
        _: Url,
        _: KernelResultIteratorStatic<Box<dyn EngineData>>,
    ) -> KernelResult<FileSize> {
        never_asked("write a checkpoint")
    }

    fn read_parquet_footer(&self, file: &FileMeta) -> KernelResult<ParquetFooter> {
        let (_, footer) = self.footer(&file.location)?;
        let schema = StructType::try_from_arrow(footer.schema().as_ref())?;
        Ok(ParquetFooter {
            schema: Arc::new(schema),
        })
    }
}
