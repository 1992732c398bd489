//! Pictures that are stored in another position than they are looked at.

use std::ops::Range;

/// How a stored picture is brought into the position in which it is looked at.
///
/// # Source
///
/// Exif 2.32, tag 274; TIFF 6.0, section 8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Turn {
    /// Rows become columns; the other two are of the picture as it is stored.
    pub(crate) is_transposed: bool,
    mirrors_columns: bool,
    mirrors_rows: bool,
}

impl Turn {
    /// As it is stored.
    pub(crate) const NONE: Self = Self {
        is_transposed: false,
        mirrors_columns: false,
        mirrors_rows: false,
    };

    /// The turn of an orientation's number; none for 1 and for what is no orientation.
    pub(crate) fn of(number: u8) -> Self {
        Self {
            is_transposed: matches!(number, 5..=8),
            mirrors_columns: matches!(number, 2 | 3 | 7 | 8),
            mirrors_rows: matches!(number, 3 | 4 | 6 | 7),
        }
    }

    /// The same with rows for columns.
    pub(crate) fn transposed(self) -> Self {
        Self {
            is_transposed: !self.is_transposed,
            ..self
        }
    }

    pub(crate) fn is_none(self) -> bool {
        self == Self::NONE
    }

    /// Whether columns of the turned picture run against those they were stored in, and whether its rows do.
    pub(crate) fn mirrored(self) -> Mirrored {
        let (across, down) = match self.is_transposed {
            true => (self.mirrors_rows, self.mirrors_columns),
            false => (self.mirrors_columns, self.mirrors_rows),
        };
        Mirrored { across, down }
    }
}

/// Directions of a turned picture that run against the stored ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Mirrored {
    pub(crate) across: bool,
    pub(crate) down: bool,
}

/// A stored picture seen in its turned position.
#[derive(Clone, Copy)]
pub(crate) struct Turned<'a> {
    /// Rows of RGB as they are stored, and pixels in one.
    rgb: &'a [u8],
    stored_width: usize,
    stored_height: usize,
    turn: Turn,
}

impl<'a> Turned<'a> {
    pub(crate) fn new(rgb: &'a [u8], stored_width: usize, turn: Turn) -> Self {
        Self {
            rgb,
            stored_width,
            stored_height: rgb.len() / (3 * stored_width).max(1),
            turn,
        }
    }

    /// Columns of the turned picture.
    pub(crate) fn width(&self) -> usize {
        match self.turn.is_transposed {
            true => self.stored_height,
            false => self.stored_width,
        }
    }

    /// Some columns of a row where they lie, if the picture is not turned.
    pub(crate) fn stored_row(&self, row: usize, columns: Range<usize>) -> Option<&'a [u8]> {
        let start = row * self.stored_width;
        self.turn
            .is_none()
            .then(|| &self.rgb[(start + columns.start) * 3..(start + columns.end) * 3])
    }

    /// Copies some columns of a turned row.
    pub(crate) fn copy_row(&self, row: usize, columns: Range<usize>, out: &mut [u8]) {
        let pixels = out.as_chunks_mut::<3>().0.iter_mut();
        for (column, pixel) in columns.zip(pixels) {
            let (x, y) = match self.turn.is_transposed {
                true => (row, column),
                false => (column, row),
            };
            let x = match self.turn.mirrors_columns {
                true => self.stored_width - 1 - x,
                false => x,
            };
            let y = match self.turn.mirrors_rows {
                true => self.stored_height - 1 - y,
                false => y,
            };
            let at = (y * self.stored_width + x) * 3;
            pixel.copy_from_slice(&self.rgb[at..at + 3]);
        }
    }

    /// Copies the whole turned picture.
    pub(crate) fn copy(&self, out: &mut Vec<u8>) {
        let width = self.width();
        out.clear();
        out.resize(self.rgb.len(), 0);
        for (row, line) in out.chunks_exact_mut((3 * width).max(1)).enumerate() {
            self.copy_row(row, 0..width, line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two columns and three rows, numbered from 0.
    #[test]
    fn every_orientation_moves_pixels_as_pillow_does() {
        let stored: Vec<u8> = (0..6).flat_map(|number| [number; 3]).collect();
        let cases: [(u8, usize, [u8; 6]); 8] = [
            (1, 2, [0, 1, 2, 3, 4, 5]),
            (2, 2, [1, 0, 3, 2, 5, 4]),
            (3, 2, [5, 4, 3, 2, 1, 0]),
            (4, 2, [4, 5, 2, 3, 0, 1]),
            (5, 3, [0, 2, 4, 1, 3, 5]),
            (6, 3, [4, 2, 0, 5, 3, 1]),
            (7, 3, [5, 3, 1, 4, 2, 0]),
            (8, 3, [1, 3, 5, 0, 2, 4]),
        ];
        for (number, width, expected) in cases {
            let turned = Turned::new(&stored, 2, Turn::of(number));
            let mut rgb = Vec::new();
            turned.copy(&mut rgb);
            let found: Vec<u8> = rgb.chunks_exact(3).map(|pixel| pixel[0]).collect();
            assert_eq!((turned.width(), found.as_slice()), (width, &expected[..]));
        }
        assert!(Turn::of(0).is_none() && Turn::of(9).is_none() && Turn::of(1).is_none());
    }
}
