//! Trusted rows that together resemble the trusted rows of their cell.

use clip_filter_vectors::{Budget, Rows, herd};

use super::{
    Choosing,
    candidates::{row_key, row_of_key},
};
use crate::{
    error::{Error, Result},
    pipeline::method::{CellRows, CellSpill, NO_CELL, Sides, StoredRows},
    schema::Derived,
    select::{Limits, Selection, SelectionBuilder, Trusted, even, fill_trusted, proportional},
};

/// Larger cells are herded in parts, each towards the mean of the whole: the work grows with the square.
const MOST_HERDED_ROWS: usize = 8192;

impl Choosing<'_> {
    /// 1. Trust gate: the margin is above 0, the pair's own class or caption is the best one.
    /// 2. Quotas per cell: in proportion to its candidates, or even within the bounds of `--balance cell`.
    /// 3. Herding among the trusted rows of each cell; where they are too few, the others by descending margin.
    pub(super) fn cover(&self) -> Result<Selection> {
        let candidates = self.candidates.rows()?;
        let (store, shards) = (self.candidates.store, self.candidates.shards);
        let rows = StoredRows::new(store, shards, Some(&candidates))
            .along(&[Derived::Cell, Derived::SasMargin]);
        let mut counts: Vec<(u64, u64)> = Vec::new();
        rows.for_each(Sides::None, &mut |block| {
            for row in 0..block.rows.len() {
                let (cell, margin) = (block.along[0][row].to_bits(), block.along[1][row]);
                if cell == NO_CELL || margin.is_nan() {
                    continue;
                }
                let cell = cell as usize;
                if counts.len() <= cell {
                    counts.resize(cell + 1, (0, 0));
                }
                match margin > 0.0 {
                    true => counts[cell].0 += 1,
                    false => counts[cell].1 += 1,
                }
            }
            Ok(())
        })?;
        let fills = fill_trusted(&self.quotas(&counts)?)?;
        let by_margin: u64 = fills.iter().map(|fill| fill.by_margin).sum();
        if by_margin > 0 {
            (self.say)(&format!(
                "cover: too few trusted rows: {by_margin} of the rows kept are the least doubtful others"
            ));
        }
        let mut kept = self.candidates.no_rows();
        self.add_untrusted(
            &rows,
            &fills.iter().map(|fill| fill.by_margin).collect::<Vec<_>>(),
            &mut kept,
        )?;
        self.add_herded(
            &rows,
            &fills.iter().map(|fill| fill.herded).collect::<Vec<_>>(),
            &mut kept,
        )?;
        Ok(kept.finish())
    }

    fn quotas(&self, counts: &[(u64, u64)]) -> Result<Vec<Trusted>> {
        let sizes: Vec<u64> = counts
            .iter()
            .map(|(trusted, other)| trusted + other)
            .collect();
        let budget = self.options.keep.budget(sizes.iter().sum());
        let (quotas, limits) = match &self.options.select.balance {
            None => {
                let free = sizes.iter().map(|&max| Limits { min: 0, max });
                (proportional(&sizes, budget), free.collect())
            }
            Some(balance)
                if balance.column == Derived::Cell.as_str() || self.is_label(&balance.column) =>
            {
                let limits: Vec<Limits> = balance.bounds.limits(&sizes, budget)?;
                (even(&sizes, budget, &balance.bounds)?, limits)
            }
            Some(_) => return Err(Error::internal("cover rows of other groups than cells")),
        };
        let groups = counts.iter().zip(quotas).zip(limits);
        Ok(groups
            .map(|((&(trusted, untrusted), quota), limits)| Trusted {
                trusted,
                untrusted,
                quota,
                limits,
            })
            .collect())
    }

    /// True if cells are the values of this column.
    fn is_label(&self, column: &str) -> bool {
        let labels = &self.options.scoring.columns.labels;
        labels.column.as_deref() == Some(column)
    }

    fn add_untrusted(
        &self,
        rows: &StoredRows<'_>,
        quotas: &[u64],
        kept: &mut SelectionBuilder,
    ) -> Result<()> {
        if quotas.iter().all(|&quota| quota == 0) {
            return Ok(());
        }
        let for_each = |take: &mut dyn FnMut(u32, f32, usize, i64)| {
            rows.for_each(Sides::None, &mut |block| {
                for row in 0..block.rows.len() {
                    let (cell, margin) = (block.along[0][row].to_bits(), block.along[1][row]);
                    if cell != NO_CELL && margin <= 0.0 {
                        take(cell, margin, block.shard, block.rows[row]);
                    }
                }
                Ok(())
            })
            .map(|_| ())
        };
        let mut cuts = self.cuts(quotas, &mut |push| {
            for_each(&mut |cell, margin, _, _| push(cell, margin))
        })?;
        for_each(&mut |cell, margin, shard, row| {
            if cuts.admit(cell, margin) {
                let (shard, row) = row_of_key(row_key(shard, row));
                kept.select(shard, row);
            }
        })
    }

    fn add_herded(
        &self,
        rows: &StoredRows<'_>,
        quotas: &[u64],
        kept: &mut SelectionBuilder,
    ) -> Result<()> {
        let mut spill: Option<CellSpill> = None;
        rows.for_each(Sides::Images, &mut |block| {
            (self.cancelled)()?;
            for (row, &number) in block.rows.iter().enumerate() {
                let (cell, margin) = (block.along[0][row].to_bits(), block.along[1][row]);
                if cell == NO_CELL || margin.is_nan() || margin <= 0.0 {
                    continue;
                }
                let spill = match &mut spill {
                    Some(spill) => spill,
                    none => {
                        let directory = self.candidates.store.directory();
                        none.insert(CellSpill::create(
                            directory,
                            block.dim,
                            self.budget.bytes / 8,
                        )?)
                    }
                };
                spill.push(cell, row_key(block.shard, number), block.image(row))?;
            }
            Ok(())
        })?;
        let Some(spill) = spill else { return Ok(()) };
        for (cell, rows) in spill.finish()?.cells() {
            (self.cancelled)()?;
            let keys = rows.positions()?;
            let quota = usize::try_from(quotas[cell as usize]).unwrap_or(usize::MAX);
            for picked in herd_cell(&rows, quota, self.budget)? {
                let (shard, row) = row_of_key(keys[picked]);
                kept.select(shard, row);
            }
        }
        Ok(())
    }
}

/// Picks `quota` rows of a cell. A large one is cut into parts by turns, so that each is a sample of the whole.
fn herd_cell(cell: &CellRows<'_>, quota: usize, budget: Budget) -> Result<Vec<usize>> {
    use clip_filter_vectors::RowSource;
    let (len, dim) = (cell.len(), cell.dim());
    if quota >= len {
        return Ok((0..len).collect());
    }
    let target = clip_filter_vectors::mean_of_cell(cell, budget)?;
    let parts = len.div_ceil(MOST_HERDED_ROWS);
    let mut picked = Vec::with_capacity(quota);
    let mut row = Vec::new();
    for part in 0..parts {
        let members: Vec<usize> = (part..len).step_by(parts).collect();
        let mut values = Vec::with_capacity(members.len() * dim);
        if parts == 1 {
            values = cell.load()?;
        } else {
            for &member in &members {
                cell.read(member..member + 1, &mut row)?;
                values.extend_from_slice(&row);
            }
        }
        let rows =
            Rows::new(&values, dim).ok_or_else(|| Error::internal("put embeddings in rows"))?;
        // Quotas of the parts differ by one at most and sum up.
        let share = (part + 1) * quota / parts - part * quota / parts;
        let share = share.min(members.len());
        let chosen = herd(rows, &target, share, budget);
        picked.extend(chosen.into_iter().map(|position| members[position]));
    }
    Ok(picked)
}
