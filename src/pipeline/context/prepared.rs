//! What can be known, and refused, before a model is loaded.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};

use super::{
    placing::check_store,
    shares::check_share,
    work::{LastStep, WorkDir},
};
use crate::{
    engine::{
        AddedColumn, BatchSize, MemoryPlan, PairsTable, RowCondition, StoredScores, WholePage,
        condition_needs_scores,
    },
    error::{Error, Result},
    options::{RunOptions, ScoreOptions},
    schema::ScoreColumn,
    score, select,
    sink::{
        Cut, Ledger, OutputFormat, Provenance, TarPolicy, WriterPolicy, check_partitions,
        output_metadata,
    },
    source::{BoundShards, ShardSet, uid_column},
    store::ScoreStore,
};

#[cfg(feature = "delta")]
use crate::sink::{delta_schema, is_changed_for_delta};

/// Most rows of a batch of a narrow pass.
const BATCH_ROWS: usize = 8192;

/// What becomes of a score column whose name the shards have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pipeline) enum Clash {
    /// It cannot be added to them.
    Refused,
    /// It is added to nothing: the shards' own is meant by its name.
    Hidden,
}

/// Shards, columns and destination of a run that nothing was found wrong with; see [`prepare`](crate::pipeline::prepare).
pub struct Prepared {
    pub(in crate::pipeline) shards: BoundShards,
    /// Score columns that conditions may name and outputs get, under their names there.
    scored: Vec<AddedColumn>,
    pub(in crate::pipeline) work: Option<WorkDir>,
    /// What a killed run of the same identity has staged.
    pub(super) unfinished: Option<Ledger<LastStep>>,
    /// Refused when it is known whether a model needs memory, too.
    written_page: Option<WholePage>,
    needs_scores: bool,
}

impl Prepared {
    pub(in crate::pipeline) fn check(options: &RunOptions) -> Result<Self> {
        if options.writes() {
            Self::check_places(options)?;
        }
        check_store(&options.scoring)?;
        if options.scoring.share.is_some() {
            return Err(Error::usage("select over a share of the shards")
                .hint("score shares, merge the store, and select over all of it"));
        }
        check_share(options)?;
        let condition = options.select.condition.as_deref();
        let shards = options.scoring.open_shards(condition)?;
        #[cfg(feature = "delta")]
        let shards = as_of_table(options, shards)?;
        let mut prepared = Self::over(options, shards, Clash::Refused)?;
        if options.writes() {
            prepared.take_place(options)?;
        }
        Ok(prepared)
    }

    /// What can be refused of shards that are open, and of a run that writes nothing.
    pub(in crate::pipeline) fn over(
        options: &RunOptions,
        shards: BoundShards,
        clash: Clash,
    ) -> Result<Self> {
        let options = &options.over(&shards.set.schema);
        score::check(&options.derived(), &options.scoring.method)?;
        select::check(
            &options.select,
            shards.binding.label_column(),
            &shards.set.schema,
        )?;
        let written_page = match options.writes() {
            true => {
                let room = MemoryPlan::without_model(options.scoring.memory_limit).page_bytes;
                let columns: Vec<usize> = (0..shards.set.schema.fields().len()).collect();
                WholePage::over(room, &shards.set, &columns)?
            }
            false => None,
        };
        let prepared = Self {
            scored: scored_columns(options, &shards.set, clash)?,
            shards,
            work: None,
            unfinished: None,
            written_page,
            needs_scores: false,
        };
        prepared.check_partitions(options)?;
        prepared.check_repeats(options)?;
        if options.uids_out.is_some() {
            uid_column(&prepared.shards)?;
        }
        Ok(prepared)
    }

    /// The column of repeats replaces none of the shards.
    fn check_repeats(&self, options: &RunOptions) -> Result<()> {
        match options.repeats_field() {
            Some(field)
                if options.writes() && self.shards.set.schema.index_of(field.name()).is_ok() =>
            {
                Err(is_taken(field.name()))
            }
            _ => Ok(()),
        }
    }

    /// As [`check_partitions`], of what is written.
    fn check_partitions(&self, options: &RunOptions) -> Result<()> {
        let (Some(output), [_, ..]) = (&options.output, options.partition_by.as_slice()) else {
            return Ok(());
        };
        if options.format != OutputFormat::Parquet {
            return Err(Error::usage("cut tars by the values of columns")
                .hint("--partition-by is for Parquet; --where writes the rows of one value"));
        }
        let written = self
            .written(options)
            .map(|column| Field::new(&column.name, column.added.data_type(), true));
        let written = written_schema(&self.shards.set.schema, &written.collect::<Vec<_>>());
        check_partitions(&options.partition_by, output, &written)
    }

    /// Goes on without the shard that `error` says is damaged; false if that was not asked for, or nothing is left.
    pub(in crate::pipeline) fn leave_out(&mut self, options: &ScoreOptions, error: &Error) -> bool {
        let Some(shards) = options.without_bad(&self.shards, error) else {
            return false;
        };
        self.shards = shards;
        true
    }

    /// Refuses a condition that cannot be read before anything is scored.
    pub(in crate::pipeline) fn check_condition(&mut self, options: &RunOptions) -> Result<()> {
        if let Some(condition) = self.condition(options) {
            self.needs_scores = condition_needs_scores(&condition, &self.shards.set.schema)?;
        }
        Ok(())
    }

    /// A page that the memory limit has no room for when outputs are written.
    pub(in crate::pipeline) fn written_page(&self) -> Option<&WholePage> {
        self.written_page.as_ref()
    }

    /// True if the condition names a score column.
    pub(in crate::pipeline) fn needs_scores(&self) -> bool {
        self.needs_scores
    }

    pub(in crate::pipeline) fn condition(&self, options: &RunOptions) -> Option<RowCondition> {
        options.select.condition.as_ref().map(|text| RowCondition {
            text: text.clone(),
            scored: self.scored.clone(),
        })
    }

    /// The shards with what `store` has of them.
    pub(in crate::pipeline) fn table(
        &self,
        store: &Arc<ScoreStore>,
        memory: &MemoryPlan,
    ) -> PairsTable {
        let batch = BatchSize {
            rows: BATCH_ROWS,
            bytes: memory.batch_bytes,
        };
        let scored = self
            .scored
            .iter()
            .filter(|column| store.schema().index_of(column.added.name()).is_ok());
        PairsTable::new(
            Arc::clone(&self.shards.set),
            self.shards.binding.clone(),
            StoredScores {
                store: Arc::clone(store),
                columns: scored.cloned().collect(),
            },
            batch,
        )
        .with_row_references()
    }

    pub(in crate::pipeline) fn writer_policy(
        &self,
        options: &RunOptions,
        provenance: &Provenance,
        memory: &MemoryPlan,
    ) -> WriterPolicy {
        let set = &self.shards.set;
        let added: Vec<Field> = self
            .written(options)
            .map(|column| {
                Field::new(&column.name, column.added.data_type(), true)
                    .with_metadata(provenance.of_column())
            })
            .collect();
        let repeats = options.repeats_field();
        let repeats = repeats.map(|field| field.with_metadata(provenance.of_column()));
        let added: Vec<Field> = added.into_iter().chain(repeats).collect();
        let described = set.of_one_value.iter().map(|field| Field::clone(field));
        let described = Schema::new(described.chain(added.clone()).collect::<Vec<_>>());
        WriterPolicy {
            input: Arc::clone(&set.schema),
            stored: set.stored().to_vec(),
            added,
            image: self.shards.binding.image.clone(),
            compression: set.compression,
            row_group_bytes: memory.row_group_bytes,
            metadata: output_metadata(&set.metadata, &described, provenance),
            partition_by: options.partition_by.clone(),
            partition_columns: options.partition_columns,
            cut: match options.share {
                None => Cut::BySize,
                Some(_) => Cut::ByShard,
            },
        }
    }

    /// How rows become samples of tars, if they do.
    pub(in crate::pipeline) fn tar_policy(
        &self,
        options: &RunOptions,
        memory: &MemoryPlan,
    ) -> Option<TarPolicy> {
        let OutputFormat::Webdataset(tars) = options.format else {
            return None;
        };
        let binding = &self.shards.binding;
        Some(TarPolicy {
            image: binding.image.clone(),
            text: binding.text.clone(),
            key: binding.key.clone(),
            options: tars,
            waiting_bytes: memory.row_group_bytes,
        })
    }

    /// The score columns that conditions may name and the output gets.
    pub(in crate::pipeline) fn scored(&self) -> &[AddedColumn] {
        &self.scored
    }

    /// The score columns that the output gets, in their order there.
    pub(in crate::pipeline) fn written(
        &self,
        options: &RunOptions,
    ) -> impl Iterator<Item = &AddedColumn> {
        self.scored
            .iter()
            .filter(|column| is_written(options, column.added))
    }
}

/// Refuses columns that a table cannot have, before anything is scored; those that it has as other types are read as values.
#[cfg(feature = "delta")]
fn as_of_table(options: &RunOptions, mut shards: BoundShards) -> Result<BoundShards> {
    if let Some(nanoseconds) = options.delta {
        delta_schema(&shards.set.schema, nanoseconds)?;
        shards.set = Arc::new(shards.set.decoding(is_changed_for_delta));
    }
    Ok(shards)
}

/// The columns of `input`, then the added ones.
pub(in crate::pipeline) fn written_schema(input: &Schema, added: &[Field]) -> SchemaRef {
    let added = added.iter().cloned().map(Arc::new);
    let fields = input.fields().iter().cloned().chain(added);
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn is_written(options: &RunOptions, added: ScoreColumn) -> bool {
    added == ScoreColumn::CLIP_SCORE || options.add.contains(&added)
}

fn is_taken(name: &str) -> Error {
    Error::usage(format!(
        "add the column '{name}': the input has one of that name"
    ))
    .hint("--prefix new_")
}

/// What a condition may name, and what was asked for.
fn scored_columns(options: &RunOptions, set: &ShardSet, clash: Clash) -> Result<Vec<AddedColumn>> {
    let mut columns = vec![
        ScoreColumn::CLIP_SCORE,
        ScoreColumn::STATUS,
        ScoreColumn::REASON,
        ScoreColumn::WIDTH,
        ScoreColumn::HEIGHT,
    ];
    columns.extend(&options.add);
    columns.extend(options.derived());
    columns.sort_unstable();
    columns.dedup();
    columns
        .into_iter()
        .map(|added| {
            let name = format!("{}{}", options.prefix, added.name());
            let taken = set.schema.index_of(&name).is_ok();
            let refused = clash == Clash::Refused && is_written(options, added);
            match (taken, refused) {
                (false, _) => Ok(AddedColumn { added, name }),
                // The input's own column keeps its name; this one is only used within the run.
                (true, false) => Ok(AddedColumn {
                    added,
                    name: format!("__{name}"),
                }),
                (true, true) => Err(is_taken(&name)),
            }
        })
        .collect()
}
