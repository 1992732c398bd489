//! The wide pass: every pair is encoded once; what is needed later goes to a spool of narrow rows.

use std::{path::Path, sync::Arc, time::Instant};

use arrow::{
    array::{Array, AsArray, BooleanArray, RecordBatch},
    compute::cast,
    datatypes::{DataType, Field, Float32Type, Int64Type, Schema, SchemaRef, UInt32Type},
};
use futures::StreamExt;

use super::{Cancel, Prepared, RunOptions, interrupted};
use crate::{
    config::OnError,
    engine::{Added, PASSES, WidePlan, from_datafusion, wide_pass},
    error::{Error, Result},
    report::BadRows,
    schema::{ROW, SHARD, Status},
    select::ScoreHistogram,
    sink::{Reject, RejectsWriter},
    source::ShardSet,
    store::{Spool, SpoolRows},
};

/// Spool column: the row passed the condition and the threshold.
pub(super) const CANDIDATE: &str = "__candidate";
/// Spool column: `clip_score`, whatever the output calls it.
pub(super) const SCORE: &str = "__score";

/// What the wide pass found.
pub(super) struct Scored {
    pub(super) rows: SpoolRows,
    /// Counts of the candidates' scores.
    pub(super) histogram: ScoreHistogram,
    pub(super) bad: BadRows,
    /// Rows that reached the encoders.
    pub(super) rows_scored: u64,
    /// From the first row asked for to the last; loading the model is not in it.
    pub(super) seconds: f64,
    pub(super) rejects: Option<RejectsWriter>,
}

impl Scored {
    pub(super) fn rows_bad(&self) -> u64 {
        self.bad.values().sum()
    }
}

pub(super) async fn run(
    options: &RunOptions,
    prepared: &Prepared,
    plan: WidePlan,
    mut cancel: Cancel,
    explain: &(dyn Fn(&str) + Sync),
) -> Result<Scored> {
    let mut sink = Sink::create(options, prepared)?;
    let (mut stream, physical) = wide_pass(plan).await?;
    explain(&physical);
    let start = Instant::now();
    loop {
        let next = tokio::select! {
            next = stream.next() => next,
            _ = cancel.wait_for(|stop| *stop) => return Err(interrupted()),
        };
        let Some(batch) = next else { break };
        sink.take(&batch.map_err(|error| from_datafusion(error, "score a batch"))?)?;
    }
    let mut scored = sink.finish()?;
    scored.seconds = start.elapsed().as_secs_f64();
    Ok(scored)
}

/// Where the batches of the wide pass end.
struct Sink {
    set: Arc<ShardSet>,
    names: Names,
    min_score: Option<f32>,
    on_error: OnError,
    spool: Spool,
    spool_schema: SchemaRef,
    histogram: ScoreHistogram,
    bad: BadRows,
    rows_scored: u64,
    rejects: Option<RejectsWriter>,
}

/// Column names within the wide pass.
struct Names {
    score: String,
    status: String,
    reason: String,
    key: Option<String>,
    /// Columns that the output gets beside the score.
    written: Vec<String>,
}

impl Sink {
    fn create(options: &RunOptions, prepared: &Prepared) -> Result<Self> {
        let mut fields = vec![
            Field::new(SHARD, DataType::UInt32, false),
            Field::new(ROW, DataType::Int64, false),
            Field::new(CANDIDATE, DataType::Boolean, false),
            Field::new(SCORE, DataType::Float32, true),
        ];
        let written: Vec<_> = prepared
            .written(options)
            .filter(|column| column.added != Added::Score)
            .collect();
        fields.extend(
            written
                .iter()
                .map(|column| Field::new(&column.name, column.added.data_type(), true)),
        );
        let spool_schema = Arc::new(Schema::new(fields));
        let names = Names {
            score: prepared.name_of(Added::Score)?.to_owned(),
            status: prepared.name_of(Added::Status)?.to_owned(),
            reason: prepared.name_of(Added::Reason)?.to_owned(),
            key: prepared.binding.key.clone(),
            written: written.iter().map(|column| column.name.clone()).collect(),
        };
        let rejects = match (&options.rejects, options.dry_run) {
            (Some(path), false) => Some(RejectsWriter::create(path.clone())?),
            _ => None,
        };
        Ok(Self {
            set: Arc::clone(&prepared.set),
            names,
            min_score: options.min_score,
            on_error: options.on_error,
            spool: Spool::create(&spool_directory(options), Arc::clone(&spool_schema))?,
            spool_schema,
            histogram: ScoreHistogram::default(),
            bad: BadRows::new(),
            rows_scored: 0,
            rejects,
        })
    }

    fn take(&mut self, batch: &RecordBatch) -> Result<()> {
        let scores = column(batch, &self.names.score)?.as_primitive::<Float32Type>();
        let passes = column(batch, PASSES)?.as_boolean();
        let min_score = self.min_score.unwrap_or(f32::NEG_INFINITY);
        let candidates: BooleanArray = (0..batch.num_rows())
            .map(|row| {
                let passes = passes.is_valid(row) && passes.value(row);
                Some(scores.is_valid(row) && passes && scores.value(row) >= min_score)
            })
            .collect();
        for row in (0..batch.num_rows()).filter(|&row| candidates.value(row)) {
            self.histogram.push(scores.value(row));
        }
        self.count_bad_rows(batch)?;
        let mut columns = vec![
            Arc::clone(column(batch, SHARD)?),
            Arc::clone(column(batch, ROW)?),
            Arc::new(candidates),
            Arc::clone(column(batch, &self.names.score)?),
        ];
        for name in &self.names.written {
            columns.push(Arc::clone(column(batch, name)?));
        }
        let narrow = RecordBatch::try_new(Arc::clone(&self.spool_schema), columns)
            .map_err(|error| Error::internal("narrow a scored batch").source(error))?;
        self.rows_scored += batch.num_rows() as u64;
        self.spool.append(&narrow)
    }

    fn count_bad_rows(&mut self, batch: &RecordBatch) -> Result<()> {
        let statuses = column(batch, &self.names.status)?.as_string::<i32>();
        for row in 0..batch.num_rows() {
            let status = Status::from_name(statuses.value(row))
                .ok_or_else(|| Error::internal("read a row's status"))?;
            if status == Status::Ok {
                continue;
            }
            *self.bad.entry(status.as_str()).or_default() += 1;
            if self.rejects.is_some() || self.on_error == OnError::Fail {
                self.reject(self.reject_of(batch, row, status)?)?;
            }
        }
        Ok(())
    }

    fn reject_of(&self, batch: &RecordBatch, row: usize, status: Status) -> Result<Reject> {
        let shard = column(batch, SHARD)?
            .as_primitive::<UInt32Type>()
            .value(row) as usize;
        let reasons = column(batch, &self.names.reason)?.as_string::<i32>();
        let key = match &self.names.key {
            None => None,
            Some(name) => {
                let keys = cast(column(batch, name)?, &DataType::Utf8).map_err(|error| {
                    Error::input("read the key column")
                        .with("column", name)
                        .source(error)
                })?;
                let keys = keys.as_string::<i32>();
                keys.is_valid(row).then(|| keys.value(row).to_owned())
            }
        };
        Ok(Reject {
            key,
            shard: self
                .set
                .shards
                .get(shard)
                .map(|shard| shard.path.display().to_string())
                .unwrap_or_default(),
            row: column(batch, ROW)?.as_primitive::<Int64Type>().value(row),
            status,
            reason: reasons.value(row).to_owned(),
        })
    }

    fn reject(&mut self, reject: Reject) -> Result<()> {
        if self.on_error == OnError::Fail {
            return Err(Error::input("score a row")
                .with("shard", reject.shard)
                .with("row", reject.row)
                .with("key", reject.key.unwrap_or_default())
                .with("status", reject.status.as_str())
                .with("reason", reject.reason)
                .hint("--on-error drop leaves bad rows out and counts them"));
        }
        match &mut self.rejects {
            Some(writer) => writer.push(reject),
            None => Ok(()),
        }
    }

    fn finish(self) -> Result<Scored> {
        Ok(Scored {
            rows: self.spool.finish()?,
            histogram: self.histogram,
            bad: self.bad,
            rows_scored: self.rows_scored,
            seconds: 0.0,
            rejects: self.rejects,
        })
    }
}

/// Beside the output, where there is room for one; a dry run has none.
fn spool_directory(options: &RunOptions) -> std::path::PathBuf {
    let parent = match (&options.output, options.dry_run) {
        (Some(output), false) => output.parent().map(Path::to_path_buf),
        _ => None,
    };
    match parent {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => ".".into(),
        None => std::env::temp_dir(),
    }
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a arrow::array::ArrayRef> {
    batch
        .column_by_name(name)
        .ok_or_else(|| Error::internal(format!("find the column {name} of a scored batch")))
}
