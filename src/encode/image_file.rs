//! Images in files of their own, whose bytes take room among the decoders'.

use super::{decode_worker::Undecoded, gate::Permit, pool::Shared};
use crate::{
    config::ByteSize,
    error::Error,
    preprocess::{ImageFacts, ImageFile},
};

/// A file that was read, and the room it takes.
pub(super) struct LoadedFile<'a> {
    found: ImageFile<'a>,
    bytes: Vec<u8>,
    room: Option<Permit<'a>>,
    shared: &'a Shared,
}

impl<'a> LoadedFile<'a> {
    /// Reads `found` once there is room for it.
    pub(super) fn read(shared: &'a Shared, found: ImageFile<'a>) -> Result<Self, Undecoded> {
        let mut file = Self {
            found,
            bytes: Vec::new(),
            room: None,
            shared,
        };
        file.fill(None)?;
        Ok(file)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Takes the room to decode too. Where that is not free now the file gives way and is read again, since decoders
    /// that hold files and wait for each other would wait for ever.
    pub(super) fn make_room(&mut self, facts: &ImageFacts) -> Result<(), Undecoded> {
        let more = facts.working_bytes();
        match self.room.as_mut().is_some_and(|room| room.widen(more)) {
            true => Ok(()),
            false => self.fill(Some(facts)),
        }
    }

    fn fill(&mut self, facts: Option<&ImageFacts>) -> Result<(), Undecoded> {
        (self.bytes, self.room) = (Vec::new(), None);
        let needed = self.found.bytes + facts.map_or(0, ImageFacts::working_bytes);
        let room = room(self.shared, needed, facts);
        self.room = Some(room.map_err(|refused| refused.with("file", self.found.name))?);
        let read = self.found.read();
        self.bytes = read.map_err(|fault| Undecoded::Bad(fault, None))?;
        Ok(())
    }
}

/// Waits for room for `needed` bytes of an image. Whether a row is good must not depend on the memory of a machine,
/// so a run ends where there can never be room.
pub(super) fn room<'a>(
    shared: &'a Shared,
    needed: u64,
    facts: Option<&ImageFacts>,
) -> Result<Permit<'a>, Undecoded> {
    let permit = shared.gate.acquire(needed, &shared.counters);
    permit.ok_or_else(|| Undecoded::Refused(too_large(shared.options.decode_bytes, needed, facts)))
}

fn too_large(share: u64, needed: u64, facts: Option<&ImageFacts>) -> Error {
    let error = Error::resources("decode an image within the memory limit")
        .with("needs", ByteSize(needed))
        .with("left for images", ByteSize(share));
    let Some(facts) = facts else {
        return error.hint("a larger --memory-limit");
    };
    let (width, height) = (u64::from(facts.width), u64::from(facts.height));
    error
        .with("image", format!("{width} x {height} pixels"))
        .hint(format!(
            "a larger --memory-limit, or --max-pixels {}, by which such images are bad rows on every machine",
            (width * height).saturating_sub(1)
        ))
}
