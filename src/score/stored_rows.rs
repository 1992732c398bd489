//! Stored embeddings and class labels, read along.

use std::collections::HashSet;

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{DataType, Float16Type, Float32Type, UInt32Type},
};
use clip_filter_vectors::normalise;
use half::slice::HalfFloatSliceExt;

use super::scratch::NO_CELL;
use crate::{
    error::{Error, Result},
    schema::{CLIP_SCORE, IMAGE_EMBEDDING, ScoreColumn, TEXT_EMBEDDING},
    selection::Selection,
    store::{ScoreCursor, ScoreRows, ScoreStore, ShardIdentity},
};

/// The rows that a store has of some shards, numbered through. Of two copies of a shard only the first counts.
pub(crate) struct StoredRows<'a> {
    store: &'a ScoreStore,
    /// Number in the set, and the shard.
    shards: Vec<(usize, &'a ShardIdentity)>,
    /// Rows that count; all good ones if none.
    considered: Option<&'a Selection>,
    /// Derived columns that are read along.
    along: Vec<ScoreColumn>,
}

/// Rows that a cursor gives at one time.
const STRETCH_ROWS: u64 = 8192;

/// Stored rows of one shard that follow each other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stretch {
    shard: usize,
    /// Number of the first in the shard.
    row: u64,
    /// Position of the first.
    position: u64,
    rows: u64,
}

impl Stretch {
    /// Position behind its last row, or further where a shard ends within it.
    pub(crate) fn end(&self) -> u64 {
        self.position + self.rows
    }
}

/// Which embeddings are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sides {
    None,
    Images,
    Texts,
    Both,
}

/// A stretch of stored rows of one shard, and those of them that count.
pub(crate) struct Block {
    /// Number of the shard in the set.
    pub(crate) shard: usize,
    /// Position of the first stored row.
    pub(crate) first: u64,
    /// Stored rows.
    pub(crate) len: usize,
    /// Offsets of the rows that count, from `first`.
    pub(crate) offsets: Vec<usize>,
    /// Their numbers in the shard.
    pub(crate) rows: Vec<i64>,
    /// Their `clip_score`.
    pub(crate) scores: Vec<f32>,
    /// Numbers per embedding.
    pub(crate) dim: usize,
    /// Unit embeddings of the rows that count.
    pub(crate) images: Vec<f32>,
    /// Unit embeddings of their captions.
    pub(crate) texts: Vec<f32>,
    /// The derived columns that are read along, NaN where they are null; cells by their bits.
    pub(crate) along: Vec<Vec<f32>>,
}

impl Block {
    pub(crate) fn positions(&self) -> impl Iterator<Item = u64> + '_ {
        self.offsets
            .iter()
            .map(|&offset| self.first + offset as u64)
    }

    pub(crate) fn image(&self, row: usize) -> &[f32] {
        &self.images[row * self.dim..(row + 1) * self.dim]
    }

    pub(crate) fn text(&self, row: usize) -> &[f32] {
        &self.texts[row * self.dim..(row + 1) * self.dim]
    }

    /// A number for each stored row, `none` for those that do not count.
    pub(crate) fn spread<T: Copy>(&self, values: &[T], none: T) -> Vec<T> {
        let mut all = vec![none; self.len];
        for (&offset, &value) in self.offsets.iter().zip(values) {
            all[offset] = value;
        }
        all
    }
}

impl<'a> StoredRows<'a> {
    pub(crate) fn new(
        store: &'a ScoreStore,
        shards: &'a [ShardIdentity],
        considered: Option<&'a Selection>,
    ) -> Self {
        let mut seen = HashSet::new();
        let mut first: Vec<(usize, &ShardIdentity)> = shards.iter().enumerate().collect();
        first.retain(|(_, shard)| seen.insert(shard.fingerprint.as_str()));
        Self {
            store,
            shards: first,
            considered,
            along: Vec::new(),
        }
    }

    /// Reads these columns along.
    pub(crate) fn along(mut self, columns: &[ScoreColumn]) -> Self {
        self.along = columns.to_vec();
        self
    }

    pub(crate) fn shards(&self) -> &[(usize, &'a ShardIdentity)] {
        &self.shards
    }

    /// Every stretch of rows in order; the number of stored rows.
    pub(crate) fn for_each(
        &self,
        sides: Sides,
        take: &mut dyn FnMut(&Block) -> Result<()>,
    ) -> Result<u64> {
        let mut position = 0;
        for (number, shard) in &self.shards {
            let mut cursor = self.cursor(shard, sides, 0)?;
            while let Some(rows) = cursor.advance()? {
                let block = self.block(*number, position, rows, sides)?;
                position += block.len as u64;
                take(&block)?;
            }
        }
        Ok(position)
    }

    /// Stretches that can be read on their own, in order.
    pub(crate) fn stretches(&self) -> Result<Vec<Stretch>> {
        let mut stretches = Vec::new();
        let mut position = 0;
        for (number, shard) in &self.shards {
            let scores = self.store.scores(shard)?;
            let rows = scores.rows().unwrap_or(0);
            let whole = if scores.is_dense() {
                STRETCH_ROWS
            } else {
                rows.max(1)
            };
            stretches.extend((0..rows.div_ceil(whole)).map(|stretch| Stretch {
                shard: *number,
                row: stretch * whole,
                position: position + stretch * whole,
                rows: whole,
            }));
            position += rows;
        }
        Ok(stretches)
    }

    /// The rows of some stretches, in the order of these.
    pub(crate) fn for_each_in(
        &self,
        sides: Sides,
        stretches: &[Stretch],
        take: &mut dyn FnMut(&Block) -> Result<()>,
    ) -> Result<()> {
        for stretch in stretches {
            let shard = self
                .shards
                .iter()
                .find(|(number, _)| *number == stretch.shard);
            let Some((_, shard)) = shard else { continue };
            let mut cursor = self.cursor(shard, sides, stretch.row)?;
            let mut done = 0;
            while done < stretch.rows
                && let Some(rows) = cursor.advance()?
            {
                let block = self.block(stretch.shard, stretch.position + done, rows, sides)?;
                done += block.len as u64;
                take(&block)?;
            }
        }
        Ok(())
    }

    fn cursor(&self, shard: &ShardIdentity, sides: Sides, first: u64) -> Result<ScoreCursor> {
        let mut columns = vec![CLIP_SCORE];
        if matches!(sides, Sides::Images | Sides::Both) {
            columns.push(IMAGE_EMBEDDING);
        }
        if matches!(sides, Sides::Texts | Sides::Both) {
            columns.push(TEXT_EMBEDDING);
        }
        columns.extend(self.along.iter().map(|column| column.name()));
        self.store.scores(shard)?.cursor(&columns, first)
    }

    fn block(&self, shard: usize, first: u64, rows: &ScoreRows, sides: Sides) -> Result<Block> {
        let scores = rows.columns[0].as_primitive::<Float32Type>();
        let counts = |offset: &usize| {
            let considered = |rows_that_count: &Selection| {
                usize::try_from(rows.row(*offset))
                    .is_ok_and(|row| rows_that_count.contains(shard, row))
            };
            scores.is_valid(*offset) && self.considered.is_none_or(considered)
        };
        let offsets: Vec<usize> = (0..rows.len()).filter(counts).collect();
        let mut columns = rows.columns[1..].iter();
        let mut embeddings = |wanted: bool| match wanted.then(|| columns.next()).flatten() {
            Some(column) => unit_rows(column, &offsets),
            None => Ok((0, Vec::new())),
        };
        let (image_dim, images) = embeddings(matches!(sides, Sides::Images | Sides::Both))?;
        let (text_dim, texts) = embeddings(matches!(sides, Sides::Texts | Sides::Both))?;
        let along = columns.map(|column| numbers(column, &offsets)).collect();
        Ok(Block {
            shard,
            first,
            len: rows.len(),
            rows: offsets.iter().map(|&offset| rows.row(offset)).collect(),
            scores: offsets.iter().map(|&offset| scores.value(offset)).collect(),
            dim: image_dim.max(text_dim),
            offsets,
            images,
            texts,
            along,
        })
    }
}

/// A derived column at some rows.
fn numbers(column: &ArrayRef, offsets: &[usize]) -> Vec<f32> {
    if let Some(values) = column.as_primitive_opt::<Float32Type>() {
        let value = |offset: usize| match values.is_valid(offset) {
            true => values.value(offset),
            false => f32::NAN,
        };
        return offsets.iter().map(|&offset| value(offset)).collect();
    }
    let cells = column.as_primitive::<UInt32Type>();
    let cell = |offset: usize| match cells.is_valid(offset) {
        true => cells.value(offset),
        false => NO_CELL,
    };
    offsets
        .iter()
        .map(|&offset| f32::from_bits(cell(offset)))
        .collect()
}

/// The embeddings of some rows, and their length. Half precision is brought back to length one.
fn unit_rows(column: &ArrayRef, offsets: &[usize]) -> Result<(usize, Vec<f32>)> {
    let damaged =
        || Error::input("read the embeddings of the score store: rows have other lengths");
    let list = column.as_list_opt::<i32>().ok_or_else(damaged)?;
    let Some(&first) = offsets.first() else {
        return Ok((0, Vec::new()));
    };
    let dim = usize::try_from(list.value_length(first)).map_err(|_| damaged())?;
    let mut values = Vec::with_capacity(offsets.len() * dim);
    let starts = list.value_offsets();
    for &offset in offsets {
        let start = usize::try_from(starts[offset]).map_err(|_| damaged())?;
        if list.is_null(offset) || usize::try_from(list.value_length(offset)) != Ok(dim) {
            return Err(damaged());
        }
        match list.values().data_type() {
            DataType::Float16 => {
                let halves = list.values().as_primitive::<Float16Type>().values();
                let end = values.len();
                values.resize(end + dim, 0.0);
                halves[start..start + dim].convert_to_f32_slice(&mut values[end..]);
            }
            _ => {
                let floats = list.values().as_primitive_opt::<Float32Type>();
                let floats = floats.ok_or_else(damaged)?.values();
                values.extend_from_slice(&floats[start..start + dim]);
            }
        }
    }
    if list.values().data_type() == &DataType::Float16 {
        normalise(&mut values, dim);
    }
    Ok((dim, values))
}
