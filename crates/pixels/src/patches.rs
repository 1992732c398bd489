//! Pictures cut into patches, as many as fit a model whatever the aspect ratio (SigLIP 2 NaFlex).

use crate::normalise::Normaliser;

/// A model's patches: the picture keeps its aspect ratio, and what it does not fill is padding.
///
/// # Shape
///
/// Bytes are patches x edge x edge x 3, row by row of the grid and of each patch, channels R G B; the last `3 * edge` bytes
/// begin with the grid, rows and columns as two little-endian `u16`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patches {
    /// Rows and columns of a patch.
    pub edge: u32,
    /// Most patches of a picture.
    pub most: u32,
}

/// Rows and columns of patches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// Rows.
    pub rows: u16,
    /// Columns.
    pub columns: u16,
}

/// Where the search for a size ends.
const TOLERANCE: f64 = 1e-5;

impl Patches {
    /// Rows and columns of the picture after the resize, whole patches both.
    ///
    /// # Source
    ///
    /// transformers 5.24, `get_image_size_for_max_num_patches`: a search for the largest scale, in f64.
    pub(crate) fn size(self, width: u32, height: u32) -> (u64, u64) {
        let edge = f64::from(self.edge);
        let patches = |scale: f64, side: u32| (f64::from(side) * scale / edge).ceil().max(1.0);
        let (mut low, mut high) = (TOLERANCE / 10.0, 100.0);
        while high - low >= TOLERANCE {
            let scale = (low + high) / 2.0;
            if patches(scale, height) * patches(scale, width) <= f64::from(self.most) {
                low = scale;
            } else {
                high = scale;
            }
        }
        let side = |side| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "whole, and at most that many patches"
            )]
            let count = patches(low, side).min(f64::from(self.most)) as u64;
            count * u64::from(self.edge)
        };
        (side(height), side(width))
    }

    /// Rows and columns of the bytes, seen as a picture: all patches one below the other, then the grid.
    pub(crate) fn output_size(self) -> (u32, u32) {
        (
            self.most.saturating_mul(self.edge).saturating_add(1),
            self.edge,
        )
    }

    /// The grid that follows the patches in `bytes`; in what no kernel has written, one row of all patches.
    #[must_use]
    pub fn grid(self, bytes: &[u8]) -> Grid {
        let found = bytes.get(bytes.len().saturating_sub(3 * self.edge as usize)..);
        let found = found.and_then(|line| line.first_chunk::<4>());
        let [rows, columns] = found.map_or([0; 2], |four| {
            [[four[0], four[1]], [four[2], four[3]]].map(u16::from_le_bytes)
        });
        let count = u32::from(rows) * u32::from(columns);
        if (1..=self.most).contains(&count) {
            return Grid { rows, columns };
        }
        Grid {
            rows: 1,
            columns: u16::try_from(self.most).unwrap_or(u16::MAX),
        }
    }

    /// Writes a resized picture of `size` (columns, rows), whose lines `line` gives for a channel and a row, into `out`.
    pub(crate) fn write<'p>(
        self,
        size: (u32, u32),
        line: impl Fn(usize, usize) -> &'p [u8],
        out: &mut [u8],
    ) {
        out.fill(0);
        let edge = self.edge as usize;
        let columns = (size.0 / self.edge) as usize;
        for row in 0..size.1 as usize {
            let planes: [&[u8]; 3] = std::array::from_fn(|channel| line(channel, row));
            for patch in 0..columns {
                let place = (row / edge * columns + patch) * edge + row % edge;
                let Some(line) = out.get_mut(3 * edge * place..3 * edge * (place + 1)) else {
                    continue;
                };
                let pixels = line.chunks_exact_mut(3);
                for (column, pixel) in pixels.enumerate() {
                    pixel.copy_from_slice(&planes.map(|plane| plane[patch * edge + column]));
                }
            }
        }
        let end = out.len() - 3 * edge;
        let side = |pixels: u32| u16::try_from(pixels / self.edge).unwrap_or(u16::MAX);
        for (at, side) in [side(size.1), side(size.0)].into_iter().enumerate() {
            out[end + 2 * at..][..2].copy_from_slice(&side.to_le_bytes());
        }
    }

    /// The numbers of the patches in `bytes`, and their grid.
    ///
    /// # Shape
    ///
    /// `out` is `[most, edge * edge * 3]`, each value `(byte * rescale - mean) / std`; zeros beyond the grid.
    pub fn normalise(self, bytes: &[u8], normaliser: &Normaliser, out: &mut [f32]) -> Grid {
        let grid = self.grid(bytes);
        let patch = 3 * (self.edge * self.edge) as usize;
        let filled = patch * usize::from(grid.rows) * usize::from(grid.columns);
        let (filled, rest) = out.split_at_mut(filled.min(out.len()));
        let pixels = filled.chunks_exact_mut(3).zip(bytes.chunks_exact(3));
        for (values, pixel) in pixels {
            for (channel, (value, byte)) in values.iter_mut().zip(pixel).enumerate() {
                *value = normaliser.of(channel)[usize::from(*byte)];
            }
        }
        rest.fill(0.0);
        grid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_transformers() {
        let naflex = Patches {
            edge: 16,
            most: 256,
        };
        // (width, height) of the picture, (rows, columns) of patches: transformers 5.24.0.
        let cases = [
            ((640, 480), (14, 18)),
            ((480, 640), (18, 14)),
            ((224, 224), (16, 16)),
            ((1, 1), (7, 7)),
            ((300, 401), (18, 14)),
            ((4000, 10), (1, 256)),
            ((3, 5000), (256, 1)),
            ((7, 6), (15, 17)),
            ((60_000, 2), (1, 256)),
            ((65_535, 65_535), (16, 16)),
        ];
        for ((width, height), (rows, columns)) in cases {
            let (high, wide) = naflex.size(width, height);
            assert_eq!(
                (high / 16, wide / 16),
                (rows, columns),
                "{width} x {height}"
            );
        }
    }

    #[test]
    fn what_no_kernel_has_written_is_one_row_of_all_patches() {
        let patches = Patches { edge: 16, most: 9 };
        let grey = vec![127; 3 * 16 * (9 * 16 + 1)];
        assert_eq!(
            patches.grid(&grey),
            Grid {
                rows: 1,
                columns: 9
            }
        );
    }
}
