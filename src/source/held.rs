//! What the statistics of a footer say that a column holds.

use arrow::{
    array::{Array, ArrayRef, new_null_array},
    compute::kernels::cmp::not_distinct,
};
use parquet::{
    arrow::arrow_reader::{ArrowReaderMetadata, statistics::StatisticsConverter},
    file::metadata::RowGroupMetaData,
};

use super::kind::Held;

/// What the column holds by its bounds in every row group; anything but one value is left open where they are rounded.
pub(super) fn held(footer: &ArrowReaderMetadata, column: usize) -> Held {
    let groups: Vec<&RowGroupMetaData> = footer.metadata().row_groups().iter().collect();
    let groups: Vec<_> = groups
        .into_iter()
        .filter(|group| group.num_rows() > 0)
        .collect();
    if groups.is_empty() {
        return Held::Nothing;
    }
    of_groups(footer, column, &groups).unwrap_or(Held::Unknown)
}

/// `None` where a row group does not tell.
fn of_groups(
    footer: &ArrowReaderMetadata,
    column: usize,
    groups: &[&RowGroupMetaData],
) -> Option<Held> {
    let name = footer.schema().fields().get(column)?.name();
    let bounds =
        StatisticsConverter::try_new(name, footer.schema(), footer.parquet_schema()).ok()?;
    let bounds = bounds.with_missing_null_counts_as_zero(false);
    let groups_again = || groups.iter().copied();
    let least = bounds.row_group_mins(groups_again()).ok()?;
    let most = bounds.row_group_maxes(groups_again()).ok()?;
    let is_least = bounds.row_group_is_min_value_exact(groups_again()).ok()?;
    let is_most = bounds.row_group_is_max_value_exact(groups_again()).ok()?;
    let nulls = bounds.row_group_null_counts(groups_again()).ok()?;
    let mut one: Option<ArrayRef> = None;
    for (at, group) in groups.iter().enumerate() {
        if nulls.is_null(at) {
            return None;
        }
        let rows = u64::try_from(group.num_rows()).ok()?;
        let value = match nulls.value(at) {
            0 => {
                let (least, most) = (least.slice(at, 1), most.slice(at, 1));
                if least.is_null(0) || most.is_null(0) {
                    return None;
                }
                if !not_distinct(&least, &most).ok()?.value(0) {
                    // A long text that is cut off has two bounds, too: the upper one is made greater.
                    let is_exact = is_least.is_valid(at) && is_least.value(at);
                    let is_exact = is_exact && is_most.is_valid(at) && is_most.value(at);
                    let may_be_cut = !least.data_type().is_primitive() && !is_exact;
                    return (!may_be_cut).then_some(Held::Several);
                }
                least
            }
            all if all == rows => new_null_array(least.data_type(), 1),
            _ => return Some(Held::Several),
        };
        match &one {
            Some(known) if !not_distinct(known, &value).ok()?.value(0) => {
                return Some(Held::Several);
            }
            Some(_) => {}
            None => one = Some(value),
        }
    }
    one.map(Held::One)
}
