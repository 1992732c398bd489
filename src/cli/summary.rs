use crate::{config::ByteSize, pipeline::RunOptions, report::RunReport};

/// The one-screen summary of a run.
pub(super) fn text(report: &RunReport, options: &RunOptions) -> String {
    let mut lines = vec![String::new()];
    let mut line = |name: &str, value: String| lines.push(format!("  {name:<10} {value}"));
    line("rows in", count(report.rows_in));
    line(
        "kept",
        format!("{}{}", count(report.rows_kept), lowest(report)),
    );
    line("cut", count(report.rows_cut));
    line(
        "bad",
        format!("{}{}", count(report.rows_bad), reasons(report)),
    );
    line("selection", report.selection.clone());
    line("model", model(report));
    line(
        "speed",
        format!(
            "{:.1} pairs/s, limited by {}; {:.1} s in all",
            report.pairs_per_sec, report.limiting_stage, report.seconds
        ),
    );
    if let Some(bytes) = report.peak_rss_bytes {
        line(
            "memory",
            format!(
                "{} at peak, limit {}",
                ByteSize(bytes),
                options.memory_limit
            ),
        );
    }
    line("output", outputs(report, options));
    lines.extend(
        report
            .warnings
            .iter()
            .map(|warning| format!("  note: {warning}")),
    );
    lines.join("\n")
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
