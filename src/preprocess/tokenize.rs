//! Captions to token ids, as the tokenizer of the model makes them.
//!
//! A caption is encoded on the thread that asks: the tokenizer's own thread pool is never started.

use std::{fmt, sync::Arc};

use tokenizers::{
    ModelWrapper, NormalizerWrapper, PostProcessor, Tokenizer, TruncationDirection,
    TruncationParams, TruncationStrategy,
    normalizers::{Lowercase, Sequence},
};

use super::Cleaning;
use crate::error::{Error, Result, contained};

/// Longer captions are cut here before they are split into tokens, so that one hostile row cannot hold a
/// worker: no context is longer than a few thousand tokens, and this is far beyond what they can hold.
const MAX_CAPTION_BYTES: usize = 64 * 1024;

/// Parts of it assert what a `tokenizer.json` says.
const LIBRARY: &str = "tokenizers";

/// Longest context that is believed; what a file declares beyond it is a placeholder such as 1e30.
const MAX_CONTEXT_TOKENS: usize = 16 * 1024;

/// To what length the captions of a model batch are padded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// Not at all: captions of one length make a batch. A vector then depends on its caption alone.
    None,
    /// To the longest caption of the batch. Right where padding cannot change an embedding: causal text
    /// towers that pool at the end of the text, and those that are given an attention mask.
    Longest,
    /// To this many tokens, whatever the captions.
    Fixed(usize),
}

/// Token ids of one model batch, padded to one length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenBatch {
    /// Captions in this batch.
    pub rows: usize,
    /// Tokens per caption, padding included.
    pub length: usize,
    /// `rows` x `length`, row-major.
    pub ids: Vec<i64>,
    /// 1 where a token is real, 0 where it is padding; same shape as `ids`.
    pub mask: Vec<i64>,
}

/// How captions are cut and padded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenizeOptions {
    /// Most tokens of a caption, special tokens included.
    pub max_length: usize,
    /// The token that pads, looked up in the vocabulary.
    pub pad_token: Option<String>,
    /// The id that pads where `pad_token` is not given or not in the vocabulary.
    pub pad_id: i64,
    /// To what length captions are padded.
    pub padding: Padding,
    /// What is done to a caption first.
    pub cleaning: Cleaning,
    /// A token whose id becomes 0, as CLIPA was trained without its separator.
    pub zeroed_token: Option<String>,
}

impl Default for TokenizeOptions {
    fn default() -> Self {
        Self {
            max_length: 77,
            pad_token: None,
            pad_id: 0,
            padding: Padding::Longest,
            cleaning: Cleaning::None,
            zeroed_token: None,
        }
    }
}

/// The tokenizer of one model; cheap to clone, and to share between threads.
#[derive(Clone)]
pub struct Tokenize {
    tokenizer: Arc<Tokenizer>,
    max_length: usize,
    pad_id: i64,
    padding: Padding,
    cleaning: Cleaning,
    zeroed: Option<u32>,
}

impl Tokenize {
    /// A tokenizer from the bytes of a `tokenizer.json`.
    ///
    /// Truncation and padding that the file itself asks for are replaced by `options`.
    ///
    /// # Errors
    /// When the file is damaged, or the context has no room for a token beside the special ones.
    pub fn try_new(tokenizer_json: &[u8], options: &TokenizeOptions) -> Result<Self> {
        let read = contained(LIBRARY, || Tokenizer::from_bytes(tokenizer_json));
        let tokenizer = read.unwrap_or_else(|error| Err(error.into()));
        let tokenizer = tokenizer.map_err(|error| {
            Error::model("read the tokenizer")
                .with("file", "tokenizer.json")
                .source(error)
                .hint("check that the download of the model finished")
        })?;
        Self::from_tokenizer(tokenizer, options)
    }

    /// A tokenizer that is already built.
    ///
    /// # Errors
    /// When the context has no room for a token beside the special ones.
    pub fn from_tokenizer(mut tokenizer: Tokenizer, options: &TokenizeOptions) -> Result<Self> {
        let special = tokenizer
            .get_post_processor()
            .map_or(0, |post| post.added_tokens(false));
        if options.max_length <= special || options.max_length > MAX_CONTEXT_TOKENS {
            return Err(Error::model("use the context length of the model")
                .with("tokens", options.max_length)
                .with("special tokens", special)
                .with("most", MAX_CONTEXT_TOKENS));
        }
        tokenizer.with_padding(None);
        tokenizer
            .with_truncation(Some(TruncationParams {
                direction: TruncationDirection::Right,
                max_length: options.max_length,
                strategy: TruncationStrategy::LongestFirst,
                stride: 0,
            }))
            .map_err(|error| Error::model("set the context length").source(error))?;
        if options.cleaning == Cleaning::Lowercase {
            lower_case_first(&mut tokenizer)?;
        }
        let pad = options
            .pad_token
            .as_ref()
            .and_then(|token| tokenizer.token_to_id(token));
        let unpadded = Self {
            max_length: options.max_length,
            pad_id: pad.map_or(options.pad_id, i64::from),
            padding: Padding::None,
            cleaning: options.cleaning,
            zeroed: options
                .zeroed_token
                .as_ref()
                .and_then(|token| tokenizer.token_to_id(token)),
            tokenizer: Arc::new(tokenizer),
        };
        unpadded.padded(options.padding)
    }

    /// The same tokenizer with other padding.
    ///
    /// # Errors
    /// When captions were padded to less than the context.
    pub fn padded(&self, padding: Padding) -> Result<Self> {
        match padding {
            Padding::Fixed(length) if length < self.max_length => Err(Error::model(
                "pad captions to a length shorter than the context",
            )
            .with("padded to", length)
            .with("context", self.max_length)),
            padding => Ok(Self {
                padding,
                ..self.clone()
            }),
        }
    }

    /// Most tokens of a caption, special tokens included.
    pub fn max_length(&self) -> usize {
        self.max_length
    }

    /// What splits captions: `BPE`, `WordPiece`, `Unigram` or `WordLevel`.
    pub fn kind(&self) -> &'static str {
        match self.tokenizer.get_model() {
            ModelWrapper::BPE(_) => "BPE",
            ModelWrapper::WordPiece(_) => "WordPiece",
            ModelWrapper::WordLevel(_) => "WordLevel",
            ModelWrapper::Unigram(_) => "Unigram",
        }
    }

    /// Tokens that it knows, special ones included.
    pub fn vocabulary(&self) -> usize {
        self.tokenizer.get_vocab_size(true)
    }

    /// The id that pads.
    pub fn pad_id(&self) -> i64 {
        self.pad_id
    }

    /// To what length captions are padded.
    pub fn padding(&self) -> Padding {
        self.padding
    }

    /// Token ids of each caption, special tokens included, cut to the context but not padded.
    ///
    /// # Errors
    /// When the tokenizer cannot represent a caption.
    pub fn encode(&self, captions: &[&str]) -> Result<Vec<Vec<i64>>> {
        captions
            .iter()
            .map(|caption| self.encode_one(caption))
            .collect()
    }

    fn encode_one(&self, caption: &str) -> Result<Vec<i64>> {
        let caption = &caption[..caption.floor_char_boundary(MAX_CAPTION_BYTES)];
        let cleaned = self.cleaning.clean(caption);
        let split = contained(LIBRARY, || self.tokenizer.encode_fast(&*cleaned, true));
        let encoding = split.unwrap_or_else(|error| Err(error.into()));
        let encoding = encoding.map_err(|error| {
            let start = &caption[..caption.floor_char_boundary(60)];
            Error::model("split a caption into tokens")
                .with("caption", start)
                .source(error)
        })?;
        // The post-processor keeps its special tokens, so this cuts only where a file has none to count.
        Ok(encoding
            .get_ids()
            .iter()
            .take(self.max_length)
            .map(|id| match self.zeroed {
                Some(zeroed) if zeroed == *id => 0,
                _ => i64::from(*id),
            })
            .collect())
    }

    /// What is done to a caption first.
    pub fn cleaning(&self) -> Cleaning {
        self.cleaning
    }

    /// The caption as the tokenizer sees it, for people to read.
    pub fn cleaned(&self, caption: &str) -> String {
        match self.cleaning {
            Cleaning::Lowercase => caption.to_lowercase(),
            cleaning => cleaning.clean(caption).into_owned(),
        }
    }

    /// The token of each id, as the vocabulary writes it.
    pub fn pieces(&self, ids: &[i64]) -> Vec<String> {
        let piece = |id: &i64| {
            let id = u32::try_from(*id).ok()?;
            self.tokenizer.id_to_token(id)
        };
        ids.iter()
            .map(|id| piece(id).unwrap_or_else(|| "?".to_owned()))
            .collect()
    }

    /// One model batch of captions that [`Tokenize::encode`] made, padded at the end.
    ///
    /// # Shape
    /// `rows.len()` x the longest row or the fixed length; at least one token, also for no row.
    pub fn batch(&self, rows: &[&[i64]]) -> TokenBatch {
        let longest = rows.iter().map(|row| row.len()).max().unwrap_or(0).max(1);
        let length = match self.padding {
            Padding::None | Padding::Longest => longest,
            Padding::Fixed(length) => length.max(longest),
        };
        let mut ids = Vec::with_capacity(rows.len() * length);
        let mut mask = Vec::with_capacity(rows.len() * length);
        for row in rows {
            ids.extend_from_slice(row);
            mask.resize(mask.len() + row.len(), 1);
            ids.resize(ids.len() + length - row.len(), self.pad_id);
            mask.resize(mask.len() + length - row.len(), 0);
        }
        TokenBatch {
            rows: rows.len(),
            length,
            ids,
            mask,
        }
    }
}

/// Letters become lower case before anything else of the tokenizer, special tokens apart.
fn lower_case_first(tokenizer: &mut Tokenizer) -> Result<()> {
    let mut steps = vec![NormalizerWrapper::Lowercase(Lowercase)];
    steps.extend(tokenizer.get_normalizer().cloned());
    tokenizer
        .with_normalizer(Some(Sequence::new(steps)))
        .map_err(|error| Error::model("lower the case of captions").source(error))?;
    Ok(())
}

impl fmt::Debug for Tokenize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokenize")
            .field("max_length", &self.max_length)
            .field("pad_id", &self.pad_id)
            .field("padding", &self.padding)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
