//! A store in an object store: its blobs, who scores what, and who keeps state.

use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};

use super::{
    blobs::{BlobFile, Blobs, ChangeBlob, Durability, WriteBlob},
    claims::{Claim, Claims},
    leases::{Lease, RemoteClaims, TERMS},
    names::{self, STATE, UPLOADS},
    uploads::{BlobWriter, take_back},
};
use crate::{
    contention::{pause, random_name},
    error::{Error, Result},
    remote::{Object, ObjectStores, Put},
    source::{Listed, Place, RemoteFiles, ShardBytes},
};

/// How names of objects begin by which it is found out whether the store heeds conditions.
const PROBE: &str = "probe-";

/// How often a small blob is changed anew because others have changed it meanwhile.
const CHANGES: u32 = 300;
/// The first pause before that, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// A look at the claim on the state.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);
/// Held by who computes from the store.
const STATE_CLAIM: &str = "state/lock";

/// A folder of an object store.
#[derive(Debug, Clone)]
pub(super) struct RemoteStore {
    blobs: Arc<RemoteBlobs>,
}

impl RemoteStore {
    /// The store at `url`, whether or not anything is there.
    pub(super) fn open(stores: &Arc<ObjectStores>, url: &str) -> Result<Self> {
        let root = stores.object(url)?;
        if let Some(why) = root.read_only() {
            return Err(Error::usage(format!("keep a score store there: {why}"))
                .with("store", crate::secrets::without_credentials(url))
                .hint("keep it in a local directory, s3://, gs:// or az://"));
        }
        Ok(Self {
            blobs: Arc::new(RemoteBlobs::new(root, stores)),
        })
    }

    pub(super) fn blobs(&self) -> Arc<dyn Blobs> {
        Arc::clone(&self.blobs) as _
    }

    pub(super) fn claims(&self) -> Arc<dyn Claims> {
        Arc::new(RemoteClaims::new(Arc::clone(&self.blobs), TERMS))
    }

    /// Its blobs, if several processes may change them; what the dead have left of uploads is taken back.
    pub(super) fn writable(&self) -> Result<Arc<dyn Blobs>> {
        let root = &self.blobs.root;
        root.check_writable()?;
        for left in self.blobs.below(STATE)? {
            if left.starts_with(PROBE) {
                self.blobs.object(&format!("{STATE}/{left}"))?.remove()?;
            }
        }
        let probe = self
            .blobs
            .object(&format!("{STATE}/{PROBE}{}", random_name()))?;
        if !probe.honours_conditions()? {
            return Err(Error::output(
                "write to the score store: this object store ignores conditions (If-None-Match), so nothing would keep two processes from undoing each other's work",
            )
            .with("store", crate::secrets::without_credentials(root.url()))
            .hint("keep the scores in a local directory, or in a store that heeds conditions, as S3, GCS and Azure do"));
        }
        self.blobs.take_back_finished()?;
        Ok(self.blobs())
    }

    /// Claims the state; waits for the claim of one who is dead to end.
    pub(super) fn claim_state(&self) -> Result<Box<dyn Claim>> {
        let object = self.blobs.object(STATE_CLAIM)?;
        loop {
            if let Some(lease) = Lease::take(&object, TERMS)? {
                return Ok(Box::new(lease));
            }
            self.wait_for_state()?;
        }
    }

    /// Waits until nobody has the state; whoever lives and has it is not waited for.
    pub(super) fn wait_for_state(&self) -> Result<()> {
        let object = self.blobs.object(STATE_CLAIM)?;
        let mut first = None;
        while let Some(held) = Lease::held(&object)? {
            if held.lives || *first.get_or_insert(held.until_ms) != held.until_ms {
                return Err(
                    Error::output("lock the score store: another process uses it")
                        .with(
                            "store",
                            crate::secrets::without_credentials(self.blobs.root.url()),
                        )
                        .hint("wait until it has ended, or use another store"),
                );
            }
            std::thread::sleep(BETWEEN_LOOKS);
        }
        Ok(())
    }

    pub(super) fn is_state_claimed(&self) -> bool {
        let object = self.blobs.object(STATE_CLAIM);
        object.is_ok_and(|object| matches!(Lease::held(&object), Ok(Some(_))))
    }
}

/// Objects below one. Nothing of an object is seen before it is whole.
#[derive(Debug)]
pub(super) struct RemoteBlobs {
    root: Object,
    files: RemoteFiles,
}

impl RemoteBlobs {
    fn new(root: Object, stores: &Arc<ObjectStores>) -> Self {
        Self {
            root,
            files: RemoteFiles::new(Arc::clone(stores)),
        }
    }

    /// Where a name leads: never out of the store, whatever a manifest made up by somebody calls a shard.
    pub(super) fn object(&self, name: &str) -> Result<Object> {
        let inside = names::inside(Path::new(""), name);
        self.root.child(&inside.to_string_lossy())
    }

    /// Names of everything below a folder, from the folder on.
    fn below(&self, folder: &str) -> Result<Vec<String>> {
        self.object(folder)?.names_below()
    }

    /// Forgets uploads whose blob is there: they were killed when nothing but that was left to do.
    fn take_back_finished(&self) -> Result<()> {
        for note in self.below(UPLOADS)? {
            let Some(name) = note.strip_suffix(".json") else {
                continue;
            };
            if self.size(name)?.is_some() {
                take_back(self, name)?;
            }
        }
        Ok(())
    }
}

impl Blobs for RemoteBlobs {
    fn place(&self, name: &str) -> String {
        let root = crate::secrets::without_credentials(self.root.url());
        format!("{root}/{name}")
    }

    fn size(&self, name: &str) -> Result<Option<u64>> {
        let facts = self.object(name)?.facts()?;
        Ok(facts.map(|facts| facts.size_bytes))
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let read = self.object(name)?.read_all()?;
        Ok(read.map(|(bytes, _)| bytes.into()))
    }

    fn open(&self, name: &str) -> Result<BlobFile> {
        let object = self.object(name)?;
        let file = self.files.open(&Listed::named(object.url().to_owned()))?;
        Ok(ShardBytes::new(file))
    }

    fn list(&self, folder: &str) -> Result<Vec<String>> {
        let below = self.below(folder)?;
        let direct = below.iter().filter_map(|name| name.split('/').next());
        let direct: BTreeSet<&str> = direct.collect();
        Ok(direct.into_iter().map(str::to_owned).collect())
    }

    fn put(&self, name: &str, _: Durability, write: WriteBlob<'_>) -> Result<()> {
        let mut out = BlobWriter::new(self, name)?;
        write(&mut out)?;
        out.finish()
    }

    fn update(&self, name: &str, _: Durability, change: ChangeBlob<'_>) -> Result<()> {
        let object = self.object(name)?;
        for turn in 0..CHANGES {
            let old = object.read_all()?;
            let Some(new) = change(old.as_ref().map(|(bytes, _)| bytes.as_ref()))? else {
                return Ok(());
            };
            let when = match &old {
                None => Put::IfNew,
                Some((_, Some(version))) => Put::Over(version),
                Some((_, None)) => {
                    return Err(Error::output(
                        "change a file of the score store: the object store tells no version of it",
                    )
                    .with("file", self.place(name)));
                }
            };
            if object.put(new, when)? {
                return Ok(());
            }
            std::thread::sleep(pause(turn, FIRST_PAUSE, LONGEST_PAUSE));
        }
        Err(
            Error::output("change a file of the score store: others change it all the time")
                .with("file", self.place(name))
                .hint("run the same command again when fewer processes use the store"),
        )
    }

    fn keep_names(&self, _: &str) {}

    fn remove(&self, name: &str) {
        // A leftover is harmless.
        let _ = self.object(name).and_then(|object| object.remove());
    }

    fn remove_all(&self, folder: &str) {
        // As above.
        for name in self.below(folder).unwrap_or_default() {
            self.remove(&format!("{folder}/{name}"));
        }
        for note in self
            .below(&format!("{UPLOADS}/{folder}"))
            .unwrap_or_default()
        {
            if let Some(name) = note.strip_suffix(".json") {
                let _ = take_back(self, &format!("{folder}/{name}"));
            }
        }
    }

    fn total_bytes(&self) -> u64 {
        let all = self.root.below().unwrap_or_default();
        all.iter().map(|facts| facts.size_bytes).sum()
    }
}
