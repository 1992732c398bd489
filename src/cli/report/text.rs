//! The facts of a report for a terminal: tables and histograms.

use crate::{
    cli::{image_args::read, lines::Lines, plain::plain, summary::count},
    report::{BINS, Density, Duplicates, Groups, Report, ScoreFacts},
};

/// Columns of a histogram.
const WIDE: usize = 50;
/// Lines of a histogram.
const HIGH: usize = 6;
/// Parts of a line that a bar may end at.
const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Characters of a name or path.
const SHORT: usize = 60;

/// The facts, ending in a line break.
pub(super) fn text(report: &Report) -> String {
    let mut lines = Lines::default();
    summary(report, &mut lines);
    cascade(report, &mut lines);
    let mut ordered: Vec<&ScoreFacts> = report.scores.iter().collect();
    ordered.sort_by_key(|facts| facts.name != report.order);
    for facts in ordered {
        histogram(facts, &mut lines);
    }
    if let Some(density) = &report.density {
        shaded(density, &mut lines);
    }
    if let Some(found) = &report.groups {
        groups(found, &mut lines);
    }
    if let Some(found) = &report.duplicates {
        duplicates(report, found, &mut lines);
    }
    galleries(report, &mut lines);
    bad_rows(report, &mut lines);
    for note in &report.notes {
        lines.add("note", plain(note, 300));
    }
    lines.text()
}

fn summary(report: &Report, lines: &mut Lines) {
    lines.add("subject", plain(&report.subject.name, 200));
    lines.add("selection", plain(&report.selection, 200));
    lines.add("command", plain(&report.command, 200));
    let model = &report.model;
    let hash: String = model.fingerprint.chars().take(12).collect();
    lines.add(
        "model",
        format!(
            "{} ({}, sha256 {hash})",
            plain(&model.name, SHORT),
            model.precision
        ),
    );
    lines.add("pictures", read(report.reading));
    lines.add("rows in", count(report.rows_in));
    for (name, rows) in [
        ("kept", report.rows_kept),
        ("cut", report.rows_cut),
        ("bad", report.rows_bad),
    ] {
        lines.add(
            name,
            format!("{:>12}   {}", count(rows), percent(rows, report.rows_in)),
        );
    }
    for (status, rows) in &report.bad {
        lines.add("", format!("{:>12}   {status}", count(*rows)));
    }
}

fn cascade(report: &Report, lines: &mut Lines) {
    lines.add("rules", "");
    let mut rows = vec![["", "removed", "left"].map(str::to_owned)];
    rows.extend(report.cascade.iter().map(|step| {
        let what = plain(&step.what, SHORT);
        [what, count(step.removed), count(step.left)]
    }));
    lines.whole_table(&rows, 2);
}

/// Kept rows are solid, cut ones are shaded; the line below marks the cut.
fn histogram(facts: &ScoreFacts, lines: &mut Lines) {
    let scores = &facts.scores;
    let cut = facts
        .cut
        .map_or(String::new(), |cut| format!(", cut at {cut:.4}"));
    lines.add("", "");
    lines.add(
        facts.name,
        format!(
            "{} rows, {:.4} to {:.4}, mean {:.4}{cut}",
            count(scores.count),
            scores.min,
            scores.max,
            scores.mean
        ),
    );
    let bars = |counts: &[u64]| -> Vec<u64> {
        counts
            .chunks(BINS / WIDE)
            .map(|bins| bins.iter().sum())
            .collect()
    };
    let (all, kept) = (bars(&facts.histogram.rows), bars(&facts.histogram.kept));
    let highest = all.iter().copied().max().unwrap_or(0).max(1);
    let eighths = |rows: u64| {
        let full = (HIGH * 8) as u64;
        usize::try_from((rows * full).div_ceil(highest)).unwrap_or(0)
    };
    for line in (0..HIGH).rev() {
        let bar = all.iter().zip(&kept).map(|(&all, &kept)| {
            let above = |rows: u64| eighths(rows).saturating_sub(line * 8).min(8);
            match (above(kept), above(all)) {
                (0, 0) => ' ',
                (0, _) => '░',
                (part, _) => EIGHTHS[part],
            }
        });
        lines.indented(bar.collect::<String>());
    }
    lines.indented(axis(facts));
}

/// The lowest and the highest score, and where the cut is.
fn axis(facts: &ScoreFacts) -> String {
    let low = format!("{:.4}", facts.histogram.low);
    let high = format!("{:.4}", facts.histogram.high);
    let width = WIDE - high.len();
    let mut axis: Vec<char> = format!("{low:<width$}{high}").chars().collect();
    if let Some(cut) = facts.cut {
        let reached = |&bin: &usize| facts.histogram.edge(bin) <= f64::from(cut);
        let bin = (0..BINS).rev().find(reached);
        axis[bin.unwrap_or(0) * WIDE / BINS] = '^';
    }
    axis.into_iter().collect()
}

/// Alignment from left to right, diversity from bottom to top: upper-case where most rows are kept.
fn shaded(density: &Density, lines: &mut Lines) {
    lines.add("", "");
    lines.add(
        "density",
        format!(
            "{} {:.4} to {:.4} across, {} {:.4} to {:.4} up; # mostly kept, . mostly cut",
            density.x,
            density.x_range[0],
            density.x_range[1],
            density.y,
            density.y_range[0],
            density.y_range[1]
        ),
    );
    // Characters are twice as high as wide.
    for pair in (0..density.side / 2).rev() {
        let line = (0..density.side).map(|x| {
            let cells = [2 * pair, 2 * pair + 1].map(|y| y * density.side + x);
            let sum = |of: &[u64]| cells.iter().map(|&cell| of[cell]).sum::<u64>();
            match (sum(&density.rows), sum(&density.kept)) {
                (0, _) => ' ',
                (rows, kept) if 2 * kept >= rows => '#',
                _ => '.',
            }
        });
        lines.indented(line.collect::<String>());
    }
}

fn groups(found: &Groups, lines: &mut Lines) {
    let share = |share: f64| format!("{:.1} %", share * 100.0);
    let [low, middle, high] = found.kept_share.map(share);
    lines.add("", "");
    lines.add(
        "balance",
        format!(
            "{} groups by {}: kept {} overall, {low} to {high} by group, median {middle}",
            count(found.count),
            plain(&found.column, SHORT),
            share(found.kept_share_overall)
        ),
    );
    let mut rows = vec![["", "rows", "kept", "share"].map(str::to_owned)];
    rows.extend(found.list.iter().map(|group| {
        let name = plain(&group.name, SHORT);
        [
            name,
            count(group.rows),
            count(group.kept),
            percent(group.kept, group.rows),
        ]
    }));
    lines.whole_table(&rows, 3);
}

fn duplicates(report: &Report, found: &Duplicates, lines: &mut Lines) {
    lines.add("", "");
    lines.add(
        "duplicates",
        format!(
            "of {} {}, {} have one (cosine at least {:.3}) among {} rows; {} groups",
            count(found.rows_sought),
            found.chosen,
            count(found.rows_with),
            found.least_cosine,
            count(found.rows_compared),
            count(found.groups_found)
        ),
    );
    for group in &found.groups {
        let rows = group.rows.iter().filter_map(|&row| report.rows.get(row));
        let rows: Vec<String> = rows.map(|row| plain(&row.reference, SHORT)).collect();
        lines.indented(format!(
            "{:.4}  {} rows: {}",
            group.cosine,
            group.size,
            rows.join(", ")
        ));
    }
}

fn galleries(report: &Report, lines: &mut Lines) {
    const SHOWN: usize = 3;
    for gallery in &report.galleries {
        lines.add("", "");
        lines.add(gallery.title, "");
        let rows = gallery.rows.iter().take(SHOWN);
        let rows = rows.filter_map(|&row| report.rows.get(row));
        let rows: Vec<[String; 3]> = rows
            .map(|row| {
                let score = row.scores.iter().find(|(name, _)| *name == report.order);
                [
                    score.map_or(String::new(), |(_, score)| format!("{score:.4}")),
                    plain(&row.reference, SHORT),
                    plain(row.caption.as_deref().unwrap_or_default(), SHORT),
                ]
            })
            .collect();
        lines.whole_table(&rows, 0);
    }
}

fn bad_rows(report: &Report, lines: &mut Lines) {
    if report.bad_rows.is_empty() {
        return;
    }
    lines.add("", "");
    lines.add("bad rows", "");
    let rows: Vec<[String; 3]> = report
        .bad_rows
        .iter()
        .map(|row| {
            [
                plain(&row.reference, SHORT),
                row.status.clone(),
                plain(&row.reason, SHORT),
            ]
        })
        .collect();
    lines.table(&rows, 0);
}

fn percent(part: u64, whole: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a share for a person")]
    let share = part as f64 / whole.max(1) as f64;
    format!("{:.1} %", share * 100.0)
}
