//! One pass over embeddings: scores of rows, and rows put in order of their cells for the scores within these.

use std::collections::HashMap;

use super::{
    Deriving,
    cell_file::CellSpill,
    cell_scores::CellScorer,
    fold_adapters::adapted,
    publish::DerivedValues,
    reference::Reference,
    row_scores::{Pool, RowScorer, Target, Texts},
    scratch::{NO_CELL, ScratchColumn},
    stored_rows::{Block, Sides, StoredRows},
};
use crate::{
    error::{Error, Result},
    schema::{Made, ScoreColumn, Side},
};

impl Deriving<'_> {
    pub(super) fn score_rows(
        &self,
        rows: &StoredRows<'_>,
        missing: &[ScoreColumn],
        reference: &Reference,
        columns: &mut DerivedValues,
    ) -> Result<()> {
        let fitted = reference.adapters.as_ref();
        let adapters = fitted.map(|fitted| &fitted.adapters);
        let threads = self.budget.threads;
        let scored = adapters.and_then(|adapters| adapters.class_scores());
        let texts = match &reference.classes {
            Some(groups) if let Some(scores) = scored => {
                let places: HashMap<_, _> = scores.names.iter().zip(0..).collect();
                let places = groups.names.iter().map(|name| places.get(name).copied());
                Texts::Scored(places.collect())
            }
            None if scored.is_some() => return Err(of_classes()),
            Some(_) => {
                let texts = &reference.class_texts;
                let changed = adapted(adapters, Side::Text, texts, threads)?;
                Texts::Classes(changed.unwrap_or_else(|| texts.clone()))
            }
            None if missing.contains(&ScoreColumn::SAS_MARGIN) => {
                Texts::Captions(self.caption_pool(rows, adapters)?)
            }
            None => Texts::Captions(Pool::default()),
        };
        let target = match &self.options.target {
            Some(path) => Some(Target::read(path, self.dim())?),
            None => None,
        };
        let knows_cells = columns.contains_key(&ScoreColumn::CELL);
        let scorer = RowScorer {
            wanted: missing,
            fitted,
            texts,
            centroids: reference.centres.as_ref(),
            assigns_cells: reference.classes.is_none() && !knows_cells,
            target: target.as_ref(),
            threads,
        };
        let made = |how: Made| {
            missing
                .iter()
                .copied()
                .filter(move |column| column.made() == how)
        };
        for column in made(Made::Row) {
            columns.insert(column, ScratchColumn::create(&self.directory())?);
        }
        let wants_sds = missing.contains(&ScoreColumn::SDS);
        // Rows are compared as they are stored, but for that one.
        let wants_others = made(Made::Cell).any(|column| column != ScoreColumn::SDS);
        let spill = || CellSpill::create(&self.directory(), self.dim(), self.budget.bytes / 8);
        let mut diverse = wants_sds.then(spill).transpose()?;
        let mut others = wants_others.then(spill).transpose()?;
        let sides = match reference.classes {
            Some(_) => Sides::Images,
            None => Sides::Both,
        };
        let stored = rows.for_each(sides, &mut |block| {
            (self.cancelled)()?;
            (self.step)(format!("scoring embeddings: row {}", block.first));
            let classes = classes_of(block, reference)?;
            let scored = scorer.score(block, classes.as_deref())?;
            for (name, column) in columns.iter_mut() {
                if let Some(values) = scored.columns.get(name) {
                    column.append(&block.spread(values, f32::NAN))?;
                }
            }
            let stored = block.first..block.first + block.len as u64;
            let cells = match (scored.cells, columns.get_mut(&ScoreColumn::CELL)) {
                (Some(cells), Some(column)) if !knows_cells => {
                    column.append_cells(&block.spread(&cells, NO_CELL))?;
                    cells
                }
                (Some(cells), _) => cells,
                (None, Some(column)) => {
                    let all = column.read_cells(stored)?;
                    block.offsets.iter().map(|&offset| all[offset]).collect()
                }
                (None, None) => return Ok(()),
            };
            for (row, (position, &cell)) in block.positions().zip(&cells).enumerate() {
                if cell == NO_CELL {
                    continue;
                }
                if let Some(spill) = &mut diverse {
                    let adapted = scored.adapted.as_ref();
                    let adapted = adapted.map(|all| &all[row * block.dim..(row + 1) * block.dim]);
                    spill.push(cell, position, adapted.unwrap_or_else(|| block.image(row)))?;
                }
                if let Some(spill) = &mut others {
                    spill.push(cell, position, block.image(row))?;
                }
            }
            Ok(())
        })?;
        for column in made(Made::Cell) {
            columns.insert(column, self.empty_column(stored)?);
        }
        let scorer = CellScorer {
            wanted: missing,
            neighbours: self.options.neighbours,
            budget: self.budget,
            step: self.step,
            cancelled: self.cancelled,
        };
        let mut give = |name: ScoreColumn, positions: &[u64], values: &[f32]| {
            let Some(column) = columns.get(&name) else {
                return Ok(());
            };
            let mut set = positions.iter().zip(values);
            set.try_for_each(|(&position, &value)| column.set(position, value))
        };
        if let Some(spill) = diverse {
            scorer.diversity(&spill.finish()?, &mut give)?;
        }
        if let Some(spill) = others {
            scorer.others(&spill.finish()?, &mut give)?;
        }
        Ok(())
    }

    /// A column of `rows` rows that have no number.
    fn empty_column(&self, rows: u64) -> Result<ScratchColumn> {
        const BLOCK: u64 = 1 << 16;
        let mut column = ScratchColumn::create(&self.directory())?;
        let mut left = rows;
        while left > 0 {
            let some = left.min(BLOCK);
            column.append(&vec![f32::NAN; usize::try_from(some).unwrap_or(0)])?;
            left -= some;
        }
        Ok(column)
    }
}

fn of_classes() -> Error {
    Error::input("use the adapters: they were fitted to classes, and the pairs have captions")
        .hint("--label-column names the column of classes; --adapt fits adapters to captions")
}

/// The classes of the rows of a block that count.
fn classes_of(block: &Block, reference: &Reference) -> Result<Option<Vec<u32>>> {
    let Some(groups) = &reference.classes else {
        return Ok(None);
    };
    let all = groups
        .of_rows
        .read_cells(block.first..block.first + block.len as u64)?;
    Ok(Some(
        block.offsets.iter().map(|&offset| all[offset]).collect(),
    ))
}
