//! Which shards of a run are left to score, and which of them are this process's.
//!
//! Several processes may fill one store. A shard is claimed when the scan comes to it, so that nobody keeps what he
//! does not work on; small shards that follow each other are claimed together. Shards that others have are left out; who
//! has nothing else left waits for them, without a claim of his own, and takes over what is let go unfinished.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
};

use arrow::array::RecordBatch;

use crate::{
    config::Share,
    engine::ShardStarts,
    error::Result,
    store::{BundledShard, Claim, ScoreStore, ShardIdentity, shards_in, together},
    summary::Counters,
};

/// What is left of the shards of a run.
#[derive(Debug)]
pub(super) struct OpenShards {
    store: Arc<ScoreStore>,
    shards: Vec<ShardIdentity>,
    /// Shards that are put together.
    bundles: Vec<Range<usize>>,
    /// The bundle of each shard that is in one.
    bundle_of: HashMap<usize, usize>,
    /// For each shard the rows that progress counts as settled.
    counted: Vec<u64>,
    counters: Arc<Counters>,
    progress: Mutex<Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    /// Shards, by their place, that are not finished and not this process's.
    left: BTreeSet<usize>,
    /// Claimed before the scan has come to them.
    ready: BTreeMap<usize, Arc<dyn Claim>>,
    /// The bundle that is read, and the claim on it.
    bundle: Option<(usize, Arc<dyn Claim>)>,
    /// Shards that are read, in the order in which the scan came to them.
    reading: VecDeque<ClaimedShard>,
}

/// A shard that this process scores.
#[derive(Debug)]
pub(super) struct ClaimedShard {
    pub(super) shard: usize,
    /// Rows that are decided.
    pub(super) decided: u64,
    /// The bundle that it is put into, if it is.
    pub(super) bundle: Option<usize>,
    /// Others may have it when this goes.
    pub(super) claim: Arc<dyn Claim>,
}

/// What there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// Every shard is finished.
    Nothing,
    /// At least one shard can be scored.
    Work,
    /// So many shards are scored by others.
    Others(usize),
}

impl OpenShards {
    /// The shards of a run that `store` lacks something of.
    pub(super) fn of(
        store: &Arc<ScoreStore>,
        shards: &[ShardIdentity],
        share: Option<Share>,
        counters: &Arc<Counters>,
    ) -> Result<Self> {
        let own = share.map(|share| shards_in(share, shards));
        let is_own = |number: usize| own.as_ref().is_none_or(|own| own[number]);
        let mut seen = HashSet::new();
        let (mut counted, mut left) = (Vec::new(), BTreeSet::new());
        let coverages = store.coverages(shards)?;
        for (number, (shard, coverage)) in shards.iter().zip(coverages).enumerate() {
            counted.push(coverage.decided_rows);
            // Two copies of a file have the same scores.
            if is_own(number) && seen.insert(&shard.fingerprint) && !coverage.complete {
                left.insert(number);
            }
        }
        let is_new = |shard: usize| left.contains(&shard) && counted[shard] == 0;
        let bundles = together(shards, is_new);
        let numbered = bundles.iter().cloned().enumerate();
        let bundle_of = numbered.flat_map(|(bundle, shards)| shards.map(move |at| (at, bundle)));
        Ok(Self {
            store: Arc::clone(store),
            bundle_of: bundle_of.collect(),
            bundles,
            shards: shards.to_vec(),
            counted,
            counters: Arc::clone(counters),
            progress: Mutex::new(Progress {
                left,
                ..Progress::default()
            }),
        })
    }

    /// Finds out what there is to do; a shard that can be scored is claimed.
    pub(super) fn look(&self) -> Result<Left> {
        let mut progress = self.progress();
        for shard in progress.left.clone() {
            if progress.ready.contains_key(&shard) {
                return Ok(Left::Work);
            }
            if let Some(found) = self.claim(&mut progress, shard)? {
                progress.ready.insert(shard, found.claim);
                return Ok(Left::Work);
            }
        }
        Ok(match progress.left.len() {
            0 => Left::Nothing,
            others => Left::Others(others),
        })
    }

    /// Finishes shards that could be read and that a whole scan did not come to: it wants no row of them.
    pub(super) fn finish_unread(&self) -> Result<()> {
        let mut progress = self.progress();
        let unread: Vec<usize> = progress.ready.keys().copied().collect();
        for shard in unread {
            let Some(claimed) = self.claim(&mut progress, shard)? else {
                continue;
            };
            match claimed.bundle {
                None => {
                    self.store.complete(&self.shards[shard])?;
                    self.settled(&mut progress, shard);
                }
                Some(bundle) => {
                    self.commit_bundle(bundle, &HashMap::new())?;
                    self.settled_all(&mut progress, bundle);
                }
            }
        }
        progress.bundle = None;
        Ok(())
    }

    /// Keeps the rows of a bundle; a shard that is not in `rows` has none.
    pub(super) fn commit_bundle(
        &self,
        bundle: usize,
        rows: &HashMap<usize, Vec<RecordBatch>>,
    ) -> Result<()> {
        let of_shard = |shard: usize| BundledShard {
            shard: &self.shards[shard],
            batches: rows.get(&shard).map_or(&[], Vec::as_slice),
        };
        let shards: Vec<BundledShard<'_>> = self.bundles[bundle].clone().map(of_shard).collect();
        self.store.commit_bundle(&shards)
    }

    /// Whether no shard of the bundle comes after this one.
    pub(super) fn is_last_of(&self, shard: usize, bundle: usize) -> bool {
        self.bundles[bundle].end == shard + 1
    }

    /// The next shard of those that the scan has come to.
    pub(super) fn next_read(&self) -> Option<ClaimedShard> {
        self.progress().reading.pop_front()
    }

    pub(super) fn store(&self) -> &Arc<ScoreStore> {
        &self.store
    }

    pub(super) fn shard(&self, number: usize) -> &ShardIdentity {
        &self.shards[number]
    }

    /// Claims a shard of which rows are missing. One that is finished by now is left no longer.
    fn claim(&self, progress: &mut Progress, shard: usize) -> Result<Option<ClaimedShard>> {
        if let Some(&bundle) = self.bundle_of.get(&shard) {
            return self.claim_in(progress, shard, bundle);
        }
        let identity = &self.shards[shard];
        let claim = match progress.ready.remove(&shard) {
            Some(claim) => claim,
            None => match self.store.claim(identity)? {
                Some(claim) => Arc::from(claim),
                // Somebody has it, or has finished it and is letting go.
                None => {
                    if self.store.is_finished(&identity.fingerprint)? {
                        self.settled(progress, shard);
                    }
                    return Ok(None);
                }
            },
        };
        let coverage = self.store.coverage(identity)?;
        if coverage.complete || coverage.decided_rows >= identity.rows {
            self.store.complete(identity)?;
            self.settled(progress, shard);
            return Ok(None);
        }
        Ok(Some(ClaimedShard {
            shard,
            decided: coverage.decided_rows,
            bundle: None,
            claim,
        }))
    }

    /// Claims a shard with those that it is put together with.
    fn claim_in(
        &self,
        progress: &mut Progress,
        shard: usize,
        bundle: usize,
    ) -> Result<Option<ClaimedShard>> {
        let range = self.bundles[bundle].clone();
        let shards = &self.shards[range.clone()];
        let held = progress.bundle.take().filter(|(held, _)| *held == bundle);
        let claim = match (progress.ready.remove(&shard), held) {
            (Some(claim), _) | (None, Some((_, claim))) => claim,
            // A scan that has passed some of them by cannot score the others alone.
            (None, None) if shard != range.start => return Ok(None),
            (None, None) => {
                let claim = self.store.claim_bundle(shards)?;
                if self.store.has_bundle(shards)? {
                    self.settled_all(progress, bundle);
                    return Ok(None);
                }
                let Some(claim) = claim else { return Ok(None) };
                Arc::from(claim)
            }
        };
        progress.bundle = Some((bundle, Arc::clone(&claim)));
        Ok(Some(ClaimedShard {
            shard,
            decided: 0,
            bundle: Some(bundle),
            claim,
        }))
    }

    fn settled_all(&self, progress: &mut Progress, bundle: usize) {
        for shard in self.bundles[bundle].clone() {
            self.settled(progress, shard);
        }
    }

    /// A shard that others have finished.
    fn settled(&self, progress: &mut Progress, shard: usize) {
        progress.left.remove(&shard);
        self.skip(shard, self.shards[shard].rows);
    }

    /// Rows before `decided` need no work any more.
    fn skip(&self, shard: usize, decided: u64) {
        let rows = decided.saturating_sub(self.counted[shard]);
        self.counters
            .rows_skipped
            .fetch_add(rows, Ordering::Relaxed);
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ShardStarts for OpenShards {
    fn first_row(&self, shard: usize) -> Result<Option<u64>> {
        let mut progress = self.progress();
        if !progress.left.contains(&shard) {
            return Ok(None);
        }
        let Some(claimed) = self.claim(&mut progress, shard)? else {
            return Ok(None);
        };
        let first = claimed.decided;
        self.skip(shard, first);
        progress.left.remove(&shard);
        progress.reading.push_back(claimed);
        Ok(Some(first))
    }
}
