//! Whether a caption holds anything to read.

/// Characters that show nothing, first and last of each run, ascending: what Unicode lets renderers ignore, marks of
/// annotations, and the blank of Braille. White space and control characters are known to `char`.
///
/// Source: Default_Ignorable_Code_Point in DerivedCoreProperties.txt of Unicode 16.
const INVISIBLE: [(char, char); 19] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{202a}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{2800}', '\u{2800}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fff8}'),
    ('\u{fff9}', '\u{fffb}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{e0fff}'),
];

/// Whether anything of `caption` shows: more than white space, control and invisible characters.
pub fn is_legible(caption: &str) -> bool {
    caption.chars().any(shows)
}

fn shows(c: char) -> bool {
    if c.is_whitespace() || c.is_control() {
        return false;
    }
    let next = INVISIBLE.partition_point(|(_, last)| *last < c);
    INVISIBLE.get(next).is_none_or(|(first, _)| c < *first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_shows_nothing_is_nothing_to_read() {
        for caption in [
            "",
            " \t\r\n",
            "\0",
            "\0\0\0",
            "\u{1}\u{7f}\u{9f}",
            "\u{a0}\u{3000}\u{2028}",
            "\u{200b}",
            "\u{200d}\u{feff}\u{2060}",
            "\u{ad}\u{34f}\u{e0020}\u{fe0f}",
            "\u{202e}\u{2066} \u{2069}",
            "\u{2800}\u{3164}\u{1160}",
        ] {
            assert!(!is_legible(caption), "{caption:?}");
        }
        for caption in [
            "a",
            ".",
            "?",
            "\0a",
            "\u{200b}a\u{200b}",
            "猫",
            "❤\u{fe0f}",
            "\u{301}",
            "\u{fffd}",
            "\u{1f468}\u{200d}\u{1f469}",
            "\u{e000}",
        ] {
            assert!(is_legible(caption), "{caption:?}");
        }
    }

    #[test]
    fn runs_ascend_and_their_ends_are_within() {
        assert!(INVISIBLE.is_sorted_by(|a, b| a.1 < b.0));
        for (first, last) in INVISIBLE {
            assert!(first <= last && !shows(first) && !shows(last));
        }
    }
}
