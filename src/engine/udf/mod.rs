//! One file per SQL function.

mod arguments;
mod clip_image_embedding;
mod clip_score;
mod clip_text_embedding;
mod cosine_of;

use std::sync::Arc;

use datafusion::logical_expr::{Expr, ScalarUDF};

use super::{EncodeRuntime, hoist::CallKind};
use clip_image_embedding::ClipImageEmbedding;
use clip_score::ClipScore;
use clip_text_embedding::ClipTextEmbedding;
pub(super) use cosine_of::cosine_of;

/// The functions that name a model's answer.
pub(super) fn clip_functions(runtime: &Arc<EncodeRuntime>) -> Vec<ScalarUDF> {
    vec![
        ScalarUDF::from(ClipScore::new()),
        ScalarUDF::from(ClipImageEmbedding::new()),
        ScalarUDF::from(ClipTextEmbedding::new(Arc::clone(runtime))),
    ]
}

/// What a call asks the encode operator for, if `function` is one of [`clip_functions`].
pub(super) fn asked_by(function: &ScalarUDF) -> Option<CallKind> {
    let function: &dyn std::any::Any = function.inner().as_ref();
    if function.is::<ClipScore>() {
        Some(CallKind::Score)
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
