//! One screen of facts.

use super::store_text;
use crate::{
    cli::{lines::Lines, summary::count},
    config::ByteSize,
    inspect::{ColumnFinding, Inspection, ModelFacts, ShardFacts},
    model::{ModelCheck, tokens},
    source::{ColumnFacts, Spread},
    summary::ModelCard,
};

/// The facts, ending in a line break.
pub(super) fn text(facts: &Inspection) -> String {
    let mut lines = Lines::default();
    match facts {
        Inspection::Shards(facts) => shards(facts, &mut lines),
        Inspection::Store(facts) => store_text::store(facts, &mut lines),
        Inspection::Model(facts) => model(facts, &mut lines),
    }
    lines.text()
}

fn shards(facts: &ShardFacts, lines: &mut Lines) {
    let files = numbered(facts.files, "file");
    let (size, rows) = (ByteSize(facts.size_bytes), numbered(facts.rows, "row"));
    lines.add("shards", format!("{files}, {size}, {rows}"));
    let groups = &facts.row_groups;
    if let (Some(rows), Some(bytes)) = (groups.rows, groups.bytes) {
        let rows = spread(rows, count);
        let bytes = spread(bytes, |bytes| ByteSize(bytes).to_string());
        lines.add(
            "row groups",
            format!("{}: rows {rows}", count(groups.count)),
        );
        lines.add("", format!("bytes {bytes}"));
    }
    let codecs: Vec<&str> = facts.codecs.keys().map(String::as_str).collect();
    lines.add("codec", codecs.join(", "));
    lines.add("page index", page_index(facts));
    pairs(facts, lines);
    if facts.huggingface {
        lines.add("metadata", "huggingface");
    }
    if let Some(run) = &facts.earlier_run {
        let model = identity(&run.model, "", &run.model_sha256);
        lines.add(
            "written by",
            format!("clip-filter {} with {model}", run.version),
        );
        lines.add("selection", &run.selection);
        lines.add("command", &run.command);
    }
    lines.add("columns", "");
    let rows: Vec<_> = facts
        .columns
        .iter()
        .map(|column| column_row(column, facts.size_bytes))
        .collect();
    lines.table(&rows, 2);
    if !facts.odd.is_empty() {
        let odd = numbered(facts.odd.len() as u64, "shard");
        lines.add(
            "left out",
            format!("{odd} that cannot be read in one run with the first"),
        );
        let rows = facts.odd.iter();
        let rows: Vec<_> = rows
            .map(|odd| [odd.path.clone(), odd.reason.clone()])
            .collect();
        lines.table(&rows, 0);
    }
    for note in &facts.notes {
        lines.add("note", note);
    }
}

fn page_index(facts: &ShardFacts) -> String {
    let (with, all) = (facts.indexed_row_groups, facts.row_groups.count);
    let why = "only with it are pages skipped that hold no wanted row";
    match with {
        _ if with == all => "yes: pages that hold no wanted row are skipped".to_owned(),
        0 => format!("no; {why}"),
        _ => format!("in {} of {} row groups; {why}", count(with), count(all)),
    }
}

fn pairs(facts: &ShardFacts, lines: &mut Lines) {
    let pairs = &facts.pairs;
    let layout = match pairs.image_layout {
        Some("struct") => "   (struct of bytes and path)",
        Some(_) => "   (encoded bytes)",
        None => "",
    };
    lines.add("image", format!("{}{layout}", finding(&pairs.image)));
    lines.add("caption", finding(&pairs.caption));
    lines.add("key", pairs.key.as_deref().unwrap_or("none"));
    if let Some(label) = &pairs.label {
        let classes = label.classes.as_ref().map_or(String::new(), |classes| {
            format!("   ({} classes)", count(classes.len() as u64))
        });
        lines.add("label", format!("{}{classes}", label.column));
    }
}

fn finding(finding: &ColumnFinding) -> String {
    match finding {
        ColumnFinding::Column(name) => name.clone(),
        ColumnFinding::Unclear { problem, flag } => {
            format!("unclear: name it with {flag} NAME\n{:<12}{problem}", "")
        }
    }
}

fn column_row(column: &ColumnFacts, size_bytes: u64) -> [String; 4] {
    if column.of_folders {
        let by = "folder names".to_owned();
        return [
            column.name.clone(),
            column.data_type.clone(),
            by,
            String::new(),
        ];
    }
    [
        column.name.clone(),
        column.data_type.clone(),
        ByteSize(column.compressed_bytes).to_string(),
        percent(column.compressed_bytes, size_bytes),
    ]
}

fn model(facts: &ModelFacts, lines: &mut Lines) {
    card(&facts.card, lines);
    lines.add(
        "layout",
        match facts.layout {
            "combined" => "one graph for both towers",
            _ => "one graph per tower",
        },
    );
    let (height, width) = facts.image_size;
    lines.add("images", format!("{height} x {width} pixels"));
    let tokens = &facts.tokenizer;
    let padded = match tokens.padded_to {
        None => "to the longest of a batch".to_owned(),
        Some(length) => format!("to {length}"),
    };
    lines.add(
        "captions",
        format!(
            "{} with {} tokens; at most {} per caption, padded {padded}",
            tokens.kind,
            count(tokens.vocabulary as u64),
            tokens.max_length
        ),
    );
    example(facts, lines);
    let others = match facts.other_precisions.is_empty() {
        true => "no other is here".to_owned(),
        false => format!(
            "--precision takes {} too",
            facts.other_precisions.join(", ")
        ),
    };
    lines.add("precision", format!("{}; {others}", facts.card.precision));
    lines.add("files", ByteSize(facts.size_bytes));
    let rows: Vec<_> = facts
        .files
        .iter()
        .map(|file| [file.name.clone(), ByteSize(file.bytes).to_string()])
        .collect();
    lines.table(&rows, 1);
    if let Some(found) = &facts.check {
        check(found, lines);
    }
}

/// What the model's own Python stack makes of a few pairs.
fn check(found: &ModelCheck, lines: &mut Lines) {
    lines.add("check", format!("beside {}", found.stack));
    for pair in &found.pairs {
        let (width, height) = pair.picture;
        lines.add(
            "",
            format!(
                "{width} x {height}: cosine {:.4}, {:.2} grey levels apart; {:?}: cosine {:.4}, {}",
                pair.image_cosine,
                pair.levels,
                pair.caption,
                pair.text_cosine,
                tokens(pair.same_tokens)
            ),
        );
    }
}

/// What becomes of a caption.
fn example(facts: &ModelFacts, lines: &mut Lines) {
    let example = &facts.example;
    let cleaned = match example.cleaning.as_str() {
        "as they are" => "by the tokenizer's own rules alone".to_owned(),
        cleaning => format!("{cleaning}; then by the tokenizer's own rules"),
    };
    lines.add("cleaned", cleaned);
    lines.add("example", &example.caption);
    if example.cleaned != example.caption {
        lines.add("", &example.cleaned);
    }
    lines.add("", example.tokens.join(" "));
    let ids: Vec<String> = example.ids.iter().map(i64::to_string).collect();
    let padding = facts
        .tokenizer
        .padded_to
        .and_then(|length| length.checked_sub(ids.len()))
        .map_or(String::new(), |rest| {
            format!(", and {rest} of {}", example.pad_id)
        });
    lines.add("", format!("{}{padding}", ids.join(" ")));
}

pub(super) fn card(card: &ModelCard, lines: &mut Lines) {
    lines.add(
        "model",
        identity(&card.name, &card.precision, &card.fingerprint),
    );
    let dim = match card.dim {
        0 => "as long as the graphs make them".to_owned(),
        dim => format!("{dim} numbers"),
    };
    let batch = match card.batch_dependent {
        true => "; depend on the rows of their batch (--reproducible)",
        false => "",
    };
    lines.add("embeddings", format!("{dim}{batch}"));
    lines.add("pixels", &card.preprocessing);
    if !card.reference.is_empty() {
        lines.add("as", &card.reference);
    }
    for note in &card.notes {
        lines.add("note", note);
    }
}

fn identity(name: &str, precision: &str, fingerprint: &str) -> String {
    let short: String = fingerprint.chars().take(12).collect();
    match precision {
        "" => format!("{name} (sha256 {short})"),
        precision => format!("{name} ({precision}, sha256 {short})"),
    }
}

pub(super) fn spread(spread: Spread, shown: impl Fn(u64) -> String) -> String {
    if spread.min == spread.max {
        return shown(spread.min);
    }
    let [min, median, max] = [spread.min, spread.median, spread.max].map(shown);
    format!("{min} to {max}, median {median}")
}

pub(super) fn numbered(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {what}{plural}", count(number))
}

pub(super) fn percent(part: u64, whole: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a share for a person")]
    let share = part as f64 / whole.max(1) as f64;
    format!("{:.1} %", share * 100.0)
}
