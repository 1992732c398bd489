//! Image bytes to pixels, captions to tokens.

mod tokenize;

pub use clip_filter_pixels::PixelSpec;
pub use tokenize::{Padding, TokenBatch, Tokenize, TokenizeOptions};

/// How one model wants its inputs made.
#[derive(Debug)]
pub struct Preprocessing {
    /// Resize, crop, normalisation.
    pub pixels: PixelSpec,
    /// Captions to ids.
    pub tokens: Tokenize,
}
