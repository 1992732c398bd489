//! Captions that a pair's own is compared with.

use std::collections::{BinaryHeap, HashMap};

use super::{
    Deriving,
    fold_adapters::adapted,
    random::hash,
    row_scores::Pool,
    stored_pairs::caption_id,
    stored_rows::{Sides, StoredRows},
};
use crate::{adapt::Adapters, error::Result, schema::Side};

/// Other captions that a pair's own must beat.
const POOL_CAPTIONS: usize = 256;

impl Deriving<'_> {
    /// The captions whose hash is lowest, each once.
    pub(super) fn caption_pool(
        &self,
        rows: &StoredRows<'_>,
        adapters: Option<&Adapters>,
    ) -> Result<Pool> {
        let mut lowest: BinaryHeap<(u64, u64)> = BinaryHeap::new();
        let mut kept: HashMap<u64, Vec<f32>> = HashMap::new();
        let seed = hash(self.options.seed);
        rows.for_each(Sides::Texts, &mut |block| {
            (self.cancelled)()?;
            for row in 0..block.rows.len() {
                let id = caption_id(block.text(row));
                let place = (hash(seed ^ id), id);
                let full = lowest.len() == POOL_CAPTIONS;
                if kept.contains_key(&id)
                    || (full && lowest.peek().is_some_and(|most| *most < place))
                {
                    continue;
                }
                lowest.push(place);
                kept.insert(id, block.text(row).to_vec());
                if full && let Some((_, out)) = lowest.pop() {
                    kept.remove(&out);
                }
            }
            Ok(())
        })?;
        let mut pool = Pool::default();
        for (at, (_, id)) in lowest.into_sorted_vec().into_iter().enumerate() {
            pool.texts.extend_from_slice(&kept[&id]);
            pool.by_id.insert(id, at);
        }
        let changed = adapted(adapters, Side::Text, &pool.texts, self.budget.threads)?;
        pool.texts = changed.unwrap_or(pool.texts);
        Ok(pool)
    }
}
