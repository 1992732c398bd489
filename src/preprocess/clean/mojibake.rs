//! UTF-8 that was read as Windows-1252 or Latin-1, read again.
//!
//! Each run of characters whose bytes are one character of UTF-8 is a candidate. Real text has such runs, too (`café »`),
//! so a candidate alone is believed only if it is hardly ever written on purpose; one that is believed speaks for
//! the others of its text. Other encodings (Mac Roman, Windows-1251, …), which ftfy knows, are left alone.

use super::entities::WINDOWS_1252;

/// Signs of ordinary text that are continuation bytes as well.
const COMMON: [char; 14] = [
    '\u{a0}', '\u{ad}', '·', '´', '–', '—', '…', '‘', '’', '“', '”', '«', '»', '•',
];

/// A character of UTF-8 found in the text.
struct Found {
    start: usize,
    end: usize,
    meant: char,
    /// Nobody writes that on purpose.
    certain: bool,
}

/// The text with its mojibake read again, once; text without any comes back as it was.
pub(super) fn decode(text: &str) -> String {
    if text.is_ascii() {
        return text.to_owned();
    }
    let (found, strays) = candidates(text);
    let certain = found.iter().any(|found| found.certain);
    // A text that is mojibake from end to end is one, whatever its letters.
    let whole = strays == 0 && found.len() > 1;
    let whole = whole && (certain || found.iter().any(|found| spelled(text, found)));
    let mut out = String::with_capacity(text.len());
    let mut last = 0;
    for found in &found {
        if found.certain || whole || certain && pair(text, found, last) {
            out.push_str(&text[last..found.start]);
            out.push(found.meant);
            last = found.end;
        }
    }
    out.push_str(&text[last..]);
    out
}

/// Candidates, and how many characters beyond ASCII belong to none.
fn candidates(text: &str) -> (Vec<Found>, usize) {
    let (mut found, mut strays, mut at) = (Vec::new(), 0, 0);
    while let Some(c) = text[at..].chars().next() {
        if c.is_ascii() {
            at += 1;
            continue;
        }
        match candidate(text, at) {
            Some(one) => {
                at = one.end;
                found.push(one);
            }
            None => {
                strays += 1;
                at += c.len_utf8();
            }
        }
    }
    (found, strays)
}

/// The character of UTF-8 whose bytes the characters from `start` are.
fn candidate(text: &str, start: usize) -> Option<Found> {
    let mut signs = text[start..].chars();
    let lead = signs.next()?;
    let first = byte(lead)?;
    let length = match first {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return None,
    };
    let mut bytes = vec![first];
    let mut end = start + lead.len_utf8();
    let mut tail = Vec::new();
    for sign in signs.by_ref().take(length - 1) {
        bytes.push(byte(sign)?);
        end += sign.len_utf8();
        tail.push(sign);
    }
    let meant = std::str::from_utf8(&bytes).ok()?.chars().next()?;
    let certain = match length {
        2 => match lead {
            'Â' | 'Ã' => !tail.iter().all(|sign| ['…', '’', '‘'].contains(sign)),
            _ => {
                tail.iter().any(|sign| ('\u{80}'..='\u{9f}').contains(sign))
                    || quotes(&tail, &text[end..])
            }
        },
        3 => tail.iter().any(|sign| !COMMON.contains(sign)),
        _ => true,
    };
    Some(Found {
        start,
        end,
        meant,
        certain,
    })
}

/// A quotation mark within a word.
fn quotes(tail: &[char], behind: &str) -> bool {
    let marks = ['‘', '“', '”', '«', '»'];
    tail.iter().all(|sign| marks.contains(sign)) && behind.starts_with(char::is_alphanumeric)
}

/// A letter with an accent and then a sign that no word has in it, within a word.
fn spelled(text: &str, found: &Found) -> bool {
    let tail = text[found.start..found.end].chars().nth(1);
    tail.is_some_and(|sign| !COMMON.contains(&sign))
}

/// Two characters that are one letter, as in most of Europe, and not within what continues something before them;
/// `last` is where the letter before ended.
fn pair(text: &str, found: &Found, last: usize) -> bool {
    let before = text[last..found.start].chars().next_back().and_then(byte);
    let apart = before.is_none_or(|byte| !(0x80..=0xbf).contains(&byte));
    apart && text[found.start..found.end].chars().count() == 2
}

/// The byte of Windows-1252 that is `sign`, that of Latin-1 where it has none.
fn byte(sign: char) -> Option<u8> {
    if let Ok(byte) = u8::try_from(sign) {
        return Some(byte);
    }
    let place = WINDOWS_1252.iter().position(|known| *known == sign)?;
    u8::try_from(0x80 + place).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_wrongly_is_read_again() {
        for (text, expected) in [
            ("cafÃ© â€œquotedâ€\u{9d} donâ€™t", "café “quoted” don’t"),
            ("Ð¿Ñ€Ð¸Ð²ÐµÑ‚ Ð¼Ð¸Ñ€", "привет мир"),
            ("ä¸\u{ad}å›½", "中国"),
            ("ðŸ˜€", "😀"),
            ("Â£9 Â©", "£9 ©"),
            ("cafÃ\u{a9}", "café"),
            ("Î“Î¬Ï„Î±", "Γάτα"),
        ] {
            assert_eq!(decode(text), expected, "{text}");
        }
    }

    #[test]
    fn real_text_stays() {
        for text in [
            "café »",
            "« été\u{a0}»",
            "NÃO",
            "Ærøskøbing “Ø”",
            "привет мир",
            "CAFÉ… déjà‑vu",
            "“Ä” – “Ö”",
            "ΣΊΣΥΦΟΣ",
            "一只猫",
            "50 £ ± 2 °C",
        ] {
            assert_eq!(decode(text), text);
        }
    }
}
