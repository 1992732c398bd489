//! The page: one HTML file with everything in it.
//!
//! The template escapes every value, whoever wrote it; what is put in unescaped is made here: plots, the style, the
//! script, and the numbers for the script, in which `<` is written as an escape. A policy in the page forbids all
//! other scripts, and all requests.

use base64::{Engine, engine::general_purpose::STANDARD};
use minijinja::{Environment, UndefinedBehavior, value::Serde};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{
    cards::{Card, Cards, SHORT_CAPTION, start_of},
    plot,
};
use crate::{
    cli::summary::count,
    config::ByteSize,
    error::{Error, Result},
    report::{self, BINS, Density, Groups, Report, ScoreFacts, Step, SubjectKind},
};

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// The whole page.
///
/// # Errors
/// When the template does not fit the facts, which is a defect.
pub(super) fn html(report: &Report) -> Result<String> {
    let failed =
        |error: minijinja::Error| Error::internal("make the page of a report").source(error);
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.add_filter("count", |rows: u64| count(rows));
    environment.add_filter("percent", percent);
    environment.add_filter("share", |share: f64| format!("{:.1} %", share * 100.0));
    environment.add_filter("width", |part: f64, whole: f64| {
        format!("{:.2}", part / whole.max(f64::MIN_POSITIVE) * 100.0)
    });
    environment.add_filter("bytes", |bytes: u64| ByteSize(bytes).to_string());
    environment.add_filter("start", |text: String, length: usize| -> String {
        text.chars().take(length).collect()
    });
    environment
        .add_template("page.html", TEMPLATE)
        .map_err(failed)?;
    let template = environment.get_template("page.html").map_err(failed)?;
    template.render(Serde(Page::of(report)?)).map_err(failed)
}

fn percent(part: u64, whole: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a share for a person")]
    let share = part as f64 / whole.max(1) as f64;
    format!("{:.1} %", share * 100.0)
}

/// Everything the template names.
#[derive(Serialize)]
struct Page<'a> {
    report: &'a Report,
    subject: &'static str,
    sections: Vec<Section>,
    parts: String,
    cascade: &'a [Step],
    charts: Vec<Chart<'a>>,
    bins: usize,
    density: Option<DensityChart<'a>>,
    galleries: Vec<Gallery<'a>>,
    groups: Option<&'a Groups>,
    duplicates: Option<Duplicates<'a>>,
    bad_rows: Vec<BadRow<'a>>,
    stages: Vec<StageRow<'a>>,
    /// Busy seconds of the busiest stage.
    busy: f64,
    /// Numbers for the script.
    facts: String,
    style: &'static str,
    script: &'static str,
    style_hash: String,
    script_hash: String,
}

#[derive(Serialize)]
struct StageRow<'a> {
    name: &'a str,
    secs: String,
    rate: String,
    busy: f64,
}

#[derive(Serialize)]
struct Section {
    id: &'static str,
    title: &'static str,
}

#[derive(Serialize)]
struct Chart<'a> {
    name: &'a str,
    count: u64,
    low: String,
    middle: String,
    high: String,
    mean: String,
    median: String,
    cut: Option<String>,
    /// The bin that the threshold starts at.
    start: usize,
    svg: String,
}

#[derive(Serialize)]
struct DensityChart<'a> {
    x: &'a str,
    y: &'a str,
    x_low: String,
    x_high: String,
    y_low: String,
    y_high: String,
    has_cut: bool,
    svg: String,
}

#[derive(Serialize)]
struct Gallery<'a> {
    id: &'a str,
    title: &'a str,
    note: &'a str,
    cards: Vec<Card<'a>>,
}

#[derive(Serialize)]
struct Duplicates<'a> {
    rows_sought: u64,
    chosen: &'a str,
    rows_compared: u64,
    least_cosine: String,
    rows_with: u64,
    groups_found: u64,
    groups: Vec<DuplicateGroup<'a>>,
}

#[derive(Serialize)]
struct DuplicateGroup<'a> {
    size: u64,
    cosine: String,
    cards: Vec<Card<'a>>,
}

#[derive(Serialize)]
struct BadRow<'a> {
    reference: &'a str,
    place: &'a str,
    key: Option<&'a str>,
    caption: String,
    status: &'a str,
    reason: &'a str,
}

impl<'a> Page<'a> {
    fn of(report: &'a Report) -> Result<Self> {
        let mut cards = Cards::new(report);
        let galleries = report.galleries.iter().map(|gallery| Gallery {
            id: gallery.id,
            title: gallery.title,
            note: &gallery.note,
            cards: cards.of(&gallery.rows),
        });
        let galleries = galleries.collect();
        let duplicates = report.duplicates.as_ref();
        let duplicates = duplicates.map(|found| Duplicates::of(found, &mut cards));
        let stages = stages(report);
        let ordered = in_order(report);
        Ok(Self {
            report,
            subject: subject(report.subject.kind),
            sections: sections(report),
            parts: plot::parts(report),
            cascade: &report.cascade,
            charts: ordered.iter().map(|facts| chart(facts)).collect(),
            bins: BINS,
            density: report.density.as_ref().map(density),
            galleries,
            groups: report.groups.as_ref(),
            duplicates,
            bad_rows: bad_rows(report),
            busy: stages.iter().map(|stage| stage.busy).fold(0.0, f64::max),
            stages,
            facts: facts(&ordered)?,
            style: STYLE,
            script: SCRIPT,
            style_hash: hash(STYLE),
            script_hash: hash(SCRIPT),
        })
    }
}

impl<'a> Duplicates<'a> {
    fn of(found: &'a report::Duplicates, cards: &mut Cards<'a>) -> Self {
        let groups = found.groups.iter().map(|group| DuplicateGroup {
            size: group.size,
            cosine: score(f64::from(group.cosine)),
            cards: cards.of(&group.rows),
        });
        Self {
            groups: groups.collect(),
            rows_sought: found.rows_sought,
            chosen: &found.chosen,
            rows_compared: found.rows_compared,
            least_cosine: format!("{:.3}", found.least_cosine),
            rows_with: found.rows_with,
            groups_found: found.groups_found,
        }
    }
}

/// Busy time and throughput by stage.
fn stages(report: &Report) -> Vec<StageRow<'_>> {
    let Some(run) = &report.run else {
        return Vec::new();
    };
    let rows = |stage: &str| match stage {
        "write" => run.rows_written,
        _ => run.rows_scored,
    };
    let stages = run.stage_busy_secs.iter().map(|(name, &busy)| {
        #[expect(clippy::cast_precision_loss, reason = "a rate for a person")]
        let rate = rows(name) as f64 / busy;
        StageRow {
            name,
            secs: format!("{busy:.2}"),
            rate: match rate.is_finite() && rate > 0.0 {
                true => format!("{rate:.0}"),
                false => String::new(),
            },
            busy,
        }
    });
    stages.collect()
}

/// The score that rows are ordered by comes first.
fn in_order(report: &Report) -> Vec<&ScoreFacts> {
    let mut ordered: Vec<&ScoreFacts> = report.scores.iter().collect();
    ordered.sort_by_key(|facts| facts.name != report.order);
    ordered
}

fn subject(kind: SubjectKind) -> &'static str {
    match kind {
        SubjectKind::Run => "What this run kept and cut.",
        SubjectKind::Shards => "A selection from stored scores; nothing was written.",
        SubjectKind::StoreAlone => "A selection from stored scores, without the shards.",
        SubjectKind::Output => "An output: the rows that an earlier run kept.",
    }
}

fn sections(report: &Report) -> Vec<Section> {
    let all = [
        ("rows", "Rows", true),
        ("scores", "Scores", true),
        ("density", "Diversity", report.density.is_some()),
        ("galleries", "Galleries", true),
        ("groups", "Balance", report.groups.is_some()),
        ("duplicates", "Near-duplicates", report.duplicates.is_some()),
        ("bad", "Bad rows", true),
        ("made", "How it was made", true),
    ];
    let there = all.into_iter().filter(|(.., there)| *there);
    there.map(|(id, title, _)| Section { id, title }).collect()
}

fn chart(facts: &ScoreFacts) -> Chart<'_> {
    let histogram = &facts.histogram;
    let cut = facts.cut.map(f64::from);
    // The highest edge that the cut reaches.
    let start = cut.map_or(0, |cut| {
        (0..BINS)
            .rev()
            .find(|&bin| histogram.edge(bin) <= cut)
            .unwrap_or(0)
    });
    let median = facts
        .scores
        .quantiles
        .iter()
        .find(|quantile| quantile.q == 0.5);
    Chart {
        name: facts.name,
        count: facts.scores.count,
        low: score(histogram.low),
        middle: score(histogram.edge(BINS / 2)),
        high: score(histogram.high),
        mean: score(facts.scores.mean),
        median: median.map_or_else(String::new, |found| score(f64::from(found.score))),
        cut: cut.map(score),
        start,
        svg: plot::histogram(facts, start),
    }
}

fn density(found: &Density) -> DensityChart<'_> {
    DensityChart {
        x: found.x,
        y: found.y,
        x_low: score(found.x_range[0]),
        x_high: score(found.x_range[1]),
        y_low: score(found.y_range[0]),
        y_high: score(found.y_range[1]),
        has_cut: found.cut_line.is_some(),
        svg: plot::density(found),
    }
}

fn bad_rows(report: &Report) -> Vec<BadRow<'_>> {
    let rows = report.bad_rows.iter().map(|row| BadRow {
        reference: &row.reference,
        place: &row.place,
        key: row.key.as_deref(),
        caption: start_of(
            row.caption.as_deref().unwrap_or_default(),
            2 * SHORT_CAPTION,
        ),
        status: &row.status,
        reason: &row.reason,
    });
    rows.collect()
}

pub(super) fn score(value: f64) -> String {
    // Of what rounds to nothing no sign is shown.
    format!("{:.4}", if value.abs() < 0.00005 { 0.0 } else { value })
}

/// The histograms as JSON that may stand in a script element.
fn facts(scores: &[&ScoreFacts]) -> Result<String> {
    #[derive(Serialize)]
    struct Facts<'a> {
        scores: Vec<Named<'a>>,
    }
    #[derive(Serialize)]
    struct Named<'a> {
        name: &'a str,
        low: f64,
        high: f64,
        rows: &'a [u64],
    }
    let scores = scores.iter().map(|facts| Named {
        name: facts.name,
        low: facts.histogram.low,
        high: facts.histogram.high,
        rows: &facts.histogram.rows,
    });
    let facts = Facts {
        scores: scores.collect(),
    };
    let json = serde_json::to_string(&facts)
        .map_err(|error| Error::internal("write the numbers of a report").source(error))?;
    Ok(json.replace('<', "\\u003c"))
}

/// What the page's policy knows a style or a script by.
fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}
