//! Which stage limits a run, from the times that were counted.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Counters, RunSummary};

/// A stage whose busy and waiting time is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Pages read and decompressed.
    Read,
    /// Images decoded and resized, captions tokenised.
    Decode,
    /// Both towers.
    Encode,
    /// Scores committed to a store, selected rows written.
    Write,
}

impl Stage {
    /// In the order that rows go through them.
    pub const ALL: [Stage; 4] = [Stage::Read, Stage::Decode, Stage::Encode, Stage::Write];

    /// The name that summaries show.
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Read => "read",
            Stage::Decode => "decode",
            Stage::Encode => "encode",
            Stage::Write => "write",
        }
    }
}

/// What a thread of a stage waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Something to do: the stage before is slower.
    Input,
    /// Room in the next queue, or memory: the stage behind is slower, or memory is short.
    Room,
}

impl Wait {
    /// The name that traces show.
    pub(super) fn title(self) -> &'static str {
        match self {
            Wait::Input => "wait for input",
            Wait::Room => "wait for room",
        }
    }
}

/// A part of a run; one follows the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// The model is loaded.
    Load,
    /// Rows are read, encoded and put into the score store.
    Score,
    /// Scores from embeddings are computed.
    Derive,
    /// It is decided which rows stay.
    Select,
    /// Selected rows are read again and written.
    Write,
}

impl Pass {
    /// In the order of a run.
    pub const ALL: [Pass; 5] = [
        Pass::Load,
        Pass::Score,
        Pass::Derive,
        Pass::Select,
        Pass::Write,
    ];

    /// The name that summaries show.
    pub fn as_str(self) -> &'static str {
        match self {
            Pass::Load => "load",
            Pass::Score => "score",
            Pass::Derive => "derive",
            Pass::Select => "select",
            Pass::Write => "write",
        }
    }
}

/// How long threads of a stage waited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct WaitSecs {
    /// Seconds without anything to do.
    pub input: f64,
    /// Seconds without room for what was done.
    pub room: f64,
}

impl RunSummary {
    /// Adds what `counters` say of stages and passes.
    ///
    /// How busy a stage is: its busy time, over the time that its threads had, which is `wall` for each of
    /// `threads`. The limit is the stage for which that is largest: with more threads or a faster device for it
    /// the run would be faster, for any other stage they would only wait more. What a thread waits for memory,
    /// for something to do or for room is not busy. `wall` is the time of all passes whose stages are counted, the same
    /// for every stage, so that a stage that is busy through a short pass does not seem to limit a long run.
    #[must_use]
    pub fn with_stages(
        mut self,
        counters: &Counters,
        wall: Duration,
        threads: impl Fn(Stage) -> usize,
    ) -> Self {
        let mut limit = (Stage::Encode, 0.0);
        for stage in Stage::ALL {
            let per_thread = counters.busy(stage).as_secs_f64() / threads(stage).max(1) as f64;
            if per_thread > limit.1 {
                limit = (stage, per_thread);
            }
            let wall = wall.as_secs_f64();
            let busy = if wall > 0.0 { per_thread / wall } else { 0.0 };
            let name = || stage.as_str().to_owned();
            self.stage_busy.insert(name(), busy.min(1.0));
            let secs = counters.busy(stage).as_secs_f64();
            self.stage_busy_secs.insert(name(), secs);
            let waited = |wait| counters.waited(stage, wait).as_secs_f64();
            let waits = WaitSecs {
                input: waited(Wait::Input),
                room: waited(Wait::Room),
            };
            self.stage_wait_secs.insert(name(), waits);
        }
        self.limiting_stage = limit.0.as_str().to_owned();
        let secs = |pass: Pass| counters.passed(pass).as_secs_f64();
        let passes = Pass::ALL.map(|pass| (pass.as_str().to_owned(), secs(pass)));
        self.pass_secs = BTreeMap::from(passes);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn report(busy: [u32; 4], threads: [usize; 4]) -> RunSummary {
        let counters = Counters::default();
        for (stage, secs) in Stage::ALL.into_iter().zip(busy) {
            counters.add_busy(stage, SECOND * secs);
        }
        RunSummary::default().with_stages(&counters, SECOND * 10, |stage| threads[stage as usize])
    }

    #[test]
    fn the_limit_is_the_stage_whose_threads_were_busiest() {
        let cases = [
            ([1, 8, 9, 2], [1, 1, 1, 1], "encode"),
            // Sixteen seconds of four threads are less than nine of one.
            ([1, 16, 9, 2], [1, 4, 1, 1], "encode"),
            ([1, 16, 9, 2], [1, 2, 2, 1], "decode"),
            ([7, 16, 9, 2], [1, 4, 4, 1], "read"),
            ([0, 0, 0, 2], [1, 4, 4, 1], "write"),
            // Nothing was done.
            ([0, 0, 0, 0], [1, 4, 4, 1], "encode"),
        ];
        for (busy, threads, limit) in cases {
            let report = report(busy, threads);
            assert_eq!(report.limiting_stage, limit, "{busy:?} {threads:?}");
        }
    }

    #[test]
    fn how_busy_a_stage_is_is_a_fraction_of_the_time_its_threads_had() {
        let busy = report([1, 16, 9, 20], [1, 4, 1, 1]).stage_busy;
        let busy: Vec<f64> = Stage::ALL
            .into_iter()
            .map(|stage| busy[stage.as_str()])
            .collect();
        assert_eq!(busy, [0.1, 0.4, 0.9, 1.0]);
        let counters = Counters::default();
        counters.add_busy(Stage::Read, SECOND);
        let none = RunSummary::default().with_stages(&counters, Duration::ZERO, |_| 1);
        assert_eq!(none.stage_busy["read"], 0.0);
    }

    #[test]
    fn waits_and_passes_are_told_in_seconds() {
        let counters = Counters::default();
        counters.add_wait(Stage::Decode, Wait::Input, SECOND * 3);
        counters.add_wait(Stage::Decode, Wait::Room, SECOND * 2);
        counters.add_pass(Pass::Select, SECOND * 4);
        let report = RunSummary::default().with_stages(&counters, SECOND, |_| 1);
        let waits = WaitSecs {
            input: 3.0,
            room: 2.0,
        };
        assert_eq!(report.stage_wait_secs["decode"], waits);
        assert_eq!(report.stage_wait_secs["read"], WaitSecs::default());
        assert_eq!(report.pass_secs["select"], 4.0);
        assert_eq!(report.pass_secs.len(), 5);
    }
}
