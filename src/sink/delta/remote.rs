//! Tables of object stores: parts are uploads below the table's folder, completed when the run is over; the entry in the
//! log is put on the condition that nobody else has put one of its number.

use std::sync::Arc;

use super::{DeltaCommit, FileFacts, holds_others, is_committed, is_own, name_in_table, no_folder};
use crate::{
    contention::random_name,
    delta::{TablePlace, WriteMode},
    error::{Error, Result},
    remote::{Object, ObjectStores, UPLOAD_BYTES},
    sink::{
        Commit, Destination, Fate, OutputPath, Owner, Part, PartPlace, Pending, Placement,
        commit::PARQUET,
        uploads::{RemotePart, Token, complete, forget, notes_of, seal, take_back, token},
    },
};

/// Put there and removed to find out whether the store heeds conditions. Whoever tries next removes what a killed writer has
/// left; readers of tables pass over the name.
const PROBE: &str = "_clip-filter-probe";

/// Commits outputs to tables of object stores.
#[derive(Debug)]
pub struct RemoteDeltaCommit {
    table: DeltaCommit,
    stores: Arc<ObjectStores>,
}

impl RemoteDeltaCommit {
    /// What becomes of the rows that a table has is `mode`.
    pub fn new(mode: WriteMode, stores: Arc<ObjectStores>) -> Self {
        Self {
            table: DeltaCommit::new(mode),
            stores,
        }
    }

    fn folder(&self, destination: &Destination) -> Result<(Object, TablePlace)> {
        match (destination, destination.path()) {
            (Destination::Directory(_), OutputPath::Url(url)) => Ok((
                self.stores.object(url)?,
                TablePlace::remote(url, &self.stores),
            )),
            (Destination::File(_), _) => Err(no_folder(destination)),
            (_, OutputPath::Local(_)) => Err(Error::internal(
                "write a table of a disk to an object store",
            )),
        }
    }
}

impl Commit for RemoteDeltaCommit {
    fn check(&self, placement: &Placement<'_>, inputs: &[OutputPath]) -> Result<()> {
        let destination = placement.destination;
        let (folder, place) = self.folder(destination)?;
        folder.check_writable()?;
        if let Some(input) = inputs
            .iter()
            .find(|input| input.is_within(destination.path()))
        {
            return Err(Error::usage("write the output over an input")
                .with("output", destination)
                .with("input", input)
                .hint("give the output another name"));
        }
        let probe = folder.child(PROBE)?;
        if !probe.honours_conditions()? {
            return Err(Error::output(
                "write to a Delta table: this object store ignores conditions (If-None-Match), so nothing would keep two writers from undoing each other's commits",
            )
            .with("table", &place)
            .hint("write the table to a local path, or to a store that heeds conditions, as S3, GCS and Azure do"));
        }
        if place.is_table()? {
            return self.table.check_mode(&place, placement.owner);
        }
        match folder.names_below()?.into_iter().find(|name| !is_own(name)) {
            None => Ok(()),
            Some(file) => Err(holds_others(&place, file)),
        }
    }

    fn stage(&self, placement: &Placement<'_>) -> Result<Pending> {
        let (folder, place) = self.folder(placement.destination)?;
        let (name, notes) = match placement.owner {
            Owner::Run {
                identity, notes, ..
            }
            | Owner::Share {
                identity, notes, ..
            } => {
                let notes = notes.map(|notes| notes_of(notes, &folder));
                (self.table.token(identity), notes)
            }
            Owner::Process => (format!("process-{}", std::process::id()), None),
        };
        if let Some(notes) = &notes {
            let left = take_back(&self.stores, notes)?;
            // Parts that a killed run has completed and that no log names.
            if !left.is_empty() && !is_committed(&place, &name)? {
                for part in left {
                    part.remove()?;
                }
            }
        }
        Ok(Pending {
            destination: placement.destination.clone(),
            existing: placement.existing,
            token: Token { name, notes }.noted()?,
            parts: Vec::new(),
        })
    }

    fn part(&self, pending: &Pending, place: PartPlace<'_>) -> Result<Box<dyn Part>> {
        let (folder, _) = self.folder(&pending.destination)?;
        let token = token(pending)?;
        // A name of its own: another process that does the same run must not write over a part that is in the log.
        let within = name_in_table(&place, &token.name);
        let (stem, ending) = within.rsplit_once('.').unwrap_or((&within, PARQUET));
        let object = folder.child(&format!("{stem}-{}.{ending}", random_name()))?;
        let part = RemotePart::begin(&object, place.number, token.notes.as_deref())?;
        Ok(Box::new(part))
    }

    fn part_bytes(&self) -> u64 {
        UPLOAD_BYTES
    }

    fn finish(&self, pending: &Pending) -> Result<()> {
        let (folder, place) = self.folder(&pending.destination)?;
        let name = token(pending)?.name;
        if is_committed(&place, &name)? {
            // By this run before it was killed, or by one like it, whose parts have the same names and rows.
            for part in &pending.parts {
                seal(part)?.upload.abort(&self.stores.object(&part.name)?);
            }
        } else {
            let mut parts = Vec::with_capacity(pending.parts.len());
            for part in &pending.parts {
                complete(&self.stores.object(&part.name)?, &seal(part)?)?;
                parts.push(folder.name_within(&part.name).to_owned());
            }
            self.table.commit(&place, &name, &parts, |part| {
                let facts = folder.child(part)?.facts()?;
                let facts = facts.ok_or_else(|| {
                    Error::output("commit to a Delta table: what was written is gone")
                        .with("table", &place)
                        .with("file", part)
                        .hint("run it again")
                })?;
                Ok(FileFacts {
                    size_bytes: facts.size_bytes,
                    written_millis: facts.written_millis,
                })
            })?;
        }
        forget(pending);
        Ok(())
    }

    fn fate(&self, pending: &Pending) -> Result<Fate> {
        let (_, place) = self.folder(&pending.destination)?;
        let token = token(pending)?;
        // Uploads of a run whose rows the table has had before are ended by finishing.
        let has_uploads = token.notes.as_ref().is_some_and(|notes| notes.exists());
        Ok(match !has_uploads && is_committed(&place, &token.name)? {
            true => Fate::Visible,
            false => Fate::Staged,
        })
    }

    fn abort(&self, pending: &Pending) {
        let (Ok((_, place)), Ok(token)) = (self.folder(&pending.destination), token(pending))
        else {
            return;
        };
        let is_committed = is_committed(&place, &token.name).unwrap_or(true);
        for part in &pending.parts {
            if let (Ok(object), Ok(seal)) = (self.stores.object(&part.name), seal(part)) {
                seal.upload.abort(&object);
                if !is_committed {
                    let _ = object.remove();
                }
            }
        }
        forget(pending);
    }
}
