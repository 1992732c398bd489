//! What a score store is, as text.

use super::text::{card, numbered, percent, spread};
use crate::{
    adapt::{Method, Outcome, TrainingRecord},
    cli::{image_args::read, lines::Lines, summary::count},
    config::ByteSize,
    inspect::{DerivedColumn, DerivedFacts, FileState, Progress, Scores, StoreFacts, StoredShard},
};

pub(super) fn store(facts: &StoreFacts, lines: &mut Lines) {
    let made = &facts.made_with;
    lines.add(
        "score store",
        format!(
            "{}, {}, format {}, made by {}",
            facts.directory,
            ByteSize(facts.size_bytes),
            facts.format,
            facts.written_by
        ),
    );
    if facts.in_use {
        let being_scored = match facts.claims {
            0 => String::new(),
            claims => format!("; being scored: {}", numbered(claims as u64, "shard")),
        };
        let text = format!("by another process: it may hold more soon{being_scored}");
        lines.add("in use", text);
    }
    if facts.models.len() > 1 {
        let models = facts.models.iter();
        let names =
            models.map(|model| format!("{} ({}, {})", model.name, model.precision, model.key));
        let names = names.collect::<Vec<_>>().join(", ");
        lines.add("models", format!("{names}; what follows is of the first"));
    }
    card(&made.model, lines);
    lines.add(
        "columns",
        format!(
            "image {}, caption {}; embeddings {}",
            made.image_column, made.text_column, made.embeddings
        ),
    );
    lines.add(
        "pictures",
        format!("{}, --max-pixels {}", read(made.reading), made.max_pixels),
    );
    lines.add("condition", made.condition.as_deref().unwrap_or("none"));
    lines.add("rows", store_rows(facts));
    let bad: Vec<String> = facts
        .bad
        .iter()
        .map(|(status, rows)| format!("{} {status}", count(*rows)))
        .collect();
    let bad = match bad.is_empty() {
        true => String::new(),
        false => format!("   ({})", bad.join(", ")),
    };
    lines.add("bad", format!("{}{bad}", count(facts.rows_bad)));
    match &facts.scores {
        None => lines.add("clip_score", "none"),
        Some(found) => scores(found, lines),
    }
    if let Some(facts_of) = &facts.derived {
        derived(facts_of, facts.shards.len(), lines);
    }
    lines.add("shards", shard_counts(&facts.shards));
    let mut rows: Vec<&StoredShard> = facts.shards.iter().collect();
    // What needs a look comes first.
    rows.sort_by_key(|shard| (shard.file == FileState::Same, shard.progress));
    let rows: Vec<_> = rows.into_iter().map(shard_row).collect();
    lines.table(&rows, 0);
}

fn store_rows(facts: &StoreFacts) -> String {
    let [decided, rows, stored] = [facts.rows_decided, facts.rows, facts.rows_stored].map(count);
    let share = percent(facts.rows_decided, facts.rows);
    match facts.made_with.condition {
        None => format!("{decided} of {rows} scored ({share})"),
        Some(_) => format!(
            "{decided} of {rows} decided ({share}): {stored} fulfil the condition and are scored"
        ),
    }
}

fn scores(scores: &Scores, lines: &mut Lines) {
    let (min, max, mean) = (scores.min, scores.max, scores.mean);
    let rows = numbered(scores.count, "row");
    lines.add(
        "clip_score",
        format!("{min:.4} to {max:.4}, mean {mean:.4}, of {rows}"),
    );
    let cells = |cell: &dyn Fn(usize) -> String| {
        let cells: Vec<String> = (0..scores.quantiles.len())
            .map(|position| format!("{:>7}", cell(position)))
            .collect();
        cells.join(" ")
    };
    let quantiles = &scores.quantiles;
    lines.add("quantile", cells(&|at| quantiles[at].q.to_string()));
    lines.add("", cells(&|at| format!("{:.4}", quantiles[at].score)));
}

/// Columns that are computed from embeddings: what with, over which shards, and how they are distributed.
fn derived(derived: &DerivedFacts, shards: usize, lines: &mut Lines) {
    let made_with = derived.made_with.iter();
    let mut made_with: Vec<String> = made_with
        .map(|(name, value)| format!("{name} {}", short(value)))
        .collect();
    made_with.extend(derived.selection.clone());
    lines.add("derived", made_with.join(", "));
    if let Some(record) = &derived.fit {
        lines.add("", fit(record));
    }
    if derived.shards < shards {
        let (of, all) = (count(derived.shards as u64), count(shards as u64));
        lines.add("", format!("made over {of} of {all} shards"));
    }
    if let Some(cells) = &derived.cells {
        let rows = spread(cells.rows, count);
        let cells = numbered(cells.count, "cell");
        lines.add("", format!("{cells}: rows {rows}"));
    }
    if derived.columns.is_empty() {
        return;
    }
    let names = ["", "rows", "min", "0.05", "0.5", "0.95", "max", "mean"];
    let mut rows = vec![names.map(str::to_owned)];
    rows.extend(derived.columns.iter().map(derived_row));
    lines.whole_table(&rows, 7);
}

fn fit(record: &TrainingRecord) -> String {
    match (record.outcome, record.method) {
        (Outcome::Accepted, Method::Closed) => format!(
            "adapters: closed form over {} pairs, {}",
            count(record.training_rows),
            record.reason
        ),
        (Outcome::Accepted, Method::Infonce) => format!(
            "adapters: epoch {} of {} kept, fitted to {} pairs",
            record.best_epoch,
            record.epochs.len(),
            count(record.training_rows)
        ),
        _ => format!("adapters change nothing: {}", record.reason),
    }
}

/// A hash as short as that of a model, anything else as it is.
fn short(value: &str) -> &str {
    let is_hash = value.len() >= 32 && value.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hash { &value[..12] } else { value }
}

fn derived_row(column: &DerivedColumn) -> [String; 8] {
    let name = column.name.to_owned();
    let Some(scores) = &column.scores else {
        let mut row: [String; 8] = Default::default();
        (row[0], row[1]) = (name, "0".to_owned());
        return row;
    };
    let at = |q: f64| {
        let found = scores.quantiles.iter().find(|quantile| quantile.q == q);
        found.map_or_else(String::new, |quantile| format!("{:.4}", quantile.score))
    };
    [
        name,
        count(scores.count),
        format!("{:.4}", scores.min),
        at(0.05),
        at(0.5),
        at(0.95),
        format!("{:.4}", scores.max),
        format!("{:.4}", scores.mean),
    ]
}

fn shard_counts(shards: &[StoredShard]) -> String {
    let mut parts = Vec::new();
    let mut add = |what: &str, is: &dyn Fn(&StoredShard) -> bool| {
        let found = shards.iter().filter(|&shard| is(shard)).count();
        if found > 0 {
            parts.push(format!("{} {what}", count(found as u64)));
        }
    };
    add("complete", &|shard| shard.progress == Progress::Complete);
    add("partial", &|shard| shard.progress == Progress::Partial);
    add("missing", &|shard| shard.progress == Progress::Missing);
    let files = [
        ("whose file has changed", FileState::Changed),
        ("whose file is gone", FileState::Gone),
        ("whose file cannot be read", FileState::Unreadable),
    ];
    for (what, state) in files {
        add(what, &|shard| shard.file == state);
    }
    match parts.is_empty() {
        true => "none".to_owned(),
        false => parts.join(", "),
    }
}

fn shard_row(shard: &StoredShard) -> [String; 3] {
    let progress = match shard.progress {
        Progress::Complete => "complete".to_owned(),
        Progress::Missing => "missing".to_owned(),
        Progress::Partial => {
            let (decided, rows) = (count(shard.decided_rows), count(shard.rows));
            format!("{decided} of {rows} rows")
        }
    };
    let file = match shard.file {
        FileState::Same => "",
        FileState::Changed => "file has changed",
        FileState::Gone => "file is gone",
        FileState::Unreadable => "file cannot be read",
    };
    [progress, shard.path.clone(), file.to_owned()]
}
