//! Tokenizer and model configuration to [`TokenizeOptions`].
//!
//! What the configuration says goes first, then what is known of the model's family; what is known of neither is told.

mod config;

use serde::Deserialize;

use self::config::{ModelConfig, OpenClipModel, TokenizerConfig, open_clip, parse};
use crate::encode::ports::TextPorts;
use crate::error::Result;
use crate::preprocess::{Cleaning, OpenClipCleaning, Padding, TokenizeOptions};

pub(super) use self::config::is_open_clip;

/// Context of CLIP, where no file says another.
const CLIP_CONTEXT: usize = 77;
/// Context of SigLIP, where no file says another.
const SIGLIP_CONTEXT: usize = 64;
/// What a file declares beyond this is a placeholder, such as 1e30.
const MAX_CONTEXT: f64 = 16_384.0;
/// Tokens of Gemma's vocabulary, which SigLIP 2 has and SigLIP has not.
const GEMMA_VOCABULARY: f64 = 256_000.0;

/// Classes of tokenizers that add nothing to their `tokenizer.json`, or what is added here; without `Fast` at the end.
const KNOWN_TOKENIZERS: [&str; 19] = [
    "AlbertTokenizer",
    "BertTokenizer",
    "CLIPTokenizer",
    "DistilBertTokenizer",
    "ElectraTokenizer",
    "GPT2Tokenizer",
    "GemmaTokenizer",
    "MPNetTokenizer",
    "NllbTokenizer",
    "PreTrainedTokenizer",
    "Qwen2Tokenizer",
    "RobertaTokenizer",
    "Siglip2Tokenizer",
    "SiglipTokenizer",
    "T5Tokenizer",
    "MT5Tokenizer",
    "TokenizersBackend",
    "XLMRobertaTokenizer",
    "CamembertTokenizer",
];

/// The configuration files that a model has, as bytes.
#[derive(Debug, Default)]
pub(super) struct TextFiles<'a> {
    /// `config.json`
    pub(super) config: Option<&'a [u8]>,
    /// `open_clip_config.json`, or a `config.json` with the same keys.
    pub(super) open_clip: Option<&'a [u8]>,
    /// `tokenizer_config.json`
    pub(super) tokenizer_config: Option<&'a [u8]>,
    /// `special_tokens_map.json`
    pub(super) special_tokens: Option<&'a [u8]>,
    /// The name that the model is called by, which may name its family.
    pub(super) name: &'a str,
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
    /// What is not known of the tokenizer, one line each.
    pub(super) notes: Vec<String>,
    /// What is done to a caption first.
    pub(super) cleaning: Cleaning,
    /// Padding that no file names: it is known by the family.
    pub(super) padded_by_family: bool,
    max_length: Option<usize>,
    pad_token: Option<String>,
    pad_id: i64,
    zeroed_token: Option<String>,
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

/// Families that are trained otherwise than their configuration says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    /// SigLIP: captions padded to 64.
    Siglip,
    /// SigLIP 2: the same, in lower case.
    Siglip2,
    /// MobileCLIP: no causal mask in S and L, captions padded with 0 to 77.
    MobileClip,
    Other,
}

impl Family {
    fn of(config: &ModelConfig, tokenizer: &TokenizerConfig, name: &str) -> Self {
        let gemma = tokenizer
            .class()
            .is_some_and(|class| class.starts_with("Gemma") || class.starts_with("Siglip2"));
        let large = config.text_config.vocab_size == Some(GEMMA_VOCABULARY);
        let model_type = config.model_type.as_deref().unwrap_or_default();
        let named = |text: &str| text.to_ascii_lowercase().contains("mobileclip");
        if model_type.starts_with("siglip2") || model_type.starts_with("siglip") && (gemma || large)
        {
            Self::Siglip2
        } else if model_type.starts_with("siglip") {
            Self::Siglip
        } else if named(model_type) || config.names().any(named) || named(name) {
            Self::MobileClip
        } else {
            Self::Other
        }
    }
}

impl TextSide {
    /// Reads the files that are there.
    ///
    /// # Errors
    /// When one of them is damaged, or asks for cleaning that is not known.
    pub(super) fn read(files: &TextFiles<'_>) -> Result<Self> {
        let config: ModelConfig = parse(files.config, "config.json")?;
        let open_clip = open_clip(files.open_clip)?;
        let tokenizer: TokenizerConfig = parse(files.tokenizer_config, "tokenizer_config.json")?;
        let special: TokenizerConfig = parse(files.special_tokens, "special_tokens_map.json")?;
        let family = Family::of(&config, &tokenizer, files.name);
        let model_type = config.model_type.clone().unwrap_or_default();
        let declared = [
            tokenizer.model_max_length,
            config.text_config.max_position_embeddings,
            config.max_position_embeddings,
            open_clip
                .as_ref()
                .and_then(|model| model.text_cfg.context_length),
        ];
        let siglip = matches!(family, Family::Siglip | Family::Siglip2).then_some(SIGLIP_CONTEXT);
        let (kind, by_family) = kind(&model_type, open_clip.as_ref(), family);
        // open_clip's own tokenizer pads with id 0, whatever the token's name is in a copy for transformers.
        let zero_padded = by_family
            || open_clip.as_ref().is_some_and(|model| {
                let text = &model.text_cfg;
                text.splits_itself() && (text.no_causal_mask || model_type.is_empty())
            });
        let scale = |model: &OpenClipModel| model.init_logit_scale;
        let bias = |model: &OpenClipModel| model.init_logit_bias;
        Ok(Self {
            max_length: declared.into_iter().filter_map(context).chain(siglip).min(),
            pad_token: if zero_padded {
                None
            } else {
                tokenizer.pad().or_else(|| special.pad())
            },
            pad_id: match zero_padded {
                true => 0,
                false => config.text_config.pad_token_id.unwrap_or(0),
            },
            logit_scale: config
                .logit_scale
                .or(config.logit_scale_init_value)
                .or(open_clip.as_ref().and_then(scale)),
            logit_bias: config.logit_bias.or(open_clip.as_ref().and_then(bias)),
            notes: notes(&tokenizer, open_clip.as_ref()),
            cleaning: cleaning(&tokenizer, open_clip.as_ref(), family)?,
            padded_by_family: by_family,
            zeroed_token: open_clip
                .filter(|model| model.text_cfg.tokenizer_kwargs.strip_sep_token)
                .map(|_| tokenizer.separator().unwrap_or_else(|| "[SEP]".to_owned())),
            model_type,
            kind,
        })
    }

    /// What is done to captions beyond `tokenizer.json`, for [`crate::summary::ModelCard::preprocessing`].
    pub(super) fn described(&self, tokens: &TokenizeOptions) -> Option<String> {
        let mut steps = Vec::new();
        if self.cleaning != Cleaning::None {
            steps.push(self.cleaning.to_string());
        }
        if let (true, Padding::Fixed(length)) = (self.padded_by_family, tokens.padding) {
            steps.push(format!("padded with 0 to {length}"));
        }
        (!steps.is_empty()).then(|| format!("captions {}", steps.join(", ")))
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
            cleaning: self.cleaning,
            zeroed_token: self.zeroed_token.clone(),
        }
    }
}

/// How the tower treats padding, and whether that is known by its family alone.
fn kind(model_type: &str, open_clip: Option<&OpenClipModel>, family: Family) -> (Kind, bool) {
    let by_file = match (open_clip.map(|model| &model.text_cfg), model_type) {
        (Some(text), _) if text.hf_model_name.is_some() => Kind::Unknown,
        (Some(text), _) if text.no_causal_mask => Kind::Padded,
        (_, name) if name.starts_with("siglip") => Kind::Padded,
        (Some(_), _) => Kind::Causal,
        (None, _) if family == Family::MobileClip => return (Kind::Padded, true),
        (None, "clip" | "clip_text_model") => Kind::Causal,
        (None, _) => Kind::Unknown,
    };
    (by_file, false)
}

/// What is done to a caption before its tokenizer sees it.
fn cleaning(
    tokenizer: &TokenizerConfig,
    open_clip: Option<&OpenClipModel>,
    family: Family,
) -> Result<Cleaning> {
    if let Some(model) = open_clip {
        let text = &model.text_cfg;
        let own = match text.splits_itself() {
            true => OpenClipCleaning::Lower,
            false => OpenClipCleaning::Whitespace,
        };
        let Some(name) = &text.tokenizer_kwargs.clean else {
            return Ok(Cleaning::OpenClip(own));
        };
        return match OpenClipCleaning::by_name(name) {
            Some(clean) => Ok(Cleaning::OpenClip(clean)),
            None => Err(
                crate::error::Error::model("clean captions in a way that is not known")
                    .with("tokenizer_kwargs.clean", name)
                    .hint("known are canonicalize, lower and whitespace"),
            ),
        };
    }
    let says_so = tokenizer
        .class()
        .is_some_and(|class| class.starts_with("Siglip2"));
    Ok(match family {
        Family::Siglip2 => Cleaning::Lowercase,
        _ if says_so => Cleaning::Lowercase,
        _ => Cleaning::None,
    })
}

/// What a reader should know of the tokenizer.
fn notes(tokenizer: &TokenizerConfig, open_clip: Option<&OpenClipModel>) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(class) = tokenizer.class()
        && !KNOWN_TOKENIZERS.contains(&class.trim_end_matches("Fast"))
    {
        notes.push(format!(
            "the tokenizer class {class} is not known: captions are split as tokenizer.json says, without what the class may add"
        ));
    }
    if tokenizer.padding_side.as_deref() == Some("left") {
        notes.push(
            "tokenizer_config.json pads captions at their start: here they are padded at their end"
                .to_owned(),
        );
    }
    if let Some(mode) = open_clip.and_then(|model| model.text_cfg.tokenizer_mode.as_ref()) {
        notes.push(format!(
            "the tokenizer_mode {mode} of open_clip is not followed: captions are split as tokenizer.json says"
        ));
    }
    notes
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

#[cfg(test)]
mod tests;
