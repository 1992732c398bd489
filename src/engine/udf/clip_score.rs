//! `clip_score(image, text)`.

use datafusion::logical_expr::ScalarUDF;

use super::clip_pair::ClipPair;
use crate::engine::hoist::CallKind;

/// `clip_score(image, text)`: cosine of both embeddings, in [-1, 1]; null where one is bad.
pub(super) fn clip_score() -> ScalarUDF {
    ClipPair::function(CallKind::Score)
}
