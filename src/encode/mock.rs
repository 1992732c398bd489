//! Embeddings without a model, for tests and for trying a pipeline.
//!
//! An image becomes the means of its quarters, a caption a hash of its tokens. Equal content gives equal
//! vectors whatever the batch, on every machine.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clip_filter_pixels::{Alpha, Corner, Filter, Normaliser, PixelSpec, Resize, Scaling};
use tokenizers::Tokenizer;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

use super::{
    Encoder, EncoderFactory, EncoderSizes, ModelCard, TokenBatch, describe_pixels, normalise_rows,
};
use crate::error::{Error, Result};
use crate::preprocess::{Padding, Preprocessing, Tokenize, TokenizeOptions};

/// Edge of the mock's images.
const SIDE: usize = 8;
/// Length of the mock's embeddings.
const DIM: usize = 8;
/// Rows of a model batch.
const BATCH_ROWS: usize = 8;
/// Most tokens of a caption; a token is a byte.
const CONTEXT: usize = 64;

/// Makes encoders that need no model and no runtime.
#[derive(Debug)]
pub struct MockFactory {
    card: ModelCard,
    preprocessing: Arc<Preprocessing>,
    log: Option<PathBuf>,
    sleep: Duration,
}

impl MockFactory {
    /// The one mock there is.
    ///
    /// # Errors
    /// When its tokenizer cannot be built, which would be a defect.
    pub fn try_new() -> Result<Self> {
        let pixels = PixelSpec {
            alpha: Alpha::Drop,
            resize: Some(Resize::Exact {
                height: 8,
                width: 8,
            }),
            filter: Filter::Bilinear,
            crop: None,
            corner: Corner::Floor,
            rescale: 1.0 / 255.0,
            mean: [0.5; 3],
            std: [0.5; 3],
        };
        let tokens = Tokenize::from_tokenizer(
            byte_tokenizer()?,
            &TokenizeOptions {
                max_length: CONTEXT,
                pad_token: None,
                pad_id: 0,
                padding: Padding::Longest,
                ..TokenizeOptions::default()
            },
        )?;
        let card = ModelCard {
            name: "mock".to_owned(),
            fingerprint: "mock-1".to_owned(),
            precision: "fp32".to_owned(),
            dim: DIM,
            preprocessing: describe_pixels(&pixels),
            batch_dependent: false,
            device: "mock".to_owned(),
            runtime: String::new(),
            ..ModelCard::default()
        };
        Ok(Self {
            card,
            preprocessing: Arc::new(Preprocessing {
                pixels,
                scaling: Scaling::Exact,
                tokens,
            }),
            log: None,
            sleep: Duration::ZERO,
        })
    }

    /// Its encoders append one byte to the file `path` for every image they encode, so that a test can count
    /// what a process did before it was killed.
    #[must_use]
    pub fn logging_to(mut self, path: impl Into<PathBuf>) -> Self {
        self.log = Some(path.into());
        self
    }

    /// Its encoders sleep so long for every image, so that what is measured or killed is the work around them.
    #[must_use]
    pub fn sleeping(mut self, an_image: Duration) -> Self {
        self.sleep = an_image;
        self
    }
}

/// Every byte is a token, so that every caption has ids without a vocabulary file.
fn byte_tokenizer() -> Result<Tokenizer> {
    let letters: BTreeSet<char> = ByteLevel::alphabet().into_iter().collect();
    // Id 0 is left to the padding.
    let vocabulary: Vocab = letters.into_iter().map(String::from).zip(1..).collect();
    let model = BPE::builder()
        .vocab_and_merges(vocabulary, Vec::new())
        .build()
        .map_err(|error| Error::internal("build the mock tokenizer").source(error))?;
    let mut tokenizer = Tokenizer::new(model);
    tokenizer.with_pre_tokenizer(Some(ByteLevel::new(false, false, false)));
    Ok(tokenizer)
}

impl EncoderFactory for MockFactory {
    fn card(&self) -> &ModelCard {
        &self.card
    }

    fn preprocessing(&self) -> &Arc<Preprocessing> {
        &self.preprocessing
    }

    fn encoder_bytes(&self) -> u64 {
        64 * 1024
    }

    fn sizes(&self) -> EncoderSizes {
        EncoderSizes {
            batch_rows: BATCH_ROWS,
            most_encoders: usize::MAX,
        }
    }

    fn captions_alone(&self) -> bool {
        true
    }

    fn make(&self, _intra_threads: usize) -> Result<Box<dyn Encoder>> {
        let log = self.log.as_ref().map(|path| {
            let opened = File::options().create(true).append(true).open(path);
            opened.map_err(|error| Error::output("open the mock's log").source(error))
        });
        Ok(Box::new(MockEncoder {
            normaliser: Normaliser::new(&self.preprocessing.pixels),
            log: log.transpose()?,
            sleep: self.sleep,
        }))
    }
}

/// See the module.
#[derive(Debug)]
struct MockEncoder {
    normaliser: Normaliser,
    log: Option<File>,
    sleep: Duration,
}

impl Encoder for MockEncoder {
    fn encode_images(&mut self, rgb: &[u8], rows: usize) -> Result<Vec<f32>> {
        let image = 3 * SIDE * SIDE;
        if rgb.len() != rows * image {
            return Err(Error::internal("encode images of another size")
                .with("expected", rows * image)
                .with("found", rgb.len()));
        }
        let images = u32::try_from(rows).unwrap_or(u32::MAX);
        std::thread::sleep(self.sleep.saturating_mul(images));
        let mut pixels = [0.0; 3 * SIDE * SIDE];
        let means = rgb.chunks_exact(image).flat_map(|rgb| {
            self.normaliser.run(rgb, &mut pixels);
            quarter_means(&pixels)
        });
        let mut vectors: Vec<f32> = means.collect();
        normalise_rows(&mut vectors, DIM)?;
        if let Some(log) = &mut self.log {
            log.write_all(&vec![b'.'; rows])
                .map_err(|error| Error::output("write the mock's log").source(error))?;
        }
        Ok(vectors)
    }

    fn encode_texts(&mut self, tokens: &TokenBatch) -> Result<Vec<f32>> {
        let mut vectors = Vec::with_capacity(tokens.rows * DIM);
        for row in 0..tokens.rows {
            let span = row * tokens.length..(row + 1) * tokens.length;
            let real = tokens.ids[span.clone()]
                .iter()
                .zip(&tokens.mask[span])
                .filter(|(_, mask)| **mask != 0);
            vectors.extend(hashed(real.map(|(id, _)| *id)));
        }
        normalise_rows(&mut vectors, DIM)?;
        Ok(vectors)
    }
}

/// Brightness of the four quarters, the three channel means, and a constant that keeps black from being zero.
fn quarter_means(image: &[f32]) -> [f32; DIM] {
    let mut sums = [0.0f32; DIM];
    for (index, value) in image.iter().enumerate() {
        let (channel, y, x) = (index / (SIDE * SIDE), index / SIDE % SIDE, index % SIDE);
        let quarter = y / (SIDE / 2) * 2 + x / (SIDE / 2);
        sums[quarter] += value / 48.0;
        sums[4 + channel] += value / 64.0;
    }
    sums[DIM - 1] = 0.25;
    sums
}

/// Eight values in [-1, 1] from an FNV-1a hash of the ids.
fn hashed(ids: impl Iterator<Item = i64>) -> [f32; DIM] {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in ids.flat_map(i64::to_le_bytes) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    std::array::from_fn(|_| {
        hash ^= hash << 13;
        hash ^= hash >> 7;
        hash ^= hash << 17;
        let [.., top] = hash.to_le_bytes();
        (f32::from(top) - 127.5) / 127.5
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_content_gives_equal_vectors_whatever_the_batch() {
        let factory = MockFactory::try_new().unwrap();
        let mut encoder = factory.make(1).unwrap();
        let tokens = &factory.preprocessing().tokens;
        let rows = tokens
            .encode(&["a cat", "two dogs in the snow", "é漢", ""])
            .unwrap();
        let slices: Vec<&[i64]> = rows.iter().map(Vec::as_slice).collect();
        let together = encoder.encode_texts(&tokens.batch(&slices)).unwrap();
        for (row, ids) in slices.iter().enumerate() {
            let alone = encoder.encode_texts(&tokens.batch(&[ids])).unwrap();
            assert_eq!(alone, together[row * DIM..(row + 1) * DIM]);
        }
        assert_ne!(together[..DIM], together[DIM..2 * DIM]);
        let rgb: Vec<u8> = (0..=251u8).cycle().take(2 * 192).collect();
        let both = encoder.encode_images(&rgb, 2).unwrap();
        assert_eq!(encoder.encode_images(&rgb[192..], 1).unwrap(), both[DIM..]);
        assert!(encoder.encode_images(&rgb, 1).is_err());
    }

    #[test]
    fn vectors_have_length_one() {
        let factory = MockFactory::try_new().unwrap();
        let mut encoder = factory.make(1).unwrap();
        let vector = encoder.encode_images(&[0; 192], 1).unwrap();
        assert!((vector.iter().map(|value| value * value).sum::<f32>() - 1.0).abs() < 1e-6);
    }
}
