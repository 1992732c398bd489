//! One row, for a terminal.

use crate::{
    cli::{lines::Lines, plain::plain, summary::count},
    report::Explanation,
};

/// Characters of a caption.
const CAPTION: usize = 300;
/// Characters of the caption of a neighbour.
const SHORT: usize = 50;

/// The facts, ending in a line break.
pub(super) fn text(facts: &Explanation) -> String {
    let mut lines = Lines::default();
    let row = &facts.row;
    lines.add("row", plain(&row.place, CAPTION));
    if let Some(key) = &row.key {
        lines.add("key", plain(key, CAPTION));
    }
    if let Some(caption) = &row.caption {
        lines.add("caption", plain(caption, CAPTION));
    }
    let size = match (facts.width, facts.height) {
        (Some(width), Some(height)) => format!(", {width} x {height} pixels"),
        _ => String::new(),
    };
    lines.add("status", format!("{}{size}", facts.status));
    lines.add("selection", plain(&facts.selection, CAPTION));
    lines.add("decision", plain(&facts.decision, 2 * CAPTION));
    scores(facts, &mut lines);
    neighbours(facts, &mut lines);
    lines.text()
}

fn scores(facts: &Explanation, lines: &mut Lines) {
    if facts.scores.is_empty() {
        return;
    }
    let among = count(facts.ranked_among);
    lines.add(
        "scores",
        format!("ranks among {among} good rows that the conditions leave"),
    );
    let mut rows = vec![["", "score", "rank", "of", "quantile"].map(str::to_owned)];
    rows.extend(facts.scores.iter().map(|score| {
        [
            score.name.to_owned(),
            format!("{:.4}", score.score),
            count(score.rank),
            count(score.of),
            format!("{:.4}", score.quantile),
        ]
    }));
    lines.whole_table(&rows, 4);
}

fn neighbours(facts: &Explanation, lines: &mut Lines) {
    let Some(neighbours) = &facts.neighbours else {
        lines.add(
            "neighbours",
            "none: the store keeps no embedding of the row",
        );
        return;
    };
    lines.add("neighbours", "by the cosine of their images");
    let rows: Vec<[String; 4]> = neighbours
        .iter()
        .map(|near| {
            let fate = near.row.removed_by.map_or("kept", |rule| rule.title());
            let caption = near.row.caption.as_deref().unwrap_or_default();
            [
                format!("{:.4}", near.cosine),
                fate.to_owned(),
                plain(&near.row.reference, CAPTION),
                plain(caption, SHORT),
            ]
        })
        .collect();
    lines.whole_table(&rows, 0);
}
