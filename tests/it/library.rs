//! What a host of the library relies on.

use std::sync::Arc;

use arrow::compute::concat_batches;
use clip_filter::{
    config::OnError,
    error::ErrorKind,
    pipeline::{
        Cancel, OnlineOptions, ReportOptions, RunContext, RunOptions, ScoreOptions, Scorer,
        ScorerOptions, online, prepare, report, run, score,
    },
    schema::ScoreColumn,
    select::{Keep, SelectOptions},
};
use futures::TryStreamExt;
use tokio::runtime::Runtime;

use crate::{shards, world::Mock};

/// A file of pairs, and where things may be put beside it.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        shards::write_pairs(
            &place.0.path().join("in.parquet"),
            &shards::good_pairs(20),
            8,
        );
        place
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn scoring(&self) -> ScoreOptions {
        ScoreOptions::new([self.path("in.parquet")]).with_threads(2)
    }

    fn run_options(&self) -> RunOptions {
        RunOptions::deciding(self.scoring())
            .with_output(self.path("out.parquet"))
            .with_select(SelectOptions::new("0.5".parse().unwrap()))
    }
}

fn context() -> RunContext {
    RunContext::new(Arc::new(Mock::default()))
}

#[test]
fn every_entry_can_be_a_task_of_a_runtime_with_several_threads() {
    let place = Place::new();
    let runtime = Runtime::new().unwrap();
    let options = place.run_options();
    let filtered = runtime.spawn(async move {
        let prepared = prepare(&options)?;
        run(&options, prepared, context()).await
    });
    let summary = runtime.block_on(filtered).unwrap().unwrap();
    assert_eq!((summary.rows_in, summary.rows_kept), (20, 10));
    assert_eq!(
        shards::read(place.path("out.parquet").as_ref()).num_rows(),
        10
    );

    let store = place.path("scores");
    let options = place.scoring().with_scores(&store);
    let scored = runtime.spawn(async move { score(&options, context()).await });
    assert_eq!(runtime.block_on(scored).unwrap().unwrap().rows_scored, 20);

    let options = ReportOptions::new(ScoreOptions::new([store]))
        .with_select(SelectOptions::new("0.5".parse().unwrap()));
    let reported = runtime.spawn(async move { report(&options, context()).await });
    let reported = runtime.block_on(reported).unwrap().unwrap();
    assert_eq!(reported.rows_kept, 10);

    let options = OnlineOptions::new(place.scoring(), Keep::All);
    let streamed = runtime.spawn(async move {
        let batches = online(&options, context()).await?;
        batches
            .try_fold(0, |rows, batch| async move { Ok(rows + batch.num_rows()) })
            .await
    });
    assert_eq!(runtime.block_on(streamed).unwrap().unwrap(), 20);
}

#[test]
fn rows_that_a_host_has_are_scored_as_those_of_shards() {
    let place = Place::new();
    let path = place.path("faulty.parquet");
    shards::write_pairs(path.as_ref(), &shards::mixed_pairs(600), 50);
    let runtime = Runtime::new().unwrap();
    let columns = [ScoreColumn::CLIP_SCORE, ScoreColumn::STATUS];
    let scoring = ScoreOptions::new([path.as_str()]).with_threads(2);
    let streamed = OnlineOptions::new(scoring.clone(), Keep::All)
        .with_on_error(OnError::Keep)
        .with_added([ScoreColumn::STATUS]);
    let expected = runtime.block_on(async {
        let batches = online(&streamed, context()).await?;
        batches.try_collect::<Vec<_>>().await
    });
    let expected = expected.unwrap();
    let expected = concat_batches(&expected[0].schema(), &expected).unwrap();

    let options = ScorerOptions::try_new(scoring.clone(), columns).unwrap();
    let rows = shards::read(path.as_ref());
    let scorer = Scorer::load(options.clone(), &context()).unwrap();
    // More rows than go through the model together, fewer, and none.
    for (start, length) in [(0, 600), (3, 100), (7, 0)] {
        let given = rows.slice(start, length);
        let scored = runtime.block_on(scorer.score(&given)).unwrap();
        assert_eq!(scored.schema(), options.schema(&given.schema()).unwrap());
        let own = scored.project(&(0..given.num_columns()).collect::<Vec<_>>());
        assert_eq!(own.unwrap(), given);
        for column in columns.map(ScoreColumn::name) {
            let of_shards = expected
                .column_by_name(column)
                .unwrap()
                .slice(start, length);
            assert_eq!(
                scored.column_by_name(column).unwrap(),
                &of_shards,
                "{column}"
            );
        }
    }
    let refused = ScorerOptions::try_new(scoring, [ScoreColumn::SAS]).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Usage);
}

#[test]
fn the_example_is_short_enough_to_be_read() {
    let lines = include_str!("../../examples/filter.rs").lines().count();
    assert!(lines < 40, "{lines} lines");
}

#[test]
fn a_run_ends_when_any_clone_of_its_cancel_says_so() {
    let place = Place::new();
    let options = place.run_options();
    let cancel = Cancel::default();
    let given = context().with_cancel(cancel.clone());
    cancel.cancel();
    let runtime = Runtime::new().unwrap();
    let prepared = prepare(&options).unwrap();
    let error = runtime
        .block_on(run(&options, prepared, given))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    // Without one nobody can stop it, and it goes on.
    let prepared = prepare(&options).unwrap();
    runtime
        .block_on(run(&options, prepared, context()))
        .unwrap();
}
