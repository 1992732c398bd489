//! Image bytes to CLIP pixels: decode as Pillow's `convert("RGB")` would, resize, crop, normalise.
//!
//! [`probe`] reads a header, [`Kernel`] does the rest, one kernel per thread. Concrete functions only, nothing generic
//! in the interface, so that the kernels are compiled here and stay optimised when the crate that calls them is not.
//!
//! # What holds for every input
//!
//! - The content decides the format, never a name.
//! - Nothing panics and nothing is allocated for pixels before the declared size is within the limit.
//! - A file that ends early is a [`Fault`], unless [`Truncated::Fill`] asks for what Pillow makes of it.
//! - ICC profiles are not applied, an animation gives its first frame.
//! - A picture stays in the position in which it is stored, but for TIFF, as in Pillow; [`Orientation::Apply`] turns all.
//! - The result depends on the bytes and the [`PixelSpec`] alone, not on what the kernel saw before.
//!
//! # Where the pixels differ from Pillow's
//!
//! Lossless formats, JPEG (libjpeg-turbo's arithmetic, also where it guesses what a progressive file leaves out), AVIF
//! (libyuv's) and the resize are equal bit for bit, that of Pillow 13: it takes the height of tall pictures first, where
//! earlier releases take the width. Coefficients that no encoder makes wrap and saturate as in
//! libjpeg-turbo on x86-64.
//! With [`Scaling::Dct`], which has to be asked for, a JPEG of eight times the model's input and more is decoded at a
//! part of its size. A JPEG whose data is damaged, or cut short behind an end marker, has Pillow's pixels; one of more
//! than 500 scans is refused.
//!
//! What Pillow refuses is refused, and what it reads is read, as far as damage goes, but for: a JPEG that lacks its last
//! one or two bytes, which Pillow reads now and then; damage within the data of a lossy WebP or of an AVIF, which other
//! decoders notice elsewhere; directories of a TIFF that contradict themselves, and the end of its CCITT data; XMP in AVIF.
//!
//! # What is filled
//!
//! JPEG, PNG, GIF, and BMP and TIFF in rows that are not compressed. WebP, AVIF, run-length BMP and other TIFF are faults,
//! as in Pillow, and so is a JPEG whose header is damaged.
//!
//! # Example
//!
//! ```
//! use clip_filter_pixels::{Alpha, Corner, FaultKind, Filter, Kernel, PixelSpec, Resize};
//!
//! let spec = PixelSpec {
//!     alpha: Alpha::Drop,
//!     resize: Some(Resize::ShortestEdge(224)),
//!     filter: Filter::Bicubic,
//!     crop: Some((224, 224)),
//!     corner: Corner::Floor,
//!     rescale: 1.0 / 255.0,
//!     mean: [0.5; 3],
//!     std: [0.5; 3],
//! };
//! let mut kernel = Kernel::new(spec, 100_000_000);
//! let mut pixels = vec![0.0; 3 * 224 * 224];
//! let fault = kernel.run(b"<html>not found</html>", &mut pixels).unwrap_err();
//! assert_eq!(fault.kind, FaultKind::Unsupported);
//! ```

#![forbid(unsafe_code)]

mod av1_stream;
mod avif;
mod avif_boxes;
mod avif_check;
mod avif_color;
mod avif_items;
mod avif_track;
mod avif_turn;
mod bmp;
mod bmp_rle;
mod exif;
mod fault;
mod gif;
mod gif_lzw;
mod jpeg;
mod jpeg_bits;
mod jpeg_blocks;
mod jpeg_entropy;
mod jpeg_idct;
#[cfg(target_arch = "x86_64")]
mod jpeg_idct_avx2;
mod jpeg_plain;
mod jpeg_progressive;
mod jpeg_rest;
mod jpeg_rows;
mod jpeg_scans;
mod jpeg_smooth;
mod jpeg_spread;
mod jpeg_standard;
mod jpeg_stream;
mod jpeg_tables;
mod jpeg_units;
mod kernel;
mod normalise;
mod patches;
mod png;
mod png_chunks;
mod png_metadata;
mod png_rows;
mod probe;
mod resample;
mod resize;
mod samples;
mod signature;
mod spec;
mod strip;
mod thumbnail;
mod tiff;
mod tiff_directory;
mod tiff_jpeg;
mod tiff_page;
mod tiff_raw;
mod turn;
mod webp;
mod webp_chunks;
mod webp_partitions;

pub use fault::{Fault, FaultKind};
pub use kernel::Kernel;
pub use normalise::Normaliser;
pub use patches::{Grid, Patches};
pub use probe::{ImageFacts, ImageKind, probe};
pub use spec::{
    Alpha, Corner, Filter, Orientation, PixelSpec, Reading, Resize, Scaling, Truncated,
};
pub use thumbnail::{Thumbnail, ThumbnailSpec, thumbnail};
