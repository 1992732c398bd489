//! The pairs of a check: pictures whose crop has an odd margin, captions with all that is cleaned.

/// Captions that tell lower case, punctuation, HTML, white space and mojibake apart.
pub(super) const CAPTIONS: [&str; 4] = [
    "a photo of a dog",
    "A Red Fox, and TWO dogs!",
    "snake_case  with   blanks &amp; signs",
    "a cafÃ© in Zürich — it’s open",
];

/// Size of a picture.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) width: u32,
    pub(super) height: u32,
}

const fn size(width: u32, height: u32) -> Size {
    Size { width, height }
}

/// Sizes that leave an odd margin beside the crop of many models.
pub(super) const SIZES: [Size; 4] = [
    size(300, 401),
    size(331, 449),
    size(449, 331),
    size(517, 389),
];

/// Edge of a square of one colour: larger than a patch of a crop's mistake, smaller than what a tower overlooks.
const SQUARE: u32 = 5;
const HEADER: u32 = 54;

/// A picture of coloured squares as a BMP file of 24 bits.
pub(super) fn picture(size: Size) -> Vec<u8> {
    let stride = (3 * size.width).next_multiple_of(4);
    let bytes = stride * size.height;
    let mut file = Vec::with_capacity((HEADER + bytes) as usize);
    file.extend(b"BM");
    for number in [HEADER + bytes, 0, HEADER, 40, size.width, size.height] {
        file.extend(number.to_le_bytes());
    }
    // One plane of 24 bits, uncompressed.
    file.extend([1, 0, 24, 0]);
    for number in [0, bytes, 2835, 2835, 0, 0] {
        file.extend(u32::to_le_bytes(number));
    }
    for row in 0..size.height {
        let start = file.len();
        for column in 0..size.width {
            let square = ((row / SQUARE) << 16) | (column / SQUARE);
            let mixed = (square ^ size.width).wrapping_mul(0x9e37_79b1);
            let mixed = (mixed ^ (mixed >> 15)).wrapping_mul(0x85eb_ca77);
            file.extend(&mixed.to_le_bytes()[1..]);
        }
        file.resize(start + stride as usize, 0);
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_read_at_their_size() {
        for size in SIZES {
            let facts = crate::preprocess::probe(&picture(size), 1 << 20).unwrap();
            assert_eq!((facts.width, facts.height), (size.width, size.height));
        }
    }
}
