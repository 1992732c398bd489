//! `clip_reason(image, text)`.

use datafusion::logical_expr::ScalarUDF;

use super::clip_pair::ClipPair;
use crate::engine::hoist::CallKind;

/// `clip_reason(image, text)`: why the pair has no score, for a person; null where it has one.
pub(super) fn clip_reason() -> ScalarUDF {
    ClipPair::function(CallKind::Reason)
}
