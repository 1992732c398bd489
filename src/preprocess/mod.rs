//! Image bytes to pixels, captions to tokens.

mod clean;
mod image;
mod legible;
mod load;
mod thumbnail;
mod tokenize;

pub use clean::{Cleaning, OpenClipCleaning};
pub use clip_filter_pixels::{ImageFacts, Patches, PixelSpec, Resize, Scaling};
pub use image::{ImageKernel, probe, upright};
pub use legible::is_legible;
pub use load::{ImageFile, PathPolicy, RowFault, largest_file};
pub use thumbnail::{Thumbnail, ThumbnailLimits};
pub use tokenize::{Padding, TokenBatch, Tokenize, TokenizeOptions};

/// How one model wants its inputs made.
#[derive(Debug)]
pub struct Preprocessing {
    /// Resize, crop, normalisation.
    pub pixels: PixelSpec,
    /// Whether large JPEGs are decoded at a reduced size.
    pub scaling: Scaling,
    /// Captions to ids.
    pub tokens: Tokenize,
}
