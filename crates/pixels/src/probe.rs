//! What an image says about itself, from its header alone.

use crate::fault::Fault;
use crate::spec::Orientation;
use crate::turn::Turn;
use crate::{avif, bmp, gif, jpeg, png, signature, tiff, webp};

/// Image formats, recognised by content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ImageKind {
    /// JPEG: baseline or progressive, 8 bits.
    Jpeg,
    /// PNG; an animated one gives its first frame.
    Png,
    /// GIF; an animated one gives its first frame.
    Gif,
    /// WebP; an animated one gives its first frame.
    WebP,
    /// Windows bitmap.
    Bmp,
    /// TIFF; the first page.
    Tiff,
    /// AVIF; a sequence gives its first frame.
    Avif,
}

impl ImageKind {
    /// Stable lower-case name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Jpeg => "jpeg",
            Self::Png => "png",
            Self::Gif => "gif",
            Self::WebP => "webp",
            Self::Bmp => "bmp",
            Self::Tiff => "tiff",
            Self::Avif => "avif",
        }
    }
}

/// What the header declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageFacts {
    /// Columns, of a picture that is turned after it was.
    pub width: u32,
    /// Rows, likewise.
    pub height: u32,
    /// Format of the content.
    pub format: ImageKind,
    /// How what is stored is turned.
    pub(crate) turn: Turn,
    /// How it would have to be turned to be upright.
    upright: Turn,
    /// Whether the rest of a file that ends early was made up.
    is_filled: bool,
    /// What the decoder holds besides the RGB picture.
    decoder_bytes: u64,
}

/// Widest model input that [`ImageFacts::working_bytes`] allows for.
const WIDEST_INPUT_PX: u64 = 1024;

impl ImageFacts {
    pub(crate) fn new(
        width: u32,
        height: u32,
        format: ImageKind,
        decoder_bytes: u64,
    ) -> Result<Self, Fault> {
        if width == 0 || height == 0 {
            return Err(Fault::corrupt(format!(
                "{}: an edge of zero pixels",
                format.as_str()
            )));
        }
        Ok(Self {
            width,
            height,
            format,
            turn: Turn::NONE,
            upright: Turn::NONE,
            is_filled: false,
            decoder_bytes,
        })
    }

    /// The same picture, whose metadata say that it has to be turned to be upright.
    pub(crate) fn to_turn(self, upright: Turn) -> Self {
        Self { upright, ..self }
    }

    /// The picture as it is looked at, which is turned where `orientation` says so, and in a TIFF always.
    #[must_use]
    pub fn oriented(self, orientation: Orientation) -> Self {
        if orientation == Orientation::Ignore && self.format != ImageKind::Tiff {
            return self;
        }
        let stored = self.stored();
        let (width, height) = match self.upright.is_transposed {
            true => (stored.height, stored.width),
            false => (stored.width, stored.height),
        };
        Self {
            width,
            height,
            turn: self.upright,
            ..self
        }
    }

    /// The picture as it is stored.
    pub(crate) fn stored(self) -> Self {
        let (width, height) = match self.turn.is_transposed {
            true => (self.height, self.width),
            false => (self.width, self.height),
        };
        Self {
            width,
            height,
            turn: Turn::NONE,
            ..self
        }
    }

    /// The same picture, of which a part is made up where `is_filled`.
    pub(crate) fn filled(self, is_filled: bool) -> Self {
        Self { is_filled, ..self }
    }

    /// Whether its file ends early and the rest of it was made up, as far as a decoder knows.
    #[must_use]
    pub fn is_filled(&self) -> bool {
        self.is_filled
    }

    /// Whether its metadata say that it has to be turned, and it is not.
    #[must_use]
    pub fn is_left_unturned(&self) -> bool {
        self.turn != self.upright
    }

    /// Declared pixels.
    #[must_use]
    pub fn pixels(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    /// Upper bound of the memory that one decode of this image needs, to charge a pool before decoding.
    ///
    /// Counts the decoder's output and its own buffers (coefficients of a progressive JPEG, samples of a 16-bit PNG),
    /// the RGB picture and the resize to a model input of at most 1024 x 1024. The caller's encoded bytes and the
    /// pixels it receives are not counted.
    ///
    /// # Units
    ///
    /// Bytes.
    #[must_use]
    pub fn working_bytes(&self) -> u64 {
        let rgb = self.pixels().saturating_mul(3);
        let resize = WIDEST_INPUT_PX * 3 * (u64::from(self.height) + WIDEST_INPUT_PX);
        // Eight rows of a turned picture; the whole of it is never made.
        let turned = match self.turn.is_none() {
            true => 0,
            false => 8 * 3 * u64::from(self.width),
        };
        // Tables, windows and small vectors of any decoder.
        let fixed = 1 << 19;
        let sums = self.decoder_bytes.saturating_add(rgb);
        sums.saturating_add(resize + turned + fixed)
    }
}

/// Reads the header only: format and declared size, without decoding or allocating for a pixel. What it says is of the
/// picture as it is stored, of a TIFF as it is looked at; [`ImageFacts::oriented`] tells what a turned one is.
///
/// # Errors
///
/// [`FaultKind::Empty`](crate::FaultKind::Empty) for no bytes, `Unsupported` for anything that is not one of [`ImageKind`], `Truncated` or
/// `Corrupt` where the header is.
pub fn probe(bytes: &[u8]) -> Result<ImageFacts, Fault> {
    let facts = match signature::kind(bytes)? {
        ImageKind::Jpeg => jpeg::probe(bytes),
        ImageKind::Png => png::probe(bytes),
        ImageKind::Gif => gif::probe(bytes),
        ImageKind::WebP => webp::probe(bytes),
        ImageKind::Bmp => bmp::probe(bytes),
        ImageKind::Tiff => tiff::probe(bytes),
        ImageKind::Avif => avif::probe(bytes),
    };
    facts.map(|facts| facts.oriented(Orientation::Ignore))
}

/// Little- and big-endian integers at an offset; a missing byte is `Truncated`.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a> {
    pub(crate) format: &'static str,
    pub(crate) bytes: &'a [u8],
}

impl Fields<'_> {
    pub(crate) fn array<const N: usize>(&self, at: usize) -> Result<[u8; N], Fault> {
        let end = at.checked_add(N);
        end.and_then(|end| self.bytes.get(at..end))
            .and_then(|slice| slice.try_into().ok())
            .ok_or_else(|| {
                Fault::truncated(format!(
                    "{}: the file ends within its header, after {} bytes",
                    self.format,
                    self.bytes.len()
                ))
            })
    }

    pub(crate) fn u16_le(&self, at: usize) -> Result<u16, Fault> {
        self.array(at).map(u16::from_le_bytes)
    }

    pub(crate) fn u32_le(&self, at: usize) -> Result<u32, Fault> {
        self.array(at).map(u32::from_le_bytes)
    }

    pub(crate) fn u16_be(&self, at: usize) -> Result<u16, Fault> {
        self.array(at).map(u16::from_be_bytes)
    }

    pub(crate) fn u32_be(&self, at: usize) -> Result<u32, Fault> {
        self.array(at).map(u32::from_be_bytes)
    }
}
