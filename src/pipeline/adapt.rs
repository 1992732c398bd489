//! Fits adapters to stored pairs.

use super::{context::RunContext, deriving::DeriveFrom};
use crate::{
    adapt::{Method, TrainingRecord},
    engine::check_limit,
    error::{Error, Result},
    options::ScoreOptions,
    sink::{Destination, Existing, OutputPath, OutputPlaces, Owner, Placement, stage_bytes},
    store::ScoreStore,
};

/// What adapters are fitted to, and where they go.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AdaptOptions {
    /// The store, its shards and their labels; all shards of the store if no input is named.
    pub scoring: ScoreOptions,
    /// The file they are written to.
    pub output: OutputPath,
    /// What is known of the places that the file can go to.
    pub places: OutputPlaces,
    /// How they are fitted.
    pub method: Method,
    /// Replace what is there.
    pub overwrite: bool,
}

impl AdaptOptions {
    /// Fits what the store of `scoring` has of its inputs, into the file `output`.
    pub fn new(scoring: ScoreOptions, output: impl Into<OutputPath>) -> Self {
        Self {
            scoring,
            output: output.into(),
            places: OutputPlaces::default(),
            method: Method::Closed,
            overwrite: false,
        }
    }

    /// Fits them so.
    #[must_use]
    pub fn with_method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// Replaces what is there.
    #[must_use]
    pub fn with_overwrite(mut self) -> Self {
        self.overwrite = true;
        self
    }
}

/// Fits adapters to stored pairs and writes them; what the fit was like. Blocks until they are fitted.
///
/// # Errors
/// When the store lacks embeddings or rows of the shards, or the file cannot be written.
pub fn adapt(options: &AdaptOptions, context: RunContext) -> Result<TrainingRecord> {
    let destination = Destination::File(options.output.clone());
    let placement = Placement {
        destination: &destination,
        existing: Existing::when(options.overwrite),
        owner: Owner::Run {
            identity: "",
            directory: None,
            notes: None,
        },
    };
    options.places.check(&placement, &[])?;
    let scoring = &options.scoring;
    let at = scoring
        .store_at()
        .ok_or_else(|| Error::usage("find the score store: no directory was given"))?;
    let store = ScoreStore::open(at)?;
    check_limit(scoring.memory_limit, None)?;
    let mut scoring = scoring.clone();
    if scoring.inputs.is_empty() {
        let known = store.shards().iter();
        scoring.inputs = known.map(|shard| shard.path.clone()).collect();
    }
    let shards = scoring.open_shards(None)?;
    store.check_shards(&shards.identities)?;
    for shard in &shards.identities {
        if !store.coverage(shard)?.complete {
            return Err(
                Error::input("fit adapters: the store lacks rows of a shard")
                    .with("shard", &shard.path)
                    .hint("clip-filter score scores them"),
            );
        }
    }
    let from = DeriveFrom {
        options: &scoring,
        shards: &shards,
        considered: None,
        context: &context,
    };
    let adapters = from.with_deriving(&store, |deriving| deriving.adapters(options.method))?;
    let staged = stage_bytes(&options.places, &placement, &adapters.to_bytes()?)?;
    staged.finish()?;
    Ok(adapters.record().clone())
}
