//! What libavif asks of the boxes of a picture beyond those that lead to it: Pillow refuses a file that lacks any of it.
//!
//! # Source
//!
//! ISO/IEC 14496-12, 23000-22 and 23008-12, as far as libavif enforces them.

use crate::avif_boxes::{Boxes, Reader, find};
use crate::fault::Fault;

/// Main brands of the files that Pillow takes for AVIF.
const BRANDS: [&[u8; 4]; 4] = [b"avif", b"avis", b"mif1", b"msf1"];

/// Looks at the brand that comes first.
///
/// # Errors
///
/// `Corrupt` where it is none of [`BRANDS`].
pub(crate) fn check_brand(brands: &[u8]) -> Result<(), Fault> {
    let main = brands.first_chunk::<4>();
    match main.is_some_and(|main| BRANDS.contains(&main)) {
        true => Ok(()),
        false => Err(Fault::corrupt("avif: its main brand is another")),
    }
}

/// Looks at the boxes of a picture that is no sequence.
///
/// # Errors
///
/// `Corrupt` where one is missing, does not fit into the box around it, or is of a version that there is not.
pub(crate) fn check(meta: &[u8]) -> Result<(), Fault> {
    let inner = full(meta, "meta")?;
    fits(inner)?;
    handler(inner)?;
    if let Some(items) = find(inner, b"iinf") {
        items_fit(items)?;
    }
    if let Some(properties) = find(inner, b"iprp") {
        fits(properties)?;
        properties_fit(find(properties, b"ipco").unwrap_or_default())?;
    }
    Ok(())
}

fn damaged(name: &str) -> Fault {
    Fault::corrupt(format!("avif: its {name} box is damaged"))
}

/// What is in a box of version 0.
fn full<'a>(content: &'a [u8], name: &str) -> Result<&'a [u8], Fault> {
    let mut reader = Reader(content);
    match reader.version()? {
        (0, _) => Ok(reader.0),
        _ => Err(damaged(name)),
    }
}

/// Whether boxes fill what is around them, each at least as long as its own header.
fn fits(mut boxes: &[u8]) -> Result<(), Fault> {
    let wrong = || Fault::corrupt("avif: a box that does not fit into the one around it");
    while !boxes.is_empty() {
        let mut reader = Reader(boxes);
        let short = u64::from(reader.u32().map_err(|_| wrong())?);
        reader.array::<4>().map_err(|_| wrong())?;
        let (length, header) = match short {
            0 => return Ok(()),
            1 => (reader.uint(8).map_err(|_| wrong())?, 16),
            short => (short, 8),
        };
        let end = usize::try_from(length).ok().filter(|_| length >= header);
        boxes = end.and_then(|end| boxes.get(end..)).ok_or_else(wrong)?;
    }
    Ok(())
}

/// That of pictures, first, with a name that ends.
fn handler(meta: &[u8]) -> Result<(), Fault> {
    let wrong = || damaged("hdlr");
    let (kind, content) = Boxes(meta).next().ok_or_else(wrong)?;
    let rest = full(content, "hdlr")?;
    let is_right = kind == *b"hdlr"
        && rest.starts_with(b"\0\0\0\0pict")
        && rest.get(20..).is_some_and(|name| name.contains(&0));
    match is_right {
        true => Ok(()),
        false => Err(wrong()),
    }
}

/// As many entries as there are said to be, each of a known version.
fn items_fit(table: &[u8]) -> Result<(), Fault> {
    let wrong = || damaged("iinf");
    let mut table = Reader(table);
    let (version, _) = table.version()?;
    let count = table.number(version > 0)?;
    fits(table.0)?;
    let entries = Boxes(table.0).filter(|(kind, _)| kind == b"infe").count();
    if version > 1 || u32::try_from(entries) != Ok(count) {
        return Err(wrong());
    }
    for (_, entry) in Boxes(table.0) {
        let mut entry = Reader(entry);
        if !matches!(entry.version()?.0, 2 | 3) {
            return Err(wrong());
        }
    }
    Ok(())
}

fn properties_fit(properties: &[u8]) -> Result<(), Fault> {
    fits(properties)?;
    for (kind, content) in Boxes(properties) {
        match &kind {
            b"ispe" => {
                full(content, "ispe")?;
            }
            b"pixi" => {
                let planes = full(content, "pixi")?;
                let (&count, depths) = planes.split_first().ok_or_else(|| damaged("pixi"))?;
                let depths = depths.get(..usize::from(count));
                let is_right = depths.is_some_and(|depths| {
                    (1..=4).contains(&count) && depths.iter().all(|depth| *depth == depths[0])
                });
                if !is_right {
                    return Err(damaged("pixi"));
                }
            }
            // A marker bit, and version 1.
            b"av1C" if content.len() < 4 || content[0] != 0x81 => return Err(damaged("av1C")),
            _ => {}
        }
    }
    Ok(())
}
