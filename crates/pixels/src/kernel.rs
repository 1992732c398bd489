//! The whole way from image bytes to pixels, with buffers that live from image to image.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::fault::{Fault, FaultKind};
use crate::jpeg_blocks::Block;
use crate::jpeg_plain::PlainDecoder;
use crate::normalise::Normaliser;
use crate::probe::{ImageFacts, ImageKind, probe};
use crate::resize::{Resampler, Source, Window};
use crate::samples::{Buffers, Wanted};
use crate::spec::{PixelSpec, Reading, Resize, Scaling, Truncated};
use crate::turn::Turned;
use crate::{avif, bmp, gif, jpeg, png, tiff, webp};

/// Memory a buffer may keep between images; a larger one goes back after the image that needed it.
const KEPT_BYTES: usize = 16 << 20;

/// Decoder, resizer and normaliser of one thread.
pub struct Kernel {
    spec: PixelSpec,
    max_pixels: u64,
    scaling: Scaling,
    reading: Reading,
    normaliser: Normaliser,
    buffers: Buffers,
    plain: PlainDecoder,
    resampler: Resampler,
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kernel")
            .field("spec", &self.spec)
            .field("max_pixels", &self.max_pixels)
            .field("scaling", &self.scaling)
            .field("reading", &self.reading)
            .finish_non_exhaustive()
    }
}

impl Kernel {
    /// A kernel for one model; images that declare more than `max_pixels` are refused.
    #[must_use]
    pub fn new(spec: PixelSpec, max_pixels: u64) -> Self {
        let normaliser = Normaliser::new(&spec);
        Self {
            spec,
            max_pixels,
            scaling: Scaling::Exact,
            reading: Reading::default(),
            normaliser,
            buffers: Buffers::default(),
            plain: PlainDecoder::default(),
            resampler: Resampler::default(),
        }
    }

    /// The same kernel with another choice for JPEG files that are much larger than the model's input.
    #[must_use]
    pub fn with_scaling(mut self, scaling: Scaling) -> Self {
        self.scaling = scaling;
        self
    }

    /// The same kernel with another choice for pictures that are to be turned, or whose file ends early.
    #[must_use]
    pub fn with_reading(mut self, reading: Reading) -> Self {
        self.reading = reading;
        self
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
    /// another length is `Unsupported`, and so are patches, which [`Kernel::run_rgb`] makes.
    pub fn run(&mut self, bytes: &[u8], out: &mut [f32]) -> Result<ImageFacts, Fault> {
        if let Some(Resize::Patches(_)) = self.spec.resize {
            return Err(Fault::unsupported("patches as planes"));
        }
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

    /// Decodes one image into RGB bytes, rows from the top, before any resize. A picture that is turned is held twice,
    /// which [`ImageFacts::working_bytes`] does not count.
    ///
    /// # Errors
    ///
    /// As [`Kernel::run`].
    pub fn decode_rgb(&mut self, bytes: &[u8]) -> Result<(ImageFacts, &[u8]), Fault> {
        let facts = self.probe(bytes)?;
        self.decode(bytes, &facts, 1)?;
        if !facts.turn.is_none() {
            let Buffers { rgb, raw, .. } = &mut self.buffers;
            Turned::new(rgb, index(facts.stored().width), facts.turn).copy(raw);
            std::mem::swap(rgb, raw);
        }
        let facts = facts.filled(self.buffers.is_filled);
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
        if let (Ok((_, window)), Some(Resize::Patches(patches))) = (&result, self.spec.resize) {
            patches.write(
                window.size,
                |channel, row| self.resampler.row(channel, row),
                out,
            );
        } else if let Ok((_, window)) = &result {
            out.fill(0);
            let (left, top) = (index(window.offset.0), index(window.offset.1));
            let inner = index(window.size.0);
            let lines = out.chunks_exact_mut((columns * 3).max(1)).skip(top);
            for (row, line) in lines.take(index(window.size.1)).enumerate() {
                let planes: [&[u8]; 3] = std::array::from_fn(|c| self.resampler.row(c, row));
                let pixels = line[left * 3..][..inner * 3].chunks_exact_mut(3);
                for (column, pixel) in pixels.enumerate() {
                    pixel.copy_from_slice(&planes.map(|plane| plane[column]));
                }
            }
        }
        self.release();
        result.map(|(facts, _)| facts)
    }

    fn decode_window(&mut self, bytes: &[u8]) -> Result<(ImageFacts, Window), Fault> {
        let facts = self.probe(bytes)?;
        let reduction = match facts.format {
            ImageKind::Jpeg => self
                .scaling
                .reduction(&self.spec, facts.width, facts.height),
            _ => 1,
        };
        let window = Window::new(
            &self.spec,
            Source {
                width: facts.width,
                height: facts.height,
                reduction,
                mirrored: facts.turn.mirrored(),
            },
        );
        // What is turned is so before it is resized: rounding between the two passes tells rows from columns.
        let goes_in_units = facts.format == ImageKind::Jpeg
            && reduction == 1
            && facts.turn.is_none()
            && !window.is_height_first;
        if goes_in_units {
            match self.decode_plain(bytes, &window) {
                Ok(true) => return Ok((facts, window)),
                Err(fault) if self.reading.truncated == Truncated::Drop => return Err(fault),
                _ => {}
            }
        }
        self.decode(bytes, &facts, reduction)?;
        let width = index(facts.stored().width.div_ceil(reduction));
        let (seen, turn) = match window.is_height_first {
            true => (window.transposed(), facts.turn.transposed()),
            false => (window, facts.turn),
        };
        self.resampler.begin(&seen, self.spec.filter, 3);
        let picture = Turned::new(&self.buffers.rgb, width, turn);
        self.resampler.narrow_rgb(&picture);
        self.resampler.finish();
        if window.is_height_first {
            self.resampler.transpose();
        }
        Ok((facts.filled(self.buffers.is_filled), window))
    }

    /// Decodes and resizes a JPEG of the plain kind; false where it is of another, or damaged.
    fn decode_plain(&mut self, bytes: &[u8], window: &Window) -> Result<bool, Fault> {
        let Some(plan) = self.plain.plan(bytes)? else {
            return Ok(false);
        };
        let (plain, resampler, filter) = (&mut self.plain, &mut self.resampler, self.spec.filter);
        let blocks = &mut self.buffers.blocks;
        // As below: what the decoder leaves behind is begun anew.
        let decoded = catch_unwind(AssertUnwindSafe(|| {
            resampler.begin(window, filter, plan.count);
            let decoded = plain.decode(bytes, &plan, blocks, resampler)?;
            resampler.finish();
            Ok(decoded.is_some())
        }));
        decoded.unwrap_or(Ok(false))
    }

    fn probe(&self, bytes: &[u8]) -> Result<ImageFacts, Fault> {
        let facts = probe(bytes)?.oriented(self.reading.orientation);
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
        Ok(facts)
    }

    /// Decodes into the RGB buffer, a JPEG at one part in `reduction` of its width and height.
    fn decode(&mut self, bytes: &[u8], facts: &ImageFacts, reduction: u32) -> Result<(), Fault> {
        let (alpha, buffers) = (self.spec.alpha, &mut self.buffers);
        let facts = &facts.stored();
        buffers.is_filled = false;
        let truncated = self.reading.truncated;
        let wanted = Wanted { alpha, truncated };
        let tables = &mut self.plain.tables;
        // The decoders are other people's code fed with hostile bytes, and a panic in
        // one must not spread. One image must not take the worker thread with it. The buffers are
        // cleared before every use, so nothing half-written is ever seen.
        let decoded = catch_unwind(AssertUnwindSafe(|| match facts.format {
            ImageKind::Jpeg => {
                let wanted = jpeg::Wanted {
                    reduction,
                    truncated,
                };
                jpeg::decode(bytes, facts, wanted, tables, buffers)
            }
            ImageKind::Png => png::decode(bytes, facts, wanted, buffers),
            ImageKind::Gif => gif::decode(bytes, facts, wanted, buffers),
            ImageKind::WebP => webp::decode(bytes, facts, alpha, buffers),
            ImageKind::Bmp => bmp::decode(bytes, facts, wanted, buffers),
            ImageKind::Tiff => tiff::decode(bytes, facts, wanted, buffers),
            ImageKind::Avif => avif::decode(bytes, facts, alpha, buffers),
        }));
        decoded.unwrap_or_else(|_| {
            Err(Fault::corrupt(format!(
                "{}: decoder gave up",
                facts.format.as_str()
            )))
        })
    }

    /// Planes of bytes to planes of floats; outside the window lies black, as if the crop had padded bytes.
    fn normalise(&self, window: &Window, out: &mut [f32]) {
        let (height, width) = self.spec.output_size();
        let (columns, rows) = (index(width), index(height));
        let (left, top) = (index(window.offset.0), index(window.offset.1));
        let padded = window.size != (width, height);
        for (channel, plane) in out.chunks_exact_mut((rows * columns).max(1)).enumerate() {
            let table = self.normaliser.of(channel);
            if padded {
                plane.fill(table[0]);
            }
            let lines = plane.chunks_exact_mut(columns.max(1)).skip(top);
            for (row, line) in lines.take(index(window.size.1)).enumerate() {
                let bytes = self.resampler.row(channel, row);
                for (value, byte) in line[left..].iter_mut().zip(bytes) {
                    *value = table[usize::from(*byte)];
                }
            }
        }
    }

    fn release(&mut self) {
        for buffer in [
            &mut self.buffers.rgb,
            &mut self.buffers.raw,
            &mut self.buffers.stream,
        ] {
            if buffer.capacity() > KEPT_BYTES {
                *buffer = Vec::new();
            }
        }
        if self.buffers.blocks.capacity() * size_of::<Block>() > KEPT_BYTES {
            self.buffers.blocks = Vec::new();
        }
        self.resampler.release(KEPT_BYTES);
    }
}

/// A length that was an allocation already.
fn index(length: u32) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}
