//! JPEG of any kind to RGB, with libjpeg-turbo's arithmetic, from which Pillow's pixels come.
//!
//! Our own in safe Rust, and not a library, because pixels must be Pillow's to the last bit, memory bounded by what the
//! header declares, and a sequential file must never be there as a whole picture (`jpeg_plain`).

use crate::exif::{EXIF, Metadata};
use crate::fault::{Fault, FaultKind};
use crate::jpeg_blocks::{Block, Blocks};
use crate::jpeg_rest::check_rest;
use crate::jpeg_rows::Rows;
use crate::jpeg_scans::{Opening, ScanReader, Scans, read_all};
use crate::jpeg_smooth::Known;
use crate::jpeg_stream::{Frame, Model, Scan};
use crate::jpeg_tables::Tables;
use crate::probe::{ImageFacts, ImageKind};
use crate::samples::{Buffers, cleared};
use crate::spec::Truncated;
use crate::turn::Turn;

pub(crate) fn probe(bytes: &[u8]) -> Result<ImageFacts, Fault> {
    let mut found = ApplicationData::default();
    let (frame, scan) = Frame::parse(bytes, |kind, body| {
        if kind == APP1 {
            found.take(body);
        }
        Ok(())
    })?;
    let (width, height) = (u32::from(frame.width), u32::from(frame.height));
    let held = decoder_bytes(&frame, &scan);
    let facts = ImageFacts::new(width, height, ImageKind::Jpeg, held)?;
    Ok(facts.to_turn(found.turn()))
}

const APP1: u8 = 0xe1;

/// Metadata in segments of their kind.
#[derive(Default)]
struct ApplicationData<'a> {
    metadata: Metadata<'a>,
    /// All of Exif, where it takes more than one segment.
    joined: Vec<u8>,
}

impl<'a> ApplicationData<'a> {
    fn take(&mut self, body: &'a [u8]) {
        if let Some(rest) = body.strip_prefix(EXIF) {
            match self.metadata.exif {
                None => self.metadata.exif = Some(body),
                Some(first) => {
                    if self.joined.is_empty() {
                        self.joined.extend_from_slice(first);
                    }
                    self.joined.extend_from_slice(rest);
                }
            }
        } else if let Some(packet) = body.strip_prefix(b"http://ns.adobe.com/xap/1.0/\0") {
            self.metadata.xmp = Some(packet);
        }
    }

    fn turn(&self) -> Turn {
        let joined = Some(self.joined.as_slice()).filter(|joined| !joined.is_empty());
        Metadata {
            exif: joined.or(self.metadata.exif),
            ..self.metadata
        }
        .turn()
    }
}

/// Blocks and sample rows, three of coding units and one of the picture per component.
fn decoder_bytes(frame: &Frame, scan: &Scan) -> u64 {
    const WIDEST: u64 = 65_535;
    let wide = |count: usize| u64::try_from(count).unwrap_or(WIDEST);
    let (units, sampling) = (frame.units(), frame.sampling());
    let factors: u64 = frame
        .components()
        .iter()
        .map(|c| u64::from(c.across) * u64::from(c.down))
        .sum();
    let (across, down) = (wide(units.0), wide(units.1));
    let held = if frame.is_multi_scan(scan) { down } else { 1 };
    let block = u64::try_from(size_of::<Block>()).unwrap_or(WIDEST);
    let coefficients = across * held * factors * block;
    // The fast way has strips of three components also for grey.
    let samples = across * factors.max(3) * 64 * 3;
    // Spread, as sums of 16 bits and as samples.
    let spread = across * 8 * wide(sampling.0) * 4 * (2 + 1);
    coefficients + samples + spread
}

/// What a picture is decoded to, and from what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// One part in so many of the width and height, rounded up.
    pub(crate) reduction: u32,
    pub(crate) truncated: Truncated,
}

/// Decodes to RGB.
///
/// # Errors
///
/// Of a file that is filled only what is not read here: where Pillow's decoder gives up, Pillow shows what it has.
pub(crate) fn decode(
    bytes: &[u8],
    facts: &ImageFacts,
    wanted: Wanted,
    tables: &mut Tables,
    buffers: &mut Buffers,
) -> Result<(), Fault> {
    let edge = |length: u32| u64::from(length.div_ceil(wanted.reduction));
    let pixels = usize::try_from(edge(facts.width) * edge(facts.height))
        .map_err(|_| Fault::unsupported("jpeg: larger than memory"))?;
    cleared(&mut buffers.rgb, pixels * 3);
    match decode_whole(bytes, wanted, tables, buffers) {
        Err(fault)
            if wanted.truncated == Truncated::Fill && fault.kind != FaultKind::Unsupported =>
        {
            let (frame, _) = Frame::parse(bytes, |_, _| Ok(()))?;
            buffers.rgb.fill(match frame.model() {
                // No ink.
                Model::Cmyk | Model::Ycck => 255,
                _ => 0,
            });
            buffers.is_filled = true;
            Ok(())
        }
        result => result,
    }
}

fn decode_whole(
    bytes: &[u8],
    wanted: Wanted,
    tables: &mut Tables,
    buffers: &mut Buffers,
) -> Result<(), Fault> {
    let (frame, scan) = tables.read(bytes)?;
    let reduction = usize::try_from(wanted.reduction).unwrap_or(1);
    let truncated = wanted.truncated;
    let is_multi_scan = frame.is_multi_scan(&scan);
    let mut blocks = Blocks::new(&frame, is_multi_scan, &mut buffers.blocks)?;
    if is_multi_scan {
        let opening = Opening {
            frame: &frame,
            scan,
            truncated,
        };
        let Scans { known, is_cut } = read_all(bytes, opening, tables, &mut blocks)?;
        let mut rows = Rows::new(&frame, &blocks, reduction)?;
        for unit in 0..frame.units().1 {
            rows.take(unit, &known, &blocks, &mut buffers.rgb);
        }
        buffers.is_filled = is_cut;
        return Ok(());
    }
    let mut known = Known::default();
    known.take(&frame, &scan, tables)?;
    let mut rows = Rows::new(&frame, &blocks, reduction)?;
    let reader = ScanReader::new(bytes, &frame, scan, tables)?;
    let mut reader = reader.with_truncated(truncated);
    for unit in 0..frame.units().1 {
        blocks.clear();
        reader.read_row(unit, &mut blocks)?;
        rows.take(unit, &known, &blocks, &mut buffers.rgb);
    }
    buffers.is_filled = reader.is_cut();
    match truncated {
        Truncated::Drop => check_rest(bytes, reader.position(), tables),
        Truncated::Fill => Ok(()),
    }
}
