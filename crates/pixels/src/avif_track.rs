//! The first picture of an AVIF sequence, from the tables of its tracks.

use crate::avif_boxes::{Boxes, Reader, find, truncated};
use crate::avif_items::{Picture, Pictures, color, names_alpha, piece};
use crate::avif_turn::turn;
use crate::fault::Fault;

/// Fields of a sample's description before its properties.
const ENTRY_BYTES: usize = 78;

/// The first samples of the colour track and of its alpha.
pub(crate) fn pictures(file: &[u8]) -> Result<Pictures<'_>, Fault> {
    let movie = find(file, b"moov").ok_or_else(truncated)?;
    let tracks = || {
        let boxes = Boxes(movie).filter(|(kind, _)| kind == b"trak");
        boxes.map(|(_, track)| track)
    };
    for track in tracks() {
        check_samples(file, track)?;
    }
    let main = tracks().find(|track| sample_entry(track).is_some() && !is_auxiliary(track));
    let Some(main) = main else {
        return Err(Fault::unsupported("avif: a sequence without an AV1 track"));
    };
    let alpha = tracks().find(|track| is_auxiliary(track) && is_alpha(track));
    let premultiplied = find(main, b"tref").is_some_and(|list| find(list, b"prem").is_some());
    Ok(Pictures {
        color: picture(file, main)?,
        alpha: alpha.map(|alpha| picture(file, alpha)).transpose()?,
        premultiplied,
    })
}

fn is_auxiliary(track: &[u8]) -> bool {
    find(track, b"tref").is_some_and(|list| find(list, b"auxl").is_some())
}

/// Whether an auxiliary track says that it is alpha; a depth map is another kind.
fn is_alpha(track: &[u8]) -> bool {
    let properties = sample_entry(track).and_then(|entry| entry.get(ENTRY_BYTES..));
    let kind = properties.and_then(|boxes| find(boxes, b"auxi"));
    kind.is_some_and(|kind| names_alpha(kind.get(4..).unwrap_or_default()))
}

fn samples(track: &[u8]) -> Option<&[u8]> {
    let media = find(track, b"mdia")?;
    find(find(media, b"minf")?, b"stbl")
}

/// The description of an AV1 sample.
fn sample_entry(track: &[u8]) -> Option<&[u8]> {
    let list = find(samples(track)?, b"stsd")?;
    // Version, flags and the count of entries.
    find(list.get(8..)?, b"av01")
}

/// Whether all samples of a track are in the file, as libavif asks before it shows the first.
fn check_samples(file: &[u8], track: &[u8]) -> Result<(), Fault> {
    let Some(tables) = samples(track) else {
        return Ok(());
    };
    let table = |kind: &[u8; 4]| {
        let mut table = Reader(find(tables, kind)?);
        table.version().ok()?;
        Some(table)
    };
    let wide = table(b"co64");
    let offset_bytes = if wide.is_some() { 8 } else { 4 };
    let (Some(mut chunks), Some(mut sizes), Some(mut groups)) = (
        wide.or_else(|| table(b"stco")),
        table(b"stsz"),
        table(b"stsc"),
    ) else {
        return Ok(());
    };
    let (all, count) = (u64::from(sizes.u32()?), sizes.u32()?);
    let (chunk_count, group_count) = (chunks.u32()?, groups.u32()?);
    // From which chunk on there are how many samples in each.
    let mut rows = (0..group_count).map_while(|_| {
        let row = (groups.u32().ok()?, groups.u32().ok()?);
        groups.u32().ok().map(|_| row)
    });
    let (mut of_each, mut next) = (0, rows.next());
    let mut left = count;
    let whole = u64::try_from(file.len()).unwrap_or(u64::MAX);
    for chunk in 1..=chunk_count {
        if let Some((first, samples)) = next
            && first <= chunk
        {
            (of_each, next) = (samples, rows.next());
        }
        let mut end = chunks.uint(offset_bytes)?;
        let here = of_each.min(left);
        left -= here;
        match all {
            0 => {
                for _ in 0..here {
                    end = end.saturating_add(u64::from(sizes.u32()?));
                }
            }
            all => end = end.saturating_add(all.saturating_mul(u64::from(here))),
        }
        if end > whole {
            return Err(Fault::truncated("avif: the file ends within its frames"));
        }
    }
    Ok(())
}

fn picture<'a>(file: &'a [u8], track: &'a [u8]) -> Result<Picture<'a>, Fault> {
    let tables = samples(track).ok_or_else(truncated)?;
    let mut entry = Reader(sample_entry(track).ok_or_else(truncated)?);
    let mut fields = Reader(entry.take(ENTRY_BYTES)?);
    fields.take(24)?;
    let (width, height) = (u32::from(fields.u16()?), u32::from(fields.u16()?));
    let mut properties = Boxes(entry.0);
    let color = properties.find_map(|(kind, content)| {
        let numbers = kind == *b"colr";
        numbers.then(|| color(content)).flatten()
    });
    let mut sizes = Reader(find(tables, b"stsz").ok_or_else(truncated)?);
    sizes.version()?;
    let (all, count) = (sizes.u32()?, sizes.u32()?);
    let length = match all {
        0 if count > 0 => sizes.u32()?,
        all => all,
    };
    let wide = find(tables, b"co64");
    let mut chunks = Reader(wide.or(find(tables, b"stco")).ok_or_else(truncated)?);
    chunks.version()?;
    if chunks.u32()? == 0 || length == 0 {
        return Err(Fault::truncated("avif: a sequence without a picture"));
    }
    let offset = chunks.uint(if wide.is_some() { 8 } else { 4 })?;
    Ok(Picture {
        width,
        height,
        columns: 1,
        tile: (width, height),
        tiles: vec![vec![piece(file, offset, u64::from(length))?]],
        color,
        turn: turn(Boxes(entry.0)),
    })
}
