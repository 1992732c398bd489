//! A page that is handed on part by part.

use parquet::{basic::Encoding, column::page::Page, errors::ParquetError};

use super::{
    buffer::Room,
    chunk::ChunkFacts,
    hybrid::{Hybrid, Runs, level_width},
    values::Values,
    wanted::Wanted,
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
    /// As many of the values that are left as fill a part. Of rows that nobody will read, the first of which is `row`,
    /// there is something as short as can be.
    pub(super) fn part(
        &mut self,
        chunk: &ChunkFacts,
        row: u64,
        wanted: Option<&mut Wanted>,
    ) -> Result<Page, ParquetError> {
        let mut wanted = wanted;
        let page_end = row + u64::from(self.left);
        let room = usize::try_from(chunk.sizes.part_bytes).unwrap_or(usize::MAX);
        // No more than all that is left, where that is known.
        let usual = self.values.left().map_or(room, |left| room.min(left)) + (room >> 3);
        let mut bytes = chunk.free.take(LEVELS_ROOM + usual);
        bytes.room(LEVELS_ROOM)?;
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
            let at = row + u64::from(count);
            let next = match &mut wanted {
                Some(wanted) => wanted.from(at).unwrap_or(page_end),
                None => at,
            };
            if level == highest {
                match next {
                    next if next == at => self.values.append_next(&mut bytes)?,
                    next if next < page_end => self.values.pass_next(&mut bytes)?,
                    _ => self.values.append_nothing(&mut bytes)?,
                }
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
            buf: bytes.freeze(LEVELS_ROOM, &levels),
            num_values: count,
            encoding: Encoding::PLAIN,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        })
    }
}
