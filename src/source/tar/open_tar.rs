//! A tar whose rows are read: batches of samples, each member where the index says it is.

use std::{io, ops::Range, sync::Arc};

use arrow::{
    array::{Array, BooleanArray, Int64Array, RecordBatch},
    compute::{filter_record_batch, prep_null_mask_filter},
    datatypes::{DataType, Field, Schema, SchemaRef},
    error::ArrowError,
};

use super::{
    columns::{Columns, Origin},
    fetch::{Fetch, Fetched},
    index::Index,
    json::Object,
    stream::TarStream,
    survey::image_of,
    values::{Row, column},
};
use crate::{
    error::{Error, Result},
    schema::ROW,
    source::{
        ReadPlan, RowPredicate, ShardBytes,
        kind::{Batches, OpenRows, own_error},
    },
};

/// What is known of a tar.
#[derive(Debug)]
pub(super) struct Tar {
    pub(super) index: Index,
    pub(super) columns: Columns,
    pub(super) is_packed: bool,
    pub(super) size_bytes: u64,
}

/// A tar that is open.
#[derive(Clone)]
pub(super) struct OpenTar {
    pub(super) shard: Arc<str>,
    pub(super) file: ShardBytes,
    pub(super) tar: Arc<Tar>,
    pub(super) plan: Arc<ReadPlan>,
    /// The columns of the tar as they are read.
    pub(super) read: SchemaRef,
}

impl OpenRows for OpenTar {
    fn row_group(&self, group: usize, wanted: Option<Vec<Range<usize>>>) -> Result<Batches> {
        let mut rows = self.rows(group, wanted);
        if self.tar.is_packed {
            let stream = TarStream::of(&self.file, true).map_err(|error| self.failed(error))?;
            return Ok(Box::new(TarBatches {
                columns: self.plan.columns_read(),
                open: self.clone(),
                rows: rows.into(),
                fetch: Fetch::Stream(stream),
                predicates: self.plan.predicates.clone(),
            }));
        }
        for predicate in &self.plan.predicates {
            rows = self.passing(predicate, rows)?;
        }
        Ok(Box::new(self.batches(self.plan.columns.clone(), rows)))
    }
}

impl OpenTar {
    /// The rows of a stretch that are `wanted`.
    fn rows(&self, group: usize, wanted: Option<Vec<Range<usize>>>) -> Vec<Row> {
        let first = self.tar.index.first_row(group);
        let samples = self.tar.index.samples(group).enumerate();
        let mut runs = wanted.as_deref().unwrap_or(&[]).iter().peekable();
        let samples = samples.filter(|(at, _)| {
            while runs.next_if(|run| run.end <= *at).is_some() {}
            wanted.is_none() || runs.peek().is_some_and(|run| run.contains(at))
        });
        let number = |at: usize| i64::try_from(first + at as u64).unwrap_or(i64::MAX);
        let rows = samples.map(|(at, sample)| Row {
            number: number(at),
            image: image_of(&sample, &self.tar.columns.ranks).cloned(),
            sample,
        });
        rows.collect()
    }

    fn batches(&self, columns: Vec<usize>, rows: Vec<Row>) -> TarBatches {
        let ranges = match self.file.is_planned() {
            true => self.ranges(&columns, &rows),
            false => Vec::new(),
        };
        TarBatches {
            fetch: Fetch::of(&self.file, &ranges),
            columns,
            open: self.clone(),
            rows: rows.into(),
            predicates: Vec::new(),
        }
    }

    /// Those of `rows` that pass.
    fn passing(&self, predicate: &RowPredicate, rows: Vec<Row>) -> Result<Vec<Row>> {
        let mut passing = Vec::new();
        let mut batches = self.batches(predicate.columns.clone(), rows);
        while let Some((rows, fetched)) = batches.portion()? {
            let batch = self.batch(&predicate.columns, &rows, &fetched)?;
            let passes = self.evaluate(predicate, &batch)?;
            let rows = rows.into_iter().zip(passes.values());
            passing.extend(rows.filter_map(|(row, passes)| passes.then_some(row)));
        }
        Ok(passing)
    }

    fn evaluate(&self, predicate: &RowPredicate, batch: &RecordBatch) -> Result<BooleanArray> {
        let passes = (predicate.evaluate)(batch).map_err(|error| self.undecided(error))?;
        Ok(match passes.null_count() {
            0 => passes,
            _ => prep_null_mask_filter(&passes),
        })
    }

    /// Where the values of `columns` lie, ascending.
    fn ranges(&self, columns: &[usize], rows: &[Row]) -> Vec<Range<u64>> {
        let origins = || {
            columns
                .iter()
                .filter_map(|&at| self.tar.columns.origins.get(at))
        };
        let mut ranges: Vec<Range<u64>> = rows
            .iter()
            .flat_map(|row| origins().flat_map(|origin| row.ranges(origin)))
            .collect();
        ranges.sort_by_key(|range| (range.start, range.end));
        ranges.dedup();
        ranges
    }

    /// `columns` of `rows`.
    fn batch(&self, columns: &[usize], rows: &[Row], fetched: &Fetched) -> Result<RecordBatch> {
        let broken = |error: ArrowError| {
            Error::internal("make columns of the members of a tar")
                .with("shard", &self.shard)
                .source(error)
        };
        let schema = self.read.project(columns).map_err(broken)?;
        let mut objects: Option<Vec<Option<Object>>> = None;
        let mut arrays = Vec::with_capacity(columns.len());
        for &at in columns {
            let origin = self.tar.columns.origins.get(at);
            let origin = origin.ok_or_else(|| Error::internal("find a column of a tar"))?;
            if let Origin::Json(field, ..) = origin {
                let of_rows = || rows.iter().map(|row| row.object(*field, fetched)).collect();
                objects.get_or_insert_with(of_rows);
            }
            let objects = objects.as_deref().unwrap_or_default();
            arrays.push(column(
                origin,
                &self.tar.columns.names,
                rows,
                fetched,
                objects,
            ));
        }
        let count = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let batch = RecordBatch::try_new_with_options(Arc::new(schema), arrays, &count);
        batch.map_err(broken)
    }

    fn failed(&self, error: io::Error) -> Error {
        Error::input("read a member of the tar")
            .with("shard", &self.shard)
            .source(error)
            .hint("the file is damaged there; fetch it again or leave it out (--on-bad-shard skip)")
            .of_bad_shard(&self.shard)
    }

    fn undecided(&self, error: ArrowError) -> Error {
        let ours = own_error(&error);
        let other = || Error::input("decide a condition on members of the tar").source(error);
        ours.unwrap_or_else(other).with("shard", &self.shard)
    }
}

/// Batches of a stretch.
struct TarBatches {
    open: OpenTar,
    /// What is fetched.
    columns: Vec<usize>,
    rows: std::collections::VecDeque<Row>,
    fetch: Fetch,
    /// Decided on what is fetched for the batch.
    predicates: Vec<RowPredicate>,
}

impl TarBatches {
    /// The next rows and their members, as many as fit into a batch.
    fn portion(&mut self) -> Result<Option<(Vec<Row>, Fetched)>> {
        let plan = &self.open.plan;
        let origins = &self.open.tar.columns.origins;
        let (mut bytes, mut rows) = (0u64, Vec::new());
        while let Some(row) = self.rows.front() {
            let origins = self.columns.iter().filter_map(|&at| origins.get(at));
            let more = origins.flat_map(|origin| row.ranges(origin));
            let more: u64 = more.map(|range| range.end - range.start).sum();
            bytes = bytes.saturating_add(more);
            let is_full = bytes > plan.batch_bytes || rows.len() >= plan.batch_rows;
            if is_full && !rows.is_empty() {
                break;
            }
            rows.extend(self.rows.pop_front());
        }
        if rows.is_empty() {
            return Ok(None);
        }
        let ranges = self.open.ranges(&self.columns, &rows);
        let fetched = self.fetch.fetch(&ranges);
        let fetched = fetched.map_err(|error| self.open.failed(error))?;
        Ok(Some((rows, fetched)))
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        while let Some((rows, fetched)) = self.portion()? {
            let open = &self.open;
            let mut batch = open.batch(&open.plan.columns, &rows, &fetched)?;
            if open.plan.row_numbers {
                batch = numbered(&batch, &rows)?;
            }
            let mut left = rows;
            for predicate in &self.predicates {
                let decided = open.batch(&predicate.columns, &left, &fetched)?;
                let passes = open.evaluate(predicate, &decided)?;
                batch = filter_record_batch(&batch, &passes)
                    .map_err(|error| Error::internal("drop rows of a tar").source(error))?;
                let kept = left.into_iter().zip(passes.values());
                left = kept
                    .filter_map(|(row, passes)| passes.then_some(row))
                    .collect();
            }
            if !left.is_empty() {
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }
}

impl Iterator for TarBatches {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.next_batch().transpose();
        if let Some(Err(_)) = batch {
            self.rows.clear();
        }
        batch
    }
}

fn numbered(batch: &RecordBatch, rows: &[Row]) -> Result<RecordBatch> {
    let mut fields = batch.schema_ref().fields().to_vec();
    fields.push(Arc::new(Field::new(ROW, DataType::Int64, false)));
    let mut columns = batch.columns().to_vec();
    let numbers = rows.iter().map(|row| row.number);
    columns.push(Arc::new(Int64Array::from_iter_values(numbers)));
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
        .map_err(|error| Error::internal("number the rows of a tar").source(error))
}

impl Row {
    /// Where what a column is made of lies.
    fn ranges(&self, origin: &Origin) -> impl Iterator<Item = Range<u64>> + use<> {
        let header = || Some(self.sample.header.clone());
        let image = self.image.as_ref().filter(|image| image.is_read);
        let (name, bytes) = match origin {
            Origin::Key => (header(), None),
            Origin::Image => (
                image.and_then(|_| header()),
                image.map(|image| image.bytes.clone()),
            ),
            Origin::Text(field) | Origin::Bytes(field) | Origin::Json(field, ..) => {
                (None, self.member(*field))
            }
        };
        name.into_iter().chain(bytes)
    }
}
