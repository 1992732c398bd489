//! Sessions of DataFusion, set up for this program.

use std::{num::NonZeroUsize, sync::Arc};

use datafusion::{
    execution::{
        disk_manager::DiskManagerBuilder,
        memory_pool::{FairSpillPool, TrackConsumersPool},
        runtime_env::RuntimeEnvBuilder,
        session_state::SessionStateBuilder,
    },
    prelude::{SessionConfig, SessionContext},
};

use super::{
    from_datafusion, nan::NanIsNoNumber, planner, query_memory::RUNS_MERGED,
    times::TimesAreInstants, udf,
};
use crate::{config::ByteSize, error::Result};

/// A session for one plan of this program: one partition keeps rows in order, and the encode operator brings
/// its own threads.
pub(super) fn session(memory_limit: ByteSize, batch_rows: usize) -> Result<SessionContext> {
    let builder = session_builder(memory_limit, batch_rows)?;
    Ok(SessionContext::new_with_state(
        planner::with_clip_planner(builder).build(),
    ))
}

/// What every session has in common.
pub(super) fn session_builder(
    memory_limit: ByteSize,
    batch_rows: usize,
) -> Result<SessionStateBuilder> {
    let mut config = SessionConfig::new()
        .with_target_partitions(1)
        .with_batch_size(batch_rows);
    // Column names such as TEXT and SAMPLE_ID are written as they are.
    config.options_mut().sql_parser.enable_ident_normalization = false;
    let bytes = usize::try_from(memory_limit.0).unwrap_or(usize::MAX);
    let pool = TrackConsumersPool::new(
        FairSpillPool::new(bytes),
        NonZeroUsize::MIN.saturating_add(4),
    );
    // The disk itself is the bound of what lies there for a while.
    let disk = DiskManagerBuilder::default()
        .with_max_temp_directory_size(u64::MAX)
        .with_max_spill_merge_fan_in(RUNS_MERGED);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(pool))
        .with_disk_manager_builder(disk)
        .build_arc()
        .map_err(|error| from_datafusion(error, "make the memory pool"))?;
    let mut builder = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_default_features()
        .with_analyzer_rule(Arc::new(NanIsNoNumber));
    let analyzer = builder.analyzer().get_or_insert_default();
    analyzer.rules.insert(0, Arc::new(TimesAreInstants));
    // After DataFusion's own, so that of two functions of one name ours stays.
    let functions = builder.scalar_functions().get_or_insert_default();
    functions.extend(udf::cheap_functions().into_iter().map(Arc::new));
    let functions = builder.aggregate_functions().get_or_insert_default();
    functions.extend(udf::aggregate_functions().into_iter().map(Arc::new));
    Ok(builder)
}
