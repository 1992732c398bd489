//! Stored embeddings and class labels, read along.

use std::collections::HashSet;

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{DataType, Float16Type, Float32Type},
};
use clip_filter_vectors::normalise;

use crate::{
    error::{Error, Result},
    schema::{CLIP_SCORE, IMAGE_EMBEDDING, TEXT_EMBEDDING},
    select::Selection,
    store::{ScoreCursor, ScoreRows, ScoreStore, ShardIdentity},
};

/// The rows that a store has of some shards, numbered through. Of two copies of a shard only the first counts.
pub(super) struct StoredRows<'a> {
    store: &'a ScoreStore,
    /// Number in the set, and the shard.
    shards: Vec<(usize, &'a ShardIdentity)>,
    /// Rows that count; all good ones if none.
    considered: Option<&'a Selection>,
}

/// Which embeddings are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sides {
    None,
    Images,
    Texts,
    Both,
}

/// A stretch of stored rows of one shard, and those of them that count.
pub(super) struct Block {
    /// Number of the shard in the set.
    pub(super) shard: usize,
    /// Position of the first stored row.
    pub(super) first: u64,
    /// Stored rows.
    pub(super) len: usize,
    /// Offsets of the rows that count, from `first`.
    pub(super) offsets: Vec<usize>,
    /// Their numbers in the shard.
    pub(super) rows: Vec<i64>,
    /// Their `clip_score`.
    pub(super) scores: Vec<f32>,
    /// Numbers per embedding.
    pub(super) dim: usize,
    /// Unit embeddings of the rows that count.
    pub(super) images: Vec<f32>,
    /// Unit embeddings of their captions.
    pub(super) texts: Vec<f32>,
}

impl Block {
    pub(super) fn positions(&self) -> impl Iterator<Item = u64> + '_ {
        self.offsets.iter().map(|&offset| self.first + offset as u64)
    }

    pub(super) fn image(&self, row: usize) -> &[f32] {
        &self.images[row * self.dim..(row + 1) * self.dim]
    }

    pub(super) fn text(&self, row: usize) -> &[f32] {
        &self.texts[row * self.dim..(row + 1) * self.dim]
    }

    /// A number for each stored row, `none` for those that do not count.
    pub(super) fn spread<T: Copy>(&self, values: &[T], none: T) -> Vec<T> {
        let mut all = vec![none; self.len];
        for (&offset, &value) in self.offsets.iter().zip(values) {
            all[offset] = value;
        }
        all
    }
}

impl<'a> StoredRows<'a> {
    pub(super) fn new(
        store: &'a ScoreStore,
        shards: &'a [ShardIdentity],
        considered: Option<&'a Selection>,
    ) -> Self {
        let mut seen = HashSet::new();
        let first = |(_, shard): &(usize, &ShardIdentity)| seen.insert(&shard.fingerprint);
        Self {
            store,
            shards: shards.iter().enumerate().filter(first).collect(),
            considered,
        }
    }

    pub(super) fn shards(&self) -> &[(usize, &'a ShardIdentity)] {
        &self.shards
    }

    /// Every stretch of rows in order; the number of stored rows.
    pub(super) fn for_each(
        &self,
        sides: Sides,
        take: &mut dyn FnMut(&Block) -> Result<()>,
    ) -> Result<u64> {
        let mut position = 0;
        for (number, shard) in &self.shards {
            let mut cursor = self.cursor(shard, sides)?;
            while let Some(rows) = cursor.advance()? {
                let block = self.block(*number, position, rows, sides)?;
                position += block.len as u64;
                take(&block)?;
            }
        }
        Ok(position)
    }

    fn cursor(&self, shard: &ShardIdentity, sides: Sides) -> Result<ScoreCursor> {
        let mut columns = vec![CLIP_SCORE];
        if matches!(sides, Sides::Images | Sides::Both) {
            columns.push(IMAGE_EMBEDDING);
        }
        if matches!(sides, Sides::Texts | Sides::Both) {
            columns.push(TEXT_EMBEDDING);
        }
        self.store.scores(shard)?.cursor(&columns, 0)
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
        let mut sides_read = rows.columns[1..].iter();
        let mut read = |wanted: bool| match (wanted, sides_read.next()) {
            (true, Some(column)) => unit_rows(column, &offsets),
            _ => Ok((0, Vec::new())),
        };
        let (image_dim, images) = read(matches!(sides, Sides::Images | Sides::Both))?;
        let (text_dim, texts) = match sides {
            Sides::Texts => unit_rows(&rows.columns[1], &offsets)?,
            sides => read(sides == Sides::Both)?,
        };
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
        })
    }
}

/// The embeddings of some rows, and their length. Half precision is brought back to length one.
fn unit_rows(column: &ArrayRef, offsets: &[usize]) -> Result<(usize, Vec<f32>)> {
    let damaged = || Error::input("read the embeddings of the score store: rows have other lengths");
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
                values.extend(halves[start..start + dim].iter().map(|half| half.to_f32()));
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
