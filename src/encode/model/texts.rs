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
                padding: Padding::Longest,
                ..TokenizeOptions::default()
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
                    padding: Padding::Fixed(64),
                    ..TokenizeOptions::default()
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

    fn side(config: &str, tokenizer: &str, open_clip: &str) -> TextSide {
        let given = |json: &'static str| (!json.is_empty()).then_some(json.as_bytes());
        let leak = |json: &str| given(Box::leak(json.to_owned().into_boxed_str()));
        TextSide::read(&TextFiles {
            config: leak(config),
            tokenizer_config: leak(tokenizer),
            open_clip: leak(open_clip),
            ..TextFiles::default()
        })
        .unwrap()
    }

    #[test]
    fn siglip_2_is_told_by_its_configuration_its_tokenizer_or_its_vocabulary() {
        let gemma = r#"{"tokenizer_class": "GemmaTokenizerFast"}"#;
        for (config, tokenizer, cleaning) in [
            (r#"{"model_type": "siglip2"}"#, "", Cleaning::Lowercase),
            (r#"{"model_type": "siglip"}"#, gemma, Cleaning::Lowercase),
            (
                r#"{"model_type": "siglip_text_model"}"#,
                gemma,
                Cleaning::Lowercase,
            ),
            (
                r#"{"model_type": "siglip", "text_config": {"vocab_size": 256000}}"#,
                "",
                Cleaning::Lowercase,
            ),
            (
                "",
                r#"{"tokenizer_class": "Siglip2Tokenizer"}"#,
                Cleaning::Lowercase,
            ),
            (r#"{"model_type": "siglip"}"#, "", Cleaning::None),
            (r#"{"model_type": "clip"}"#, gemma, Cleaning::None),
        ] {
            let side = side(config, tokenizer, "");
            assert_eq!(side.cleaning, cleaning, "{config} {tokenizer}");
        }
    }

    #[test]
    fn captions_of_open_clip_are_cleaned_as_its_tokenizer_does() {
        use OpenClipCleaning::{Canonicalize, Lower, Whitespace};
        let text = |keys: &str| format!(r#"{{"model_cfg": {{"text_cfg": {{{keys}}}}}}}"#);
        for (keys, cleaning) in [
            ("", Lower),
            (r#""hf_tokenizer_name": """#, Lower),
            (r#""hf_tokenizer_name": "bert""#, Whitespace),
            (
                r#""hf_tokenizer_name": "t5", "tokenizer_kwargs": {"clean": "canonicalize"}"#,
                Canonicalize,
            ),
        ] {
            let side = side("", "", &text(keys));
            assert_eq!(side.cleaning, Cleaning::OpenClip(cleaning), "{keys}");
        }
        let unknown = text(r#""tokenizer_kwargs": {"clean": "polish"}"#);
        let read = TextSide::read(&TextFiles {
            open_clip: Some(unknown.as_bytes()),
            ..TextFiles::default()
        });
        assert!(read.unwrap_err().report().contains("polish"));
    }

    #[test]
    fn clipa_is_trained_without_its_separator() {
        let json = r#"{"text_cfg": {"context_length": 32, "hf_tokenizer_name": "bert-base-uncased", "no_causal_mask": true,
            "tokenizer_kwargs": {"strip_sep_token": true}}}"#;
        let found = side("", r#"{"sep_token": "[SEP]"}"#, json);
        let found = found.options(&ports(&[TextRole::Ids], None), b"{}");
        assert_eq!(found.zeroed_token.as_deref(), Some("[SEP]"));
        assert_eq!(found.padding, Padding::Fixed(32));
    }

    #[test]
    fn mobileclip_pads_with_zero_to_its_context() {
        let tokenizer = r#"{"pad_token": "<|endoftext|>", "model_max_length": 77}"#;
        let open = r#"{"model_cfg": {"text_cfg": {"context_length": 77, "no_causal_mask": true}}}"#;
        for (config, open_clip, by_family) in [
            ("", open, false),
            (r#"{"model_type": "clip"}"#, open, false),
            (r#"{"model_type": "mobileclip"}"#, "", true),
            (
                r#"{"model_type": "clip", "_name_or_path": "apple/MobileCLIP-S2"}"#,
                "",
                true,
            ),
        ] {
            let side = side(config, tokenizer, open_clip);
            let found = side.options(&ports(&[TextRole::Ids], None), b"{}");
            assert_eq!((found.pad_token, found.pad_id), (None, 0), "{config}");
            assert_eq!(found.padding, Padding::Fixed(77), "{config}");
            assert_eq!(side.padded_by_family, by_family, "{config}");
        }
    }

    #[test]
    fn a_tokenizer_that_is_not_known_is_told() {
        let notes =
            |class: &str| side("", &format!(r#"{{"tokenizer_class": "{class}"}}"#), "").notes;
        assert_eq!(notes("CLIPTokenizerFast"), [""; 0]);
        assert_eq!(notes("TokenizersBackend"), [""; 0]);
        assert!(notes("WordLevelTokenizer")[0].contains("WordLevelTokenizer is not known"));
        let left = side("", r#"{"padding_side": "left"}"#, "");
        assert_eq!(left.notes.len(), 1);
    }
}
