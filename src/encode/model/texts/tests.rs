//! What is known of the texts of models, from their files.

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
    let notes = |class: &str| side("", &format!(r#"{{"tokenizer_class": "{class}"}}"#), "").notes;
    assert_eq!(notes("CLIPTokenizerFast"), [""; 0]);
    assert_eq!(notes("TokenizersBackend"), [""; 0]);
    assert!(notes("WordLevelTokenizer")[0].contains("WordLevelTokenizer is not known"));
    let left = side("", r#"{"padding_side": "left"}"#, "");
    assert_eq!(left.notes.len(), 1);
}
