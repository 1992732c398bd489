//! Reads `golden/golden.bin`, the archive that `golden/generate.py` writes.

use std::io::Read;

const GOLDEN: &[u8] = include_bytes!("../golden/golden.bin");

/// One encoded image and what Pillow makes of it.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) size: (u32, u32),
    pub(crate) image: Vec<u8>,
    pub(crate) rgb: Vec<u8>,
    pub(crate) white: Vec<u8>,
    pub(crate) resized: Vec<u8>,
}

pub(crate) fn line<'a>(rest: &mut &'a [u8]) -> &'a str {
    let end = rest.iter().position(|&byte| byte == b'\n').unwrap();
    let (head, tail) = rest.split_at(end);
    *rest = &tail[1..];
    std::str::from_utf8(head).unwrap()
}

pub(crate) fn inflated(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    flate2::read::ZlibDecoder::new(data)
        .read_to_end(&mut out)
        .unwrap();
    out
}

/// All images of the archive.
pub(crate) fn cases() -> Vec<Case> {
    let mut rest = GOLDEN;
    assert!(line(&mut rest).starts_with("Pillow "));
    let mut cases = Vec::new();
    while !rest.is_empty() {
        let fields: Vec<&str> = line(&mut rest).split(' ').collect();
        let mut part = |index: usize| {
            let (head, tail) = rest.split_at(fields[index].parse().unwrap());
            rest = tail;
            head
        };
        let (image, rgb, white, resized) = (part(4), part(5), part(6), part(7));
        let (rgb, white) = (inflated(rgb), inflated(white));
        cases.push(Case {
            name: fields[0].to_owned(),
            size: (fields[2].parse().unwrap(), fields[3].parse().unwrap()),
            image: image.to_vec(),
            white: if white.is_empty() { rgb.clone() } else { white },
            rgb,
            resized: inflated(resized),
        });
    }
    cases
}
