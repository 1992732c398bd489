//! Trusted rows that together resemble their cell.

use std::collections::BTreeMap;

use clip_filter_vectors::{Budget, RowSource, Rows, herd, mean_of_cell};

use super::{
    Fill, Limits, Selector, Trusted,
    candidates::{row_key, row_of_key},
    even, fill_trusted, proportional,
};
use crate::{
    error::{Error, Result},
    schema::ScoreColumn,
    score::{CellRows, CellSpill, ExactSum, NO_CELL, Sides, StoredRows},
    selection::{Selection, SelectionBuilder},
};

/// Larger cells are herded in parts, each towards the mean of the whole: the work grows with the square.
const MOST_HERDED_ROWS: usize = 8192;

/// What the margins of one cell say.
///
/// A row with a wrong label is at least as far below 0 as it would be above it with the right one: its class beats the
/// label by no less than the best other class. About half of the rows with right labels are further above 0 than their
/// mean, so at least about half of those with wrong ones are further below 0 than that: as many as there are, at most
/// about so many wrong ones are nearer to 0.
#[derive(Default)]
struct Margins {
    /// Those above 0.
    above: ExactSum,
    /// How many are not.
    others: u64,
    /// How many of these are as far below 0 as those above are above it on average, or further.
    far: u64,
}

impl Margins {
    fn push(&mut self, margin: f32) -> Result<()> {
        if margin > 0.0 {
            return self.above.push(margin);
        }
        self.others += 1;
        Ok(())
    }

    /// Needs all margins pushed.
    fn push_again(&mut self, margin: f32) {
        if margin <= 0.0 && f64::from(margin) <= -self.reach() {
            self.far += 1;
        }
    }

    fn rows(&self) -> u64 {
        self.above.count() + self.others
    }

    fn reach(&self) -> f64 {
        self.above.mean().unwrap_or(0.0)
    }

    /// True if most rows that are not far below 0 must be right: hard to tell, not wrong.
    fn labels_look_right(&self) -> bool {
        2 * self.far < self.others - self.far
    }

    fn trusts(&self, margin: f32) -> bool {
        margin > 0.0 || self.labels_look_right() && f64::from(margin) > -self.reach()
    }

    fn trusted(&self) -> u64 {
        match self.labels_look_right() {
            true => self.rows() - self.far,
            false => self.above.count(),
        }
    }

    /// How much a row counts in the mean that is herded towards: 1 where labels look right or it is trusted, else the
    /// less the further its margin is below 0, and 0 where it is far off.
    ///
    /// Rows that are hard to tell belong to their cell, and without them its mean would be that of the easy ones; rows
    /// that are far off are wrong more often than hard, where there are many of them.
    fn weight(&self, margin: f32) -> f32 {
        if margin > 0.0 || self.labels_look_right() {
            return 1.0;
        }
        #[expect(clippy::cast_possible_truncation, reason = "between 0 and 1")]
        let weight = (1.0 + f64::from(margin) / self.reach()).max(0.0) as f32;
        weight
    }
}

impl Selector<'_> {
    /// 1. Trust gate: the margin is above 0, the pair's own class or caption is the best one; in cells whose labels look
    ///    right, it is less far below 0 than those above are above it on average.
    /// 2. Quotas per cell: in proportion to its candidates, or even within the bounds of `--balance cell`.
    /// 3. Herding among the trusted rows of each cell, towards its weighted mean; where they are too few, the others by
    ///    descending margin.
    pub(super) fn cover(&self) -> Result<Selection> {
        let candidates = self.candidates.rows()?;
        let (store, shards) = (self.candidates.store, self.candidates.shards);
        let rows = StoredRows::new(store, shards, Some(&candidates))
            .along(&[ScoreColumn::CELL, ScoreColumn::SAS_MARGIN]);
        let cells = self.margins(&rows)?;
        let fills = fill_trusted(&self.quotas(&cells)?)?;
        let by_margin: u64 = fills.iter().map(|fill| fill.by_margin).sum();
        if by_margin > 0 {
            (self.say)(&format!(
                "cover: too few trusted rows: {by_margin} of the rows kept are the least doubtful others"
            ));
        }
        let mut kept = self.candidates.no_rows();
        self.add_untrusted(&rows, &cells, &fills, &mut kept)?;
        self.add_herded(&rows, &cells, &fills, &mut kept)?;
        Ok(kept.finish())
    }

    fn margins(&self, rows: &StoredRows<'_>) -> Result<Vec<Margins>> {
        let mut cells: Vec<Margins> = Vec::new();
        each_margin(rows, &mut |cell, margin, _, _| {
            let cell = cell as usize;
            if cells.len() <= cell {
                cells.resize_with(cell + 1, Margins::default);
            }
            cells[cell].push(margin)
        })?;
        each_margin(rows, &mut |cell, margin, _, _| {
            cells[cell as usize].push_again(margin);
            Ok(())
        })?;
        let right = cells.iter().filter(|cell| cell.labels_look_right()).count();
        if right > 0 {
            (self.say)(&format!(
                "cover: few rows are far off in {right} of {} cells: there those little below 0 are trusted too",
                cells.len()
            ));
        }
        Ok(cells)
    }

    fn quotas(&self, cells: &[Margins]) -> Result<Vec<Trusted>> {
        let sizes: Vec<u64> = cells.iter().map(Margins::rows).collect();
        let budget = self.options.keep.budget(sizes.iter().sum());
        let (quotas, limits) = match &self.options.balance {
            None => {
                let free = sizes.iter().map(|&max| Limits { min: 0, max });
                (proportional(&sizes, budget), free.collect())
            }
            Some(balance)
                if balance.column == ScoreColumn::CELL.name()
                    || self.label_column == Some(balance.column.as_str()) =>
            {
                let limits: Vec<Limits> = balance.bounds.limits(&sizes, budget)?;
                (even(&sizes, budget, &balance.bounds)?, limits)
            }
            Some(_) => return Err(Error::internal("cover rows of other groups than cells")),
        };
        let groups = cells.iter().zip(quotas).zip(limits);
        Ok(groups
            .map(|((cell, quota), limits)| Trusted {
                trusted: cell.trusted(),
                untrusted: cell.rows() - cell.trusted(),
                quota,
                limits,
            })
            .collect())
    }

    fn add_untrusted(
        &self,
        rows: &StoredRows<'_>,
        cells: &[Margins],
        fills: &[Fill],
        kept: &mut SelectionBuilder,
    ) -> Result<()> {
        let quotas: Vec<u64> = fills.iter().map(|fill| fill.by_margin).collect();
        if quotas.iter().all(|&quota| quota == 0) {
            return Ok(());
        }
        let for_each = |take: &mut dyn FnMut(u32, f32, usize, i64)| {
            each_margin(rows, &mut |cell, margin, shard, row| {
                if !cells[cell as usize].trusts(margin) {
                    take(cell, margin, shard, row);
                }
                Ok(())
            })
        };
        let mut cuts = self.cuts(&quotas, &mut |push| {
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
        cells: &[Margins],
        fills: &[Fill],
        kept: &mut SelectionBuilder,
    ) -> Result<()> {
        let mut spills: Option<Spills> = None;
        rows.for_each(Sides::Images, &mut |block| {
            (self.cancelled)()?;
            for (row, &number) in block.rows.iter().enumerate() {
                let (cell, margin) = (block.along[0][row].to_bits(), block.along[1][row]);
                if cell == NO_CELL || margin.is_nan() || fills[cell as usize].herded == 0 {
                    continue;
                }
                let margins = &cells[cell as usize];
                let spills = match &mut spills {
                    Some(spills) => spills,
                    none => none.insert(self.spills(block.dim)?),
                };
                if margins.trusts(margin) {
                    let key = row_key(block.shard, number);
                    spills.trusted.push(cell, key, block.image(row))?;
                    continue;
                }
                // Where every trusted row is kept, no mean is sought.
                let weight = margins.weight(margin);
                if weight > 0.0 && fills[cell as usize].herded < margins.trusted() {
                    spills.push_doubtful(cell, weight, block.image(row))?;
                }
            }
            Ok(())
        })?;
        let Some(spills) = spills else { return Ok(()) };
        let (trusted, doubtful) = (spills.trusted.finish()?, spills.doubtful.finish()?);
        let doubtful: BTreeMap<u32, CellRows<'_>> = doubtful.cells().collect();
        for (cell, rows) in trusted.cells() {
            (self.cancelled)()?;
            let keys = rows.positions()?;
            let quota = usize::try_from(fills[cell as usize].herded).unwrap_or(usize::MAX);
            for picked in herd_cell(&rows, doubtful.get(&cell), quota, self.budget)? {
                let (shard, row) = row_of_key(keys[picked]);
                kept.select(shard, row);
            }
        }
        Ok(())
    }

    fn spills(&self, dim: usize) -> Result<Spills> {
        let create = || {
            let directory = self.candidates.store.scratch_directory();
            CellSpill::create(&directory, dim, self.budget.bytes / 16)
        };
        Ok(Spills {
            trusted: create()?,
            doubtful: create()?,
            weighted: Vec::with_capacity(dim),
        })
    }
}

/// Cell, margin, shard and row of each row that has them.
fn each_margin(
    rows: &StoredRows<'_>,
    take: &mut dyn FnMut(u32, f32, usize, i64) -> Result<()>,
) -> Result<()> {
    rows.for_each(Sides::None, &mut |block| {
        for row in 0..block.rows.len() {
            let (cell, margin) = (block.along[0][row].to_bits(), block.along[1][row]);
            if cell != NO_CELL && !margin.is_nan() {
                take(cell, margin, block.shard, block.rows[row])?;
            }
        }
        Ok(())
    })
    .map(|_| ())
}

/// Embeddings in order of their cells.
struct Spills {
    /// Trusted rows, under their keys.
    trusted: CellSpill,
    /// The others that count, times their weights, under the bits of these.
    doubtful: CellSpill,
    weighted: Vec<f32>,
}

impl Spills {
    fn push_doubtful(&mut self, cell: u32, weight: f32, image: &[f32]) -> Result<()> {
        self.weighted.clear();
        self.weighted
            .extend(image.iter().map(|value| weight * value));
        self.doubtful
            .push(cell, weight.to_bits().into(), &self.weighted)
    }
}

/// The mean of trusted rows and of doubtful ones by their weights.
fn weighted_mean(
    trusted: &CellRows<'_>,
    doubtful: Option<&CellRows<'_>>,
    budget: Budget,
) -> Result<Vec<f32>> {
    let mut mean = mean_of_cell(trusted, budget)?;
    let Some(doubtful) = doubtful else {
        return Ok(mean);
    };
    let weights = doubtful.positions()?;
    let weight: f64 = weights
        .iter()
        .map(|&bits| f64::from(f32::from_bits(u32::try_from(bits).unwrap_or_default())))
        .sum();
    let (trusted, doubtful, rows) = (
        trusted.len() as f64,
        mean_of_cell(doubtful, budget)?,
        weights.len() as f64,
    );
    for (mean, weighted) in mean.iter_mut().zip(doubtful) {
        let sum = f64::from(*mean) * trusted + f64::from(weighted) * rows;
        #[expect(clippy::cast_possible_truncation, reason = "embeddings are f32")]
        let value = (sum / (trusted + weight)) as f32;
        *mean = value;
    }
    Ok(mean)
}

/// Picks `quota` trusted rows of a cell. A large one is cut into parts by turns, so that each is a sample of the whole.
fn herd_cell(
    cell: &CellRows<'_>,
    doubtful: Option<&CellRows<'_>>,
    quota: usize,
    budget: Budget,
) -> Result<Vec<usize>> {
    let (len, dim) = (cell.len(), cell.dim());
    if quota >= len {
        return Ok((0..len).collect());
    }
    let target = weighted_mean(cell, doubtful, budget)?;
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
