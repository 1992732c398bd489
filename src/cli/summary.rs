use crate::{
    config::ByteSize,
    pipeline::{OnlineReport, RunOptions, ScoreOptions},
    report::RunReport,
};

/// The one-screen summary of a run.
pub(super) fn text(report: &RunReport, options: &RunOptions) -> String {
    let mut lines = Lines::default();
    lines.add("rows in", count(report.rows_in));
    lines.add(
        "kept",
        format!("{}{}", count(report.rows_kept), lowest(report)),
    );
    lines.add("cut", count(report.rows_cut));
    lines.add_bad(report);
    lines.add("selection", report.selection.clone());
    lines.add("model", model(report));
    lines.add_effort(report, options.scoring.memory_limit);
    lines.add("output", outputs(report, options));
    lines.end(report)
}

/// The one-screen summary of `clip-filter score`.
pub(super) fn scores(report: &RunReport, options: &ScoreOptions) -> String {
    let mut lines = Lines::default();
    let rows_stored = report.rows_in - report.rows_scored.min(report.rows_in);
    lines.add("rows in", count(report.rows_in));
    lines.add("scored", count(report.rows_scored));
    lines.add(
        "had",
        format!("{}   (stored by earlier runs)", count(rows_stored)),
    );
    lines.add_bad(report);
    lines.add("model", model(report));
    lines.add_effort(report, options.memory_limit);
    lines.add("store", report.outputs.join(", "));
    lines.end(report)
}

/// The one-screen summary of a run with `--online`.
pub(super) fn online(report: &OnlineReport, memory_limit: ByteSize) -> String {
    let run = &report.run;
    let mut lines = Lines::default();
    lines.add("rows in", count(run.rows_in));
    let part = report.kept_fraction.map_or(String::new(), |part| {
        format!("   ({part:.4} of {} candidates)", count(report.candidates))
    });
    lines.add("kept", format!("{}{part}", count(run.rows_kept)));
    lines.add("cut", count(run.rows_cut));
    lines.add_bad(run);
    lines.add("selection", run.selection.clone());
    lines.add("model", model(run));
    lines.add_effort(run, memory_limit);
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

    fn add_bad(&mut self, report: &RunReport) {
        let rows = count(report.rows_bad);
        self.add("bad", format!("{rows}{}", reasons(report)));
    }

    fn add_effort(&mut self, report: &RunReport, limit: ByteSize) {
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
        if let Some(bytes) = report.peak_rss_bytes {
            let peak = ByteSize(bytes);
            self.add("memory", format!("{peak} at peak, limit {limit}"));
        }
    }

    fn end(mut self, report: &RunReport) -> String {
        let notes = report.warnings.iter();
        self.0
            .extend(notes.map(|warning| format!("  note: {warning}")));
        self.0.join("\n")
    }
}

fn lowest(report: &RunReport) -> String {
    report.lowest_kept_score.map_or(String::new(), |score| {
        format!("   (clip_score >= {score:.4})")
    })
}

fn reasons(report: &RunReport) -> String {
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

fn model(report: &RunReport) -> String {
    let card = &report.model;
    let fingerprint: String = card.fingerprint.chars().take(12).collect();
    format!(
        "{} ({}, sha256 {fingerprint}) on {}",
        card.name, card.precision, card.device
    )
}

fn outputs(report: &RunReport, options: &RunOptions) -> String {
    match report.outputs.as_slice() {
        [] if options.dry_run => "none, a dry run".to_owned(),
        [] => "none".to_owned(),
        [one] => one.clone(),
        [first, .., last] => format!("{} files, {first} to {last}", report.outputs.len()),
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
    use super::*;

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
