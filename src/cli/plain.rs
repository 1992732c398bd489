//! Other people's text on a terminal.

/// `text` on one line of at most `most` characters, in which nothing is obeyed.
pub(super) fn plain(text: &str, most: usize) -> String {
    let mut line = String::new();
    let mut left = most;
    for c in text.chars() {
        let shown: String = match c {
            '\n' | '\r' | '\t' => c.escape_default().collect(),
            c if is_obeyed(c) => c.escape_unicode().collect(),
            c => c.to_string(),
        };
        let length = shown.chars().count();
        if length > left {
            line.push('…');
            return line;
        }
        left -= length;
        line.push_str(&shown);
    }
    line
}

/// True for characters that move the cursor, start a terminal command or turn the direction of the text.
pub(super) fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_obeyed_and_long_text_ends() {
        assert_eq!(
            plain("a\u{1b}[2J\u{202e}b\n", 80),
            "a\\u{1b}[2J\\u{202e}b\\n"
        );
        assert_eq!(plain("one two three", 7), "one two…");
        assert_eq!(plain("one two", 7), "one two");
    }
}
