//! Pairs whose truth is known.

use crate::{
    adapt::{Adapters, MemoryPairs, StoredTargets},
    schema::Side,
};

/// xorshift64*, and normal numbers as sums of uniform ones.
pub(in crate::adapt) struct Random(pub(in crate::adapt) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(in crate::adapt) fn uniform(&mut self) -> f32 {
        f32::from(u16::try_from(self.next() >> 48).unwrap()) / 65536.0
    }

    pub(in crate::adapt) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() >> 32).unwrap() % end
    }

    fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.uniform()).sum::<f32>() - 6.0
    }

    pub(in crate::adapt) fn normals(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.normal()).collect()
    }

    pub(in crate::adapt) fn units(&mut self, rows: usize, dim: usize) -> Vec<f32> {
        unit_rows(self.normals(rows * dim), dim)
    }
}

pub(in crate::adapt) fn unit_rows(mut rows: Vec<f32>, dim: usize) -> Vec<f32> {
    for row in rows.chunks_exact_mut(dim) {
        let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        row.iter_mut().for_each(|x| *x /= norm);
    }
    rows
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

pub(in crate::adapt) const DIM: usize = 24;
pub(in crate::adapt) const CLASSES: usize = 6;

/// Labelled pairs, a fifth of the labels wrong, whose images are turned against the texts.
pub(in crate::adapt) struct Flipped {
    pub(in crate::adapt) images: Vec<f32>,
    pub(in crate::adapt) texts: Vec<f32>,
    pub(in crate::adapt) labels: Vec<u32>,
    pub(in crate::adapt) flipped: Vec<bool>,
}

impl Flipped {
    pub(in crate::adapt) fn new(rows: usize, seed: u64) -> Self {
        let mut random = Random(seed);
        let texts = random.units(CLASSES, DIM);
        let turn = random.normals(DIM * DIM);
        let (mut images, mut labels, mut flipped) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rows {
            let class = random.below(CLASSES);
            let text = &texts[class * DIM..(class + 1) * DIM];
            let noise = random.normals(DIM);
            images.extend(
                turn.chunks_exact(DIM)
                    .zip(text)
                    .zip(noise)
                    .map(|((turn, own), noise)| 0.8 * dot(turn, text) + 0.5 * own + 0.3 * noise),
            );
            let flip = random.uniform() < 0.2;
            let other = (class + 1 + random.below(CLASSES - 1)) % CLASSES;
            labels.push(u32::try_from(if flip { other } else { class }).unwrap());
            flipped.push(flip);
        }
        Self {
            images: unit_rows(images, DIM),
            texts,
            labels,
            flipped,
        }
    }

    pub(in crate::adapt) fn pairs(&self) -> MemoryPairs {
        let targets = StoredTargets::Classes {
            texts: self.texts.clone(),
            classes: self.labels.clone(),
        };
        MemoryPairs::try_new(DIM, self.images.clone(), targets, 8).unwrap()
    }

    /// How likely a pair with the right label has a higher cosine than one with a wrong label.
    pub(in crate::adapt) fn separation(&self, adapters: &Adapters) -> f64 {
        let images = adapters.apply(Side::Image, &self.images).unwrap();
        let texts = adapters.apply(Side::Text, &self.texts).unwrap();
        let cosines: Vec<f32> = images
            .chunks_exact(DIM)
            .zip(&self.labels)
            .map(|(image, label)| {
                let label = usize::try_from(*label).unwrap();
                dot(image, &texts[label * DIM..(label + 1) * DIM])
            })
            .collect();
        let of = |flipped| {
            let rows = cosines.iter().zip(&self.flipped);
            rows.filter(move |(_, flip)| **flip == flipped)
                .map(|(cosine, _)| *cosine)
        };
        let (mut higher, mut compared) = (0.0, 0.0);
        for right in of(false) {
            for wrong in of(true) {
                higher += f64::from(u8::from(right > wrong));
                compared += 1.0;
            }
        }
        higher / compared
    }
}

/// Images that have nothing to do with their labels.
pub(in crate::adapt) fn random_images(rows: usize, seed: u64) -> MemoryPairs {
    let mut random = Random(seed);
    let targets = StoredTargets::Classes {
        texts: random.units(CLASSES, DIM),
        classes: (0..rows)
            .map(|_| u32::try_from(random.below(CLASSES)).unwrap())
            .collect(),
    };
    let images = random.units(rows, DIM);
    MemoryPairs::try_new(DIM, images, targets, 4).unwrap()
}

/// Captions that their images follow through a fixed map; every caption occurs `copies` times.
pub(in crate::adapt) fn captioned(rows: usize, copies: usize, seed: u64) -> MemoryPairs {
    let mut random = Random(seed);
    let map = random.normals(DIM * DIM);
    let captions = random.units(rows / copies, DIM);
    let (mut images, mut texts, mut ids) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..rows {
        let caption = row % (rows / copies);
        let text = &captions[caption * DIM..(caption + 1) * DIM];
        images.extend(
            map.chunks_exact(DIM)
                .zip(text)
                .map(|(map, own)| 0.3 * dot(map, text) + 0.4 * own + 0.1 * random.normal()),
        );
        texts.extend_from_slice(text);
        ids.push(u64::try_from(caption).unwrap());
    }
    let targets = StoredTargets::Captions { texts, ids };
    MemoryPairs::try_new(DIM, unit_rows(images, DIM), targets, 8).unwrap()
}
