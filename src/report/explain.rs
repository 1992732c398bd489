//! One row: its scores and their ranks, its neighbours, and the rule that decided about it.

use std::collections::BTreeSet;

use arrow::{
    array::{Array, AsArray},
    datatypes::UInt32Type,
};
use serde::Serialize;

use super::{
    alike,
    case::{Case, RowRef},
    counting::is_eligible,
    exhibits::Exhibits,
    facts::{Exhibit, Subject},
    fate::Rule,
    names::ShardNames,
    pictures::Wants,
};
use crate::{
    error::{Error, Result},
    schema::{HEIGHT, REASON, STATUS, WIDTH},
    selection::Selection,
    source::Shard,
};

/// Neighbours that are told.
const NEIGHBOURS: usize = 8;
/// What is said of a row that the store does not have.
const NOT_STORED: &str = "not in the store";

/// What is known of one row.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// What was looked at.
    pub subject: Subject,
    /// What selects the rows, in one line.
    pub selection: String,
    /// The row; its caption and key are untrusted text.
    pub row: Exhibit,
    /// Its status.
    pub status: String,
    /// Why it is bad, if it is.
    pub reason: Option<String>,
    /// Width of its image in pixels.
    pub width: Option<u32>,
    /// Height of its image in pixels.
    pub height: Option<u32>,
    /// Every score.
    pub scores: Vec<RankedScore>,
    /// Good rows that the conditions leave: what ranks are among.
    pub ranked_among: u64,
    /// What decided about it, in a sentence.
    pub decision: String,
    /// The rows of most similar image; `None` without embeddings.
    pub neighbours: Option<Vec<Neighbour>>,
}

/// A score of a row, beside those of the others.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RankedScore {
    /// Name of its column.
    pub name: &'static str,
    /// The score.
    pub score: f32,
    /// 1 + the rows of higher score.
    pub rank: u64,
    /// Rows that have this score at all.
    pub of: u64,
    /// Part of them that has no higher score.
    pub quantile: f64,
}

/// A row whose image resembles that of another.
#[derive(Debug, Serialize)]
pub struct Neighbour {
    /// Cosine of both images.
    pub cosine: f32,
    /// The row.
    pub row: Exhibit,
}

/// The one row that a condition found.
///
/// # Errors
/// When it found none, or several: the first are named.
pub(crate) fn only_row(found: &Selection, condition: &str, shards: &[Shard]) -> Result<RowRef> {
    let count = found.rows();
    let mut rows = found.iter();
    if let (Some((shard, row)), 1) = (rows.next(), count) {
        let row =
            i64::try_from(row).map_err(|error| Error::internal("number a row").source(error))?;
        return Ok(RowRef { shard, row });
    }
    let error = Error::usage(match count {
        0 => "explain one row: no row fulfils the condition".to_owned(),
        _ => format!("explain one row: {count} rows fulfil the condition"),
    })
    .with("where", condition);
    if count == 0 {
        return Err(error.hint("compare the key with quotes, as in \"key = '000001'\"; column names are case-sensitive"));
    }
    let names = ShardNames::of(shards);
    let some: Vec<String> = found
        .iter()
        .take(3)
        .map(|(shard, row)| {
            let row = i64::try_from(row).unwrap_or(i64::MAX);
            names.reference(RowRef { shard, row })
        })
        .collect();
    Err(error.with("the first", some.join(", ")).hint(format!(
        "say more, or name one: clip-filter explain {}",
        some[0]
    )))
}

/// What decided about one row.
///
/// # Errors
/// When the store or a shard cannot be read.
pub(crate) fn explanation(case: &Case<'_>, row: RowRef) -> Result<Explanation> {
    let neighbours = alike::neighbours(case, row, NEIGHBOURS)?;
    let others = neighbours.iter().flatten().map(|(_, other)| *other);
    let wanted: BTreeSet<RowRef> = others.chain([row]).collect();
    let exhibits = Exhibits::read(case, &wanted, Wants::Texts)?;
    let place = |row: RowRef| exhibits.places(&[row]).first().copied();
    let place_of_row = place(row).ok_or_else(|| {
        Error::input("explain the row: its table has given it up, and nothing was decided of it")
            .hint("name a row that the table has")
    })?;
    let (ranked, ranked_among) = ranked(case, &exhibits.rows[place_of_row])?;
    let facts = StoredFacts::of(case, row)?;
    let places: Option<Vec<(f32, usize)>> = neighbours.map(|found| {
        let found = found.into_iter();
        found
            .filter_map(|(cosine, row)| Some((cosine, place(row)?)))
            .collect()
    });
    let mut rows: Vec<Option<Exhibit>> = exhibits.rows.into_iter().map(Some).collect();
    let mut take = |place: usize| {
        rows[place]
            .take()
            .ok_or_else(|| Error::internal("find a row that is shown"))
    };
    let exhibit = take(place_of_row)?;
    let neighbours = places.map(|places| {
        let rows = places.into_iter().map(|(cosine, place)| {
            let row = take(place)?;
            Ok(Neighbour { cosine, row })
        });
        rows.collect::<Result<Vec<_>>>()
    });
    let mut explanation = Explanation {
        subject: case.subject.clone(),
        selection: case.selection.clone(),
        row: exhibit,
        status: facts.status,
        reason: facts.reason,
        width: facts.width,
        height: facts.height,
        scores: ranked,
        ranked_among,
        decision: String::new(),
        neighbours: neighbours.transpose()?,
    };
    if explanation.status == NOT_STORED {
        explanation.row.removed_by = Some(Rule::EarlyCondition);
    }
    explanation.decision = decision(case, &explanation)?;
    Ok(explanation)
}

/// Facts of a row that are no scores.
struct StoredFacts {
    status: String,
    reason: Option<String>,
    width: Option<u32>,
    height: Option<u32>,
}

impl StoredFacts {
    fn of(case: &Case<'_>, row: RowRef) -> Result<Self> {
        let identity = &case.shards.identities[row.shard];
        let scores = case.store.scores(identity)?;
        let mut cursor = scores.cursor(&[STATUS, REASON, WIDTH, HEIGHT], 0)?;
        let facts = cursor.take(&[row.row])?;
        let text = |column: usize| {
            let texts = facts[column].as_string_opt::<i32>();
            let texts = texts.filter(|texts| texts.is_valid(0));
            texts.map(|texts| texts.value(0).to_owned())
        };
        let number = |column: usize| {
            let numbers = facts[column].as_primitive_opt::<UInt32Type>();
            let numbers = numbers.filter(|numbers| numbers.is_valid(0));
            numbers.map(|numbers| numbers.value(0))
        };
        Ok(Self {
            status: text(0).unwrap_or_else(|| NOT_STORED.to_owned()),
            reason: text(1),
            width: number(2),
            height: number(3),
        })
    }
}

/// The scores of a row with their ranks, and the number of rows that these are among.
fn ranked(case: &Case<'_>, row: &Exhibit) -> Result<(Vec<RankedScore>, u64)> {
    let names = case.score_names();
    let columns: Vec<(usize, &'static str, f32)> = row
        .scores
        .iter()
        .filter_map(|(name, score)| {
            let column = names.iter().position(|known| known == name)?;
            Some((column, *name, *score))
        })
        .collect();
    let mut counts = vec![(0u64, 0u64); columns.len()];
    let mut among = 0;
    case.for_each(&mut |stretch| {
        for (position, &fate) in stretch.fates.iter().enumerate() {
            if !is_eligible(fate) {
                continue;
            }
            among += 1;
            for ((column, _, own), (higher, all)) in columns.iter().zip(&mut counts) {
                if let Some(score) = stretch.score(*column, position) {
                    *all += 1;
                    *higher += u64::from(score > *own);
                }
            }
        }
        Ok(())
    })?;
    let scores = columns.into_iter().zip(counts);
    let scores = scores.map(|((_, name, score), (higher, all))| RankedScore {
        name,
        score,
        rank: higher + 1,
        of: all,
        quantile: super::groups::share(all - higher, all),
    });
    Ok((scores.collect(), among))
}

/// What decided, in a sentence.
fn decision(case: &Case<'_>, facts: &Explanation) -> Result<String> {
    let order = case.order_name();
    let ordered = facts.scores.iter().find(|score| score.name == order);
    let rank = ordered.map_or(String::new(), |score| {
        let (name, score, rank, of) = (score.name, score.score, score.rank, score.of);
        format!("{name} {score:.4} is rank {rank} of {of}")
    });
    let kept = case.chosen.kept;
    let lowest = lowest_kept(case)?;
    let lowest = lowest.map_or(String::new(), |score| {
        format!("; the lowest {order} of a kept row is {score:.4}")
    });
    Ok(match facts.row.removed_by {
        None => format!("kept, one of {kept} rows: {rank}{lowest}"),
        Some(Rule::Budget) => {
            format!("cut by the budget, which keeps {kept} rows: {rank}{lowest}")
        }
        Some(Rule::Bad) => {
            let reason = facts.reason.as_deref().unwrap_or_default();
            format!("bad, so it has no score: {}: {reason}", facts.status)
        }
        Some(Rule::MinScore) => {
            let least = case.select.min_score.unwrap_or_default();
            format!("cut by --min-score {least}: its clip_score is below")
        }
        Some(Rule::Condition) => format!(
            "cut by the condition, which it does not fulfil: {}",
            case.select.condition_shown().unwrap_or_default()
        ),
        Some(Rule::EarlyCondition) => match case.select.condition_shown() {
            Some(condition) => {
                format!("cut by the condition, which it does not fulfil: {condition}")
            }
            None => "cut: the store left it out before it was scored".to_owned(),
        },
        Some(Rule::NoOrder) => format!("cut: it has no {order} to be ordered by"),
        Some(Rule::Duplicate) => duplicate(case, facts),
    })
}

/// The better row that `--dedup` kept in its place.
fn duplicate(case: &Case<'_>, facts: &Explanation) -> String {
    let distance = case.select.dedup.unwrap_or_default();
    let mut near = facts.neighbours.iter().flatten();
    let better = near
        .find(|near| near.cosine > 1.0 - distance && near.row.removed_by != Some(Rule::Duplicate));
    let resembled = better.map_or(String::new(), |near| {
        format!(
            ": it has a cosine of {:.4} to {}",
            near.cosine, near.row.reference
        )
    });
    format!("cut by --dedup {distance} as the near-duplicate of a better row{resembled}")
}

fn lowest_kept(case: &Case<'_>) -> Result<Option<f32>> {
    let order = case.order();
    let mut lowest: Option<f32> = None;
    case.for_each(&mut |stretch| {
        for (position, fate) in stretch.fates.iter().enumerate() {
            if let (None, Some(score)) = (fate, stretch.score(order, position)) {
                lowest = Some(lowest.map_or(score, |lowest| lowest.min(score)));
            }
        }
        Ok(())
    })?;
    Ok(lowest)
}
