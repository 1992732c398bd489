//! Plots as SVG within the page.
//!
//! They are written here rather than drawn by a library of the page: a histogram and a density are rectangles, they are
//! there without a script and in print, colours follow the page's theme, and the page stays small.

use std::fmt::Write;

use crate::report::{BINS, Density, Histogram, Report, ScoreFacts};

/// Bars of a histogram; each stands for several bins.
const BARS: usize = 100;
/// Shades of a density.
const SHADES: f64 = 8.0;

/// Kept, cut and bad rows side by side.
pub(super) fn parts(report: &Report) -> String {
    let mut svg = String::from(
        r#"<svg class="parts" viewBox="0 0 100 1" preserveAspectRatio="none" role="img" aria-label="Shares of kept, cut and bad rows">"#,
    );
    let parts = [
        ("kept", report.rows_kept),
        ("cut", report.rows_cut),
        ("bad", report.rows_bad),
    ];
    let mut x = 0.0;
    for (kind, rows) in parts {
        let width = percent(rows, report.rows_in);
        push(
            &mut svg,
            format_args!(r#"<rect class="{kind}" x="{x:.3}" width="{width:.3}" height="1"/>"#),
        );
        x += width;
    }
    svg + "</svg>"
}

/// Rows by score: kept ones below, cut ones above; the cut, and a line that the script moves.
pub(super) fn histogram(facts: &ScoreFacts, start: usize) -> String {
    let label = format!("Histogram of {}", facts.name);
    let mut svg = format!(
        r#"<svg class="histogram" viewBox="0 0 100 100" preserveAspectRatio="none" role="img" aria-label="{label}">"#
    );
    let bars = |counts: &[u64]| -> Vec<u64> {
        counts
            .chunks(BINS / BARS)
            .map(|bins| bins.iter().sum())
            .collect()
    };
    let (rows, kept) = (bars(&facts.histogram.rows), bars(&facts.histogram.kept));
    let highest = rows.iter().copied().max().unwrap_or(0).max(1);
    for (bar, (&rows, &kept)) in rows.iter().zip(&kept).enumerate() {
        let (all, kept) = (percent(rows, highest), percent(kept, highest));
        let mut rect = |kind: &str, low: f64, high: f64| {
            if high > low {
                let (y, height) = (100.0 - high, high - low);
                push(
                    &mut svg,
                    format_args!(
                        r#"<rect class="{kind}" x="{bar}.06" y="{y:.2}" width=".88" height="{height:.2}"/>"#
                    ),
                );
            }
        };
        rect("kept", 0.0, kept);
        rect("cut", kept, all);
    }
    svg.push_str(r#"<rect class="shade" width="0" height="100"/>"#);
    if let Some(cut) = facts.cut {
        let x = along(f64::from(cut), &facts.histogram);
        push(
            &mut svg,
            format_args!(r#"<line class="edge" x1="{x:.2}" x2="{x:.2}" y1="0" y2="100"/>"#),
        );
    }
    #[expect(clippy::cast_precision_loss, reason = "few bins")]
    let x = start as f64 / BINS as f64 * 100.0;
    push(
        &mut svg,
        format_args!(r#"<line class="chosen" x1="{x:.2}" x2="{x:.2}" y1="0" y2="100"/>"#),
    );
    svg + "</svg>"
}

/// Part of the way from the lowest to the highest score, in per cent.
fn along(score: f64, histogram: &Histogram) -> f64 {
    let width = histogram.high - histogram.low;
    match width > 0.0 {
        true => ((score - histogram.low) / width * 100.0).clamp(0.0, 100.0),
        false => 0.0,
    }
}

/// Rows by two scores, with the frontier and the end of the budget.
pub(super) fn density(density: &Density) -> String {
    let label = format!("Density of {} and {}", density.x, density.y);
    let side = density.side;
    let mut svg = format!(
        r#"<svg viewBox="0 0 {side} {side}" preserveAspectRatio="none" role="img" aria-label="{label}">"#
    );
    push_cells(density, &mut svg);
    push_lines(density, &mut svg);
    svg + "</svg>"
}

/// The darker, the more rows; the bluer, the more of them are kept.
fn push_cells(density: &Density, svg: &mut String) {
    let side = density.side;
    let highest = density.rows.iter().copied().max().unwrap_or(0).max(1);
    #[expect(clippy::cast_precision_loss, reason = "a shade")]
    let log = |rows: u64| (rows as f64).ln_1p();
    for (cell, (&rows, &kept)) in density.rows.iter().zip(&density.kept).enumerate() {
        if rows == 0 {
            continue;
        }
        let (x, y) = (cell % side, side - 1 - cell / side);
        let shade = (log(rows) / log(highest) * SHADES).ceil().max(1.0) / SHADES;
        let opacity = 0.25 + 0.75 * shade;
        let mix = (percent(kept, rows) / 25.0).round();
        push(
            svg,
            format_args!(
                r#"<rect class="m{mix}" x="{x}" y="{y}" width="1.02" height="1.02" fill-opacity="{opacity:.2}"/>"#
            ),
        );
    }
}

/// The frontier as steps, up to a row's alignment its diversity is the most there is; and the end of the budget.
fn push_lines(density: &Density, svg: &mut String) {
    #[expect(clippy::cast_precision_loss, reason = "few cells")]
    let side = density.side as f64;
    let scale = |number: f64, [low, high]: [f64; 2]| {
        (number - low) / (high - low).max(f64::MIN_POSITIVE) * side
    };
    let place = |x: f64, y: f64| (scale(x, density.x_range), side - scale(y, density.y_range));
    let (mut points, mut from) = (String::new(), 0.0);
    for &[x, y] in &density.frontier {
        let (x, y) = place(f64::from(x), f64::from(y));
        push(&mut points, format_args!("{from:.2},{y:.2} {x:.2},{y:.2} "));
        from = x;
    }
    if from > 0.0 {
        push(&mut points, format_args!("{from:.2},{side:.2}"));
    }
    push(
        svg,
        format_args!(r#"<polyline points="{}"/>"#, points.trim_end()),
    );
    if let Some([start, end]) = ends(density) {
        let ((x1, y1), (x2, y2)) = (place(start[0], start[1]), place(end[0], end[1]));
        push(
            svg,
            format_args!(
                r#"<line class="edge" x1="{x1:.2}" y1="{y1:.2}" x2="{x2:.2}" y2="{y2:.2}"/>"#
            ),
        );
    }
}

/// Where the end of the budget enters and leaves the plot.
fn ends(density: &Density) -> Option<[[f64; 2]; 2]> {
    let [a, b, c] = density.cut_line?;
    let ([x_low, x_high], [y_low, y_high]) = (density.x_range, density.y_range);
    let mut ends = Vec::new();
    if b != 0.0 {
        ends.extend([x_low, x_high].map(|x| [x, (c - a * x) / b]));
    }
    if a != 0.0 {
        ends.extend([y_low, y_high].map(|y| [(c - b * y) / a, y]));
    }
    let slack = |low: f64, high: f64| (high - low) * 1e-9;
    let is_inside = |&[x, y]: &[f64; 2]| {
        let (dx, dy) = (slack(x_low, x_high), slack(y_low, y_high));
        x >= x_low - dx && x <= x_high + dx && y >= y_low - dy && y <= y_high + dy
    };
    ends.retain(is_inside);
    match ends.as_slice() {
        [first, .., last] => Some([*first, *last]),
        _ => None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "a length in a plot")]
fn percent(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64 * 100.0
}

fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = text.write_fmt(arguments);
}
