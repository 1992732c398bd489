//! The one-screen summary of a run.

use crate::{
    config::ByteSize,
    pipeline::{OnlineSummary, RunOptions, ScoreOptions},
    summary::{Pass, RunSummary, Stage, WaitSecs},
};

/// How much a summary tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    Short,
    /// With what stages waited for, and the time of each pass.
    Long,
}

/// The one-screen summary of a run.
pub(super) fn text(report: &RunSummary, options: &RunOptions, detail: Detail) -> String {
    let mut lines = Lines::default();
    lines.add("rows in", count(report.rows_in));
    lines.add_bad_shards(report);
    lines.add(
        "kept",
        format!("{}{}", count(report.rows_kept), lowest(report)),
    );
    if let Some(total) = report.rows_repeated {
        lines.add(
            "repeated",
            format!("{}   (the sum of repeats)", count(total)),
        );
    }
    lines.add("cut", count(report.rows_cut));
    if report.rows_nan > 0 {
        let rows = count(report.rows_nan);
        lines.add(
            "NaN",
            format!("{rows}   (in a column of --where: no comparison holds)"),
        );
    }
    lines.add_bad(report);
    lines.add("selection", report.selection.clone());
    lines.add("model", model(report));
    lines.add_effort(report, options.scoring.memory_limit, detail);
    if let Some(share) = options.share {
        let rows = count(report.rows_written);
        lines.add("part", format!("{share}, {rows} rows"));
    }
    lines.add("output", outputs(report, options));
    lines.end(report)
}

/// The one-screen summary of `clip-filter score`.
pub(super) fn scores(report: &RunSummary, options: &ScoreOptions, detail: Detail) -> String {
    let mut lines = Lines::default();
    let rows_stored = report.rows_in - report.rows_scored.min(report.rows_in);
    lines.add("rows in", count(report.rows_in));
    lines.add_bad_shards(report);
    lines.add("scored", count(report.rows_scored));
    lines.add(
        "had",
        format!("{}   (stored by earlier runs)", count(rows_stored)),
    );
    lines.add_bad(report);
    lines.add("model", model(report));
    lines.add_effort(report, options.memory_limit, detail);
    lines.add("store", report.outputs.join(", "));
    lines.end(report)
}

/// The one-screen summary of a run with `--online`.
pub(super) fn online(report: &OnlineSummary, memory_limit: ByteSize, detail: Detail) -> String {
    let run = &report.run;
    let mut lines = Lines::default();
    lines.add("rows in", count(run.rows_in));
    lines.add_bad_shards(run);
    let part = report.kept_fraction.map_or(String::new(), |part| {
        format!("   ({part:.4} of {} candidates)", count(report.candidates))
    });
    lines.add("kept", format!("{}{part}", count(run.rows_kept)));
    lines.add("cut", count(run.rows_cut));
    lines.add_bad(run);
    lines.add("selection", run.selection.clone());
    lines.add("model", model(run));
    lines.add_effort(run, memory_limit, detail);
    lines.add("output", "standard output");
    lines.end(run)
}

struct Lines(Vec<String>);

impl Default for Lines {
    fn default() -> Self {
        Self(vec![String::new()])
    }
}

impl Lines {
    fn add(&mut self, name: &str, value: impl std::fmt::Display) {
        self.0.push(format!("  {name:<10} {value}"));
    }

    fn add_bad(&mut self, report: &RunSummary) {
        let rows = count(report.rows_bad);
        self.add("bad", format!("{rows}{}", reasons(report)));
    }

    /// Shards that were left out, each with its rows where they are known.
    fn add_bad_shards(&mut self, report: &RunSummary) {
        for bad in &report.bad_shards {
            let rows = match bad.rows {
                Some(1) => "1 row".to_owned(),
                Some(rows) => format!("{} rows", count(rows)),
                None => "rows unknown".to_owned(),
            };
            self.add(
                "left out",
                format!("{} ({rows}): {}", bad.shard, bad.reason),
            );
        }
    }

    fn add_effort(&mut self, report: &RunSummary, limit: ByteSize, detail: Detail) {
        let seconds = report.seconds;
        let speed = if report.rows_scored == 0 {
            format!("nothing had to be encoded; {seconds:.1} s in all")
        } else {
            format!(
                "{:.1} pairs/s, limited by {}; {seconds:.1} s in all",
                report.pairs_per_sec, report.limiting_stage
            )
        };
        self.add("speed", speed);
        if report.stage_busy.values().any(|&busy| busy > 0.0) {
            self.add("stages", stages(report));
        }
        if detail == Detail::Long {
            self.add("waits", waits(report));
            self.add("passes", passes(report));
        }
        if let Some(bytes) = report.peak_rss_bytes {
            let peak = ByteSize(bytes);
            self.add("memory", format!("{peak} at peak, limit {limit}"));
        }
    }

    fn end(mut self, report: &RunSummary) -> String {
        let notes = report.warnings.iter();
        self.0
            .extend(notes.map(|warning| format!("  note: {warning}")));
        self.0.join("\n")
    }
}

/// How busy each stage was, and which limits.
fn stages(report: &RunSummary) -> String {
    let busy = Stage::ALL.map(|stage| {
        let name = stage.as_str();
        let busy = 100.0 * report.stage_busy.get(name).copied().unwrap_or_default();
        let limits = match report.limiting_stage == name {
            true => " (limits)",
            false => "",
        };
        format!("{name} {busy:.0} %{limits}")
    });
    format!("{} of the time busy", busy.join(", "))
}

/// What the threads of each stage waited for, added up.
fn waits(report: &RunSummary) -> String {
    let of = |wait: fn(&WaitSecs) -> f64| {
        let secs = Stage::ALL.map(|stage| {
            let waits = report.stage_wait_secs.get(stage.as_str());
            (stage.as_str(), waits.map_or(0.0, wait))
        });
        named_secs(secs)
    };
    let (input, room) = (of(|secs| secs.input), of(|secs| secs.room));
    format!("for input: {input}; for room: {room}")
}

fn passes(report: &RunSummary) -> String {
    named_secs(Pass::ALL.map(|pass| {
        let secs = report.pass_secs.get(pass.as_str());
        (pass.as_str(), secs.copied().unwrap_or_default())
    }))
}

/// Those that took time at all.
fn named_secs<const N: usize>(secs: [(&str, f64); N]) -> String {
    let taken = secs.into_iter().filter(|(_, secs)| *secs >= 0.05);
    let told: Vec<String> = taken
        .map(|(name, secs)| format!("{name} {secs:.1} s"))
        .collect();
    match told.as_slice() {
        [] => "none".to_owned(),
        told => told.join(", "),
    }
}

fn lowest(report: &RunSummary) -> String {
    let order = report.ordered_by.as_deref().zip(report.lowest_kept_order);
    let order = order.map(|(column, score)| format!("{column} >= {score:.4}"));
    let score = report.lowest_kept_score;
    let score = score.map(|score| format!("clip_score >= {score:.4}"));
    match (order, score) {
        (Some(order), Some(score)) => format!("   ({order}, {score})"),
        (Some(one), None) | (None, Some(one)) => format!("   ({one})"),
        (None, None) => String::new(),
    }
}

fn reasons(report: &RunSummary) -> String {
    let reasons: Vec<String> = report
        .bad
        .iter()
        .map(|(reason, rows)| format!("{rows} {reason}"))
        .collect();
    if reasons.is_empty() {
        String::new()
    } else {
        format!("   ({})", reasons.join(", "))
    }
}

fn model(report: &RunSummary) -> String {
    let card = &report.model;
    let fingerprint: String = card.fingerprint.chars().take(12).collect();
    format!(
        "{} ({}, sha256 {fingerprint}) on {}",
        card.name, card.precision, card.device
    )
}

fn outputs(report: &RunSummary, options: &RunOptions) -> String {
    let then = match options.share {
        Some(_) => "   (visible with clip-filter merge --output)",
        None => "",
    };
    match report.outputs.as_slice() {
        [] if options.dry_run => "none, a dry run".to_owned(),
        [] => "none".to_owned(),
        [one] => format!("{one}{then}"),
        [first, .., last] => format!("{} files, {first} to {last}{then}", report.outputs.len()),
    }
}

/// Thousands set apart.
pub(super) fn count(rows: u64) -> String {
    let digits = rows.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::summary::{Counters, Wait};

    #[test]
    fn stages_waits_and_passes_take_a_line_each() {
        let millis = Duration::from_millis;
        let counters = Counters::default();
        for (stage, busy) in Stage::ALL.into_iter().zip([300, 8_200, 9_700, 1_200]) {
            counters.add_busy(stage, millis(busy));
        }
        counters.add_wait(Stage::Decode, Wait::Room, millis(11_800));
        counters.add_wait(Stage::Write, Wait::Input, millis(8_000));
        counters.add_wait(Stage::Read, Wait::Input, millis(4));
        counters.add_pass(Pass::Score, millis(9_940));
        counters.add_pass(Pass::Write, millis(60));
        let report = RunSummary::default().with_stages(&counters, millis(10_000), |stage| {
            1 + usize::from(stage == Stage::Decode)
        });
        assert_eq!(
            stages(&report),
            "read 3 %, decode 41 %, encode 97 % (limits), write 12 % of the time busy"
        );
        assert_eq!(
            waits(&report),
            "for input: write 8.0 s; for room: decode 11.8 s"
        );
        assert_eq!(passes(&report), "score 9.9 s, write 0.1 s");
        assert_eq!(
            waits(&RunSummary::default()),
            "for input: none; for room: none"
        );
    }

    #[test]
    fn counts_are_grouped_by_three() {
        let cases = [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (12_345_678, "12,345,678"),
        ];
        for (rows, text) in cases {
            assert_eq!(count(rows), text);
        }
    }
}
