//! Captions as tokens.

use super::*;

/// A byte-pair tokenizer with start and end tokens; `merges` and `extra` are spliced into the JSON.
fn bpe(merges: &str, extra: &str) -> Vec<u8> {
    format!(
        r#"{{"version":"1.0",{extra}"added_tokens":[
            {{"id":0,"content":"<s>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}},
            {{"id":1,"content":"</s>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}}],
        "normalizer":{{"type":"Lowercase"}},"pre_tokenizer":{{"type":"WhitespaceSplit"}},
        "post_processor":{{"type":"RobertaProcessing","sep":["</s>",1],"cls":["<s>",0],"trim_offsets":false,"add_prefix_space":false}},
        "decoder":null,
        "model":{{"type":"BPE","dropout":null,"unk_token":null,"continuing_subword_prefix":"","end_of_word_suffix":"</w>",
        "fuse_unk":false,"vocab":{{"<s>":0,"</s>":1,"a":2,"b":3,"a</w>":4,"b</w>":5,"ab</w>":6}},"merges":[{merges}]}}}}"#
    )
    .into_bytes()
}

fn options(max_length: usize, padding: Padding) -> TokenizeOptions {
    TokenizeOptions {
        max_length,
        padding,
        ..TokenizeOptions::default()
    }
}

#[test]
fn merges_load_as_strings_and_as_pairs() {
    for merges in [r#""a b</w>""#, r#"["a","b</w>"]"#] {
        let tokenize = Tokenize::try_new(&bpe(merges, ""), &options(8, Padding::Longest)).unwrap();
        assert_eq!(tokenize.encode(&["AB a"]).unwrap(), [[0, 6, 4, 1]]);
    }
}

#[test]
fn truncation_keeps_start_and_end_and_overrides_the_file() {
    let own = r#""truncation":{"direction":"Left","max_length":3,"strategy":"LongestFirst","stride":0},
        "padding":{"strategy":{"Fixed":9},"direction":"Left","pad_to_multiple_of":null,"pad_id":7,"pad_type_id":0,"pad_token":"x"},"#;
    let tokenize =
        Tokenize::try_new(&bpe(r#""a b</w>""#, own), &options(5, Padding::Longest)).unwrap();
    assert_eq!(
        tokenize.encode(&["a b a b a b", "a", ""]).unwrap(),
        [vec![0, 4, 5, 4, 1], vec![0, 4, 1], vec![0, 1]]
    );
}

#[test]
fn batches_are_padded_to_the_longest_or_to_the_fixed_length() {
    let rows: [&[i64]; 2] = [&[0, 4, 1], &[0, 1]];
    let mut chosen = options(5, Padding::Longest);
    chosen.pad_token = Some("</s>".to_owned());
    let longest = Tokenize::try_new(&bpe("", ""), &chosen).unwrap();
    assert_eq!(
        longest.batch(&rows),
        TokenBatch {
            rows: 2,
            length: 3,
            ids: vec![0, 4, 1, 0, 1, 1],
            mask: vec![1, 1, 1, 1, 1, 0]
        }
    );
    chosen.padding = Padding::Fixed(5);
    chosen.pad_token = Some("<none>".to_owned());
    chosen.pad_id = 9;
    let fixed = Tokenize::try_new(&bpe("", ""), &chosen).unwrap();
    let batch = fixed.batch(&rows);
    assert_eq!(
        (batch.length, batch.ids),
        (5, vec![0, 4, 1, 9, 9, 0, 1, 9, 9, 9])
    );
    assert_eq!(
        fixed.batch(&[]),
        TokenBatch {
            rows: 0,
            length: 5,
            ids: vec![],
            mask: vec![]
        }
    );
}

#[test]
fn a_context_without_room_is_refused() {
    for (length, padding) in [
        (0, Padding::Longest),
        (2, Padding::Longest),
        (8, Padding::Fixed(7)),
        (1 << 40, Padding::Longest),
    ] {
        let error = Tokenize::try_new(&bpe("", ""), &options(length, padding)).unwrap_err();
        assert_eq!(error.kind(), crate::error::ErrorKind::Model);
    }
}

#[test]
fn damaged_files_are_errors() {
    for bytes in [
        &b""[..],
        b"{}",
        b"[1]",
        b"{\"model\":{\"type\":\"BPE\"}}",
        b"\xff\xfe",
        // The library panics at a decoder that is no JSON.
        b"{\"decoder\":m}",
    ] {
        assert!(Tokenize::try_new(bytes, &TokenizeOptions::default()).is_err());
    }
}

#[test]
fn a_huge_caption_is_cut_before_it_costs_time() {
    let tokenize = Tokenize::try_new(&bpe("", ""), &options(77, Padding::Longest)).unwrap();
    let caption = "a é ".repeat(1 << 22);
    let rows = tokenize.encode(&[&caption]).unwrap();
    assert_eq!(rows[0].len(), 77);
}
