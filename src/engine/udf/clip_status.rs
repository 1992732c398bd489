//! `clip_status(image, text)`.

use datafusion::logical_expr::ScalarUDF;

use super::clip_pair::ClipPair;
use crate::engine::hoist::CallKind;

/// `clip_status(image, text)`: `ok`, or why the pair has no score.
pub(super) fn clip_status() -> ScalarUDF {
    ClipPair::function(CallKind::Status)
}
