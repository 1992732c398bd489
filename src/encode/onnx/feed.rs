//! How resized bytes become what the image tower takes.

use std::borrow::Cow;

use clip_filter_pixels::Normaliser;
use half::f16;
use half::slice::HalfFloatSliceExt;
use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::{IoBinding, Session, SessionInputValue};
use ort::value::{Tensor, TensorRef};

use super::failed;
use super::patch_feed::PatchFeed;
use crate::config::Device;
use crate::encode::graph::prelude::{PIXELS, RGB};
use crate::error::{Error, Result};

/// Makes the value of the tower's input that takes pixels.
pub(super) enum Feed {
    /// Normalised by this thread, into a buffer that is used again.
    Host(HostFeed),
    /// Bytes go to the device of the tower and are normalised there.
    Device(Box<DeviceFeed>),
    /// Patches, normalised by this thread.
    Patches(Box<PatchFeed>),
}

/// The inputs of a tower by their names.
pub(super) type Inputs<'v> = Vec<(Cow<'v, str>, SessionInputValue<'v>)>;

impl Feed {
    /// What the tower takes of `batch` images of `size` (channels, height, width), of which `rgb` holds the first; `name` is that
    /// of the input for pixels.
    pub(super) fn inputs<'v>(
        &'v mut self,
        name: &'v str,
        rgb: &[u8],
        batch: usize,
        size: [usize; 3],
    ) -> Result<Inputs<'v>> {
        let pixels = match self {
            Feed::Host(feed) => feed.pixels(rgb, batch, size)?,
            Feed::Device(feed) => feed.pixels(rgb, batch, size)?,
            Feed::Patches(feed) => return feed.inputs(name, rgb, batch, size.iter().product()),
        };
        Ok(vec![(Cow::Borrowed(name), pixels)])
    }
}

/// Numbers for a tower, in buffers that are used again.
#[derive(Default)]
pub(super) struct Numbers {
    /// The tower takes 16-bit floats.
    half: bool,
    pub(super) floats: Vec<f32>,
    halves: Vec<f16>,
}

impl Numbers {
    pub(super) fn new(half: bool) -> Self {
        Self {
            half,
            ..Self::default()
        }
    }

    /// The floats as the tower takes them.
    pub(super) fn value<const RANK: usize>(
        &mut self,
        shape: [usize; RANK],
    ) -> ort::Result<SessionInputValue<'_>> {
        if self.half {
            self.halves.resize(self.floats.len(), f16::ZERO);
            self.halves.convert_from_f32_slice(&self.floats);
            return TensorRef::from_array_view((shape, &*self.halves)).map(SessionInputValue::from);
        }
        TensorRef::from_array_view((shape, &*self.floats)).map(SessionInputValue::from)
    }
}

/// See [`Feed::Host`].
pub(super) struct HostFeed {
    normaliser: Normaliser,
    numbers: Numbers,
}

impl HostFeed {
    pub(super) fn new(normaliser: Normaliser, half: bool) -> Self {
        Self {
            normaliser,
            numbers: Numbers::new(half),
        }
    }

    fn pixels(
        &mut self,
        rgb: &[u8],
        batch: usize,
        [channels, height, width]: [usize; 3],
    ) -> Result<SessionInputValue<'_>> {
        let image = channels * height * width;
        let floats = &mut self.numbers.floats;
        floats.resize(batch * image, 0.0);
        // Where an export fixed the rows of its batch, what stays of the last one is as good as any other filling.
        for (bytes, pixels) in rgb.chunks_exact(image).zip(floats.chunks_exact_mut(image)) {
            self.normaliser.run(bytes, pixels);
        }
        let shape = [batch, channels, height, width];
        let value = self.numbers.value(shape);
        value.map_err(failed("hand pixels to the runtime"))
    }
}

/// See [`Feed::Device`].
pub(super) struct DeviceFeed {
    /// Normalises on the device.
    prelude: Session,
    binding: IoBinding,
    /// Where pixels stay.
    there: MemoryInfo<'static>,
    /// Allocates host memory that the device reads without a detour.
    host: Allocator,
    staged: Option<(usize, Tensor<u8>)>,
}

impl DeviceFeed {
    /// A feed for a tower on `device`, by a session of [`crate::encode::graph::prelude`] there.
    ///
    /// # Errors
    /// When the device has no memory to give.
    pub(super) fn try_new(prelude: Session, device: Device) -> Result<Self> {
        let set_up = failed("set up the way of images to the device");
        let (host, there) = memory_of(device).map_err(&set_up)?;
        let host = Allocator::new(&prelude, host).map_err(&set_up)?;
        let binding = prelude.create_binding().map_err(&set_up)?;
        Ok(Self {
            prelude,
            binding,
            there,
            host,
            staged: None,
        })
    }

    fn pixels(
        &mut self,
        rgb: &[u8],
        batch: usize,
        [channels, height, width]: [usize; 3],
    ) -> Result<SessionInputValue<'static>> {
        let hand_over = failed("hand images to the device");
        if self.staged.as_ref().is_none_or(|(rows, _)| *rows != batch) {
            let shape = [batch, height, width, channels];
            let tensor = Tensor::<u8>::new(&self.host, shape).map_err(&hand_over)?;
            self.staged = Some((batch, tensor));
        }
        let Some((_, staged)) = &mut self.staged else {
            return Err(Error::internal("stage images for the device"));
        };
        let (_, bytes) = staged.extract_tensor_mut();
        let (given, rest) = bytes.split_at_mut(rgb.len());
        given.copy_from_slice(rgb);
        rest.fill(0);
        // The place of the last run has the size of the last run.
        self.binding
            .bind_output_to_device(PIXELS, &self.there)
            .and_then(|()| self.binding.bind_input(RGB, &*staged))
            .and_then(|()| self.binding.synchronize_inputs())
            .map_err(&hand_over)?;
        let mut outputs = self
            .prelude
            .run_binding(&self.binding)
            .map_err(&hand_over)?;
        let pixels = outputs
            .remove(PIXELS)
            .ok_or_else(|| Error::internal("find the pixels that the device made"))?;
        Ok(SessionInputValue::Owned(pixels))
    }
}

/// Where bytes are staged and where pixels stay, for a tower on `device`.
fn memory_of(device: Device) -> ort::Result<(MemoryInfo<'static>, MemoryInfo<'static>)> {
    let on = |kind: AllocationDevice<'static>, ordinal, memory| {
        MemoryInfo::new(kind, ordinal, AllocatorType::Device, memory)
    };
    match device {
        Device::Auto | Device::Cpu => Ok((
            on(AllocationDevice::CPU, 0, MemoryType::Default)?,
            on(AllocationDevice::CPU, 0, MemoryType::Default)?,
        )),
        Device::Cuda(ordinal) | Device::TensorRt(ordinal) => {
            let ordinal = i32::try_from(ordinal).unwrap_or(i32::MAX);
            Ok((
                on(AllocationDevice::CUDA_PINNED, ordinal, MemoryType::CPUInput)?,
                on(AllocationDevice::CUDA, ordinal, MemoryType::Default)?,
            ))
        }
    }
}
