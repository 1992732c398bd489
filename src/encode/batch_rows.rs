//! The size of a model batch that a device works fastest with.

use std::time::Duration;

use crate::error::{ErrorKind, Result};

/// Sizes that are tried, each twice the one before.
const TRIED: [usize; 6] = [16, 32, 64, 128, 256, 512];
/// A larger batch must be faster by this factor: it also costs memory, and time until the first result.
const WORTH: f64 = 1.05;

/// The smallest of the tried sizes that none after it beats by more than a twentieth, given how long `encode` takes for
/// so many rows; where memory is too small for a size, the search ends before it.
///
/// # Errors
/// When `encode` fails for another reason, or even for the smallest size.
pub(super) fn fastest(mut encode: impl FnMut(usize) -> Result<Duration>) -> Result<usize> {
    let mut best = (TRIED[0], rate(TRIED[0], encode(TRIED[0])?));
    for rows in TRIED.into_iter().skip(1) {
        let took = match encode(rows) {
            Ok(took) => took,
            Err(error) if error.kind() == ErrorKind::Resources => break,
            Err(error) => return Err(error),
        };
        let rate = rate(rows, took);
        if rate < best.1 * WORTH {
            break;
        }
        best = (rows, rate);
    }
    Ok(best.0)
}

/// Rows per second.
fn rate(rows: usize, took: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "at most 512")]
    let rows = rows as f64;
    rows / took.as_secs_f64().max(1e-9)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    /// A device with a cost per call and one per row.
    fn device(call: f64, row: f64) -> impl FnMut(usize) -> Result<Duration> {
        move |rows| Ok(Duration::from_secs_f64(call + row * rows as f64))
    }

    #[test]
    fn a_batch_grows_while_that_pays() {
        assert_eq!(fastest(device(0.0, 1.0)).unwrap(), 16);
        assert_eq!(fastest(device(10.0, 1.0)).unwrap(), 128);
        assert_eq!(fastest(device(1000.0, 1.0)).unwrap(), 512);
    }

    #[test]
    fn memory_ends_the_search() {
        let mut device = device(1000.0, 1.0);
        let found = fastest(|rows| match rows {
            0..=100 => device(rows),
            _ => Err(Error::resources("run the model")),
        });
        assert_eq!(found.unwrap(), 64);
        assert!(fastest(|_| Err(Error::resources("run the model"))).is_err());
        assert!(fastest(|_| Err(Error::model("run the model"))).is_err());
    }
}
