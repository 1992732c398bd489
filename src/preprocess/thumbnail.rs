//! Small JPEGs of stored images, for a report.

use super::{RowFault, image::row_fault, probe};

/// A small JPEG of a stored image, encoded anew.
#[derive(Debug, Clone)]
pub struct Thumbnail {
    /// The JPEG.
    pub jpeg: Vec<u8>,
    /// Its width in pixels.
    pub width: u32,
    /// Its height in pixels.
    pub height: u32,
}

/// What an image may cost to be shown.
#[derive(Debug, Clone, Copy)]
pub struct ThumbnailLimits {
    /// The longer edge of a thumbnail, in pixels.
    pub edge_px: u32,
    /// Images that declare more pixels are refused.
    pub max_pixels: u64,
    /// Images that need more memory to be decoded are refused.
    pub max_bytes: u64,
}

impl Thumbnail {
    /// Decodes `bytes` and makes them small.
    ///
    /// # Errors
    /// When they are no image, a damaged one, or one over a limit.
    pub fn of(bytes: &[u8], limits: &ThumbnailLimits) -> Result<Self, RowFault> {
        let needed = probe(bytes, limits.max_pixels)?.working_bytes();
        if needed > limits.max_bytes {
            let reason = format!(
                "decoding it needs {needed} bytes, over the {} that are left for that",
                limits.max_bytes
            );
            return Err(RowFault::new(crate::schema::Status::TooManyPixels, reason));
        }
        let made = clip_filter_pixels::thumbnail(bytes, limits.edge_px, limits.max_pixels);
        let made = made.map_err(row_fault)?;
        Ok(Self {
            jpeg: made.jpeg,
            width: made.width,
            height: made.height,
        })
    }
}
