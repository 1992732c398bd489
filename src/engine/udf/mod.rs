//! SQL functions, one per file.
//!
//! A function's arithmetic is a kernel over arrays or slices; [`column_function`] is what the functions of one
//! column share with DataFusion, [`takes`] the errors about arguments, [`vectors`] the lists that hold embeddings.

mod arguments;
mod class_caption;
mod clip_image_embedding;
mod clip_pair;
mod clip_reason;
mod clip_score;
mod clip_status;
mod clip_text_embedding;
mod column_function;
mod cosine_of;
mod cosine_similarity;
mod image_format;
mod image_header;
mod image_height;
mod image_status;
mod image_width;
mod kth_best;
mod l2_normalize;
mod octet_length;
mod takes;
mod text_counts;
mod text_length;
mod upright_size;
mod vectors;
mod word_count;

use std::sync::Arc;

use datafusion::logical_expr::{AggregateUDF, Expr, ScalarUDF};

use super::{EncodeRuntime, hoist::CallKind};
pub(super) use class_caption::class_caption;
use clip_image_embedding::ClipImageEmbedding;
use clip_pair::ClipPair;
use clip_text_embedding::ClipTextEmbedding;
pub(super) use cosine_of::cosine_of;

/// The functions that need no model.
pub(super) fn cheap_functions() -> Vec<ScalarUDF> {
    vec![
        cosine_similarity::cosine_similarity(),
        l2_normalize::l2_normalize(),
        image_width::image_width(),
        image_height::image_height(),
        image_format::image_format(),
        image_status::image_status(),
        word_count::word_count(),
        text_length::text_length(),
        octet_length::octet_length(),
    ]
}

/// What the columns `width` and `height` are where pictures are turned; no query can name them.
pub(super) fn upright_sizes() -> [ScalarUDF; 2] {
    [
        upright_size::upright_width(),
        upright_size::upright_height(),
    ]
}

/// The functions over many rows.
pub(super) fn aggregate_functions() -> Vec<AggregateUDF> {
    vec![kth_best::kth_best()]
}

/// The functions that name a model's answer.
pub(super) fn clip_functions(runtime: &Arc<EncodeRuntime>) -> Vec<ScalarUDF> {
    vec![
        clip_score::clip_score(),
        clip_status::clip_status(),
        clip_reason::clip_reason(),
        ScalarUDF::from(ClipImageEmbedding::new()),
        ScalarUDF::from(ClipTextEmbedding::new(Arc::clone(runtime))),
    ]
}

/// What a call asks the encode operator for, if `function` is one of [`clip_functions`].
pub(super) fn asked_by(function: &ScalarUDF) -> Option<CallKind> {
    let function: &dyn std::any::Any = function.inner().as_ref();
    if let Some(pair) = function.downcast_ref::<ClipPair>() {
        Some(pair.kind)
    } else if function.is::<ClipImageEmbedding>() {
        Some(CallKind::ImageEmbedding)
    } else if function.is::<ClipTextEmbedding>() {
        Some(CallKind::TextEmbedding)
    } else {
        None
    }
}

/// Whether `expr` has one value for the whole query.
pub(super) fn is_constant(expr: &Expr) -> bool {
    use datafusion::common::tree_node::TreeNode;
    let varies = |part: &Expr| {
        Ok(matches!(
            part,
            Expr::Column(_)
                | Expr::OuterReferenceColumn(..)
                | Expr::ScalarSubquery(_)
                | Expr::Exists(_)
                | Expr::InSubquery(_)
                | Expr::SetComparison(_)
                | Expr::LambdaVariable(_)
                | Expr::AggregateFunction(_)
                | Expr::WindowFunction(_)
        ))
    };
    !expr.is_volatile() && !expr.exists(varies).unwrap_or(true)
}

#[cfg(test)]
mod tests;
