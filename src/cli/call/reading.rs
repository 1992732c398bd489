//! Rows of shards as a training loop reads them: from any row on, with pictures as bytes or as pixels.

use std::{iter, ops::Range, sync::Arc};

use arrow::{array::RecordBatch, datatypes::Schema};

use super::Call;
use crate::{
    cli::online::refuse_others,
    config::ImageChoice,
    error::{Error, Result},
    preprocess::{ImageKernel, PathPolicy, RowFault, largest_file},
    sink::plain_schema,
    source::{ColumnBinding, ReadPlan, RowGroupReader, Shard, ShardReader, ShardSet},
};

/// Rows of a batch that a loop reads: few, for pictures may be large.
const BATCH_ROWS: usize = 64;
/// Bytes of one, judged by the average row.
const BATCH_BYTES: u64 = 8 << 20;
/// The longest edge of a square picture that is asked for.
const MOST_EDGE_PX: u32 = 4096;

/// Shards whose footers were read.
#[derive(Debug)]
pub struct OpenShards {
    set: Arc<ShardSet>,
    image: Option<String>,
    images: ImageChoice,
    allow_external_paths: bool,
}

impl Call {
    /// Takes the main job's paths and its options of inputs, columns and pictures.
    ///
    /// # Errors
    /// When an option is of something else, or a shard cannot be read and is not left out for that.
    pub fn shards(self) -> Result<OpenShards> {
        let args = self.args.filter;
        refuse_others(&args)?;
        if args.selects.is_given() || args.condition.condition.is_some() {
            return Err(Error::usage("read shards and select rows of them")
                .hint("filter them into an output first, and read that"));
        }
        if args.uids.is_given() {
            return Err(Error::usage("read shards and rows of listed uids only")
                .hint("filter them into an output first, and read that"));
        }
        let found = args.reads.places().find(&args.paths)?.table()?;
        let set = ShardSet::of_found(found, args.reads.on_bad_shard())?;
        let choice = crate::source::ColumnChoice {
            image: args.columns.names.image_column.clone(),
            ..Default::default()
        };
        let image = match ColumnBinding::image(&set.schema, &choice) {
            Ok((image, _)) => Some(image),
            // Rows without pictures are read as well.
            Err(_) if choice.image.is_none() => None,
            Err(error) => return Err(error),
        };
        Ok(OpenShards {
            set: Arc::new(set),
            image,
            images: args.bad_rows.images.choice(),
            allow_external_paths: args.bad_rows.images.allow_external_paths,
        })
    }
}

impl OpenShards {
    /// The shards, in the order of their numbers.
    pub fn shards(&self) -> &[Shard] {
        &self.set.shards
    }

    /// What should be told of files that are not among them, one line each.
    pub fn told(&self) -> Vec<String> {
        self.set.told()
    }

    /// All columns, with the types that the shards declare.
    pub fn schema(&self) -> Schema {
        plain_schema(&self.set.schema)
    }

    /// The column of pictures, where there is one.
    pub fn image(&self) -> Option<&str> {
        self.image.as_deref()
    }

    /// Rows of one shard from the row `first` on: these columns, then the position of each row in the shard, `__row`.
    ///
    /// # Errors
    /// When there is no such shard or column, or the shard cannot be opened.
    pub fn read(&self, shard: usize, first: u64, columns: &[String]) -> Result<ShardRows> {
        let Some(shard) = self.set.shards.get(shard) else {
            return Err(Error::usage(format!(
                "read the shard {shard}: there are {}",
                self.set.shards.len()
            )));
        };
        let position = |name: &String| {
            self.set.schema.index_of(name).map_err(|_| {
                let names: Vec<&str> = self
                    .set
                    .schema
                    .fields()
                    .iter()
                    .map(|f| f.name().as_str())
                    .collect();
                Error::usage(format!(
                    "read the column '{name}': there is none of this name"
                ))
                .with("columns", names.join(", "))
            })
        };
        let mut wanted = columns.iter().map(position).collect::<Result<Vec<_>>>()?;
        wanted.sort_unstable();
        wanted.dedup();
        let plan = ReadPlan {
            columns: wanted,
            row_numbers: true,
            batch_rows: BATCH_ROWS,
            batch_bytes: BATCH_BYTES,
            ..ReadPlan::default()
        };
        Ok(ShardRows {
            reader: ShardReader::open(shard, plan)?,
            row_groups: shard.row_groups.clone(),
            next_group: 0,
            first,
            passed: 0,
            group: None,
        })
    }

    /// Makes what a loop gets of pictures: square ones of `edge_px`, if that is given.
    ///
    /// # Errors
    /// When the edge is 0 or very long.
    pub fn pictures(&self, edge_px: Option<u32>) -> Result<Pictures> {
        if edge_px.is_some_and(|edge| !(1..=MOST_EDGE_PX).contains(&edge)) {
            return Err(
                Error::usage("make square pictures: their edge is too short or too long")
                    .with("pixels", format!("1 to {MOST_EDGE_PX}")),
            );
        }
        let max_pixels = self.images.max_pixels();
        let kernel = ImageKernel::square(edge_px.unwrap_or(1), max_pixels);
        Ok(Pictures {
            kernel: kernel.with_reading(self.images.reading()),
            policy: PathPolicy {
                directories: self.set.directories(),
                allow_external: self.allow_external_paths,
                max_bytes: largest_file(max_pixels),
            },
        })
    }
}

/// Rows of one shard.
pub struct ShardRows {
    reader: ShardReader,
    row_groups: Vec<u64>,
    next_group: usize,
    /// The first row that is wanted.
    first: u64,
    /// Rows of the groups that were begun.
    passed: u64,
    group: Option<RowGroupReader>,
}

impl ShardRows {
    /// The next rows, at most 64 and about 8 MiB of them; `None` at the end.
    ///
    /// # Errors
    /// When the shard is damaged there, or has changed.
    pub fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(batch) = self.group.as_mut().and_then(Iterator::next) {
                return batch.map(Some);
            }
            let Some(&rows) = self.row_groups.get(self.next_group) else {
                return Ok(None);
            };
            let start = self.passed;
            self.passed += rows;
            let number = self.next_group;
            self.next_group += 1;
            self.group = match self.first.checked_sub(start).filter(|&skipped| skipped > 0) {
                None => Some(self.reader.row_group(number, None)?),
                Some(skipped) if skipped >= rows => None,
                Some(skipped) => Some(self.reader.row_group(number, Some(within(skipped..rows)))?),
            };
        }
    }
}

/// A stretch of rows of a row group.
fn within(rows: Range<u64>) -> Vec<Range<usize>> {
    let end = |row| usize::try_from(row).unwrap_or(usize::MAX);
    iter::once(end(rows.start)..end(rows.end)).collect()
}

/// Pictures of rows, their buffers reused.
pub struct Pictures {
    kernel: ImageKernel,
    policy: PathPolicy,
}

impl Pictures {
    /// The picture file that a row of `shard` names.
    ///
    /// # Errors
    /// When it may not be read, or cannot.
    pub fn file(&self, shard: u32, path: &str) -> Result<Vec<u8>, RowFault> {
        self.policy.find(shard, path)?.read()
    }

    /// Looks at the header of a picture.
    ///
    /// # Errors
    /// Why it is none.
    pub fn check(&self, bytes: &[u8]) -> Result<(), RowFault> {
        self.kernel.probe(bytes).map(drop)
    }

    /// The picture decoded, resized and cropped.
    ///
    /// # Shape
    /// edge x edge x 3 bytes, rows from the top, channels R G B.
    ///
    /// # Errors
    /// Why it is a bad one.
    pub fn pixels(&mut self, bytes: &[u8]) -> Result<Vec<u8>, RowFault> {
        self.kernel.probe(bytes)?;
        let mut pixels = vec![0; self.kernel.output_len()];
        self.kernel.run(bytes, &mut pixels)?;
        Ok(pixels)
    }
}
