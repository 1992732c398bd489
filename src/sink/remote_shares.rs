//! Shares of outputs in object stores: uploads that are not completed, noted in objects below `out.parts/`.

use super::{
    Destination, Existing, LeftShare, Pending, RemoteCommit, SharedOutputs,
    local_shares::replace,
    shares::{record_name, run_name},
    uploads::{Token, forget, seal},
};
use crate::{
    config::Share,
    error::{Error, Result},
    remote::{Object, Put},
};

/// Behind the name of a directory: what its shares have left.
const PARTS: &str = ".parts";

impl RemoteCommit {
    fn records(&self, destination: &Destination) -> Result<Object> {
        let directory = self.object(destination)?;
        self.stores.object(&format!("{}{PARTS}", directory.url()))
    }

    fn record(&self, share: &LeftShare) -> Result<Object> {
        let records = self.records(&share.pending.destination)?;
        let (run, name) = (share.facts.run(), record_name(share.facts.share));
        records.child(&format!("{run}/{name}"))
    }

    /// Forgets what other runs have left, and what was left of this share.
    pub(super) fn make_room(
        &self,
        destination: &Destination,
        identity: &str,
        share: Share,
    ) -> Result<()> {
        for (object, left) in self.left_at(destination)? {
            let is_ours = left.facts.run() == run_name(identity, share);
            if is_ours && left.facts.share != share {
                continue;
            }
            object.remove()?;
            for part in &left.pending.parts {
                seal(part)?.upload.abort(&self.stores.object(&part.name)?);
            }
        }
        Ok(())
    }

    fn left_at(&self, destination: &Destination) -> Result<Vec<(Object, LeftShare)>> {
        let mut left = Vec::new();
        for facts in self.records(destination)?.below()? {
            let object = self.stores.object(&facts.url)?;
            let Some((bytes, _)) = object.read_all()? else {
                continue;
            };
            if let Ok(share) = serde_json::from_slice(&bytes) {
                left.push((object, share));
            }
        }
        Ok(left)
    }
}

impl SharedOutputs for RemoteCommit {
    fn leave(&self, share: &LeftShare) -> Result<()> {
        let bytes = serde_json::to_vec(share)
            .map_err(|error| Error::internal("note a share").source(error))?;
        if !self.record(share)?.put(bytes, Put::IfNew)? {
            // Another attempt at the same share was faster.
            for part in &share.pending.parts {
                seal(part)?.upload.abort(&self.stores.object(&part.name)?);
            }
        }
        forget(&share.pending);
        Ok(())
    }

    fn left(&self, destination: &Destination) -> Result<Vec<LeftShare>> {
        let left = self.left_at(destination)?.into_iter();
        Ok(left.map(|(_, share)| share).collect())
    }

    fn gather(&self, destination: &Destination, shares: &[LeftShare]) -> Result<Pending> {
        let parts = shares.iter().flat_map(|share| share.pending.parts.iter());
        let mut parts: Vec<_> = parts.cloned().collect();
        parts.sort_by_key(|part| part.number);
        let token = Token {
            name: shares.first().map_or_else(String::new, |it| it.facts.run()),
            notes: None,
        };
        let existing = Existing::when(replace(shares));
        let directory = self.object(destination)?;
        let (version, mut manifest) = self.manifest(&directory)?;
        if version.is_some() || existing == Existing::Kept {
            // What runs that were killed have completed.
            manifest.parts.extend(
                parts
                    .iter()
                    .map(|part| directory.name_within(&part.name).to_owned()),
            );
            for left in Self::unnamed(&directory, &manifest)? {
                left.remove()?;
            }
        }
        Ok(Pending {
            destination: destination.clone(),
            existing,
            token: token.noted()?,
            parts,
        })
    }

    fn clear(&self, destination: &Destination) -> Result<()> {
        for (object, _) in self.left_at(destination)? {
            object.remove()?;
        }
        Ok(())
    }

    fn is_complete(&self, destination: &Destination) -> Result<bool> {
        let directory = self.object(destination)?;
        let (version, _) = self.manifest(&directory)?;
        Ok(version.is_some() && self.is_marked(&directory)?)
    }
}
