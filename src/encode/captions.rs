//! Captions that come again and again, with their vectors.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use super::gate::lock;

/// Most bytes of one generation; two are held.
const GENERATION_BYTES: usize = 4 << 20;
/// A longer caption hardly comes twice.
const LONGEST_BYTES: usize = 1024;
/// What an entry costs beside its caption and its vector.
const ENTRY_BYTES: usize = 128;

/// Vectors of the captions that were encoded or asked for last, bounded by bytes.
///
/// Entries are forgotten by generations: when the young one is full it becomes the old one, and what was the old one
/// and not asked for meanwhile is gone.
pub(super) struct CaptionCache {
    generations: Mutex<Generations>,
    generation_bytes: usize,
}

#[derive(Default)]
struct Generations {
    young: HashMap<Box<str>, Arc<[f32]>>,
    old: HashMap<Box<str>, Arc<[f32]>>,
    young_bytes: usize,
}

impl CaptionCache {
    pub(super) fn new() -> Self {
        Self {
            generations: Mutex::default(),
            generation_bytes: GENERATION_BYTES,
        }
    }

    /// The vector of `caption`, if it is known.
    pub(super) fn get(&self, caption: &str) -> Option<Arc<[f32]>> {
        let mut generations = lock(&self.generations);
        if let Some(vector) = generations.young.get(caption) {
            return Some(Arc::clone(vector));
        }
        let (caption, vector) = generations.old.remove_entry(caption)?;
        self.insert(&mut generations, caption, Arc::clone(&vector));
        Some(vector)
    }

    /// Remembers the vector of `caption` for a while.
    pub(super) fn put(&self, caption: &str, vector: &[f32]) {
        if caption.len() <= LONGEST_BYTES {
            self.insert(&mut lock(&self.generations), caption.into(), vector.into());
        }
    }

    fn insert(&self, generations: &mut Generations, caption: Box<str>, vector: Arc<[f32]>) {
        let bytes = caption.len() + size_of_val(&*vector) + ENTRY_BYTES;
        if generations.young_bytes + bytes > self.generation_bytes {
            generations.old = std::mem::take(&mut generations.young);
            generations.young_bytes = 0;
        }
        if generations.young.insert(caption, vector).is_none() {
            generations.young_bytes += bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_stays_and_memory_is_bounded() {
        let entry = 8 + 4 + ENTRY_BYTES;
        let cache = CaptionCache {
            generations: Mutex::default(),
            generation_bytes: 10 * entry,
        };
        cache.put("favorite", &[1.0]);
        for number in 0..1000u16 {
            cache.put(&format!("text{number:04}"), &[f32::from(number)]);
            assert_eq!(cache.get("favorite").as_deref(), Some(&[1.0][..]));
            let generations = lock(&cache.generations);
            assert!(generations.young.len() + generations.old.len() <= 20);
        }
        assert_eq!(cache.get("text0999").as_deref(), Some(&[999.0][..]));
        assert_eq!(cache.get("text0000"), None);
    }

    #[test]
    fn a_long_caption_is_not_kept() {
        let cache = CaptionCache::new();
        let caption = "a".repeat(LONGEST_BYTES + 1);
        cache.put(&caption, &[1.0]);
        assert_eq!(cache.get(&caption), None);
    }
}
