//! The facts of a model.

use serde::Serialize;

use crate::{
    encode::{ModelLayout, ModelSpec},
    error::Result,
    model::ModelCheck,
    preprocess::{Padding, Tokenize},
    summary::ModelCard,
};

/// What the files of a model say; it is not loaded.
#[derive(Debug, Serialize)]
pub struct ModelFacts {
    /// Name, fingerprint, precision, length of an embedding, preprocessing; device and runtime are empty.
    pub card: ModelCard,
    /// `pair`: a graph per tower; `combined`: one for both.
    pub layout: &'static str,
    /// Height and width of the pixels.
    pub image_size: (u32, u32),
    /// What splits captions.
    pub tokenizer: TokenizerFacts,
    /// What becomes of a caption, shown on one.
    pub example: ExampleCaption,
    /// Every file that decides a score.
    pub files: Vec<FileSize>,
    /// Bytes of all of them.
    pub size_bytes: u64,
    /// Variants that `--precision` takes instead.
    pub other_precisions: Vec<String>,
    /// Temperature that the configuration states; no score depends on it.
    pub logit_scale: Option<f64>,
    /// Bias that the configuration states; no score depends on it.
    pub logit_bias: Option<f64>,
    /// What the model's own Python stack makes of a few pairs, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<ModelCheck>,
}

/// What splits captions into tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TokenizerFacts {
    /// `BPE`, `WordPiece`, `Unigram` or `WordLevel`.
    pub kind: &'static str,
    /// Tokens that it knows.
    pub vocabulary: usize,
    /// Most tokens of a caption.
    pub max_length: usize,
    /// Every caption is padded to this length; to its neighbours' if `None`.
    pub padded_to: Option<usize>,
}

/// A caption with capitals, HTML, punctuation and `_`, on its way to the text tower.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExampleCaption {
    /// As it might stand in a shard.
    pub caption: String,
    /// What is done to it before the tokenizer sees it.
    pub cleaning: String,
    /// What the tokenizer sees.
    pub cleaned: String,
    /// The tokens, as the vocabulary writes them, before padding.
    pub tokens: Vec<String>,
    /// Their ids.
    pub ids: Vec<i64>,
    /// The id that is put behind them where captions are padded.
    pub pad_id: i64,
}

const EXAMPLE: &str = "A Red Fox &amp; 2 dogs, snow_day!";

impl ExampleCaption {
    fn of(tokens: &Tokenize) -> Result<Self> {
        let ids = tokens.encode(&[EXAMPLE])?.swap_remove(0);
        Ok(Self {
            caption: EXAMPLE.to_owned(),
            cleaning: tokens.cleaning().to_string(),
            cleaned: tokens.cleaned(EXAMPLE),
            tokens: tokens.pieces(&ids),
            ids,
            pad_id: tokens.pad_id(),
        })
    }
}

/// A file and its size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileSize {
    /// Its name below the model directory.
    pub name: String,
    /// Its size.
    pub bytes: u64,
}

impl ModelFacts {
    pub(super) fn of(spec: &ModelSpec) -> Result<Self> {
        let tokens = spec.preprocessing()?.tokens;
        let files: Vec<FileSize> = spec
            .file_sizes()?
            .into_iter()
            .map(|(name, bytes)| FileSize { name, bytes })
            .collect();
        let others = spec
            .precisions
            .iter()
            .filter(|&name| *name != spec.precision);
        Ok(Self {
            card: spec.card(),
            layout: match spec.layout {
                ModelLayout::Pair => "pair",
                ModelLayout::Combined => "combined",
            },
            image_size: spec.image_size(),
            tokenizer: TokenizerFacts {
                kind: tokens.kind(),
                vocabulary: tokens.vocabulary(),
                max_length: tokens.max_length(),
                padded_to: match tokens.padding() {
                    Padding::None | Padding::Longest => None,
                    Padding::Fixed(length) => Some(length),
                },
            },
            example: ExampleCaption::of(&tokens)?,
            size_bytes: files.iter().map(|file| file.bytes).sum(),
            files,
            other_precisions: others.cloned().collect(),
            logit_scale: spec.logit_scale,
            logit_bias: spec.logit_bias,
            check: None,
        })
    }
}
