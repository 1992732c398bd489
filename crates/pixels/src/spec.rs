//! How a model wants its pixels.

use crate::patches::Patches;

/// How a model wants its pixels, in the order the steps are taken.
#[derive(Debug, Clone, PartialEq)]
pub struct PixelSpec {
    /// What happens to transparency before the resize.
    pub alpha: Alpha,
    /// The resize, if any.
    pub resize: Option<Resize>,
    /// Resampling filter of the resize.
    pub filter: Filter,
    /// Centre crop as (height, width), zero-padded where the image is smaller.
    pub crop: Option<(u32, u32)>,
    /// Where the crop starts when the margin is odd.
    pub corner: Corner,
    /// Factor from `u8` to the range that `mean` and `std` are in, usually 1/255.
    pub rescale: f32,
    /// Per channel, R G B.
    pub mean: [f32; 3],
    /// Per channel, R G B.
    pub std: [f32; 3],
}

/// Where a centre crop starts when the margin is an odd number of pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Corner {
    /// Rounded down, as transformers does.
    #[default]
    Floor,
    /// Rounded half to even, as torchvision and so open_clip do.
    HalfToEven,
}

/// What happens to transparency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alpha {
    /// Dropped, as Pillow's `convert("RGB")` does.
    Drop,
    /// Composited over white.
    OverWhite,
}

/// Target of the resize.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resize {
    /// The shorter edge gets this length, the aspect ratio is kept.
    ShortestEdge(u32),
    /// Exactly this size, whatever the aspect ratio.
    Exact {
        /// Rows.
        height: u32,
        /// Columns.
        width: u32,
    },
    /// As many patches as fit, whatever the aspect ratio; nothing is cropped.
    Patches(Patches),
}

/// Resampling filters, named and computed as in Pillow (antialiased when shrinking).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// Nearest neighbour.
    Nearest,
    /// Box.
    Box,
    /// Bilinear.
    Bilinear,
    /// Hamming.
    Hamming,
    /// Bicubic, a = -0.5.
    Bicubic,
    /// Lanczos with three lobes.
    Lanczos,
}

/// How files are read, whatever the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reading {
    /// What happens to pictures that are stored in another position than they are looked at.
    pub orientation: Orientation,
    /// What happens to pictures whose file ends early.
    pub truncated: Truncated,
}

/// What happens to a picture whose metadata say that it has to be turned to be upright.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Orientation {
    /// It stays as it is stored, as in Pillow's `convert("RGB")`, and so a TIFF is turned.
    #[default]
    Ignore,
    /// It is turned, as by Pillow's `ImageOps.exif_transpose`.
    Apply,
}

/// What happens to a picture whose file ends early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Truncated {
    /// It is a fault.
    #[default]
    Drop,
    /// What is missing is filled as Pillow does with `ImageFile.LOAD_TRUNCATED_IMAGES`: black, or grey in a JPEG.
    Fill,
}

/// What a JPEG that is much larger than the model's input may be decoded to.
///
/// # Which to take
///
/// [`Scaling::Exact`], unless the model at hand was measured to bear the other (`benches/decode.py --towers`). The bundled
/// image tower does not, at any ratio: with the reduced picture four times its input the two embeddings agree to 0.998
/// on average and 0.996 at worst, without its quantisation to 0.999 and 0.994. Only a tower of the size of ViT-B/32
/// with random weights stays over 0.9999, which says little of a trained one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scaling {
    /// All its pixels, so that the result is Pillow's to the last bit.
    #[default]
    Exact,
    /// An eighth, a quarter or half of its width and height, made from the low frequencies alone, as long as that is at
    /// least [`Scaling::MARGIN`] times what the resize makes of it.
    Dct,
}

impl Scaling {
    /// How many times the resized picture the reduced one must be, in both dimensions.
    pub const MARGIN: u32 = 4;

    /// By how much a JPEG of this size is reduced for `spec`: 1, 2, 4 or 8.
    #[must_use]
    pub fn reduction(self, spec: &PixelSpec, width: u32, height: u32) -> u32 {
        if self == Self::Exact || spec.resize.is_none() {
            return 1;
        }
        let (rows, columns) = spec.resized_size(width, height);
        let allows = |reduction: u32| {
            let factor = u64::from(Self::MARGIN * reduction);
            u64::from(height) >= rows.saturating_mul(factor)
                && u64::from(width) >= columns.saturating_mul(factor)
        };
        [8, 4, 2].into_iter().find(|&by| allows(by)).unwrap_or(1)
    }
}

impl PixelSpec {
    /// Rows and columns of what a kernel writes.
    ///
    /// The crop's size, else that of an exact resize. A shortest edge without a crop has no fixed size: it is read as a
    /// square crop of that edge, and a model that asks for it is better refused when it is loaded. Patches lie one below
    /// the other (see [`Patches`]). Neither resize nor crop gives (0, 0).
    #[must_use]
    pub fn output_size(&self) -> (u32, u32) {
        match (self.crop, self.resize) {
            (Some(size), _) => size,
            (None, Some(Resize::Exact { height, width })) => (height, width),
            (None, Some(Resize::ShortestEdge(edge))) => (edge, edge),
            (None, Some(Resize::Patches(patches))) => patches.output_size(),
            (None, None) => (0, 0),
        }
    }

    /// Rows and columns after the resize, before the crop.
    ///
    /// # Source
    ///
    /// transformers' `get_resize_output_image_size`: the longer edge is `int(edge * long / short)`.
    #[must_use]
    pub fn resized_size(&self, width: u32, height: u32) -> (u64, u64) {
        let (rows, columns) = (u64::from(height), u64::from(width));
        match self.resize {
            None => (rows, columns),
            Some(Resize::Exact { height, width }) => (u64::from(height), u64::from(width)),
            Some(Resize::Patches(patches)) => patches.size(width, height),
            Some(Resize::ShortestEdge(edge)) => {
                let edge = u64::from(edge);
                let long = |long: u64, short: u64| edge * long / short.max(1);
                if columns <= rows {
                    (long(rows, columns), edge)
                } else {
                    (edge, long(columns, rows))
                }
            }
        }
    }
}
