//! Planes of luma and chroma to RGB, with the arithmetic of libyuv that libavif and so Pillow use.

use crate::av1_stream::{Chroma, Sequence};
use crate::fault::Fault;
use crate::samples::low8;

/// The samples of a picture, one plane behind the other.
pub(crate) struct Planes {
    width: usize,
    height: usize,
    sequence: Sequence,
    data: [Vec<u16>; 3],
}

/// Which tile of a picture, by column and row of tiles.
#[derive(Clone, Copy)]
pub(crate) struct TilePlace {
    pub(crate) column: usize,
    pub(crate) row: usize,
}

impl Planes {
    pub(crate) fn new(width: u32, height: u32, sequence: Sequence) -> Result<Self, Fault> {
        let size = |length: u32| {
            usize::try_from(length).map_err(|_| Fault::unsupported("avif: larger than memory"))
        };
        let mut planes = Self {
            width: size(width)?,
            height: size(height)?,
            sequence,
            data: Default::default(),
        };
        for index in 0..planes.count() {
            let (columns, rows) = planes.extent(index);
            planes.data[index] = vec![0; columns * rows];
        }
        Ok(planes)
    }

    pub(crate) fn chroma(&self) -> Chroma {
        self.sequence.chroma
    }

    pub(crate) fn depth(&self) -> u8 {
        self.sequence.depth
    }

    /// Planes that are there.
    pub(crate) fn count(&self) -> usize {
        if self.chroma() == Chroma::None { 1 } else { 3 }
    }

    /// By how much a plane is smaller than the picture, as shifts.
    fn shifts(&self, index: usize) -> (u32, u32) {
        match self.chroma() {
            Chroma::Quarter if index > 0 => (1, 1),
            Chroma::Half if index > 0 => (1, 0),
            _ => (0, 0),
        }
    }

    /// Columns and rows of a plane.
    fn extent(&self, index: usize) -> (usize, usize) {
        let (across, down) = self.shifts(index);
        (
            self.width.div_ceil(1 << across),
            self.height.div_ceil(1 << down),
        )
    }

    /// Copies a plane of the tile at a column and row of tiles; what lies outside the picture is left out.
    pub(crate) fn store(
        &mut self,
        index: usize,
        size: (u32, u32),
        place: TilePlace,
        samples: &[u8],
        stride: usize,
    ) {
        let step = if self.depth() > 8 { 2 } else { 1 };
        let (across, down) = self.shifts(index);
        let (columns, rows) = self.extent(index);
        let part =
            |length: u32, shift: u32| usize::try_from(length.div_ceil(1 << shift)).unwrap_or(0);
        let (wide, high) = (part(size.0, across), part(size.1, down));
        let (left, top) = (wide * place.column, high * place.row);
        let wide = wide.min(columns.saturating_sub(left));
        let lines = self.data[index].chunks_exact_mut(columns.max(1));
        let lines = lines.take(rows).skip(top).take(high);
        for (line, encoded) in lines.zip(samples.chunks(stride.max(1))) {
            let line = line[left.min(columns)..].iter_mut().take(wide);
            for (sample, bytes) in line.zip(encoded.chunks_exact(step)) {
                *sample = match bytes {
                    &[low, high] => u16::from_le_bytes([low, high]),
                    _ => u16::from(bytes[0]),
                };
            }
        }
    }

    /// Luma alone, from black to white.
    pub(crate) fn grey(&self) -> impl Iterator<Item = u8> + '_ {
        let ramp = Ramp::new(&self.sequence);
        self.data[0].iter().map(move |&luma| ramp.of(luma))
    }

    /// Whether the samples are grey, or green, blue and red.
    pub(crate) fn is_plain(&self) -> bool {
        self.chroma() == Chroma::None || self.sequence.matrix == 0
    }

    /// Whether chroma beside alpha is repeated instead of blended: libyuv has no better for these.
    pub(crate) fn is_nearest(&self) -> bool {
        self.depth() == 12 && self.chroma() == Chroma::Quarter
    }

    /// Luma as alpha; `shifted` is how libyuv makes bytes of it, beside a picture that goes through libyuv.
    pub(crate) fn alpha(&self, shifted: bool) -> impl Iterator<Item = u8> + '_ {
        let ramp = Ramp::new(&self.sequence);
        let cut = shifted && self.sequence.full_range;
        let shift = self.depth() - 8;
        self.data[0].iter().map(move |&luma| match cut {
            true => u8::try_from(luma >> shift).unwrap_or(255),
            false => ramp.of(luma),
        })
    }
}

/// Samples of any depth and range to bytes, rounded to the nearest.
struct Ramp {
    black: u32,
    span: u32,
}

impl Ramp {
    fn new(sequence: &Sequence) -> Self {
        let scale = 1 << (sequence.depth - 8);
        match sequence.full_range {
            true => Self {
                black: 0,
                span: 256 * scale - 1,
            },
            false => Self {
                black: 16 * scale,
                span: 219 * scale,
            },
        }
    }

    fn of(&self, sample: u16) -> u8 {
        let above = u32::from(sample).saturating_sub(self.black).min(self.span);
        low8((above * 255 + self.span / 2) / self.span)
    }
}

/// What one step of chroma and luma is worth, in 64ths of a level.
///
/// # Source
///
/// libyuv, `row_common.cc`: coefficients rounded to six bits, the blue one at most 128.
#[derive(Clone, Copy)]
struct Matrix {
    /// Blue by blue difference, green by both, red by red difference.
    chroma: [i32; 4],
    /// Of luma spread to 16 bits, and what is added to it.
    luma: (i32, i32),
}

impl Matrix {
    /// The matrices that libyuv knows; the others have their own arithmetic in libavif and are rare.
    fn new(sequence: &Sequence) -> Result<Self, Fault> {
        let matrix = match (sequence.matrix, sequence.primaries) {
            // Derived from the primaries.
            (12, 1 | 2) => 1,
            (12, 5 | 6) => 6,
            (12, 9) => 9,
            (matrix, _) => matrix,
        };
        let (chroma, luma) = match (matrix, sequence.full_range) {
            (2 | 5 | 6, true) => ([113, 22, 46, 90], (16_320, 32)),
            (2 | 5 | 6, false) => ([128, 25, 52, 102], (18_997, -1160)),
            (1, true) => ([119, 12, 30, 101], (16_320, 32)),
            (1, false) => ([128, 14, 34, 115], (18_997, -1160)),
            (9, true) => ([120, 11, 37, 94], (16_320, 32)),
            (9, false) => ([128, 12, 42, 107], (19_003, -1160)),
            (other, _) => {
                let message = format!("avif: matrix coefficients {other}");
                return Err(Fault::unsupported(message));
            }
        };
        Ok(Self { chroma, luma })
    }

    /// `luma` of 16 bits, differences of eight around 128.
    fn rgb(&self, luma: u32, blue: u16, red: u16) -> [u8; 3] {
        let [to_blue, green_blue, green_red, to_red] = self.chroma;
        let (factor, bias) = self.luma;
        let (blue, red) = (i32::from(blue) - 128, i32::from(red) - 128);
        let luma = i64::from(luma) * i64::from(factor);
        let luma = i32::try_from(luma >> 16).unwrap_or(0) + bias;
        [
            luma + red * to_red,
            luma - blue * green_blue - red * green_red,
            luma + blue * to_blue,
        ]
        .map(|value| u8::try_from((value >> 6).clamp(0, 255)).unwrap_or(0))
    }
}

/// Fills `rgb`, rows from the top.
///
/// `transparent` says that the picture has alpha: libavif then keeps ten bits to the end, else eight, but for what
/// [`Planes::is_nearest`] tells.
pub(crate) fn to_rgb(planes: &Planes, transparent: bool, rgb: &mut [u8]) -> Result<(), Fault> {
    if planes.chroma() == Chroma::None {
        // Beside alpha, grey goes through libyuv too.
        let matrix = Matrix::new(&planes.sequence);
        if let (true, Ok(matrix)) = (transparent, matrix) {
            let shift = planes.depth() - 8;
            for (pixel, &luma) in rgb.chunks_exact_mut(3).zip(&planes.data[0]) {
                let luma = u32::from(luma >> shift);
                pixel.copy_from_slice(&matrix.rgb(luma * 0x101, 128, 128));
            }
            return Ok(());
        }
        for (pixel, grey) in rgb.chunks_exact_mut(3).zip(planes.grey()) {
            pixel.fill(grey);
        }
        return Ok(());
    }
    if planes.is_plain() {
        return identity(planes, rgb);
    }
    let matrix = Matrix::new(&planes.sequence)?;
    let depth = planes.depth();
    let keeps = transparent && (depth == 10 || planes.is_nearest());
    let (before, after) = if keeps {
        (0, depth - 8)
    } else {
        (depth - 8, 0)
    };
    let bits = depth - before;
    let nearest = transparent && planes.is_nearest();
    let [blue, red] = [1, 2].map(|index| Upsampler::new(planes, index, before, nearest));
    let mut rows = [vec![0; planes.width], vec![0; planes.width]];
    let lines = rgb.chunks_exact_mut(planes.width * 3);
    for (y, (line, luma)) in lines
        .zip(planes.data[0].chunks_exact(planes.width))
        .enumerate()
    {
        blue.row(y, &mut rows[0]);
        red.row(y, &mut rows[1]);
        let chroma = rows[0].iter().zip(&rows[1]);
        for ((pixel, &luma), (&blue, &red)) in line.chunks_exact_mut(3).zip(luma).zip(chroma) {
            let luma = u32::from(luma >> before);
            let luma = (luma << (16 - bits)) | (luma >> (2 * bits - 16));
            let [blue, red] = [blue, red].map(|value| (value >> after).min(255));
            pixel.copy_from_slice(&matrix.rgb(luma, blue, red));
        }
    }
    Ok(())
}

/// Planes that are green, blue and red.
fn identity(planes: &Planes, rgb: &mut [u8]) -> Result<(), Fault> {
    if planes.chroma() != Chroma::Full {
        return Err(Fault::corrupt("avif: RGB with half its blue and red"));
    }
    let ramp = Ramp::new(&planes.sequence);
    let [green, blue, red] = &planes.data;
    for (((pixel, &g), &b), &r) in rgb.chunks_exact_mut(3).zip(green).zip(blue).zip(red) {
        pixel.copy_from_slice(&[r, g, b].map(|value| ramp.of(value)));
    }
    Ok(())
}

/// A chroma plane at the size of luma: three parts of the nearest sample and one of the next, in each direction.
struct Upsampler<'a> {
    plane: &'a [u16],
    columns: usize,
    rows: usize,
    shifts: (u32, u32),
    /// Bits that samples lose before all else.
    before: u8,
    nearest: bool,
}

impl<'a> Upsampler<'a> {
    fn new(planes: &'a Planes, index: usize, before: u8, nearest: bool) -> Self {
        let (columns, rows) = planes.extent(index);
        Self {
            plane: &planes.data[index],
            columns,
            rows,
            shifts: planes.shifts(index),
            before,
            nearest,
        }
    }

    fn row(&self, y: usize, out: &mut [u16]) {
        let line =
            |row: usize| &self.plane[row.min(self.rows - 1) * self.columns..][..self.columns];
        let (across, down) = self.shifts;
        let near = line(y >> down);
        // The row on the other side of this luma row; outside the picture there is none.
        let far = match down {
            0 => near,
            _ if self.nearest => near,
            _ if y.is_multiple_of(2) => line((y / 2).saturating_sub(1)),
            _ => line(y / 2 + 1),
        };
        let at = |line: &[u16], column: usize| u32::from(line[column] >> self.before);
        let (last, end) = (self.columns - 1, out.len() - 1);
        for (x, value) in out.iter_mut().enumerate() {
            let column = x >> across;
            let beside = match across {
                0 => column,
                // An odd last column has its own sample alone.
                _ if self.nearest || x == end => column,
                _ if x.is_multiple_of(2) => column.saturating_sub(1),
                _ => (column + 1).min(last),
            };
            let blend = |line| 3 * at(line, column) + at(line, beside);
            let sum = 3 * blend(near) + blend(far) + 8;
            *value = u16::try_from(sum >> 4).unwrap_or(u16::MAX);
        }
    }
}
