//! What the header of an image says.

use clip_filter_pixels::{
    Alpha, Corner, Fault, FaultKind, Filter, ImageFacts, Kernel, PixelSpec, Resize,
};

use super::{Preprocessing, RowFault};
use crate::config::{Orientation, Reading, Truncated};
use crate::schema::Status;

/// Size and format from the header alone.
///
/// # Errors
/// When the bytes are empty, of no supported format, damaged in the header, or declare more than `max_pixels`.
pub fn probe(bytes: &[u8], max_pixels: u64) -> Result<ImageFacts, RowFault> {
    let facts = clip_filter_pixels::probe(bytes).map_err(row_fault)?;
    let declared = facts.pixels();
    if declared > max_pixels {
        let reason = format!(
            "{}x{} is {declared} pixels, over the limit of {max_pixels} (--max-pixels)",
            facts.width, facts.height
        );
        return Err(RowFault::new(Status::TooManyPixels, reason));
    }
    Ok(facts)
}

/// The same image turned as its metadata say.
pub fn upright(facts: &ImageFacts) -> ImageFacts {
    facts.oriented(clip_filter_pixels::Orientation::Apply)
}

/// Image bytes to what an encoder takes; one per thread, its buffers are reused.
pub struct ImageKernel {
    kernel: Kernel,
    output_len: usize,
    max_pixels: u64,
    orientation: clip_filter_pixels::Orientation,
}

impl ImageKernel {
    /// A kernel for one model that refuses images of more than `max_pixels`.
    pub fn new(preprocessing: &Preprocessing, max_pixels: u64) -> Self {
        let spec = preprocessing.pixels.clone();
        let (height, width) = spec.output_size();
        let output_len = 3 * height as usize * width as usize;
        Self {
            kernel: Kernel::new(spec, max_pixels).with_scaling(preprocessing.scaling),
            output_len,
            max_pixels,
            orientation: clip_filter_pixels::Orientation::Ignore,
        }
    }

    /// A kernel for square pictures as CLIP was trained on: the shorter edge is resized to `edge_px`, bicubic, and the
    /// middle is taken.
    pub fn square(edge_px: u32, max_pixels: u64) -> Self {
        let spec = PixelSpec {
            alpha: Alpha::Drop,
            resize: Some(Resize::ShortestEdge(edge_px)),
            filter: Filter::Bicubic,
            crop: Some((edge_px, edge_px)),
            corner: Corner::HalfToEven,
            rescale: 1.0 / 255.0,
            mean: [0.0; 3],
            std: [1.0; 3],
        };
        Self {
            kernel: Kernel::new(spec, max_pixels),
            output_len: 3 * edge_px as usize * edge_px as usize,
            max_pixels,
            orientation: clip_filter_pixels::Orientation::Ignore,
        }
    }

    /// The same kernel for files that are read in another way.
    #[must_use]
    pub fn with_reading(mut self, reading: Reading) -> Self {
        let reading = of_pixels(reading);
        self.orientation = reading.orientation;
        self.kernel = self.kernel.with_reading(reading);
        self
    }

    /// Bytes that one image becomes.
    pub fn output_len(&self) -> usize {
        self.output_len
    }

    /// [`probe`] with this kernel's limit, of the image as it is looked at.
    ///
    /// # Errors
    /// As [`probe`].
    pub fn probe(&self, bytes: &[u8]) -> Result<ImageFacts, RowFault> {
        probe(bytes, self.max_pixels).map(|facts| facts.oriented(self.orientation))
    }

    /// Decodes, resizes and crops; normalising is left to where the model runs.
    ///
    /// # Shape
    /// `out` is height x width x 3, channels R G B, [`Self::output_len`] bytes in all.
    ///
    /// # Errors
    /// When the image is damaged.
    pub fn run(&mut self, bytes: &[u8], out: &mut [u8]) -> Result<ImageFacts, RowFault> {
        self.kernel.run_rgb(bytes, out).map_err(row_fault)
    }
}

/// The same choice for the kernels.
pub(super) fn of_pixels(reading: Reading) -> clip_filter_pixels::Reading {
    use clip_filter_pixels as pixels;
    pixels::Reading {
        orientation: match reading.orientation {
            Orientation::Ignore => pixels::Orientation::Ignore,
            Orientation::Apply => pixels::Orientation::Apply,
        },
        truncated: match reading.truncated {
            Truncated::Drop => pixels::Truncated::Drop,
            Truncated::Fill => pixels::Truncated::Fill,
        },
    }
}

pub(super) fn row_fault(fault: Fault) -> RowFault {
    let status = match fault.kind {
        FaultKind::Empty => Status::EmptyImage,
        FaultKind::Unsupported => Status::UnsupportedImage,
        FaultKind::Corrupt => Status::CorruptImage,
        FaultKind::Truncated => Status::TruncatedImage,
        FaultKind::TooManyPixels => Status::TooManyPixels,
    };
    RowFault::new(status, fault.message)
}
