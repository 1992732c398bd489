//! `user:password@host` without a scheme before it.

use super::{HIDDEN, is_quote};

/// What stands before a colon and names no user: in `hf:name@revision`, and before an address.
const NO_USERS: [&str; 2] = ["hf", "mailto"];

/// Hides user and password in the words of a message.
pub(super) fn hidden(text: &str) -> String {
    let (mut shown, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find('@') {
        let (before, after) = rest.split_at(at);
        let word = before.rfind(ends_word).map_or(0, |end| {
            end + before[end..].chars().next().map_or(0, char::len_utf8)
        });
        let login = before[word..].split_once(':');
        let is_login = login.is_some_and(|(user, password)| {
            let names = |c: char| c.is_alphanumeric() || "._%+-".contains(c);
            !user.is_empty()
                && user.chars().all(names)
                && !NO_USERS.contains(&user.to_ascii_lowercase().as_str())
                && !password.is_empty()
                && !password.contains(['/', '\\'])
        });
        let has_host = after[1..].starts_with(|c: char| c.is_alphanumeric() || c == '[');
        shown.push_str(&before[..word]);
        shown.push_str(match is_login && has_host {
            true => HIDDEN,
            false => &before[word..],
        });
        shown.push('@');
        rest = &after[1..];
    }
    shown + rest
}

fn ends_word(c: char) -> bool {
    c.is_whitespace() || is_quote(c) || "=,;()[]{}<>@".contains(c)
}
