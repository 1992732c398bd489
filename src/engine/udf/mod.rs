//! SQL functions, one per file.
//!
//! A function's arithmetic is a kernel over arrays or slices; [`column_function`] is what the functions of one
//! column share with DataFusion, [`takes`] the errors about arguments, [`vectors`] the lists that hold embeddings.

mod column_function;
mod cosine_similarity;
mod image_format;
mod image_header;
mod image_height;
mod image_status;
mod image_width;
mod l2_normalize;
mod takes;
mod text_counts;
mod text_length;
mod vectors;
mod word_count;

use datafusion::logical_expr::ScalarUDF;

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
    ]
}

#[cfg(test)]
mod tests;
