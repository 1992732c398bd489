//! What is said of each class, as an embedding.

use std::sync::Arc;

use clip_filter_vectors::normalise;

use crate::{
    error::{Error, Result},
    source::Classes,
};

/// Embeds a text; none where it has no words.
pub(crate) type EmbedText<'a> = &'a dyn Fn(&str) -> Result<Option<Arc<[f32]>>>;

/// One unit text embedding per class: the mean over the prompts.
pub(super) fn class_texts(
    classes: &Classes,
    names: &[String],
    dim: usize,
    embed: EmbedText<'_>,
) -> Result<Vec<f32>> {
    let mut texts = Vec::with_capacity(names.len() * dim);
    for name in names {
        let mut sum = vec![0.0; dim];
        for caption in classes.captions(name) {
            let text = embed(&caption)?.filter(|text| text.len() == dim);
            let text = text.ok_or_else(|| {
                Error::input("embed the prompt of a class")
                    .with("class", name)
                    .with("prompt", &caption)
                    .hint("give the class a name in words (--class-names)")
            })?;
            for (sum, value) in sum.iter_mut().zip(text.iter()) {
                *sum += value;
            }
        }
        texts.extend_from_slice(&sum);
    }
    normalise(&mut texts, dim);
    Ok(texts)
}
