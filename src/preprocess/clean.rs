//! What is done to a caption before its tokenizer sees it, beyond what `tokenizer.json` says.
//!
//! # Source
//! open_clip 3.3 (`tokenizer.py`), which repairs text by ftfy 6.3 first; `Siglip2Tokenizer` of transformers 5.24.

mod entities;
mod mojibake;
mod repair;

use std::borrow::Cow;
use std::fmt;

use entities::unescape;
use repair::repair;

/// How a caption is cleaned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cleaning {
    /// Not at all: `tokenizer.json` says everything.
    #[default]
    None,
    /// Letters in lower case, as SigLIP 2 was trained.
    Lowercase,
    /// As open_clip cleans captions.
    OpenClip(OpenClipCleaning),
}

/// open_clip's `clean`: each repairs mojibake, undoes HTML and collapses white space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenClipCleaning {
    /// No more than that: tokenizers of transformers.
    Whitespace,
    /// And lower case: open_clip's own tokenizer.
    Lower,
    /// And lower case, `_` a space, other ASCII punctuation gone.
    Canonicalize,
}

impl OpenClipCleaning {
    /// By the name that `tokenizer_kwargs.clean` has for it.
    pub fn by_name(name: &str) -> Option<Self> {
        match name {
            "whitespace" => Some(Self::Whitespace),
            "lower" => Some(Self::Lower),
            "canonicalize" => Some(Self::Canonicalize),
            _ => None,
        }
    }
}

impl fmt::Display for Cleaning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self {
            Cleaning::None => "as they are",
            Cleaning::Lowercase => "in lower case",
            Cleaning::OpenClip(OpenClipCleaning::Whitespace) => {
                "mojibake repaired, HTML undone, blanks collapsed"
            }
            Cleaning::OpenClip(OpenClipCleaning::Lower) => {
                "mojibake repaired, HTML undone, blanks collapsed, in lower case"
            }
            Cleaning::OpenClip(OpenClipCleaning::Canonicalize) => {
                "mojibake repaired, HTML undone, ASCII punctuation removed, blanks collapsed, in lower case"
            }
        };
        f.write_str(words)
    }
}

impl Cleaning {
    /// The caption as the tokenizer is to see it.
    ///
    /// Lower case of SigLIP 2 is not made here: it spares special tokens, which only the tokenizer knows.
    pub(super) fn clean<'c>(self, caption: &'c str) -> Cow<'c, str> {
        let Cleaning::OpenClip(way) = self else {
            return Cow::Borrowed(caption);
        };
        let text = unescape(&unescape(&repair(caption))).into_owned();
        match way {
            OpenClipCleaning::Whitespace => Cow::Owned(collapse(&text)),
            OpenClipCleaning::Lower => Cow::Owned(collapse(&text).to_lowercase()),
            OpenClipCleaning::Canonicalize => {
                let spaced = text.replace('_', " ");
                let bare = spaced.replace(|c: char| c.is_ascii_punctuation(), "");
                Cow::Owned(collapse(&bare.to_lowercase()))
            }
        }
    }
}

/// White space as Python's regular expressions have it.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// Runs of white space become one space, none at the ends.
fn collapse(text: &str) -> String {
    let words = text.split(is_space).filter(|word| !word.is_empty());
    let mut collapsed = String::with_capacity(text.len());
    for word in words {
        if !collapsed.is_empty() {
            collapsed.push(' ');
        }
        collapsed.push_str(word);
    }
    collapsed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captions_are_cleaned_as_open_clip_does() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/tiny.json");
        let golden: serde_json::Value =
            serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let cleaned = &golden["cleaned"];
        let texts =
            |name: &str| -> Vec<String> { serde_json::from_value(cleaned[name].clone()).unwrap() };
        let mut wrong = Vec::new();
        for name in ["whitespace", "lower", "canonicalize"] {
            let way = Cleaning::OpenClip(OpenClipCleaning::by_name(name).unwrap());
            for (caption, expected) in texts("captions").iter().zip(texts(name)) {
                let found = way.clean(caption);
                if found != expected {
                    wrong.push(format!("{name} {caption:?}: {found:?}, not {expected:?}"));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
