//! What metadata says of the position in which a picture is looked at.
//!
//! Whatever is damaged says nothing: a picture is not bad because its metadata are.
//!
//! # Source
//!
//! Exif 2.32, and XMP's `tiff:Orientation` where there is no Exif tag, in the order in which Pillow's
//! `ImageOps.exif_transpose` asks them.

use memchr::memmem;

use crate::tiff_directory::{Orientation, orientation};
use crate::turn::Turn;

/// Stands before the TIFF that Exif is.
pub(crate) const EXIF: &[u8] = b"Exif\0\0";

/// What was found in a file; both as they are stored there.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Metadata<'a> {
    pub(crate) exif: Option<&'a [u8]>,
    pub(crate) xmp: Option<&'a [u8]>,
}

impl Metadata<'_> {
    /// How the picture is to be turned.
    pub(crate) fn turn(&self) -> Turn {
        match self.exif.map_or(Orientation::Absent, of_exif) {
            Orientation::Number(number) => Turn::of(number),
            Orientation::Damaged => Turn::NONE,
            Orientation::Absent => Turn::of(self.xmp.and_then(of_xmp).unwrap_or(0)),
        }
    }
}

fn of_exif(mut exif: &[u8]) -> Orientation {
    // Some writers put it twice.
    for _ in 0..2 {
        exif = exif.strip_prefix(EXIF).unwrap_or(exif);
    }
    match exif {
        [] => Orientation::Absent,
        [b'I', b'I', 0x2a, 0, ..]
        | [b'M', b'M', 0, 0x2a, ..]
        | [b'I', b'I', 0, 0x2a, ..]
        | [b'M', b'M', 0x2a, 0, ..] => orientation(exif),
        _ => Orientation::Damaged,
    }
}

/// The digit behind the first `tiff:Orientation`, as attribute or element.
fn of_xmp(xmp: &[u8]) -> Option<u8> {
    const NAME: &[u8] = b"tiff:Orientation";
    memmem::find_iter(xmp, NAME).find_map(|at| {
        let rest = &xmp[at + NAME.len()..];
        let rest = rest.strip_prefix(b"=\"").or(rest.strip_prefix(b">"))?;
        let digit = rest.first()?.wrapping_sub(b'0');
        (digit <= 9).then_some(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One entry of tag 274 with a value of four bytes.
    fn exif(big_endian: bool, kind: u16, count: u32, value: [u8; 4]) -> Vec<u8> {
        let two = |value: u16| match big_endian {
            true => value.to_be_bytes(),
            false => value.to_le_bytes(),
        };
        let four = |value: u32| match big_endian {
            true => value.to_be_bytes(),
            false => value.to_le_bytes(),
        };
        let order = if big_endian { b"MM" } else { b"II" };
        let mut bytes = [&order[..], &two(42), &four(8), &two(1)].concat();
        bytes.extend([&two(274)[..], &two(kind), &four(count), &value].concat());
        bytes.extend(four(0));
        bytes
    }

    fn turn(exif: &[u8], xmp: &[u8]) -> Turn {
        Metadata {
            exif: Some(exif),
            xmp: Some(xmp),
        }
        .turn()
    }

    #[test]
    fn a_tag_of_either_byte_order_and_of_any_number_type_is_read() {
        for number in 0..=9u8 {
            let big = exif(true, 3, 1, [0, number, 0, 0]);
            let little = exif(false, 3, 1, [number, 0, 0, 0]);
            for bytes in [&big, &little] {
                assert_eq!(turn(bytes, b""), Turn::of(number));
                assert_eq!(turn(&[EXIF, bytes].concat(), b""), Turn::of(number));
                assert_eq!(turn(&[EXIF, EXIF, bytes].concat(), b""), Turn::of(number));
            }
        }
        assert_eq!(turn(&exif(false, 4, 1, [6, 0, 0, 0]), b""), Turn::of(6));
        assert_eq!(turn(&exif(true, 9, 1, [0, 0, 0, 6]), b""), Turn::of(6));
        assert_eq!(
            turn(&exif(true, 11, 1, 6f32.to_be_bytes()), b""),
            Turn::of(6)
        );
        // Bytes and texts are no numbers, and of several numbers the first counts.
        assert_eq!(turn(&exif(true, 1, 1, [6, 0, 0, 0]), b""), Turn::NONE);
        assert_eq!(turn(&exif(true, 2, 1, *b"6\0\0\0"), b""), Turn::NONE);
        assert_eq!(turn(&exif(true, 3, 2, [0, 6, 0, 3]), b""), Turn::of(6));
    }

    #[test]
    fn xmp_is_asked_where_exif_has_no_tag() {
        let attribute = br#"<rdf:Description tiff:Orientation="6"/>"#;
        let element = b"<tiff:Orientation>8</tiff:Orientation>";
        let other = exif(false, 0, 1, [6, 0, 0, 0]);
        assert_eq!(turn(b"", attribute), Turn::of(6));
        assert_eq!(turn(&other, element), Turn::of(8));
        assert_eq!(turn(&exif(false, 3, 1, [1, 0, 0, 0]), element), Turn::NONE);
        assert_eq!(turn(b"", br#"tiff:Orientation = "6""#), Turn::NONE);
    }

    #[test]
    fn damaged_metadata_says_nothing() {
        let whole = exif(true, 3, 1, [0, 6, 0, 0]);
        assert_eq!(turn(b"no exif at all", b"tiff:Orientation>6"), Turn::NONE);
        for length in 0..whole.len() {
            let part = turn(&whole[..length], b"");
            assert!(part.is_none() || length >= 22, "{length}");
        }
        // A directory that lies nowhere, and an entry that leads out of the file.
        let mut far = whole.clone();
        far[4..8].copy_from_slice(&[0xff; 4]);
        assert_eq!(turn(&far, b""), Turn::NONE);
        assert_eq!(turn(&exif(true, 3, 9, [0xff; 4]), b""), Turn::NONE);
    }
}
