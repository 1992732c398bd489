//! How patches become what an image tower takes that keeps the aspect ratio (SigLIP 2 NaFlex).

use std::borrow::Cow;

use clip_filter_pixels::{Normaliser, Patches};
use ort::session::SessionInputValue;
use ort::value::Tensor;

use super::failed;
use super::feed::{Inputs, Numbers};
use crate::encode::ports::{IntegerPort, PatchPorts};
use crate::error::Result;

/// Normalises patches on the host and says which of them there are.
pub(super) struct PatchFeed {
    pub(super) patches: Patches,
    pub(super) normaliser: Normaliser,
    pub(super) ports: PatchPorts,
    pub(super) numbers: Numbers,
}

impl PatchFeed {
    /// What the tower takes of `batch` pictures, of which `rgb` holds the first, `picture` bytes each; `pixels` is the name of the
    /// input for their numbers.
    ///
    /// # Shape
    /// `[batch, most, edge * edge * 3]`, the mask `[batch, most]` with ones where there is a patch, and rows and columns
    /// `[batch, 2]`.
    pub(super) fn inputs<'v>(
        &'v mut self,
        pixels: &'v str,
        rgb: &[u8],
        batch: usize,
        picture: usize,
    ) -> Result<Inputs<'v>> {
        let most = self.patches.most as usize;
        let values = 3 * (self.patches.edge * self.patches.edge) as usize;
        let floats = &mut self.numbers.floats;
        floats.resize(batch * most * values, 0.0);
        let mut mask = vec![0; batch * most];
        let mut shapes = Vec::with_capacity(2 * batch);
        let pictures = floats.chunks_exact_mut(most * values);
        for (bytes, (floats, mask)) in rgb
            .chunks_exact(picture)
            .zip(pictures.zip(mask.chunks_exact_mut(most)))
        {
            let grid = self.patches.normalise(bytes, &self.normaliser, floats);
            let count = usize::from(grid.rows) * usize::from(grid.columns);
            mask[..count].fill(1);
            shapes.extend([i64::from(grid.rows), i64::from(grid.columns)]);
        }
        // Where an export fixed the rows of its batch, the others are as good as any: one patch each.
        for spare in mask.chunks_exact_mut(most).skip(rgb.len() / picture.max(1)) {
            spare[0] = 1;
            shapes.extend([1, 1]);
        }
        let floats = self.numbers.value([batch, most, values]);
        let hand_over = failed("hand patches to the runtime");
        let PatchPorts {
            mask: port,
            shapes: grids,
            ..
        } = &self.ports;
        Ok(vec![
            (Cow::Borrowed(pixels), floats.map_err(&hand_over)?),
            integers(port, [batch, most], mask).map_err(&hand_over)?,
            integers(grids, [batch, 2], shapes).map_err(&hand_over)?,
        ])
    }
}

fn integers(
    port: &IntegerPort,
    shape: [usize; 2],
    values: Vec<i64>,
) -> ort::Result<(Cow<'_, str>, SessionInputValue<'static>)> {
    let value = if port.narrow {
        let narrow = values
            .into_iter()
            .map(|value| i32::try_from(value).unwrap_or(i32::MAX));
        Tensor::from_array((shape, narrow.collect::<Vec<_>>()))?.into()
    } else {
        Tensor::from_array((shape, values))?.into()
    };
    Ok((Cow::Borrowed(port.name.as_str()), value))
}
