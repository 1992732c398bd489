//! What can be known, and refused, before a model is loaded.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::datatypes::Field;

use super::RunOptions;
use crate::{
    encode::EncoderFactory,
    engine::{Added, AddedColumn, EncodeOptions, EncodeRuntime, MemoryPlan, ShardTable, WidePlan},
    error::{Error, Result},
    preprocess::PathPolicy,
    report::Counters,
    sink::{Destination, Provenance, Staged, WriterPolicy, output_metadata},
    source::{ColumnBinding, ShardSet, expand},
};

/// Shards, columns and destination of a run that nothing was found wrong with; see [`prepare`].
pub struct Prepared {
    pub(super) set: Arc<ShardSet>,
    pub(super) binding: ColumnBinding,
    destination: Option<Destination>,
    /// What the encode operator adds, and under which internal or final name.
    added: Vec<AddedColumn>,
}

impl Prepared {
    pub(super) fn check(options: &RunOptions) -> Result<Self> {
        let set = ShardSet::open(&expand(&options.inputs)?)?;
        let binding = ColumnBinding::detect(&set.schema, &options.columns)?;
        let destination = options.output.as_deref().map(Destination::of);
        if let (Some(destination), false) = (&destination, options.dry_run) {
            destination.check(options.overwrite, &set.paths())?;
        }
        if let (Some(rejects), false) = (&options.rejects, options.dry_run) {
            check_rejects(rejects, options, &set)?;
        }
        let added = added_columns(options, &set)?;
        Ok(Self {
            set: Arc::new(set),
            binding,
            destination,
            added,
        })
    }

    pub(super) fn runtime(
        &self,
        options: &RunOptions,
        factory: Arc<dyn EncoderFactory>,
        memory: &MemoryPlan,
        counters: &Arc<Counters>,
    ) -> Arc<EncodeRuntime> {
        let encode = EncodeOptions {
            threads: options.threads,
            model_batch_rows: options.model_batch_rows,
            max_pixels: options.max_pixels,
            paths: PathPolicy {
                directories: self
                    .set
                    .shards
                    .iter()
                    .map(|shard| shard.directory().to_path_buf())
                    .collect(),
                allow_external: options.allow_external_paths,
                max_bytes: memory.decode_bytes,
            },
        };
        Arc::new(EncodeRuntime::new(
            factory,
            encode,
            memory.clone(),
            Arc::clone(counters),
        ))
    }

    pub(super) fn wide_plan(
        &self,
        options: &RunOptions,
        runtime: Arc<EncodeRuntime>,
        memory: &MemoryPlan,
        counters: &Arc<Counters>,
    ) -> WidePlan {
        let batch = (memory.batch_rows, memory.batch_bytes);
        WidePlan {
            table: ShardTable::new(
                Arc::clone(&self.set),
                &self.binding.image,
                batch,
                Arc::clone(counters),
            ),
            binding: self.binding.clone(),
            carried: self.binding.key.iter().cloned().collect(),
            added: self.added.clone(),
            condition: options.condition.clone(),
            runtime,
            memory_limit: options.memory_limit,
        }
    }

    pub(super) fn stage(&self, options: &RunOptions) -> Result<Option<Staged>> {
        match &self.destination {
            Some(destination) if !options.dry_run => destination.stage().map(Some),
            _ => Ok(None),
        }
    }

    pub(super) fn writer_policy(
        &self,
        options: &RunOptions,
        provenance: &Provenance,
        memory: &MemoryPlan,
    ) -> WriterPolicy {
        let added: Vec<Field> = self
            .written(options)
            .map(|column| {
                Field::new(&column.name, column.added.data_type(), true)
                    .with_metadata(provenance.of_column())
            })
            .collect();
        let added_schema = arrow::datatypes::Schema::new(added.clone());
        WriterPolicy {
            input: Arc::clone(&self.set.schema),
            added,
            image: self.binding.image.clone(),
            compression: self.set.compression,
            row_group_bytes: memory.row_group_bytes,
            metadata: output_metadata(&self.set.metadata, &added_schema, provenance),
        }
    }

    /// The added columns that the output gets, in their order there.
    pub(super) fn written(&self, options: &RunOptions) -> impl Iterator<Item = &AddedColumn> {
        let wanted: Vec<Added> = std::iter::once(Added::Score)
            .chain(options.add.iter().copied())
            .collect();
        self.added
            .iter()
            .filter(move |column| wanted.contains(&column.added))
    }

    /// The name of an added column within the wide pass.
    pub(super) fn name_of(&self, added: Added) -> Result<&str> {
        let found = self.added.iter().find(|column| column.added == added);
        found
            .map(|column| column.name.as_str())
            .ok_or_else(|| Error::internal("name an added column"))
    }
}

/// Refuses a rejects file that is an input, is the output or lies within it, or exists already.
fn check_rejects(rejects: &Path, options: &RunOptions, set: &ShardSet) -> Result<()> {
    let place = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let within = |output: &PathBuf| place(rejects).starts_with(place(output));
    if options.output.as_ref().is_some_and(within) || rejects.is_dir() {
        return Err(Error::usage(
            "write the rejects file: it is the output, within it, or a directory",
        )
        .with("rejects", rejects.display())
        .hint("give the rejects file a name of its own"));
    }
    Destination::File(rejects.to_path_buf()).check(options.overwrite, &set.paths())
}

/// The score, the facts every run needs, and the embeddings that were asked for.
fn added_columns(options: &RunOptions, set: &ShardSet) -> Result<Vec<AddedColumn>> {
    let written = |added: Added| added == Added::Score || options.add.contains(&added);
    let mut columns = Vec::new();
    for added in [
        Added::Score,
        Added::Status,
        Added::Reason,
        Added::Width,
        Added::Height,
    ] {
        columns.push(added);
    }
    columns.extend(
        options
            .add
            .iter()
            .filter(|added| matches!(added, Added::ImageEmbedding | Added::TextEmbedding)),
    );
    columns.sort_unstable();
    columns.dedup();
    columns
        .into_iter()
        .map(|added| {
            let name = format!("{}{}", options.prefix, added.name());
            let taken = set.schema.index_of(&name).is_ok();
            match (taken, written(added)) {
                (false, _) => Ok(AddedColumn { added, name }),
                // The input's own column keeps its name; this one is only used within the run.
                (true, false) => Ok(AddedColumn {
                    added,
                    name: format!("__{name}"),
                }),
                (true, true) => Err(Error::usage(format!(
                    "add the column '{name}': the input has one of that name"
                ))
                .hint("--prefix new_")),
            }
        })
        .collect()
}
