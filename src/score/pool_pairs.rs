//! The pairs that others are compared with.

use std::collections::{BinaryHeap, HashMap, HashSet};

/// Pairs in the order of their places, whatever the order in which they were offered.
#[derive(Debug, PartialEq)]
pub(super) struct Pool {
    /// Embeddings, one after another.
    pub(super) images: Vec<f32>,
    pub(super) texts: Vec<f32>,
    /// Places of the pairs in it.
    pub(super) places: HashSet<u64>,
}

/// A [`Pool`] under construction: all pairs where there is room for them, and else those of the lowest places, each once.
pub(super) struct PoolPairs {
    room: usize,
    holds_all: bool,
    /// By place and, of equal pairs where all have room, their number.
    lowest: BinaryHeap<(u64, u64)>,
    kept: HashMap<(u64, u64), Vec<f32>>,
}

impl PoolPairs {
    /// Room for so many pairs, of so many that will be offered.
    pub(super) fn new(room: usize, offered: u64) -> Self {
        Self {
            room,
            holds_all: usize::try_from(offered).is_ok_and(|offered| offered <= room),
            lowest: BinaryHeap::new(),
            kept: HashMap::new(),
        }
    }

    /// Takes a pair if it is among the lowest so far; equal pairs have one place.
    pub(super) fn offer(&mut self, place: u64, image: &[f32], text: &[f32]) {
        let mut key = (place, 0);
        let full = self.lowest.len() == self.room;
        if full && self.lowest.peek().is_some_and(|most| *most <= key) {
            return;
        }
        while self.holds_all && self.kept.contains_key(&key) {
            key.1 += 1;
        }
        if self.kept.contains_key(&key) {
            return;
        }
        if full && let Some(out) = self.lowest.pop() {
            self.kept.remove(&out);
        }
        self.lowest.push(key);
        self.kept.insert(key, [image, text].concat());
    }

    pub(super) fn finish(mut self) -> Pool {
        let mut pool = Pool {
            images: Vec::new(),
            texts: Vec::new(),
            places: self.kept.keys().map(|(place, _)| *place).collect(),
        };
        for key in self.lowest.into_sorted_vec() {
            let pair = self.kept.remove(&key).unwrap_or_default();
            let (image, text) = pair.split_at(pair.len() / 2);
            pool.images.extend_from_slice(image);
            pool.texts.extend_from_slice(text);
        }
        pool
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(room: usize, places: &[u64]) -> Pool {
        let mut pairs = PoolPairs::new(room, places.len() as u64);
        for &place in places {
            let value = f32::from(u16::try_from(place).unwrap());
            pairs.offer(place, &[value, 1.0], &[value, 2.0]);
        }
        pairs.finish()
    }

    #[test]
    fn all_are_in_it_where_there_is_room_equal_ones_as_often_as_they_came() {
        let found = pool(4, &[9, 3, 9, 5]);
        assert_eq!(found.images, [3.0, 1.0, 5.0, 1.0, 9.0, 1.0, 9.0, 1.0]);
        assert_eq!(found.texts, [3.0, 2.0, 5.0, 2.0, 9.0, 2.0, 9.0, 2.0]);
        assert_eq!(found.places, HashSet::from([3, 5, 9]));
        assert_eq!(found, pool(4, &[5, 9, 9, 3]));
    }

    #[test]
    fn beyond_that_the_lowest_are_each_once_in_any_order() {
        let found = pool(3, &[9, 3, 7, 3, 5, 8, 5]);
        assert_eq!(found.images, [3.0, 1.0, 5.0, 1.0, 7.0, 1.0]);
        for places in [[3, 3, 5, 5, 7, 8, 9], [9, 8, 7, 5, 5, 3, 3]] {
            assert_eq!(pool(3, &places), found, "{places:?}");
        }
    }
}
