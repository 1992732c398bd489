//! HTML's named and numbered characters back to what they stand for.
//!
//! # Source
//! Python's `html.unescape`; the names are a table that `tests/golden/entities.py` writes.

use std::{borrow::Cow, cmp::Ordering};

/// Lines of `name codepoint...` in hexadecimal, sorted; old names come with and without their semicolon.
const TABLE: &str = include_str!("entities.txt");
/// Longest name that HTML has.
const LONGEST_NAME: usize = 32;

/// What Windows-1252 has where Latin-1 has control characters; those that it has not stay.
pub(super) const WINDOWS_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
    '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// What `name`, its semicolon included where it has one, stands for.
pub(super) fn named(name: &str) -> Option<String> {
    let (mut low, mut high) = (0, TABLE.len());
    while low < high {
        let middle = low.midpoint(high);
        let start = TABLE[..middle].rfind('\n').map_or(0, |end| end + 1);
        let end = TABLE[middle..].find('\n').map_or(high, |end| middle + end);
        let (known, points) = TABLE[start..end].split_once(' ')?;
        match known.cmp(name) {
            Ordering::Less => low = end + 1,
            Ordering::Greater => high = start,
            Ordering::Equal => return Some(points.split(' ').filter_map(point).collect()),
        }
    }
    None
}

fn point(hexadecimal: &str) -> Option<char> {
    char::from_u32(u32::from_str_radix(hexadecimal, 16).ok()?)
}

/// Every reference undone once, also those without a semicolon that browsers know.
pub(super) fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let mut parts = text.split('&');
    let mut out = String::with_capacity(text.len());
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let undone = match part.strip_prefix('#') {
            Some(number) => numbered(number).map(|(text, length)| (text, length + 1)),
            None => by_name(part),
        };
        match undone {
            Some((text, length)) => {
                out.push_str(&text);
                out.push_str(&part[length..]);
            }
            None => {
                out.push('&');
                out.push_str(part);
            }
        }
    }
    Cow::Owned(out)
}

/// What the reference at the start of `part` stands for, and how many bytes it takes; the longest name wins.
fn by_name(part: &str) -> Option<(String, usize)> {
    let ends = |c: char| "\t\n\x0c <&#;".contains(c);
    let mut lengths = part.char_indices().map(|(start, c)| start + c.len_utf8());
    let longest = lengths.nth(LONGEST_NAME - 1).unwrap_or(part.len());
    let bare = part[..longest].find(ends).unwrap_or(longest);
    let whole = match part[bare..].starts_with(';') {
        true => bare + 1,
        false => bare,
    };
    if let Some(text) = named(&part[..whole]) {
        return Some((text, whole));
    }
    let shorter = (2..whole).rev().filter(|&end| part.is_char_boundary(end));
    shorter
        .into_iter()
        .find_map(|end| Some((named(&part[..end])?, end)))
}

/// What the number behind `&#` stands for, and how many bytes it takes.
pub(super) fn numbered(part: &str) -> Option<(String, usize)> {
    let (digits, radix, before) = match part.strip_prefix(['x', 'X']) {
        Some(digits) => (digits, 16, 1),
        None => (part, 10, 0),
    };
    let length = digits
        .find(|c: char| !c.is_ascii() || !c.is_digit(radix))
        .unwrap_or(digits.len());
    if length == 0 {
        return None;
    }
    // More digits than fit are more than any character has.
    let number = u32::from_str_radix(&digits[..length], radix).unwrap_or(u32::MAX);
    let semicolon = usize::from(digits[length..].starts_with(';'));
    Some((character(number), before + length + semicolon))
}

fn character(number: u32) -> String {
    let removed = |number: u32| {
        matches!(number, 0x1..=0x8 | 0xb | 0xe..=0x1f | 0x7f | 0xfdd0..=0xfdef)
            || number & 0xfffe == 0xfffe
    };
    match number {
        0 => "\u{fffd}".to_owned(),
        0x80..=0x9f => WINDOWS_1252
            .get((number - 0x80) as usize)
            .map(char::to_string)
            .unwrap_or_default(),
        number => match char::from_u32(number) {
            None => "\u{fffd}".to_owned(),
            Some(_) if removed(number) => String::new(),
            Some(c) => c.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_whole() {
        let names = || TABLE.lines().map(|line| line.split_once(' ').unwrap().0);
        assert_eq!(names().count(), 2231);
        assert!(names().is_sorted_by(|a, b| a < b));
        for (name, points) in TABLE.lines().filter_map(|line| line.split_once(' ')) {
            let text = named(name).unwrap();
            assert_eq!(text.chars().count(), points.split(' ').count(), "{name}");
        }
        assert!(
            ["", "A", "zzz", "amp;x"]
                .into_iter()
                .all(|name| named(name).is_none())
        );
    }

    #[test]
    fn references_are_undone_as_python_does() {
        for (text, expected) in [
            ("&lt;b&gt;Tom &amp; Jerry", "<b>Tom & Jerry"),
            ("&#39;n&#x27; &nbsp;&eacute;", "'n' \u{a0}é"),
            ("this&not that &notit; &notin;", "this¬ that ¬it; ∉"),
            ("AT&T & R&D &unknown; &", "AT&T & R&D &unknown; &"),
            ("&amp;amp;", "&amp;"),
            (
                "&#128;&#0;&#xD800;&#99999999999;&#11;",
                "€\u{fffd}\u{fffd}\u{fffd}",
            ),
            ("&#x;&#;&#xg", "&#x;&#;&#xg"),
            ("&ampé &NotEqualTilde;", "&é ≂\u{338}"),
        ] {
            assert_eq!(unescape(text), expected, "{text}");
        }
    }
}
