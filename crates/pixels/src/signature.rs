//! Formats told apart by their first bytes, and names for those that are not read.

use crate::fault::{Fault, FaultKind};
use crate::probe::ImageKind;

/// Bytes of a text that are searched for what it is.
const TEXT: usize = 1024;

/// The format of a file.
///
/// # Errors
///
/// `Empty` for no bytes, `Unsupported` with the name of the format, where it is known, for all that is not read.
pub(crate) fn kind(bytes: &[u8]) -> Result<ImageKind, Fault> {
    match bytes {
        [] => Err(Fault {
            kind: FaultKind::Empty,
            message: "no bytes".to_owned(),
        }),
        [0xff, 0xd8, 0xff, ..] => Ok(ImageKind::Jpeg),
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Ok(ImageKind::Png),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Ok(ImageKind::Gif),
        [b'R', b'I', b'F', b'F', _, _, _, _, rest @ ..] if rest.starts_with(b"WEBP") => {
            Ok(ImageKind::WebP)
        }
        [b'B', b'M', ..] => Ok(ImageKind::Bmp),
        [b'I', b'I', 0x2a | 0x2b, 0, ..] | [b'M', b'M', 0, 0x2a | 0x2b, ..] => Ok(ImageKind::Tiff),
        [_, _, _, _, b'f', b't', b'y', b'p', rest @ ..] => brand(bytes, rest),
        _ => Err(Fault::unsupported(match other(bytes) {
            Some(name) => format!("{name}, which is not read"),
            None => "not a JPEG, PNG, GIF, WebP, BMP, TIFF or AVIF image".to_owned(),
        })),
    }
}

/// A file of the ISO base media family: the main brand, a version, and the other brands it goes by.
fn brand(bytes: &[u8], rest: &[u8]) -> Result<ImageKind, Fault> {
    let length = bytes.first_chunk().copied().map_or(0, u32::from_be_bytes);
    let length = usize::try_from(length).unwrap_or(0).saturating_sub(8);
    // The main brand is one whatever the length says.
    let brands = &rest[..length.max(4).min(rest.len())];
    let brands = || {
        brands
            .chunks_exact(4)
            .enumerate()
            .filter(|&(index, _)| index != 1)
    };
    let any = |names: &[&[u8]]| brands().any(|(_, brand)| names.contains(&brand));
    if any(&[b"avif", b"avis"]) {
        return Ok(ImageKind::Avif);
    }
    let name = if any(&[
        b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1",
    ]) {
        "a HEIC image".to_owned()
    } else {
        match rest.first_chunk::<4>() {
            Some(main) => format!("a media file of brand {}", main.escape_ascii()),
            None => return Err(Fault::truncated("the file ends before it says what it is")),
        }
    };
    Err(Fault::unsupported(format!("{name}, which is not read")))
}

fn other(bytes: &[u8]) -> Option<&'static str> {
    let starts = |prefix: &[u8]| bytes.starts_with(prefix);
    if starts(b"\0\0\0\x0cjP  \r\n\x87\n") || starts(b"\xff\x4f\xff\x51") {
        return Some("a JPEG 2000 image");
    }
    if starts(b"\0\0\0\x0cJXL \r\n\x87\n") || starts(b"\xff\x0a") {
        return Some("a JPEG XL image");
    }
    if starts(b"%PDF-") {
        return Some("a PDF document");
    }
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = text[..text.len().min(TEXT)].trim_ascii_start();
    let holds = |word: &[u8]| {
        let mut places = text.windows(word.len());
        places.any(|place| place.eq_ignore_ascii_case(word))
    };
    match text.first()? {
        b'<' if holds(b"<html") || holds(b"<!doctype html") => Some("an HTML page"),
        b'<' if holds(b"<svg") => Some("an SVG drawing"),
        b'<' if holds(b"<?xml") => Some("an XML text"),
        // A list may hold anything; an object begins with a name or is empty.
        b'{' if matches!(text[1..].trim_ascii_start().first(), Some(b'"' | b'}')) => {
            Some("a JSON text")
        }
        b'[' if matches!(
            text[1..].trim_ascii_start().first(),
            Some(b'"' | b'{' | b'[' | b']')
        ) =>
        {
            Some("a JSON text")
        }
        _ => None,
    }
}
