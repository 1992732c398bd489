//! The keys of configuration files that decide tokens.

use serde::Deserialize;
use serde_json::Value;

use crate::error::{Error, Result};

/// The keys of `config.json` that matter here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ModelConfig {
    /// `clip`, `siglip`, …
    pub(super) model_type: Option<String>,
    pub(super) text_config: TextConfig,
    /// Of a text tower alone, whose configuration is that of no part.
    pub(super) max_position_embeddings: Option<f64>,
    pub(super) logit_scale: Option<f64>,
    pub(super) logit_scale_init_value: Option<f64>,
    pub(super) logit_bias: Option<f64>,
    #[serde(rename = "_name_or_path")]
    name_or_path: Option<Value>,
    architectures: Option<Value>,
}

impl ModelConfig {
    /// Names that may tell the family of the model.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let architectures = self.architectures.as_ref().and_then(Value::as_array);
        let names = architectures.into_iter().flatten();
        names.chain(&self.name_or_path).filter_map(Value::as_str)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct TextConfig {
    pub(super) max_position_embeddings: Option<f64>,
    pub(super) pad_token_id: Option<i64>,
    pub(super) vocab_size: Option<f64>,
}

/// The keys of `open_clip_config.json` that matter here; its `model_cfg` alone has them at the top.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct OpenClipConfig {
    model_cfg: Option<OpenClipModel>,
    #[serde(flatten)]
    alone: OpenClipModel,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct OpenClipModel {
    pub(super) text_cfg: OpenClipText,
    pub(super) init_logit_scale: Option<f64>,
    pub(super) init_logit_bias: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct OpenClipText {
    pub(super) context_length: Option<f64>,
    pub(super) no_causal_mask: bool,
    pub(super) hf_model_name: Option<String>,
    hf_tokenizer_name: Option<String>,
    pub(super) tokenizer_mode: Option<String>,
    pub(super) tokenizer_kwargs: OpenClipTokenizer,
}

impl OpenClipText {
    /// True where open_clip splits captions itself, and not by a tokenizer of transformers.
    pub(super) fn splits_itself(&self) -> bool {
        self.hf_tokenizer_name
            .as_deref()
            .unwrap_or_default()
            .is_empty()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct OpenClipTokenizer {
    pub(super) clean: Option<String>,
    pub(super) strip_sep_token: bool,
}

/// The keys of `tokenizer_config.json` and `special_tokens_map.json` that matter here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct TokenizerConfig {
    pub(super) model_max_length: Option<f64>,
    pub(super) padding_side: Option<String>,
    tokenizer_class: Option<String>,
    pad_token: Option<Value>,
    sep_token: Option<Value>,
}

impl TokenizerConfig {
    /// The class that reads `tokenizer.json` in Python.
    pub(super) fn class(&self) -> Option<&str> {
        self.tokenizer_class.as_deref()
    }

    /// The padding token.
    pub(super) fn pad(&self) -> Option<String> {
        written(self.pad_token.as_ref())
    }

    /// The token between two texts.
    pub(super) fn separator(&self) -> Option<String> {
        written(self.sep_token.as_ref())
    }
}

/// A token, written as text or as an object with its content.
fn written(token: Option<&Value>) -> Option<String> {
    let token = token?;
    token
        .as_str()
        .or_else(|| token.get("content")?.as_str())
        .map(str::to_owned)
}

/// True for a `config.json` that is open_clip's description of a model.
pub(in crate::encode::model) fn is_open_clip(config: &[u8]) -> bool {
    let config: Option<Value> = serde_json::from_slice(config).ok();
    config.is_some_and(|config| {
        let has = |key: &str| config.get(key).is_some_and(Value::is_object);
        has("text_cfg") && has("vision_cfg") || has("model_cfg")
    })
}

/// What open_clip's configuration says of the model, if there is one.
pub(super) fn open_clip(bytes: Option<&[u8]>) -> Result<Option<OpenClipModel>> {
    if bytes.is_none() {
        return Ok(None);
    }
    let config: OpenClipConfig = parse(bytes, "open_clip_config.json")?;
    Ok(Some(config.model_cfg.unwrap_or(config.alone)))
}

/// The file's keys, those of an empty one where it is not there.
pub(super) fn parse<T: Default + for<'a> Deserialize<'a>>(
    bytes: Option<&[u8]>,
    file: &'static str,
) -> Result<T> {
    let Some(bytes) = bytes else {
        return Ok(T::default());
    };
    serde_json::from_slice(bytes).map_err(|error| {
        Error::model("read the configuration of the model")
            .with("file", file)
            .source(error)
    })
}
