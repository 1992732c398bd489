//! A page that is handed on part by part.

use bytes::Bytes;
use parquet::{basic::Encoding, column::page::Page, errors::ParquetError};

use super::{
    chunk::ChunkFacts,
    hybrid::{Hybrid, Runs, level_width},
    values::Values,
};

/// Most values in a part: of nulls it has no bytes.
const PART_VALUES: u32 = 1 << 20;
/// Left free before the values of a part, for levels that hardly ever take more.
const LEVELS_ROOM: usize = 64;

/// A page of which parts are still to come.
pub(super) struct OpenPage {
    /// Values, and nulls among them.
    pub(super) left: u32,
    pub(super) repetition: Option<Hybrid>,
    pub(super) definition: Option<Hybrid>,
    pub(super) values: Values,
}

impl OpenPage {
    /// As many of the values that are left as fill a part.
    pub(super) fn part(&mut self, chunk: &ChunkFacts) -> Result<Page, ParquetError> {
        let room = usize::try_from(chunk.sizes.part_bytes).unwrap_or(usize::MAX);
        let mut bytes = Vec::with_capacity(LEVELS_ROOM + room + (room >> 3));
        bytes.resize(LEVELS_ROOM, 0);
        let highest = [chunk.repetition, chunk.definition].map(level_width);
        let [mut repetition, mut definition] = highest.map(Runs::new);
        let highest = u32::from(chunk.definition.unsigned_abs());
        let mut count = 0;
        while self.left > 0 && count < PART_VALUES && bytes.len() < room {
            if let Some(levels) = &mut self.repetition {
                repetition.push(levels.next()?);
            }
            let mut level = highest;
            if let Some(levels) = &mut self.definition {
                level = levels.next()?;
                definition.push(level);
            }
            if level == highest {
                self.values.append_next(&mut bytes)?;
            }
            self.left -= 1;
            count += 1;
        }
        let levels = [
            self.repetition.is_some().then(|| repetition.finish()),
            self.definition.is_some().then(|| definition.finish()),
        ];
        let levels = levels.into_iter().flatten().collect::<Vec<_>>().concat();
        Ok(Page::DataPage {
            buf: joined(&levels, bytes),
            num_values: count,
            encoding: Encoding::PLAIN,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        })
    }
}

/// Levels before the values that lie behind [`LEVELS_ROOM`] in `bytes`.
fn joined(levels: &[u8], mut bytes: Vec<u8>) -> Bytes {
    match LEVELS_ROOM.checked_sub(levels.len()) {
        Some(from) => {
            bytes[from..LEVELS_ROOM].copy_from_slice(levels);
            Bytes::from(bytes).slice(from..)
        }
        None => [levels, &bytes[LEVELS_ROOM..]].concat().into(),
    }
}
