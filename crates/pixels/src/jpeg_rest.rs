//! What follows the only scan of a JPEG: Pillow reads on to the end marker and refuses what libjpeg cannot make sense of,
//! but for an end that is missing.

use crate::fault::{Fault, FaultKind};
use crate::jpeg_stream::{Segment, Segments, is_frame};
use crate::jpeg_tables::Tables;

/// Looks at the segments from offset `at` on.
///
/// # Errors
///
/// `Corrupt` for another scan or frame, tables that contradict their segment, or a marker that no file can have.
pub(crate) fn check_rest(bytes: &[u8], at: usize, tables: &mut Tables) -> Result<(), Fault> {
    let mut segments = Segments::new(bytes, at);
    loop {
        match segments.next() {
            Ok(Segment::End) => return Ok(()),
            Ok(Segment::Scan(_)) => return Err(misplaced()),
            Ok(Segment::Plain(kind, _)) if is_frame(kind) || kind == DAC => return Err(misplaced()),
            Ok(Segment::Plain(kind, body)) => tables.take(kind, body)?,
            Err(fault) if fault.kind == FaultKind::Truncated => {
                return match bytes.get(segments.at..) {
                    Some([0xff, kind, rest @ ..]) => begun(*kind, rest),
                    _ => Ok(()),
                };
            }
            Err(fault) => return Err(fault),
        }
    }
}

const DAC: u8 = 0xcc;
const DHT: u8 = 0xc4;
const SOS: u8 = 0xda;
const DQT: u8 = 0xdb;
const DRI: u8 = 0xdd;

/// A segment that the file has not to its end: wrong if what there is of it is.
fn begun(kind: u8, rest: &[u8]) -> Result<(), Fault> {
    let first = rest.get(2).copied();
    let is_wrong = match kind {
        SOS | DAC | DRI => true,
        DQT => first.is_some_and(|info| info & 15 > 3),
        DHT => first.is_some_and(|info| info & 0xef > 3),
        kind => is_frame(kind),
    };
    match is_wrong {
        true => Err(misplaced()),
        false => Ok(()),
    }
}

fn misplaced() -> Fault {
    Fault::corrupt("jpeg: behind the picture comes what cannot be there")
}
