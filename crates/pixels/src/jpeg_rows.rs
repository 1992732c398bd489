//! Rows of RGB from the blocks of any JPEG: transformed, spread, converted, a row of coding units at a time, so that of
//! no component more than three such rows are held.
//!
//! Written by hand because memory must stay within what the header declares and every bit must be Pillow's.

use multiversion::multiversion;

use crate::fault::Fault;
use crate::jpeg_blocks::{Blocks, Grid};
use crate::jpeg_smooth::Known;
use crate::jpeg_spread::{Scratch, Spread};
use crate::jpeg_stream::{Frame, Model};
use crate::samples::cmyk_to_rgb;
use crate::strip::{Lanes, rgb_of, transpose, ycc_to_rgb};

/// One component on its way to rows.
struct Channel {
    grid: Grid,
    spread: Spread,
    /// Samples of a block's edge: 8, 4, 2 or 1.
    size: usize,
    /// Samples of a row that are in the picture, and all rows that are.
    width: usize,
    height: usize,
    /// Rows of samples that a row of coding units has.
    rows: usize,
    /// The row of coding units before the one at hand, that one, and the next.
    samples: [Vec<u8>; 3],
    scratch: Scratch,
}

/// The whole picture's rows.
pub(crate) struct Rows {
    model: Model,
    channels: Vec<Channel>,
    /// One row of colours.
    planes: [Vec<Lanes>; 3],
    width: usize,
    height: usize,
    /// Rows of the picture that a row of coding units has.
    step: usize,
    units: usize,
}

impl Rows {
    /// Rows at one part in `reduction` of the size, which is 1, 2, 4 or 8.
    ///
    /// # Errors
    ///
    /// `Unsupported` for a component that is not a whole part of the largest.
    pub(crate) fn new(frame: &Frame, blocks: &Blocks<'_>, reduction: usize) -> Result<Self, Fault> {
        let (most, least) = (frame.sampling(), 8 / reduction);
        let channels = frame
            .components()
            .iter()
            .zip(blocks.grids)
            .map(|(_, grid)| {
                let mut size = least;
                // As libjpeg: what would be spread later may come larger from its transform.
                while size < 8
                    && (most.0 * least).is_multiple_of(grid.across * size * 2)
                    && (most.1 * least).is_multiple_of(grid.down * size * 2)
                {
                    size *= 2;
                }
                let edge = |length: u16, factor: usize, most: usize| {
                    (usize::from(length) * factor * size).div_ceil(8 * most)
                };
                let width = edge(frame.width, grid.across, most.0);
                let part = (grid.across * size / least, grid.down * size / least);
                Ok(Channel {
                    spread: spread(part, most, width, least)?,
                    grid,
                    size,
                    width,
                    height: edge(frame.height, grid.down, most.1),
                    rows: grid.down * size,
                    samples: std::array::from_fn(|_| {
                        vec![0; grid.stride * size * grid.down * size]
                    }),
                    scratch: Scratch::default(),
                })
            })
            .collect::<Result<Vec<_>, Fault>>()?;
        let width = usize::from(frame.width).div_ceil(reduction);
        Ok(Self {
            model: frame.model(),
            channels,
            planes: std::array::from_fn(|_| vec![[0; 8]; width.div_ceil(8)]),
            width,
            height: usize::from(frame.height).div_ceil(reduction),
            step: most.1 * least,
            units: frame.units().1,
        })
    }

    /// Takes the blocks of row `unit` of coding units; the rows of the one before are then finished and go to `rgb`, at
    /// the end all that are left.
    pub(crate) fn take(&mut self, unit: usize, known: &Known, blocks: &Blocks<'_>, rgb: &mut [u8]) {
        for (index, channel) in self.channels.iter_mut().enumerate() {
            channel.transform(index, unit, known, blocks);
        }
        if unit > 0 {
            self.finish(unit - 1, rgb);
        }
        for channel in &mut self.channels {
            channel.samples.rotate_left(1);
        }
        if unit + 1 == self.units {
            self.finish(unit, rgb);
        }
    }

    /// Writes the rows of one row of coding units.
    fn finish(&mut self, unit: usize, rgb: &mut [u8]) {
        let top = unit * self.step;
        let rows = rgb.chunks_exact_mut(3 * self.width).enumerate();
        let count = self.step.min(self.height - top);
        for (row, out) in rows.skip(top).take(count) {
            for channel in &mut self.channels {
                channel.spread(unit, row - top);
            }
            let mut rows = [&[][..]; 4];
            for (line, channel) in rows.iter_mut().zip(&self.channels) {
                *line = match channel.spread {
                    Spread::Whole => channel.row(unit, row - top),
                    _ => &channel.scratch.wide,
                };
            }
            if self.model == Model::Ycc {
                for (plane, row) in self.planes.iter_mut().zip(rows) {
                    plane.as_flattened_mut()[..self.width].copy_from_slice(&row[..self.width]);
                }
                let [y, cb, cr] = &mut self.planes;
                ycc_to_rgb(y, cb, cr);
                for (row, plane) in rows.iter_mut().zip(&self.planes) {
                    *row = plane.as_flattened();
                }
            }
            convert(self.model, rows, out);
        }
    }
}

/// How a component of `part` samples, where the largest has `most`, is spread to the latter.
fn spread(
    part: (usize, usize),
    most: (usize, usize),
    width: usize,
    least: usize,
) -> Result<Spread, Fault> {
    if !most.0.is_multiple_of(part.0) || !most.1.is_multiple_of(part.1) {
        return Err(Fault::unsupported("jpeg: fractional sampling"));
    }
    // libjpeg blends only where there is more than one sample a block, and columns only where there are three.
    let blends = least > 1;
    Ok(match (most.0 / part.0, most.1 / part.1) {
        (1, 1) => Spread::Whole,
        (2, 1) if blends && width > 2 => Spread::Columns,
        (1, 2) if blends => Spread::Rows,
        (2, 2) if blends && width > 2 => Spread::Both,
        (across, down) => Spread::Repeated(across, down),
    })
}

impl Channel {
    /// Makes samples of a row of coding units.
    fn transform(&mut self, index: usize, unit: usize, known: &Known, blocks: &Blocks<'_>) {
        let (grid, size) = (self.grid, self.size);
        let stride = grid.stride * size;
        let bands = self.samples[2].chunks_exact_mut(stride * size);
        for (row, band) in (unit * grid.down..grid.high).zip(bands) {
            for column in 0..grid.wide {
                let columns = known.transformed(blocks, index, row, column, size);
                let lines = band.chunks_exact_mut(stride);
                for (line, samples) in lines.zip(transpose(columns)) {
                    let place = &mut line[column * size..];
                    // A copy of known length is one instruction.
                    match place.first_chunk_mut::<8>() {
                        Some(place) if size == 8 => *place = samples,
                        _ => place[..size].copy_from_slice(&samples[..size]),
                    }
                }
            }
        }
    }

    /// The samples that row `row` of a row of coding units is made of.
    fn row(&self, unit: usize, row: usize) -> &[u8] {
        self.line(unit, row / self.spread.down() + self.rows)
    }

    /// A line counted from the row of coding units above; outside the picture its first or last one goes on.
    fn line(&self, unit: usize, line: usize) -> &[u8] {
        let above = unit * self.rows;
        let line = (line + above).clamp(self.rows, self.rows + self.height - 1) - above;
        let stride = self.grid.stride * self.size;
        let samples = &self.samples[line / self.rows];
        &samples[line % self.rows * stride..][..self.width]
    }

    /// Spreads what one row of the picture is made of.
    fn spread(&mut self, unit: usize, row: usize) {
        let mut scratch = std::mem::take(&mut self.scratch);
        let near = self.row(unit, row);
        let below = row % 2 == 1;
        let next = if self.spread.blends_rows() {
            let line = row / 2 + self.rows;
            self.line(unit, if below { line + 1 } else { line - 1 })
        } else {
            near
        };
        self.spread.row(near, next, below, &mut scratch);
        self.scratch = scratch;
    }
}

/// One row of samples to RGB, which those of YCbCr already are.
#[multiversion(targets("x86_64+avx2+bmi2"))]
fn convert(model: Model, [a, b, c, d]: [&[u8]; 4], rgb: &mut [u8]) {
    match model {
        Model::Grey => {
            for (pixel, grey) in rgb.as_chunks_mut::<3>().0.iter_mut().zip(a) {
                *pixel = [*grey; 3];
            }
        }
        Model::Rgb | Model::Ycc => {
            let out = rgb.as_chunks_mut::<3>().0;
            for (pixel, (a, (b, c))) in out.iter_mut().zip(a.iter().zip(b.iter().zip(c))) {
                *pixel = [*a, *b, *c];
            }
        }
        // Pillow takes every four-component JPEG for Adobe's, where 255 is no ink.
        Model::Cmyk | Model::Ycck => {
            let out = rgb.as_chunks_mut::<3>().0;
            let inks = a.iter().zip(b).zip(c.iter().zip(d));
            for (pixel, ((a, b), (c, d))) in out.iter_mut().zip(inks) {
                let [c, m, y] = match model {
                    Model::Cmyk => [!*a, !*b, !*c],
                    _ => rgb_of([*a, *b, *c]),
                };
                *pixel = cmyk_to_rgb([c, m, y, !*d]);
            }
        }
    }
}
