//! Kept shares of classes, cells, or the values of a column.

use arrow::{
    array::{Array, ArrayRef, AsArray, StringViewArray},
    compute::cast,
    datatypes::DataType,
};

use super::{
    case::{Case, CaseRows},
    facts::{Group, Groups},
    fate::Rule,
};
use crate::{
    error::{Error, Result},
    schema::ScoreColumn,
    score::{GroupColumn, Groups as ColumnGroups, NO_CELL, Sides, StoredRows},
    source::Spread,
};

/// Groups that are listed; of more, half of them from each end.
const LISTED: usize = 60;

/// Good rows by cell.
#[derive(Debug, Default)]
pub(super) struct KeptByCell {
    /// Rows and kept rows by cell.
    counts: Vec<(u64, u64)>,
    without: u64,
}

impl KeptByCell {
    pub(super) fn add(&mut self, stretch: &CaseRows<'_>) {
        let Some(cells) = stretch.cells else { return };
        for (position, fate) in stretch.fates.iter().enumerate() {
            if matches!(fate, Some(Rule::EarlyCondition | Rule::Bad)) {
                continue;
            }
            let cell = cells.is_valid(position).then(|| cells.value(position));
            self.count(cell, fate.is_none());
        }
    }

    fn count(&mut self, group: Option<u32>, is_kept: bool) {
        let Some(group) = group.filter(|&group| group != NO_CELL) else {
            self.without += 1;
            return;
        };
        let group = group as usize;
        if self.counts.len() <= group {
            self.counts.resize(group + 1, (0, 0));
        }
        self.counts[group].0 += 1;
        self.counts[group].1 += u64::from(is_kept);
    }

    /// `None` if no row has a group.
    fn finish(self, column: &str, name: &dyn Fn(usize) -> String) -> Option<Groups> {
        let counts = self.counts.iter().enumerate();
        let mut list: Vec<Group> = counts
            .filter(|(_, (rows, _))| *rows > 0)
            .map(|(group, &(rows, kept))| Group {
                name: name(group),
                rows,
                kept,
            })
            .collect();
        let sizes = Spread::of(list.iter().map(|group| group.rows).collect())?;
        list.sort_by(|a, b| share(a.kept, a.rows).total_cmp(&share(b.kept, b.rows)));
        let at = |place: usize| share(list[place].kept, list[place].rows);
        let kept_share = [at(0), at((list.len() - 1) / 2), at(list.len() - 1)];
        let total = |of: fn(&Group) -> u64| list.iter().map(of).sum::<u64>();
        let overall = share(total(|group| group.kept), total(|group| group.rows));
        let count = list.len();
        if count > LISTED {
            list.drain(LISTED / 2..count - LISTED / 2);
        }
        Some(Groups {
            column: column.to_owned(),
            count: count as u64,
            rows: sizes,
            kept_share,
            kept_share_overall: overall,
            rows_without: self.without,
            left_out: (count - list.len()) as u64,
            list,
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share for a person")]
pub(super) fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// The groups of a report: those of `--balance`, else the classes of labelled pairs, else the cells of the store.
pub(super) fn groups(case: &Case<'_>, cells: KeptByCell) -> Result<Option<Groups>> {
    let cell = ScoreColumn::CELL.name();
    let balance = case.select.balance.as_ref();
    let balance = balance.map(|balance| balance.column.as_str());
    let classes = case.shards.binding.classes.as_ref();
    let labels = classes.map(|classes| classes.column.as_str());
    let by_cell = || cells.finish(cell, &|number| format!("cell {number}"));
    match balance.or(labels) {
        Some(column) if column != cell && case.shards_gone.is_none() => of_column(case, column),
        _ => Ok(by_cell()),
    }
}

fn of_column(case: &Case<'_>, column: &str) -> Result<Option<Groups>> {
    let shards = &case.shards;
    let classes = shards.binding.classes.as_ref();
    let classes = classes.filter(|classes| classes.column == column);
    let known = classes.and_then(|classes| classes.names.as_deref());
    let names_of = |values: &ArrayRef| -> Result<StringViewArray> {
        if let Some(classes) = classes {
            return classes.names_of(values);
        }
        let texts = cast(values, &DataType::Utf8View);
        let texts =
            texts.map_err(|error| Error::internal("read a column of groups").source(error))?;
        Ok(texts.as_string_view().clone())
    };
    let store = &case.store;
    let rows = StoredRows::new(store, &shards.identities, None);
    let directory = tempfile::tempdir()
        .map_err(|error| Error::output("make a temporary directory").source(error))?;
    let groups = ColumnGroups::read(
        &rows,
        &shards.set,
        GroupColumn {
            name: column,
            known: known.unwrap_or_default(),
            names_of: &names_of,
        },
        directory.path(),
    )?;
    let mut counter = KeptByCell::default();
    rows.for_each(Sides::None, &mut |block| {
        (case.cancelled)()?;
        let stored = block.first..block.first + block.len as u64;
        let of_rows = groups.of_rows.read_cells(stored)?;
        for (&offset, &row) in block.offsets.iter().zip(&block.rows) {
            let Ok(row) = usize::try_from(row) else {
                continue;
            };
            let considered = &case.chosen.steps.considered;
            if considered
                .as_ref()
                .is_none_or(|rows| rows.contains(block.shard, row))
            {
                let is_kept = case.chosen.written.contains(block.shard, row);
                counter.count(Some(of_rows[offset]), is_kept);
            }
        }
        Ok(())
    })?;
    Ok(counter.finish(column, &|group| groups.names[group].clone()))
}
