//! What is kept and what is cut, and why, before anything is committed to it.
//!
//! | step | reads | file |
//! |---|---|---|
//! | what became of each row, and by which rule | the decisions of the selection | `fate`, `case` |
//! | counts, distributions, histograms, density | scores, twice | `counting`, `histogram`, `density` |
//! | rows that galleries show | the same passes | `picks` |
//! | kept shares of classes and cells | cells, or a column of the shards | `groups` |
//! | near-duplicates, neighbours of a row | image embeddings, twice | `alike` |
//! | captions and thumbnails of what is shown | the pages of those rows | `exhibits`, `pictures` |
//! | one row: its scores, ranks, neighbours and fate | scores, embeddings | `explain` |
//!
//! Nothing is decided here: a [`Report`] tells what the selection of a run did. Memory is bounded as that of a run is:
//! two bits per row of the selection, and stretches of rows. Captions, keys and paths are what somebody else
//! wrote; whoever renders a report escapes them. Images leave this room only as thumbnails, encoded anew.

mod alike;
mod case;
mod counting;
mod density;
mod exhibits;
mod explain;
mod facts;
mod fate;
mod groups;
mod histogram;
mod names;
mod picks;
mod pictures;

use std::collections::BTreeSet;

use crate::{error::Result, schema::ScoreColumn, secrets};

use case::RowRef;
use exhibits::Exhibits;
use pictures::Wants;

pub(crate) use case::{Case, Limits};
pub use explain::{Explanation, Neighbour, RankedScore};
pub(crate) use explain::{explanation, only_row};
pub use facts::{
    BadExhibit, Density, DuplicateGroup, Duplicates, Exhibit, Gallery, Group, Groups, Report,
    ReportedShard, ScoreFacts, Step, Subject, SubjectKind,
};
pub use fate::Rule;
pub use histogram::{BINS, Histogram};
pub(crate) use names::ShardNames;
pub use names::is_row_reference;

/// Scores from embeddings that a report shows, where a run encodes and keeps nothing else.
pub const SHOWN_SCORES: [ScoreColumn; 4] = [
    ScoreColumn::CELL,
    ScoreColumn::SAS,
    ScoreColumn::SDS,
    ScoreColumn::DUP_MAX_SIM,
];

/// Shards that are listed.
const LISTED_SHARDS: usize = 50;
/// Groups of near-duplicates that are shown.
const SHOWN_GROUPS: usize = 8;
/// Rows of one that are shown.
const SHOWN_OF_GROUP: usize = 6;

/// What a selection keeps and cuts of a case, and why.
///
/// # Errors
/// When the store or a shard cannot be read.
pub(crate) fn of_case(case: &Case<'_>) -> Result<Report> {
    let counted = counting::count(case)?;
    let distributed = counted.distribute(case)?;
    let alike = alike::alike(case)?;
    let shown = shown(&counted, alike.as_ref());
    let exhibits = Exhibits::read(case, &shown, Wants::Pictures)?;
    let shards = &case.shards;
    let rows_in = shards.set.rows();
    let removed = counting::with_unstored(&counted, rows_in);
    let cascade = fate::cascade(case, rows_in, &removed);
    let galleries = counted.picked.iter().map(|picked| Gallery {
        id: picked.id,
        title: picked.title,
        note: picked.note.clone(),
        rows: exhibits.places(&picked.rows),
    });
    let galleries = galleries.collect();
    let notes = notes(case, distributed.density.is_some(), alike.is_some());
    let derived = case.store.derived();
    let spec = case.store.spec();
    Ok(Report {
        made_by: concat!("clip-filter ", env!("CARGO_PKG_VERSION")).to_owned(),
        subject: case.subject.clone(),
        command: secrets::in_text(&case.command),
        selection: secrets::in_text(&case.selection),
        model: spec.model.clone(),
        reading: spec.reading,
        made_with: derived
            .map(|spec| spec.made_with.clone())
            .unwrap_or_default(),
        shards: listed(case),
        shard_count: shards.set.shards.len() as u64,
        rows_in,
        rows_kept: case.chosen.kept,
        rows_cut: rows_in - case.chosen.kept - case.chosen.rows_bad(),
        rows_bad: case.chosen.rows_bad(),
        bad: case.chosen.bad.clone(),
        cascade,
        rows_eligible: counted.eligible,
        order: case.order_name(),
        scores: distributed.scores,
        density: distributed.density,
        galleries,
        groups: groups::groups(case, counted.cells)?,
        duplicates: alike.map(|alike| duplicates(alike, &exhibits)),
        bad_rows: exhibits::bad_rows(case)?,
        rows: exhibits.rows,
        run: None,
        notes,
    })
}

/// Rows of galleries, and of those groups of near-duplicates that are shown.
fn shown(counted: &counting::Counted, alike: Option<&alike::Alike>) -> BTreeSet<RowRef> {
    let picked = counted.picked.iter().flat_map(|picked| &picked.rows);
    let groups = alike.into_iter().flat_map(|alike| &alike.groups);
    let groups = groups.take(SHOWN_GROUPS);
    let alike = groups.flat_map(|(_, rows)| rows.iter().take(SHOWN_OF_GROUP));
    picked.chain(alike).copied().collect()
}

fn listed(case: &Case<'_>) -> Vec<ReportedShard> {
    let shards = case.shards.set.shards.iter();
    let listed = shards.take(LISTED_SHARDS).map(|shard| ReportedShard {
        path: shard.location.to_string(),
        rows: shard.rows_in(),
        fingerprint: shard.fingerprint.clone(),
    });
    listed.collect()
}

fn duplicates(alike: alike::Alike, exhibits: &Exhibits) -> Duplicates {
    let groups = alike.groups.iter().take(SHOWN_GROUPS);
    let groups = groups.map(|(cosine, rows)| DuplicateGroup {
        cosine: *cosine,
        size: rows.len() as u64,
        rows: exhibits.places(&rows[..rows.len().min(SHOWN_OF_GROUP)]),
    });
    Duplicates {
        rows_sought: alike.sought as u64,
        chosen: alike.chosen,
        rows_compared: alike.compared,
        least_cosine: alike.least_cosine,
        rows_with: alike.rows_with,
        groups: groups.collect(),
        groups_found: alike.groups.len() as u64,
    }
}

/// What is missing, and how to get it.
fn notes(case: &Case<'_>, has_density: bool, has_duplicates: bool) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(reason) = &case.shards_gone {
        notes.push(format!(
            "no images and no captions: {reason}. Name the shards where they are now: clip-filter report IN... --scores DIR"
        ));
    }
    if !has_density {
        notes.push(
            "no diversity: the scores from embeddings sas, sds and dup_max_sim are not there; clip-filter score IN... --scores DIR --add sas,sds,dup_max_sim computes them"
                .to_owned(),
        );
    }
    if !has_duplicates {
        notes.push("no near-duplicates were sought: that needs stored image embeddings, and in a selection with --dedup a row that it took away".to_owned());
    }
    notes
}
