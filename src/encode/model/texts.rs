//! Tokenizer and model configuration to [`TokenizeOptions`].

use serde::Deserialize;
use serde_json::Value;

use crate::encode::ports::TextPorts;
use crate::error::{Error, Result};
use crate::preprocess::{Padding, TokenizeOptions};

/// Context of CLIP, where no file says another.
const CLIP_CONTEXT: usize = 77;
/// Context of SigLIP, where no file says another.
const SIGLIP_CONTEXT: usize = 64;
/// What a file declares beyond this is a placeholder, such as 1e30.
const MAX_CONTEXT: f64 = 16_384.0;

/// The keys of `config.json` that matter here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ModelConfig {
    /// `clip`, `siglip`, …
    pub(super) model_type: Option<String>,
    text_config: TextConfig,
    logit_scale: Option<f64>,
    logit_scale_init_value: Option<f64>,
    logit_bias: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct TextConfig {
    max_position_embeddings: Option<f64>,
    pad_token_id: Option<i64>,
}

/// The keys of `open_clip_config.json` that matter here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct OpenClipConfig {
    model_cfg: OpenClipModel,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct OpenClipModel {
    text_cfg: OpenClipText,
    init_logit_scale: Option<f64>,
    init_logit_bias: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct OpenClipText {
    context_length: Option<f64>,
    no_causal_mask: bool,
    hf_model_name: Option<String>,
    hf_tokenizer_name: Option<String>,
}

/// The keys of `tokenizer_config.json` and `special_tokens_map.json` that matter here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct TokenizerConfig {
    model_max_length: Option<f64>,
    pad_token: Option<Value>,
}

impl TokenizerConfig {
    /// The padding token, written as text or as an object with its content.
    fn pad(&self) -> Option<String> {
        let token = self.pad_token.as_ref()?;
        token
            .as_str()
            .or_else(|| token.get("content")?.as_str())
            .map(str::to_owned)
    }
}

/// The configuration files that a model has, as bytes.
#[derive(Debug, Default)]
pub(super) struct TextFiles<'a> {
    /// `config.json`
    pub(super) config: Option<&'a [u8]>,
    /// `open_clip_config.json`
    pub(super) open_clip: Option<&'a [u8]>,
    /// `tokenizer_config.json`
    pub(super) tokenizer_config: Option<&'a [u8]>,
    /// `special_tokens_map.json`
    pub(super) special_tokens: Option<&'a [u8]>,
}

/// What the text side of a model's configuration says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct TextSide {
    /// `model_type` of `config.json`, empty where there is none.
    pub(super) model_type: String,
    /// Temperature of the training loss, recorded and never used.
    pub(super) logit_scale: Option<f64>,
    /// Bias of a sigmoid loss, recorded and never used.
    pub(super) logit_bias: Option<f64>,
    max_length: Option<usize>,
    pad_token: Option<String>,
    pad_id: i64,
    kind: Kind,
}

/// How a text tower treats padding.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Kind {
    /// Causal and pooled at the end of the text: padding behind it is never seen.
    Causal,
    /// Sees padding, and was trained with captions padded to the context.
    Padded,
    /// Not known: padding is harmless only if the graph takes a mask.
    #[default]
    Unknown,
}

impl TextSide {
    /// Reads the files that are there.
    ///
    /// # Errors
    /// When one of them is damaged.
    pub(super) fn read(files: &TextFiles<'_>) -> Result<Self> {
        let config: ModelConfig = parse(files.config, "config.json")?;
        let open_clip: OpenClipConfig = parse(files.open_clip, "open_clip_config.json")?;
        let tokenizer: TokenizerConfig = parse(files.tokenizer_config, "tokenizer_config.json")?;
        let special: TokenizerConfig = parse(files.special_tokens, "special_tokens_map.json")?;
        let model_type = config.model_type.unwrap_or_default();
        let open_clip_text = &open_clip.model_cfg.text_cfg;
        let kind = match model_type.as_str() {
            "clip" | "clip_text_model" => Kind::Causal,
            name if name.starts_with("siglip") => Kind::Padded,
            _ if files.open_clip.is_none() => Kind::Unknown,
            _ if open_clip_text.hf_model_name.is_some() => Kind::Unknown,
            _ if open_clip_text.no_causal_mask => Kind::Padded,
            _ => Kind::Causal,
        };
        let declared = [
            tokenizer.model_max_length,
            config.text_config.max_position_embeddings,
            open_clip_text.context_length,
        ];
        // open_clip's own tokenizer pads with id 0, whatever the token's name is in a copy for transformers.
        let zero_padded = files.config.is_none()
            && files.open_clip.is_some()
            && open_clip_text.hf_tokenizer_name.is_none();
        let siglip = model_type.starts_with("siglip").then_some(SIGLIP_CONTEXT);
        Ok(Self {
            max_length: declared.into_iter().filter_map(context).chain(siglip).min(),
            pad_token: if zero_padded {
                None
            } else {
                tokenizer.pad().or_else(|| special.pad())
            },
            pad_id: config.text_config.pad_token_id.unwrap_or(0),
            logit_scale: config
                .logit_scale
                .or(config.logit_scale_init_value)
                .or(open_clip.model_cfg.init_logit_scale),
            logit_bias: config.logit_bias.or(open_clip.model_cfg.init_logit_bias),
            model_type,
            kind,
        })
    }

    /// How captions are cut and padded for a graph with `ports`.
    ///
    /// Captions are padded to the longest of their batch where that cannot change an embedding, else to the
    /// length the tower was trained with.
    pub(super) fn options(&self, ports: &TextPorts, tokenizer_json: &[u8]) -> TokenizeOptions {
        let declared = self
            .max_length
            .or_else(|| own_truncation(tokenizer_json))
            .unwrap_or(CLIP_CONTEXT);
        let max_length = ports.length.map_or(declared, |fixed| fixed.min(declared));
        let padding = match (ports.length, self.kind) {
            (Some(fixed), _) => Padding::Fixed(fixed),
            (None, Kind::Causal) => Padding::Longest,
            (None, Kind::Unknown) if ports.masked() => Padding::Longest,
            (None, Kind::Padded | Kind::Unknown) => Padding::Fixed(max_length),
        };
        TokenizeOptions {
            max_length,
            pad_token: self.pad_token.clone(),
            pad_id: self.pad_id,
            padding,
        }
    }
}

/// The truncation that `tokenizer.json` carries; a hint only, for directories without other files.
fn own_truncation(tokenizer_json: &[u8]) -> Option<usize> {
    #[derive(Deserialize)]
    struct Own {
        truncation: Option<Truncation>,
    }
    #[derive(Deserialize)]
    struct Truncation {
        max_length: f64,
    }
    let own: Own = serde_json::from_slice(tokenizer_json).ok()?;
    context(own.truncation?.max_length)
}

/// A context length, if the number is one.
fn context(declared: impl Into<Option<f64>>) -> Option<usize> {
    let declared = declared
        .into()
        .filter(|length| (1.0..=MAX_CONTEXT).contains(length))?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "within 1..=MAX_CONTEXT"
    )]
    Some(declared as usize)
}

fn parse<T: Default + for<'a> Deserialize<'a>>(
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::ports::{TextInput, TextRole};

    fn ports(roles: &[TextRole], length: Option<usize>) -> TextPorts {
        let input = |role: &TextRole| TextInput {
            name: format!("{role:?}"),
            narrow: false,
            role: *role,
        };
        TextPorts {
            inputs: roles.iter().map(input).collect(),
            rows: None,
            length,
            output: "text_embeds".to_owned(),
            dim: None,
        }
    }

    fn options(config: &str, tokenizer_config: &str, ports: &TextPorts) -> TokenizeOptions {
        let files = TextFiles {
            config: Some(config.as_bytes()),
            tokenizer_config: Some(tokenizer_config.as_bytes()),
            ..TextFiles::default()
        };
        TextSide::read(&files).unwrap().options(ports, b"{}")
    }

    #[test]
    fn openai_clip_pads_to_the_longest_with_its_end_token() {
        let found = options(
            r#"{"model_type": "clip", "logit_scale_init_value": 2.6592, "projection_dim": 512,
                "text_config": {"eos_token_id": 2, "pad_token_id": 1, "max_position_embeddings": 77}}"#,
            r#"{"model_max_length": 77, "pad_token": "<|endoftext|>",
                "unk_token": {"__type": "AddedToken", "content": "<|endoftext|>"}}"#,
            &ports(&[TextRole::Ids], None),
        );
        let pad_token = Some("<|endoftext|>".to_owned());
        assert_eq!(
            found,
            TokenizeOptions {
                max_length: 77,
                pad_token,
                pad_id: 1,
                padding: Padding::Longest
            }
        );
    }

    #[test]
    fn siglip_pads_to_its_context() {
        for (config, tokenizer) in [
            (
                r#"{"model_type": "siglip", "text_config": {"model_type": "siglip_text_model"}}"#,
                r#"{"model_max_length": 64, "pad_token": "</s>"}"#,
            ),
            (
                r#"{"model_type": "siglip"}"#,
                r#"{"model_max_length": 1000000000000000019884624838656, "pad_token": {"content": "</s>"}}"#,
            ),
        ] {
            let found = options(config, tokenizer, &ports(&[TextRole::Ids], None));
            let pad_token = Some("</s>".to_owned());
            assert_eq!(
                found,
                TokenizeOptions {
                    max_length: 64,
                    pad_token,
                    pad_id: 0,
                    padding: Padding::Fixed(64)
                }
            );
        }
    }

    #[test]
    fn bert_towers_pad_to_the_longest_only_with_a_mask() {
        let config = r#"{"model_type": "clip-filter-conse", "text_config": {"max_position_embeddings": 77, "pad_token_id": 0}}"#;
        let tokenizer = r#"{"model_max_length": 77, "pad_token": "[PAD]"}"#;
        let masked = options(
            config,
            tokenizer,
            &ports(&[TextRole::Ids, TextRole::Mask], None),
        );
        assert_eq!((masked.max_length, masked.padding), (77, Padding::Longest));
        let bare = options(config, tokenizer, &ports(&[TextRole::Ids], None));
        assert_eq!(bare.padding, Padding::Fixed(77));
    }

    #[test]
    fn a_length_that_the_export_fixed_wins() {
        let config = r#"{"model_type": "clip"}"#;
        let found = options(
            config,
            r#"{"model_max_length": 512}"#,
            &ports(&[TextRole::Ids], Some(77)),
        );
        assert_eq!((found.max_length, found.padding), (77, Padding::Fixed(77)));
        let found = options(
            config,
            r#"{"model_max_length": 64}"#,
            &ports(&[TextRole::Ids], Some(77)),
        );
        assert_eq!((found.max_length, found.padding), (64, Padding::Fixed(77)));
    }

    #[test]
    fn open_clip_says_its_context_and_whether_it_is_causal() {
        let read = |json: &str| {
            let files = TextFiles {
                tokenizer_config: Some(br#"{"pad_token": "<|endoftext|>"}"#),
                open_clip: Some(json.as_bytes()),
                ..TextFiles::default()
            };
            TextSide::read(&files)
                .unwrap()
                .options(&ports(&[TextRole::Ids], None), b"{}")
        };
        let causal =
            read(r#"{"model_cfg": {"text_cfg": {"context_length": 77, "vocab_size": 49408}}}"#);
        assert_eq!(
            (causal.max_length, causal.pad_token, causal.padding),
            (77, None, Padding::Longest)
        );
        let siglip = read(
            r#"{"model_cfg": {"text_cfg": {"context_length": 64, "no_causal_mask": true}, "init_logit_bias": -10}}"#,
        );
        assert_eq!(
            (siglip.max_length, siglip.padding),
            (64, Padding::Fixed(64))
        );
    }

    #[test]
    fn a_bare_directory_falls_back_to_the_tokenizer_then_to_clip() {
        let side = TextSide::read(&TextFiles::default()).unwrap();
        let free = ports(&[TextRole::Ids, TextRole::Mask], None);
        assert_eq!(
            side.options(&free, br#"{"truncation": {"max_length": 52}}"#)
                .max_length,
            52
        );
        assert_eq!(side.options(&free, b"{}").max_length, 77);
        assert!(
            TextSide::read(&TextFiles {
                config: Some(b"[1"),
                ..TextFiles::default()
            })
            .is_err()
        );
    }
}
