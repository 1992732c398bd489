//! Tokens that are known by their first letters.

use super::HIDDEN;

/// First letters of tokens, the least that follows, and what it may hold beside letters and digits.
const TOKENS: [(&str, usize, &str); 10] = [
    ("hf_", 30, ""),
    ("api_org_", 30, ""),
    ("ghp_", 30, ""),
    ("gho_", 30, ""),
    ("ghs_", 30, ""),
    ("github_pat_", 30, "_"),
    ("glpat-", 20, "-_"),
    ("AIza", 30, "-_"),
    ("ya29.", 20, "-_"),
    // A JSON web token.
    ("eyJ", 60, "-_."),
];

/// Hides tokens after their first letters.
pub(super) fn hidden(text: &str) -> String {
    let (mut shown, mut start, mut skip) = (String::with_capacity(text.len()), 0, 0);
    for (at, _) in text.char_indices() {
        let before = &text[..at];
        let starts = !before.ends_with(char::is_alphanumeric) || ends_encoded(before);
        if at < skip || !starts {
            continue;
        }
        if let Some((kept, bytes)) = token(&text[at..]).or_else(|| bearer(before, &text[at..])) {
            shown.push_str(&text[start..at + kept]);
            shown.push_str(HIDDEN);
            (start, skip) = (at + bytes, at + bytes);
        }
    }
    shown + &text[start..]
}

/// Bytes of the first letters and of the whole of a token that `text` begins with.
fn token(text: &str) -> Option<(usize, usize)> {
    TOKENS.iter().find_map(|(first, least, more)| {
        let rest = text.strip_prefix(first)?;
        let bytes = run(rest, more);
        (bytes >= *least).then_some((first.len(), first.len() + bytes))
    })
}

/// As [`token`], of a header: `Bearer` and a token, or `Basic` after the header's name.
fn bearer(before: &str, text: &str) -> Option<(usize, usize)> {
    let starts = |it: &str| {
        text.get(..it.len())
            .is_some_and(|read| read.eq_ignore_ascii_case(it))
    };
    // Words of captions follow `basic` more often than `bearer`.
    let schemes = [("bearer ", 8), ("basic ", 16)];
    let (scheme, least) = schemes.into_iter().find(|(it, _)| starts(it))?;
    let scheme = scheme.len();
    let bytes = run(&text[scheme..], "-._~+/=");
    let name = before.trim_end_matches([':', '=', ' ', '"', '\'']);
    let name = name.get(name.len().saturating_sub("authorization".len())..);
    let is_header = name.is_some_and(|name| name.eq_ignore_ascii_case("authorization"));
    let has_digit = text[scheme..scheme + bytes].contains(|c: char| c.is_ascii_digit());
    (bytes > 0 && is_header || bytes >= least && has_digit).then_some((scheme, scheme + bytes))
}

/// Bytes of ASCII letters, digits and `more` that `text` begins with.
fn run(text: &str, more: &str) -> usize {
    text.find(|c: char| !c.is_ascii_alphanumeric() && !more.contains(c))
        .unwrap_or(text.len())
}

fn ends_encoded(text: &str) -> bool {
    let bytes = text.as_bytes();
    matches!(bytes, [.., b'%', a, b] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit())
}
