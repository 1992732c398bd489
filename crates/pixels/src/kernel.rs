//! The whole way from image bytes to pixels, with buffers that live from image to image.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::fault::{Fault, FaultKind};
use crate::normalise::Normaliser;
use crate::probe::{ImageFacts, ImageKind, probe};
use crate::resize::{Resampler, Window};
use crate::samples::{Buffers, cleared};
use crate::spec::{Alpha, PixelSpec};
use crate::{bmp, gif, jpeg, png, tiff, webp};

/// Memory a buffer may keep between images; a larger one goes back after the image that needed it.
const KEPT_BYTES: usize = 16 << 20;

/// Decoder, resizer and normaliser of one thread.
pub struct Kernel {
    spec: PixelSpec,
    max_pixels: u64,
    normaliser: Normaliser,
    buffers: Buffers,
    resampler: Resampler,
    resized: Vec<u8>,
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kernel")
            .field("spec", &self.spec)
            .field("max_pixels", &self.max_pixels)
            .finish_non_exhaustive()
    }
}

impl Kernel {
    /// A kernel for one model; images that declare more than `max_pixels` are refused.
    #[must_use]
    pub fn new(spec: PixelSpec, max_pixels: u64) -> Self {
        let normaliser = Normaliser::new(&spec);
        let (buffers, resampler) = (Buffers::default(), Resampler::default());
        Self {
            spec,
            max_pixels,
            normaliser,
            buffers,
            resampler,
            resized: Vec::new(),
        }
    }

    /// Decodes, resizes, crops and normalises one image.
    ///
    /// # Shape
    ///
    /// `out` is `[3, height, width]` of [`PixelSpec::output_size`], channels R G B, each `(byte * rescale - mean) / std`.
    /// Its content after a fault is undefined.
    ///
    /// # Errors
    ///
    /// What [`probe`] says, [`FaultKind::TooManyPixels`], `Truncated` or `Corrupt` where the picture is. An `out` of
    /// another length is `Unsupported`.
    pub fn run(&mut self, bytes: &[u8], out: &mut [f32]) -> Result<ImageFacts, Fault> {
        let (height, width) = self.spec.output_size();
        let expected = 3 * u64::from(height) * u64::from(width);
        if u64::try_from(out.len()) != Ok(expected) {
            return Err(Fault::unsupported(format!(
                "an output of {} values instead of {expected}",
                out.len()
            )));
        }
        let result = self.decode_window(bytes);
        if let Ok((_, window)) = &result {
            self.normalise(window, out);
        }
        self.release();
        result.map(|(facts, _)| facts)
    }

    /// Decodes one image into RGB bytes, rows from the top, before any resize.
    ///
    /// # Errors
    ///
    /// As [`Kernel::run`].
    pub fn decode_rgb(&mut self, bytes: &[u8]) -> Result<(ImageFacts, &[u8]), Fault> {
        let facts = self.decode(bytes)?;
        Ok((facts, &self.buffers.rgb))
    }

    /// Decodes, resizes and crops one image into RGB bytes of [`PixelSpec::output_size`], without normalising.
    ///
    /// # Errors
    ///
    /// As [`Kernel::run`].
    pub fn run_rgb(&mut self, bytes: &[u8], out: &mut [u8]) -> Result<ImageFacts, Fault> {
        let (height, width) = self.spec.output_size();
        let (columns, rows) = (index(width), index(height));
        if out.len() != 3 * rows * columns {
            return Err(Fault::unsupported(format!(
                "an output of {} bytes instead of {}",
                out.len(),
                3 * rows * columns
            )));
        }
        let result = self.decode_window(bytes);
        if let Ok((_, window)) = &result {
            out.fill(0);
            let (left, top) = (index(window.offset.0), index(window.offset.1));
            let inner = index(window.size.0);
            let lines = out.chunks_exact_mut((columns * 3).max(1)).skip(top);
            for (line, part) in lines.zip(self.resized.chunks_exact((inner * 3).max(1))) {
                line[left * 3..][..inner * 3].copy_from_slice(part);
            }
        }
        self.release();
        result.map(|(facts, _)| facts)
    }

    fn decode_window(&mut self, bytes: &[u8]) -> Result<(ImageFacts, Window), Fault> {
        let facts = self.decode(bytes)?;
        let window = self.resample(&facts);
        Ok((facts, window))
    }

    fn decode(&mut self, bytes: &[u8]) -> Result<ImageFacts, Fault> {
        let facts = probe(bytes)?;
        if facts.pixels() > self.max_pixels {
            let message = format!(
                "{} x {} pixels, more than {}",
                facts.width, facts.height, self.max_pixels
            );
            return Err(Fault {
                kind: FaultKind::TooManyPixels,
                message,
            });
        }
        let (alpha, buffers) = (self.spec.alpha, &mut self.buffers);
        // The decoders are other people's code fed with hostile bytes, and a panic in
        // one must not spread. One image must not take the worker thread with it. The buffers are
        // cleared before every use, so nothing half-written is ever seen.
        let decoded = catch_unwind(AssertUnwindSafe(|| {
            decode_as(bytes, &facts, alpha, buffers)
        }));
        decoded.unwrap_or_else(|_| {
            Err(Fault::corrupt(format!(
                "{}: decoder gave up",
                facts.format.as_str()
            )))
        })?;
        Ok(facts)
    }

    fn resample(&mut self, facts: &ImageFacts) -> Window {
        let window = Window::new(&self.spec, facts.width, facts.height);
        let out = cleared(
            &mut self.resized,
            3 * index(window.size.0) * index(window.size.1),
        );
        self.resampler
            .resample(&self.buffers.rgb, &window, self.spec.filter, out);
        window
    }

    /// Interleaved bytes to planes of floats; outside the window lies black, as if the crop had padded bytes.
    fn normalise(&self, window: &Window, out: &mut [f32]) {
        let (height, width) = self.spec.output_size();
        let (columns, rows) = (index(width), index(height));
        let (left, top, inner) = (
            index(window.offset.0),
            index(window.offset.1),
            index(window.size.0),
        );
        let padded = window.size != (width, height);
        for (channel, plane) in out.chunks_exact_mut((rows * columns).max(1)).enumerate() {
            let table = self.normaliser.of(channel);
            if padded {
                plane.fill(table[0]);
            }
            let lines = plane.chunks_exact_mut(columns).skip(top);
            for (line, row) in lines.zip(self.resized.chunks_exact((inner * 3).max(1))) {
                for (value, pixel) in line[left..].iter_mut().zip(row.chunks_exact(3)) {
                    *value = table[usize::from(pixel[channel])];
                }
            }
        }
    }

    fn release(&mut self) {
        for buffer in [
            &mut self.buffers.rgb,
            &mut self.buffers.raw,
            &mut self.buffers.stream,
            &mut self.resized,
        ] {
            if buffer.capacity() > KEPT_BYTES {
                *buffer = Vec::new();
            }
        }
        self.resampler.release(KEPT_BYTES);
    }
}

fn decode_as(
    bytes: &[u8],
    facts: &ImageFacts,
    alpha: Alpha,
    buffers: &mut Buffers,
) -> Result<(), Fault> {
    match facts.format {
        ImageKind::Jpeg => jpeg::decode(bytes, facts, buffers),
        ImageKind::Png => png::decode(bytes, facts, alpha, buffers),
        ImageKind::Gif => gif::decode(bytes, facts, alpha, buffers),
        ImageKind::WebP => webp::decode(bytes, facts, alpha, buffers),
        ImageKind::Bmp => bmp::decode(bytes, facts, alpha, buffers),
        ImageKind::Tiff => tiff::decode(bytes, facts, alpha, buffers),
    }
}

/// A length that was an allocation already.
fn index(length: u32) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}
