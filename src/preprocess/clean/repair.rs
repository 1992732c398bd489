//! Captions that were damaged on their way, repaired: references, mojibake, ligatures, widths, quotes, controls.
//!
//! # Source
//! What ftfy 6.3 does by default, each step by its documented effect; mojibake as [`super::mojibake`] tells.

use std::borrow::Cow;

use tokenizers::NormalizedString;

use super::entities::{WINDOWS_1252, named, numbered};
use super::mojibake;

/// Layers of damage that are taken off; hostile captions could have one per character.
const MOST_ROUNDS: usize = 16;
/// Longest name of a reference that is undone here.
const LONGEST_NAME: usize = 24;

/// The caption, repaired line by line.
pub(super) fn repair(text: &str) -> Cow<'_, str> {
    if is_plain(text) {
        return Cow::Borrowed(text);
    }
    let mut repaired = String::with_capacity(text.len());
    let mut undo_references = true;
    for line in text.split_inclusive('\n') {
        // Where there are tags, references are part of them, also in the lines behind.
        undo_references &= !line.contains('<');
        repaired.push_str(&repair_line(line, undo_references));
    }
    Cow::Owned(repaired)
}

/// Nothing in it is ever repaired.
fn is_plain(text: &str) -> bool {
    text.bytes()
        .all(|byte| matches!(byte, b'\t' | b'\n' | 0x0c | b' '..=b'~') && byte != b'&')
}

fn repair_line(line: &str, undo_references: bool) -> String {
    let mut text = line.to_owned();
    for _ in 0..MOST_ROUNDS {
        let before = text.clone();
        if undo_references {
            text = references(&text);
        }
        // Before quotation marks become straight: they are bytes of what was read wrongly.
        for _ in 0..MOST_ROUNDS {
            let again = mojibake::decode(&text);
            if again == text {
                break;
            }
            text = again;
        }
        text = characters(&text);
        if !text.is_ascii() {
            let mut composed = NormalizedString::from(text.as_str());
            composed.nfc();
            text = composed.get().to_owned();
        }
        if text == before {
            break;
        }
    }
    text
}

/// References that end in a semicolon, also in capitals where that is no name of its own.
fn references(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('&') {
        let (before, from) = rest.split_at(start);
        out.push_str(before);
        let body = &from[1..];
        let undone = body
            .find(';')
            .and_then(|end| reference(&body[..=end]).map(|text| (text, end)));
        match undone {
            Some((text, end)) => {
                out.push_str(&text);
                rest = &body[end + 1..];
            }
            None => {
                out.push('&');
                rest = body;
            }
        }
    }
    out + rest
}

/// What `body`, which stands between `&` and the semicolon that it ends in, refers to.
fn reference(body: &str) -> Option<String> {
    let name = body.trim_end_matches(';');
    if let Some(number) = name.strip_prefix('#') {
        let word = number.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let (text, length) = numbered(&body[1..])?;
        let whole = word && number.len() <= LONGEST_NAME && length + 1 == body.len();
        return (whole && text != ";").then_some(text);
    }
    if name.len() > LONGEST_NAME || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    if let Some(text) = named(body) {
        return Some(text);
    }
    // Old names are known without their semicolon and so never mean what they are in capitals.
    let old = (2..=name.len()).any(|end| named(&name[..end]).is_some());
    let capital = !old && name.bytes().all(|byte| !byte.is_ascii_lowercase());
    capital
        .then(|| named(&body.to_ascii_lowercase()))?
        .map(|text| text.to_uppercase())
}

/// All that is done character by character.
fn characters(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' => {
                if let Some(behind) = terminal_escape(rest.as_str()) {
                    rest = behind.chars();
                }
            }
            '\r' => {
                if !rest.as_str().starts_with('\n') {
                    out.push('\n');
                }
            }
            '\u{2028}' | '\u{2029}' => out.push('\n'),
            // Of Latin-1, where Windows-1252 was meant.
            '\u{80}'..='\u{9f}' => out.push(
                WINDOWS_1252
                    .get(c as usize - 0x80)
                    .copied()
                    .filter(|&meant| meant != c)
                    .unwrap_or(c),
            ),
            '\u{2bc}' | '\u{2018}'..='\u{201b}' => out.push('\''),
            '\u{201c}'..='\u{201f}' => out.push('"'),
            '\u{3000}' => out.push(' '),
            '\u{ff01}'..='\u{ffee}' => {
                let mut wide = NormalizedString::from(c.to_string());
                wide.nfkc();
                out.push_str(wide.get());
            }
            '\0'..='\u{8}' | '\u{b}' | '\u{e}'..='\u{1f}' | '\u{7f}' => {}
            '\u{206a}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffc}' => {}
            c => match ligature(c) {
                Some(letters) => out.push_str(letters),
                None => out.push(c),
            },
        }
    }
    out
}

/// What is behind the colours of a terminal: `[`, digits and semicolons, a letter.
fn terminal_escape(rest: &str) -> Option<&str> {
    let numbers = rest.strip_prefix('[')?;
    let letter = numbers.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
    letter.strip_prefix(|c: char| c.is_ascii_alphabetic())
}

fn ligature(c: char) -> Option<&'static str> {
    Some(match c {
        'Ĳ' => "IJ",
        'ĳ' => "ij",
        'ŉ' => "ʼn",
        'Ǳ' => "DZ",
        'ǲ' => "Dz",
        'ǳ' => "dz",
        'Ǆ' => "DŽ",
        'ǅ' => "Dž",
        'ǆ' => "dž",
        'Ǉ' => "LJ",
        'ǈ' => "Lj",
        'ǉ' => "lj",
        'Ǌ' => "NJ",
        'ǋ' => "Nj",
        'ǌ' => "nj",
        'ﬀ' => "ff",
        'ﬁ' => "fi",
        'ﬂ' => "fl",
        'ﬃ' => "ffi",
        'ﬄ' => "ffl",
        'ﬅ' => "ſt",
        'ﬆ' => "st",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captions_are_repaired_as_ftfy_does() {
        for (text, expected) in [
            ("a plain caption", "a plain caption"),
            (
                "it\u{2019}s \u{201c}quoted\u{201d} \u{2013}",
                "it's \"quoted\" \u{2013}",
            ),
            ("ﬁne ﬂag ｗｉｄｅ ﾈｺ ﾊﾞ\u{3000}x", "fine flag wide ネコ バ x"),
            ("a\r\nb\rc\u{2028}d", "a\nb\nc\nd"),
            (
                "nul\0 bell\u{7} \u{1b}[36;44mblue\u{1b}[0m \u{feff}bom",
                "nul bell blue bom",
            ),
            ("&amp;amp; &eacute; P&EACUTE;REZ", "& é PÉREZ"),
            ("<i>&amp;</i>", "<i>&amp;</i>"),
            ("cafe\u{301}", "café"),
            ("\u{85}", "…"),
        ] {
            assert_eq!(repair(text), expected, "{text:?}");
        }
    }

    #[test]
    fn layers_without_end_are_given_up() {
        let deep = format!("&{}amp;", "amp;".repeat(20_000));
        assert!(repair(&deep).len() > deep.len() / 2);
    }
}
