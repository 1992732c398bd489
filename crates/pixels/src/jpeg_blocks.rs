//! Coefficients between their scans and their transform: of the whole picture where several scans add to them, else of
//! one row of coding units.

use crate::fault::Fault;
use crate::jpeg_stream::Frame;

/// Where one component's blocks lie.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Grid {
    /// Blocks of a coding unit.
    pub(crate) across: usize,
    pub(crate) down: usize,
    /// Blocks that hold a part of the picture.
    pub(crate) wide: usize,
    pub(crate) high: usize,
    /// Blocks from one row to the next: those of whole coding units.
    pub(crate) stride: usize,
    first: usize,
    /// Rows of blocks that are held.
    held: usize,
}

impl Grid {
    /// The row of blocks `down` - 2 rows below `row`, as libjpeg finds it when it estimates coefficients of a whole
    /// picture: the last row of coding units counts only its rows with a part of the picture, the others count all.
    pub(crate) fn neighbour_row(&self, row: usize, down: usize) -> usize {
        let (unit, units) = (row / self.down, self.held / self.down);
        let rows = if unit + 1 == units {
            self.high - unit * self.down
        } else {
            self.down
        };
        let (counted, all) = (unit * rows + row % self.down, units * rows);
        match down {
            0 | 1 => row - counted.min(2 - down),
            _ => row + all.saturating_sub(1 + counted).min(down - 2),
        }
    }
}

/// Coefficients of one block in natural order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Block {
    pub(crate) coefficients: [i16; 64],
    /// Which of them are not zero, in the order in which they are coded; of a sequential file's, at least one bit
    /// where any but the first is. The first bit says nothing.
    pub(crate) coded: u64,
}

impl Block {
    pub(crate) const EMPTY: Self = Self {
        coefficients: [0; 64],
        coded: 0,
    };

    /// Whether all but the first are zero.
    #[inline(always)]
    pub(crate) fn is_flat(&self) -> bool {
        self.coded & !1 == 0
    }
}

/// Blocks of all components.
pub(crate) struct Blocks<'a> {
    pub(crate) grids: [Grid; 4],
    blocks: &'a mut Vec<Block>,
}

impl<'a> Blocks<'a> {
    /// Room for zeros: of all rows of coding units, or of one.
    pub(crate) fn new(
        frame: &Frame,
        holds_all: bool,
        blocks: &'a mut Vec<Block>,
    ) -> Result<Self, Fault> {
        let (units, most) = (frame.units(), frame.sampling());
        let edge = |length: u16, factor: usize, most: usize| {
            (usize::from(length) * factor).div_ceil(8 * most)
        };
        let (mut grids, mut count) = ([Grid::default(); 4], 0usize);
        for (grid, component) in grids.iter_mut().zip(frame.components()) {
            let (across, down) = (usize::from(component.across), usize::from(component.down));
            *grid = Grid {
                across,
                down,
                wide: edge(frame.width, across, most.0),
                high: edge(frame.height, down, most.1),
                stride: units.0 * across,
                first: count,
                held: if holds_all { units.1 * down } else { down },
            };
            count = (grid.stride.checked_mul(grid.held))
                .and_then(|own| own.checked_add(count))
                .ok_or_else(|| Fault::unsupported("jpeg: larger than memory"))?;
        }
        blocks.clear();
        blocks.resize(count, Block::EMPTY);
        Ok(Self { grids, blocks })
    }

    /// Zeros again, for the next row of coding units.
    pub(crate) fn clear(&mut self) {
        self.blocks.fill(Block::EMPTY);
    }

    /// One row of a component's blocks, those of whole coding units.
    #[inline]
    pub(crate) fn row(&self, component: usize, row: usize) -> &[Block] {
        let grid = &self.grids[component];
        &self.blocks[grid.first + row % grid.held * grid.stride..][..grid.stride]
    }

    #[inline]
    pub(crate) fn row_mut(&mut self, component: usize, row: usize) -> &mut [Block] {
        let grid = &self.grids[component];
        &mut self.blocks[grid.first + row % grid.held * grid.stride..][..grid.stride]
    }
}
