//! From stored scores to the rows that stay.

use super::context::Narrow;
use crate::{
    error::Result,
    score::work_budget,
    select::{Choosing, Chosen},
};

/// Decides which rows stay.
pub(super) async fn select(narrow: &Narrow<'_>) -> Result<Chosen> {
    let (options, context) = (narrow.options, narrow.context);
    let choosing = Choosing {
        store: &narrow.scored.store,
        shards: &narrow.prepared.shards,
        decided: narrow.decided().await?,
        options: &options.select,
        on_error: options.on_error,
        budget: work_budget(options.scoring.memory_limit, options.scoring.threads),
        seed: options.scoring.method.seed,
        say: context.say.as_ref(),
        cancelled: &context.stopping(),
    };
    choosing.run()
}
