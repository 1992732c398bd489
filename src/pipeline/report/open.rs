//! From paths to shards, scores and a selection: what is reported.

use super::output_store;
use crate::{
    config::ImageChoice,
    error::{Error, Result},
    options::{RunOptions, ScoreOptions},
    pipeline::{
        context::{Clash, Narrow, Prepared, RunContext, Scored},
        deriving::{derive_for_run, settle_order},
        reporting::case_of,
        scoring, selecting,
    },
    report::{Case, Subject, SubjectKind},
    select::{Chosen, Keep, SelectOptions},
    sink::Provenance,
    source::{
        BoundShards, ColumnBinding, ColumnChoice, ImageLayout, LabelColumn, LeftOut, Location,
        Places, Shard, ShardSet,
    },
    store::{ScoreStore, ShardIdentity, StoreAt, StoreSpec},
};

/// What is reported: `run.scoring.inputs` are shards with a score store, a score store, or an output.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ReportOptions {
    /// What is read, and the selection that is made over it; nothing is written.
    pub run: RunOptions,
    /// A selection was asked for: else all rows of an output stay.
    pub selection_given: bool,
    /// What was said about pictures: refused where a store or an output was made with something else.
    pub images: ImageChoice,
}

impl ReportOptions {
    /// Reports what is there as `scoring` names it: shards with their store, a store alone, or an output.
    pub fn new(scoring: ScoreOptions) -> Self {
        Self {
            run: RunOptions::deciding(scoring),
            selection_given: false,
            images: ImageChoice::default(),
        }
    }

    /// Reports what this selection makes of it.
    #[must_use]
    pub fn with_select(mut self, select: SelectOptions) -> Self {
        self.run.select = select;
        self.selection_given = true;
        self
    }

    /// Refuses what was made with pictures read in another way.
    #[must_use]
    pub fn with_images(mut self, images: ImageChoice) -> Self {
        self.images = images;
        self
    }

    /// Reports the run that these options describe, of which nothing is written.
    #[must_use]
    pub fn of_run(run: RunOptions) -> Self {
        Self {
            run,
            selection_given: true,
            images: ImageChoice::default(),
        }
    }
}

/// BoundShards, their scores and what was decided about them.
pub(super) struct Opened {
    pub(super) options: RunOptions,
    pub(super) prepared: Prepared,
    pub(super) scored: Scored,
    pub(super) chosen: Chosen,
    pub(super) subject: Subject,
    pub(super) shards_gone: Option<String>,
    /// What an output says of the run that wrote it.
    pub(super) provenance: Option<Provenance>,
    pub(super) notes: Vec<String>,
}

/// Before anything is decided.
struct FoundCase {
    options: RunOptions,
    prepared: Prepared,
    scored: Scored,
    subject: Subject,
    shards_gone: Option<String>,
    provenance: Option<Provenance>,
    notes: Vec<String>,
}

/// Opens what is reported and selects from it.
pub(super) async fn open(options: &ReportOptions, context: &RunContext) -> Result<Opened> {
    let mut found = find(options, context).await?;
    let mut prepared = found.prepared;
    let options = found.options.over(&prepared.shards.set.schema);
    prepared.check_condition(&options)?;
    let settled = settle_order(&options, &prepared, &found.scored, context).await?;
    found.notes.extend(settled.note);
    let options = settled.options;
    let scored = derive_for_run(&options, &prepared, found.scored, context).await?;
    let chosen = selecting::select(&Narrow {
        options: &options,
        prepared: &prepared,
        scored: &scored,
        context,
    })
    .await?;
    Ok(Opened {
        options,
        prepared,
        scored,
        chosen,
        subject: found.subject,
        shards_gone: found.shards_gone,
        provenance: found.provenance,
        notes: found.notes,
    })
}

impl Opened {
    pub(super) fn narrow<'a>(&'a self, context: &'a RunContext) -> Narrow<'a> {
        Narrow {
            options: &self.options,
            prepared: &self.prepared,
            scored: &self.scored,
            context,
        }
    }

    pub(super) fn case<'a>(
        &'a self,
        context: &'a RunContext,
        cancelled: &'a dyn Fn() -> Result<()>,
    ) -> Case<'a> {
        Case {
            shards_gone: self.shards_gone.clone(),
            ..case_of(
                &self.narrow(context),
                &self.chosen,
                self.subject.clone(),
                cancelled,
            )
        }
    }
}

async fn find(options: &ReportOptions, context: &RunContext) -> Result<FoundCase> {
    let scoring = &options.run.scoring;
    let named = |text: &str| StoreAt::from(text).in_places(&scoring.places);
    match (scoring.inputs.as_slice(), scoring.store_at()) {
        ([], Some(store)) => in_store(options, store),
        ([], None) => Err(
            Error::usage("find what is to be reported on: no path was given")
                .hint("a score store, shards with --scores DIR, or an output of clip-filter"),
        ),
        ([single], None) if ScoreStore::is_at(named(single)) => in_store(options, named(single)),
        (_, None) => in_output(options),
        (inputs, Some(_)) => {
            let prepared = Prepared::check(&options.run)?;
            let scored = scoring::scores_of(&options.run, &prepared, context).await?;
            Ok(FoundCase {
                notes: prepared.shards.set.told(),
                prepared,
                scored,
                subject: subject(SubjectKind::Shards, inputs),
                options: options.run.clone(),
                shards_gone: None,
                provenance: None,
            })
        }
    }
}

fn subject(kind: SubjectKind, names: &[String]) -> Subject {
    Subject {
        kind,
        name: names.join(" "),
    }
}

/// The finished shards of a store; where they are no longer, what the store knows of them.
fn in_store(options: &ReportOptions, at: StoreAt) -> Result<FoundCase> {
    let store = ScoreStore::open(&at)?;
    store.check_images(&options.images)?;
    let spec = store.spec().clone();
    let (mut finished, mut notes) = (Vec::new(), Vec::new());
    for shard in store.shards() {
        if store.coverage(shard)?.complete {
            finished.push(FinishedShard {
                left_out: store.left_out(shard)?,
                identity: shard.clone(),
            });
        }
    }
    let shards = store.shards().len();
    if finished.is_empty() {
        return Err(
            Error::input("report on the score store: no shard of it is finished")
                .with("store", &at)
                .hint("clip-filter score IN... --scores DIR"),
        );
    }
    if finished.len() < shards {
        let left = shards - finished.len();
        notes.push(format!(
            "{left} of {shards} shards are not scored to their end and left out"
        ));
    }
    let mut options = options.run.clone();
    let paths = finished.iter().map(|shard| shard.identity.path.clone());
    options.scoring.inputs = paths.collect();
    options.scoring.scores = Some(at.clone());
    options.scoring.max_pixels = spec.max_pixels;
    options.scoring.reading = spec.reading;
    options.scoring.allow_external_paths = spec.allow_external_paths;
    let (shards, shards_gone) = match shards_of(&options, &finished, &spec) {
        Ok(shards) => (shards, None),
        Err(reason) => {
            let known = remembered(&options.scoring.places, finished, &spec)?;
            (known, Some(reason))
        }
    };
    let kind = match shards_gone {
        None => SubjectKind::Shards,
        Some(_) => SubjectKind::StoreAlone,
    };
    Ok(FoundCase {
        prepared: Prepared::over(&options, shards, Clash::Hidden)?,
        scored: Scored::stored(store, options.scoring.memory_limit, None)?,
        subject: subject(kind, &[at.to_string()]),
        options,
        shards_gone,
        provenance: None,
        notes,
    })
}

/// A shard of which a store has all rows.
struct FinishedShard {
    identity: ShardIdentity,
    /// Rows that its table had given up.
    left_out: LeftOut,
}

/// The shards of a store, or why they cannot be read, in one line.
fn shards_of(
    options: &RunOptions,
    known: &[FinishedShard],
    spec: &StoreSpec,
) -> std::result::Result<BoundShards, String> {
    let said = |error: Error| error.to_string();
    let located = known
        .iter()
        .map(|shard| options.scoring.places.at(&shard.identity.path));
    let located = located.collect::<Result<Vec<Location>>>().map_err(said)?;
    if let Some(gone) = located.iter().find(|shard| !shard.exists()) {
        return Err(format!("{gone} is not there any more"));
    }
    let mut table = options.scoring.places.table_of(located).map_err(said)?;
    for (shard, known) in table.iter_mut().zip(known) {
        shard.left_out = known.left_out.clone();
    }
    let set = ShardSet::of_table(table).map_err(said)?;
    let pairs = set.shards.iter().zip(known);
    let mut changed = pairs.filter(|(shard, known)| {
        ShardIdentity::of(shard).fingerprint != known.identity.fingerprint
    });
    if let Some((shard, _)) = changed.next() {
        let shard = &shard.location;
        return Err(format!("{shard} has changed since it was scored"));
    }
    let mut choice = options.scoring.columns.clone();
    let image = choice
        .image
        .get_or_insert_with(|| spec.image_column.clone());
    let image = image.clone();
    match spec.class_captions {
        None => drop(choice.text.get_or_insert_with(|| spec.text_column.clone())),
        Some(_) => drop(
            choice
                .labels
                .column
                .get_or_insert_with(|| spec.text_column.clone()),
        ),
    }
    let binding = ColumnBinding::detect(&set.schema, &set.metadata, &choice);
    let binding = binding.or_else(|error| {
        let stored = ColumnBinding::stored(&set.schema, &image, &spec.text_column);
        stored.ok_or_else(|| error.to_string())
    })?;
    Ok(BoundShards {
        set: std::sync::Arc::new(set),
        binding,
        identities: known.iter().map(|shard| shard.identity.clone()).collect(),
    })
}

/// Shards that only the store knows any more.
fn remembered(places: &Places, known: Vec<FinishedShard>, spec: &StoreSpec) -> Result<BoundShards> {
    let facts = known.iter().map(
        |FinishedShard {
             identity: shard,
             left_out,
         }| {
            let mut gone = Shard::remembered(places.at(&shard.path)?, shard.rows);
            gone.size_bytes = shard.size_bytes;
            gone.fingerprint.clone_from(&shard.fingerprint);
            gone.left_out = left_out.clone();
            Ok(gone)
        },
    );
    let facts = facts.collect::<Result<_>>()?;
    let set = ShardSet::remembered(facts, &spec.image_column, &spec.text_column);
    Ok(BoundShards {
        set: std::sync::Arc::new(set),
        binding: ColumnBinding {
            image: spec.image_column.clone(),
            layout: ImageLayout::Bytes,
            text: spec.text_column.clone(),
            classes: None,
            key: None,
        },
        identities: known.into_iter().map(|shard| shard.identity).collect(),
    })
}

/// A file that a run wrote: its score columns become a store of its rows.
fn in_output(options: &ReportOptions) -> Result<FoundCase> {
    let mut run = options.run.clone();
    let found = run.scoring.found(&run.scoring.inputs)?;
    let set = ShardSet::of_found(found, run.scoring.on_bad_shard)?;
    let Some((_, provenance)) = Provenance::of_file(&set.metadata) else {
        let inputs = run.scoring.inputs.join(" ");
        return Err(Error::usage("report on shards without their scores")
            .with("shards", &inputs)
            .hint(format!(
                "clip-filter report {inputs} --scores DIR, or clip-filter {inputs} --dry-run --report FILE"
            )));
    };
    run.scoring.reading = provenance.check_reading(&options.images)?;
    let choice = &run.scoring.columns;
    let binding = ColumnBinding::detect(&set.schema, &set.metadata, choice);
    let binding = binding.or_else(|error| labelled(&set, choice).ok_or(error))?;
    if !options.selection_given {
        run.select.keep = Keep::All;
    }
    let shards = BoundShards::new(set, binding);
    let told = shards.set.told();
    let (store, temporary) = output_store::of(&shards, &provenance, &run.scoring)?;
    let scored = Scored::stored(store, run.scoring.memory_limit, None)?.holding(temporary);
    Ok(FoundCase {
        prepared: Prepared::over(&run, shards, Clash::Hidden)?,
        scored,
        subject: subject(SubjectKind::Output, &run.scoring.inputs),
        options: run,
        shards_gone: None,
        provenance: Some(provenance).filter(|_| !options.selection_given),
        notes: told.into_iter().chain([
            "this is an output: the rows that were cut are not in it; a report on its shards and their score store shows them".to_owned(),
        ]).collect(),
    })
}

/// The columns of labelled images without captions.
fn labelled(set: &ShardSet, choice: &ColumnChoice) -> Option<ColumnBinding> {
    let found = LabelColumn::detect(&set.schema, &set.metadata)?;
    let mut choice = choice.clone();
    choice.labels.column = Some(found.column);
    ColumnBinding::detect(&set.schema, &set.metadata, &choice).ok()
}
