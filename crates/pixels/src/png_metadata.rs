//! Chunks of a PNG that say in which position it is looked at, also those behind the picture.

use std::io::Read;

use flate2::read::ZlibDecoder;

use crate::exif::Metadata;
use crate::turn::Turn;

/// Most bytes of a compressed text; Pillow reads no more either.
const MAX_TEXT: u64 = 1 << 20;

const PROFILE: &[u8] = b"Raw profile type exif";
const XMP: &[u8] = b"XML:com.adobe.xmp";

/// Texts that may say it; the last of a name counts.
#[derive(Default)]
struct Found<'a> {
    exif: Option<&'a [u8]>,
    profile: Option<Vec<u8>>,
    xmp: Option<Vec<u8>>,
}

/// How the picture is to be turned.
pub(crate) fn turn(bytes: &[u8]) -> Turn {
    let (mut found, mut at) = (Found::default(), 8usize);
    let (mut is_animated, mut has_picture) = (false, false);
    while let Some([a, b, c, d, kind @ ..]) =
        bytes.get(at..).and_then(|rest| rest.first_chunk::<8>())
    {
        let length = usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).unwrap_or(usize::MAX);
        let Some(body) = bytes.get(at + 8..(at + 8).saturating_add(length)) else {
            break;
        };
        match kind {
            b"IEND" => break,
            b"IDAT" => has_picture = true,
            b"acTL" => is_animated = true,
            // The next frame: what follows is not read for the first.
            b"fcTL" if is_animated && has_picture => break,
            b"eXIf" => found.exif = Some(body),
            b"tEXt" => found.take_text(body),
            b"zTXt" => found.take_compressed(body),
            b"iTXt" => found.take_international(body),
            _ => {}
        }
        at += 12 + length;
    }
    let profile = found.profile.and_then(|profile| bytes_of(&profile));
    Metadata {
        exif: found.exif.or(profile.as_deref()),
        xmp: found.xmp.as_deref(),
    }
    .turn()
}

impl<'a> Found<'a> {
    fn take(&mut self, name: &[u8], text: Vec<u8>) {
        match name {
            PROFILE => self.profile = Some(text),
            XMP => self.xmp = Some(text),
            _ => {}
        }
    }

    fn take_text(&mut self, body: &'a [u8]) {
        let (name, text) = split(body).unwrap_or((body, &[]));
        match name {
            b"exif" => self.exif = Some(text),
            PROFILE | XMP => self.take(name, text.to_vec()),
            _ => {}
        }
    }

    fn take_compressed(&mut self, body: &[u8]) {
        if let Some((name @ (PROFILE | XMP), [0, text @ ..])) = split(body) {
            self.take(name, inflated(text));
        }
    }

    /// Behind the name whether it is compressed, and how, its language and the name in that.
    fn take_international(&mut self, body: &[u8]) {
        let Some((name @ (PROFILE | XMP), [is_compressed, method, rest @ ..])) = split(body) else {
            return;
        };
        let text = split(rest).and_then(|(_, rest)| split(rest));
        match (text, is_compressed, method) {
            (Some((_, text)), 0, _) => self.take(name, text.to_vec()),
            (Some((_, text)), _, 0) => self.take(name, inflated(text)),
            _ => {}
        }
    }
}

/// What stands before the first zero and behind it.
fn split(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(0, body)?;
    Some((&body[..at], &body[at + 1..]))
}

/// Nothing where it is damaged or too long.
fn inflated(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let read = ZlibDecoder::new(text)
        .take(MAX_TEXT + 1)
        .read_to_end(&mut out);
    let read = read.ok().and_then(|length| u64::try_from(length).ok());
    match read {
        Some(length) if length <= MAX_TEXT => out,
        _ => Vec::new(),
    }
}

/// A profile in hexadecimal digits, behind two lines that name it and its length.
fn bytes_of(profile: &[u8]) -> Option<Vec<u8>> {
    let lines = profile.split(|&byte| byte == b'\n').skip(3);
    let digits = lines.flatten().filter(|byte| !byte.is_ascii_whitespace());
    let digits: Option<Vec<u8>> = digits
        .map(|&digit| {
            let value = char::from(digit).to_digit(16)?;
            u8::try_from(value).ok()
        })
        .collect();
    let digits = digits?;
    let pairs = digits.chunks_exact(2);
    let is_whole = pairs.remainder().is_empty();
    is_whole.then(|| pairs.map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn png(chunks: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
        let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
        for (kind, body) in chunks {
            bytes.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
            bytes.extend_from_slice(*kind);
            bytes.extend_from_slice(body);
            bytes.extend([0; 4]);
        }
        bytes
    }

    fn deflated(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    const ROTATED: &[u8] = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";

    #[test]
    fn every_chunk_that_tells_it_is_read_before_and_behind_the_picture() {
        let digits: String = ROTATED.iter().map(|byte| format!("{byte:02x}")).collect();
        let profile = format!(
            "\nexif\n{:8}\n{}\n{}\n",
            ROTATED.len(),
            &digits[..20],
            &digits[20..]
        );
        let packet = b"<x tiff:Orientation=\"6\"/>".as_slice();
        let cases: [(&[u8; 4], Vec<u8>); 7] = [
            (b"eXIf", ROTATED.to_vec()),
            (b"tEXt", [b"exif\0", ROTATED].concat()),
            (b"tEXt", [PROFILE, b"\0", profile.as_bytes()].concat()),
            (
                b"zTXt",
                [PROFILE, b"\0\0", &deflated(profile.as_bytes())].concat(),
            ),
            (b"tEXt", [XMP, b"\0", packet].concat()),
            (b"iTXt", [XMP, b"\0\0\0\0\0", packet].concat()),
            (
                b"iTXt",
                [XMP, b"\0\x01\0en\0\0", &deflated(packet)].concat(),
            ),
        ];
        for (kind, body) in cases {
            let picture = (b"IDAT", vec![1]);
            for chunks in [
                vec![(kind, body.clone()), picture.clone()],
                vec![picture, (kind, body)],
            ] {
                assert_eq!(turn(&png(&chunks)), Turn::of(6), "{chunks:?}");
            }
        }
    }

    #[test]
    fn damage_in_a_chunk_says_nothing() {
        let bomb = deflated(&vec![b' '; (1 << 20) + 1]);
        let cases: [(&[u8; 4], Vec<u8>); 4] = [
            (b"eXIf", b"MM\0*".to_vec()),
            (b"tEXt", [PROFILE, b"\0\n\n\nzz"].concat()),
            (b"zTXt", [PROFILE, b"\0\0none"].concat()),
            (b"zTXt", [XMP, b"\0\0", &bomb].concat()),
        ];
        for chunk in cases {
            assert!(turn(&png(&[chunk])).is_none());
        }
        let whole = png(&[(b"eXIf", ROTATED.to_vec())]);
        assert!(turn(&whole[..whole.len() - 6]).is_none());
        let later = [
            (b"acTL", vec![0]),
            (b"IDAT", vec![]),
            (b"fcTL", vec![]),
            (b"eXIf", ROTATED.to_vec()),
        ];
        assert!(turn(&png(&later)).is_none());
    }
}
