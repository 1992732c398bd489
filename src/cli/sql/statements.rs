//! Cuts text into SQL statements without parsing them.

/// One statement, without its `;`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Statement<'a> {
    pub(super) sql: &'a str,
    /// Where it begins, from 1.
    pub(super) line: usize,
}

/// What [`split`] found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Split<'a> {
    /// Those that a `;` ended.
    pub(super) complete: Vec<Statement<'a>>,
    /// What follows the last of them, if it is more than space and comments.
    pub(super) rest: Option<Statement<'a>>,
    /// Where what follows the last of them begins in the text.
    pub(super) rest_start: usize,
}

/// Cuts `text` at every `;` that is not in a string, a quoted name or a comment, by the rules of the
/// generic dialect: doubled quotes, `E'\''`, `$tag$...$tag$`, comments that nest.
pub(super) fn split(text: &str) -> Split<'_> {
    let mut complete = Vec::new();
    let (mut start, mut at) = (0, 0);
    while at < text.len() {
        if text.as_bytes()[at] == b';' {
            complete.extend(statement(text, start, at));
            start = at + 1;
        }
        at = token_end(text.as_bytes(), at);
    }
    Split {
        complete,
        rest: statement(text, start, text.len()),
        rest_start: start,
    }
}

fn statement(text: &str, start: usize, end: usize) -> Option<Statement<'_>> {
    let between = &text[start..end];
    let first = first_word(between)?;
    let before = &text[..start + first];
    Some(Statement {
        sql: between[first..].trim_end(),
        line: before.matches('\n').count() + 1,
    })
}

/// Where `text` has something else than space and comments; a comment that is not closed is something else.
fn first_word(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        at = match &bytes[at..] {
            [b'-', b'-', ..] => token_end(bytes, at),
            [b'/', b'*', ..] => match comment_end(bytes, at) {
                Some(end) => end,
                None => return Some(at),
            },
            [byte, ..] if byte.is_ascii_whitespace() => at + 1,
            _ => return Some(at),
        };
    }
    None
}

/// Where the string, quoted name or comment that starts at `at` ends, which is the end of the text if
/// nothing closes it; after one byte for anything else. All marks are ASCII, so bytes will do.
fn token_end(text: &[u8], at: usize) -> usize {
    let here = &text[at..];
    match here {
        [b'\'', ..] if escapes(text, at) => escaped_end(text, at),
        [quote @ (b'\'' | b'"' | b'`'), ..] => after(text, at + 1, &[*quote]),
        [b'-', b'-', ..] => after(text, at, b"\n"),
        [b'/', b'*', ..] => comment_end(text, at).unwrap_or(text.len()),
        [b'$', ..] => match dollar_tag(text, at) {
            Some(tag) => after(text, at + tag.len(), tag),
            None => at + 1,
        },
        _ => at + 1,
    }
}

/// Behind the next `mark` from `from` on. A doubled quote needs no care: its second half opens a string again.
fn after(text: &[u8], from: usize, mark: &[u8]) -> usize {
    text[from..]
        .windows(mark.len())
        .position(|window| window == mark)
        .map_or(text.len(), |position| from + position + mark.len())
}

/// True for the quote of `E'...'`, in which a backslash escapes.
fn escapes(text: &[u8], quote: usize) -> bool {
    match text[..quote] {
        [.., before, b'e' | b'E'] => !is_name_part(before),
        [b'e' | b'E'] => true,
        _ => false,
    }
}

fn escaped_end(text: &[u8], quote: usize) -> usize {
    let mut at = quote + 1;
    while at < text.len() {
        match text[at] {
            b'\\' => at += 2,
            b'\'' if text.get(at + 1) == Some(&b'\'') => at += 2,
            b'\'' => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

fn comment_end(text: &[u8], start: usize) -> Option<usize> {
    let (mut at, mut depth) = (start, 0_usize);
    while at < text.len() {
        match &text[at..] {
            [b'/', b'*', ..] => {
                depth += 1;
                at += 2;
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => at += 1,
        }
    }
    None
}

/// `$$` or `$tag$` at `at`; a `$1` or `$name` is a parameter, and a name may hold a `$`.
fn dollar_tag(text: &[u8], at: usize) -> Option<&[u8]> {
    if at > 0 && is_name_part(text[at - 1]) {
        return None;
    }
    let name = text[at + 1..]
        .iter()
        .take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_')
        .count();
    let end = at + 1 + name;
    (text.get(end) == Some(&b'$')).then(|| &text[at..=end])
}

fn is_name_part(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || !byte.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(text: &str) -> Vec<&str> {
        split(text).complete.iter().map(|one| one.sql).collect()
    }

    #[test]
    fn a_semicolon_ends_a_statement_only_where_it_is_one() {
        let cases: [(&str, &[&str]); 16] = [
            ("SELECT 1; SELECT 2;", &["SELECT 1", "SELECT 2"]),
            (";; SELECT 1 ;;", &["SELECT 1"]),
            ("SELECT ';';", &["SELECT ';'"]),
            ("SELECT 'it''s; so';", &["SELECT 'it''s; so'"]),
            ("SELECT \"a;\"\"b\";", &["SELECT \"a;\"\"b\""]),
            ("SELECT `a;b`;", &["SELECT `a;b`"]),
            ("SELECT 1 -- no; end\n;", &["SELECT 1 -- no; end"]),
            (
                "SELECT /* a; /* b; */ c; */ 1;",
                &["SELECT /* a; /* b; */ c; */ 1"],
            ),
            (r"SELECT E'\'; ', 1;", &[r"SELECT E'\'; ', 1"]),
            (r"SELECT 'a\'; SELECT 2;", &[r"SELECT 'a\'", "SELECT 2"]),
            (
                r"SELECT case'a\'; SELECT 2;",
                &[r"SELECT case'a\'", "SELECT 2"],
            ),
            ("SELECT $$a;'$$;", &["SELECT $$a;'$$"]),
            ("SELECT $t$a;$$;$t$;", &["SELECT $t$a;$$;$t$"]),
            ("SELECT $1, $2; SELECT $a;", &["SELECT $1, $2", "SELECT $a"]),
            ("-- only a comment;\n/* ; */ ;", &[]),
            ("SELECT 'Grün; ☃';", &["SELECT 'Grün; ☃'"]),
        ];
        for (text, statements) in cases {
            assert_eq!(complete(text), statements, "{text}");
            assert_eq!(split(text).rest, None, "{text}");
        }
    }

    #[test]
    fn comments_before_a_statement_are_not_part_of_it() {
        let found = split("-- why\n/* how */ SELECT 1; -- done");
        assert_eq!(
            found.complete,
            [Statement {
                sql: "SELECT 1",
                line: 2
            }]
        );
        assert_eq!(split("-- why\n").rest, None);
        assert_eq!(split("/* open").rest.unwrap().sql, "/* open");
    }

    #[test]
    fn what_is_open_is_the_rest() {
        for text in [
            "SELECT",
            "SELECT ';",
            "SELECT \";",
            "SELECT /* ;",
            "SELECT $$;",
            r"SELECT E'\';",
        ] {
            let found = split(text);
            assert_eq!(found.complete, [], "{text}");
            assert_eq!(found.rest.map(|rest| rest.sql), Some(text), "{text}");
        }
        for text in ["", " \n", "-- a comment", "/* one */", "SELECT 1; -- done"] {
            assert_eq!(split(text).rest, None, "{text}");
        }
    }

    #[test]
    fn a_statement_knows_its_line() {
        let found = split("SELECT 1;\n\nSELECT\n2;\n  SELECT 3");
        let lines: Vec<usize> = found.complete.iter().map(|one| one.line).collect();
        assert_eq!(lines, [1, 3]);
        assert_eq!(found.rest.unwrap().line, 5);
    }

    #[test]
    fn any_cut_of_a_text_is_split_without_a_panic() {
        let text = "SELECT E'\\'' /* a /* b */ */ ; \"ü;\" $t$;$t$ -- x\n; '";
        for (end, _) in text.char_indices() {
            for (start, _) in text[..end].char_indices() {
                let _ = split(&text[start..end]);
            }
        }
    }
}
