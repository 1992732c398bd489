//! Secrets in text that is published: hidden where their form or their name tells what they are.
//!
//! `***` takes the place of
//! - user and password of a URL;
//! - the value of a query parameter whose name says that it is secret: signatures and credentials of presigned URLs,
//!   tokens, keys, passwords, sessions, codes;
//! - tokens that are known by their first letters, and what follows `Bearer`;
//! - in messages and command lines the value of `KEY=VALUE` or of an option, too, if the name says that it is secret, and
//!   `user:password` before `@` and a host.
//!
//! The same is found in words that are percent-encoded, up to three times over. Everything else stays: a condition such
//! as `token = 'x'` is in the metadata of an output as it was written. Rows and captions are data and never come here.

mod logins;
mod tokens;

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use crate::digest::hex;

/// Stands for what is hidden.
pub const HIDDEN: &str = "***";

/// How often a text may be percent-encoded.
const MOST_ENCODINGS: u32 = 3;
/// Bytes in which the end of a password is looked for whose slashes are not encoded.
const PASSWORD_BYTES: usize = 256;
/// Bytes of a hash that tells texts apart.
const HASH_BYTES: usize = 8;

/// Ends of names of secrets, without what is neither letter nor digit.
const SECRET_ENDS: &str = "signature credential credentials token password passwd passphrase secret secretkey accesskey \
    accesskeyid accessid accountkey apikey subscriptionkey sessionid privatekey sharedkey authorization connectionstring";
/// Whole names of secrets.
const SECRET_NAMES: &str = "sig pwd pass auth jwt";
/// Whole names of secrets where they are parameters of a URL: elsewhere they are words of many meanings.
const SECRET_PARAMETERS: &str = "code authcode codeverifier session sessionkey sessid phpsessid sid ticket otp totp pin \
    assertion samlresponse samlrequest hmac csrf xsrf";
/// Schemes before whose hosts any number of slashes may stand.
const WEB_SCHEMES: &str = "http https ftp ws wss";
/// Schemes in which a container stands before the `@`, and no user.
const CONTAINER_SCHEMES: &str = "abfs abfss wasb wasbs";
/// Parameters that change with each signature of a URL, beside `x-amz-..`, `x-goog-..` and secrets.
const SIGNED_NAMES: &str = "sv ss srt sp st se spr sip sr skoid sktid skt ske sks skv saoid suoid scid sdd ses expires \
    policy key-pair-id";

const QUOTES: &str = "\"'`";
/// Options whose value is SQL.
const SQL_OPTIONS: [&str; 2] = ["where", "condition"];

/// What becomes of `KEY=VALUE` where no URL is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Settings {
    /// It may be SQL.
    Kept,
    Hidden,
}

/// `text` without the secrets of URLs and without tokens.
pub fn in_text(text: &str) -> String {
    hidden(text, Settings::Kept, MOST_ENCODINGS)
}

/// As [`in_text`], for a message: values of `KEY=VALUE` are hidden where KEY is the name of a secret.
pub fn in_message(text: &str) -> String {
    hidden(text, Settings::Hidden, MOST_ENCODINGS)
}

/// The words of a command line as one text.
pub fn in_words<'a>(words: impl IntoIterator<Item = Cow<'a, str>>) -> String {
    let (mut shown, mut before) = (Vec::new(), String::new());
    for word in words {
        let option = before.strip_prefix("--").filter(|it| !it.contains('='));
        let option = option.unwrap_or_default();
        shown.push(match word.strip_prefix("--") {
            Some(given) => match given.split_once('=') {
                Some((option, value)) => format!("--{option}={}", in_value(option, value)),
                None => in_text(&word),
            },
            None => in_value(option, &word),
        });
        before = word.into_owned();
    }
    shown.join(" ")
}

/// The value of an option.
fn in_value(option: &str, value: &str) -> String {
    match value.split_once('=') {
        _ if is_secret(option) => HIDDEN.to_owned(),
        Some((key, _))
            if !SQL_OPTIONS.contains(&option) && key.chars().all(is_of_name) && is_secret(key) =>
        {
            format!("{key}={HIDDEN}")
        }
        // A blank is more likely in SQL than in a password.
        _ if SQL_OPTIONS.contains(&option) || value.contains(char::is_whitespace) => in_text(value),
        _ => logins::hidden(&in_text(value)),
    }
}

/// As [`in_text`], and two texts of which secrets are hidden stay two: a hash of the whole is added.
pub fn told_apart(text: &str) -> String {
    let mut shown = in_text(text);
    if shown != text {
        shown.push_str(" #");
        shown.push_str(&hex(&Sha256::digest(text)[..HASH_BYTES]));
    }
    shown
}

/// What a file is called whatever the credentials that it was asked for with: a URL without its user and without what a
/// signature adds to its query. A name that is no URL stays as it is.
pub fn without_credentials(name: &str) -> String {
    let Some((scheme, rest)) = name.split_once("://") else {
        return name.to_owned();
    };
    let user = user_bytes(scheme, None, rest);
    let rest = user.map_or(rest, |bytes| &rest[bytes + 1..]);
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let name_of = |pair: &str| decoded(pair.split('=').next().unwrap_or_default());
    if !query.split('&').any(|pair| is_secret(&name_of(pair))) {
        return in_text(&format!("{scheme}://{rest}"));
    }
    let of_signature = |pair: &str| {
        let name = name_of(pair).to_ascii_lowercase();
        let is_signed = is_listed(&name, SIGNED_NAMES);
        is_signed || ["x-amz-", "x-goog-"].iter().any(|it| name.starts_with(it)) || is_secret(&name)
    };
    let kept: Vec<&str> = query
        .split('&')
        .filter(|pair| !of_signature(pair))
        .collect();
    let mark = if kept.is_empty() { "" } else { "?" };
    in_text(&format!("{scheme}://{path}{mark}{}", kept.join("&")))
}

fn hidden(text: &str, settings: Settings, encodings: u32) -> String {
    let shown = tokens::hidden(&values(&users(text), settings));
    let shown = match settings {
        Settings::Kept => shown,
        Settings::Hidden => logins::hidden(&shown),
    };
    if encodings == 0 || !shown.contains('%') {
        return shown;
    }
    let words = shown.split_inclusive(|c: char| c.is_whitespace() || is_quote(c));
    let words = words.map(|word| {
        if !word.contains('%') {
            return Cow::Borrowed(word);
        }
        let plain = decoded(word);
        let shown = hidden(&plain, settings, encodings - 1);
        if shown == plain {
            Cow::Borrowed(word)
        } else {
            Cow::Owned(shown)
        }
    });
    words.collect()
}

/// Hides what stands before the host of URLs, also of those without a scheme and of those with backslashes.
fn users(text: &str) -> String {
    let (mut shown, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find(is_slash) {
        let slashes = rest[at..].find(|c| !is_slash(c));
        let slashes = &rest[at..slashes.map_or(rest.len(), |bytes| at + bytes)];
        let host = Host::behind(&rest[..at], slashes);
        let end = at + host.as_ref().map_or(slashes.len(), |host| host.slashes);
        let (before, after) = rest.split_at(end);
        shown.push_str(before);
        rest = after;
        if let Some(bytes) = host.and_then(|host| host.user_bytes(after)) {
            shown.push_str(HIDDEN);
            rest = &after[bytes..];
        }
    }
    shown + rest
}

/// What may begin behind slashes.
struct Host<'a> {
    /// `None` without a colon.
    scheme: Option<&'a str>,
    quote: Option<char>,
    /// Bytes of slashes before it.
    slashes: usize,
}

impl<'a> Host<'a> {
    fn behind(before: &'a str, slashes: &str) -> Option<Self> {
        let of_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        let Some(named) = before.strip_suffix(':') else {
            let lead = before.chars().next_back();
            // Not within a path.
            let starts = lead.is_none_or(|c| !c.is_alphanumeric() && !"/._-%*+~@".contains(c));
            return (slashes.len() == 2 && starts).then_some(Self {
                scheme: None,
                quote: lead.filter(|&c| is_quote(c)),
                slashes: 2,
            });
        };
        let scheme = named.rsplit(|c| !of_scheme(c)).next().unwrap_or_default();
        let quote = named[..named.len() - scheme.len()].chars().next_back();
        let slashes = match slashes {
            // Of these programs take any number.
            _ if is_listed(&scheme.to_ascii_lowercase(), WEB_SCHEMES) => slashes.len(),
            _ if slashes.starts_with("//") => 2,
            _ if slashes.len() > 1 => slashes.len(),
            _ => return None,
        };
        Some(Self {
            scheme: Some(scheme),
            quote: quote.filter(|&c| is_quote(c)),
            slashes,
        })
    }

    fn user_bytes(&self, url: &str) -> Option<usize> {
        let bytes = user_bytes(self.scheme.unwrap_or_default(), self.quote, url)?;
        (self.scheme.is_some() || url[..bytes].contains(':')).then_some(bytes)
    }
}

fn is_slash(c: char) -> bool {
    c == '/' || c == '\\'
}

/// Bytes before the `@` that ends user and password, given what follows `scheme://`.
fn user_bytes(scheme: &str, quote: Option<char>, url: &str) -> Option<usize> {
    let ends = |c: char| ends_url(c) || "/?#".contains(c) || Some(c) == quote;
    let authority = url.split(ends).next()?;
    if let Some(at) = authority.rfind('@') {
        let has_container = is_listed(&scheme.to_ascii_lowercase(), CONTAINER_SCHEMES);
        return (!has_container || authority[..at].contains(':')).then_some(at);
    }
    // No port: the password goes on after a slash or a blank that was not encoded.
    let (_, port) = authority.rsplit(']').next()?.split_once(':')?;
    let mut port = port.trim_end_matches([':', ',', ';', '.', ')']).bytes();
    if port.all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let ends = |c: char| c != ' ' && ends_url(c) || Some(c) == quote;
    let mut near = url
        .char_indices()
        .take_while(|&(at, c)| at < PASSWORD_BYTES && !ends(c));
    let (at, _) = near.find(|&(_, c)| c == '@')?;
    let is_one = !url[..at].contains(' ') || !url[..at].contains("://");
    is_one.then_some(at)
}

/// Hides values of parameters, and of settings.
fn values(text: &str, settings: Settings) -> String {
    let (mut shown, mut start, mut opened) = (String::with_capacity(text.len()), 0, String::new());
    while let Some(found) = text[start..].find('=') {
        let at = start + found;
        let before = &text[start..at];
        let name = before.rsplit(|c| !is_of_name(c)).next().unwrap_or_default();
        let new = |c: &char| !opened.contains(*c) && before.contains(*c);
        let new: Vec<char> = QUOTES.chars().filter(new).collect();
        opened.extend(new);
        shown.push_str(&text[start..=at]);
        start = at + 1;
        let lead = text[..at - name.len()].chars().next_back();
        // `&` in JSON.
        let name = name.strip_prefix("u0026").unwrap_or(name);
        let is_parameter = matches!(lead, Some('?' | '&' | '#'));
        let hides = |name: &str| is_secret(name) || is_parameter && is_secret_parameter(name);
        if !name.is_empty() && hides(&decoded(name)) {
            let bytes = value_bytes(lead, &text[start..], &opened, settings);
            shown.push_str(if bytes > 0 { HIDDEN } else { "" });
            start += bytes;
        }
    }
    shown + &text[start..]
}

/// Bytes of the value that follows the `=` of a secret; `lead` stands before its name.
fn value_bytes(lead: Option<char>, value: &str, opened: &str, settings: Settings) -> usize {
    let until = |ends: &dyn Fn(char) -> bool| value.find(ends).unwrap_or(value.len());
    if value.starts_with(HIDDEN) {
        return 0;
    }
    match lead {
        Some('?' | '&' | '#' | ';' | '\\') => {
            until(&|c| ends_url(c) || "&#".contains(c) || opened.contains(c))
        }
        _ if settings == Settings::Kept
            || value.starts_with(|c: char| c == '=' || is_quote(c) || c.is_whitespace()) =>
        {
            0
        }
        None => value.len(),
        Some(quote) if is_quote(quote) => until(&|c| c == quote),
        Some(_) => until(&|c| c.is_whitespace() || is_quote(c)),
    }
}

fn is_secret_parameter(name: &str) -> bool {
    is_listed(&plain(name), SECRET_PARAMETERS)
}

/// Letters and digits of `name`.
fn plain(name: &str) -> String {
    let plain = name.chars().filter(char::is_ascii_alphanumeric);
    plain.map(|c| c.to_ascii_lowercase()).collect()
}

fn is_secret(name: &str) -> bool {
    let plain = plain(name);
    let mut ends = SECRET_ENDS.split_whitespace();
    is_listed(&plain, SECRET_NAMES) || ends.any(|end| plain.ends_with(end))
}

fn is_listed(name: &str, names: &str) -> bool {
    names.split_whitespace().any(|one| one == name)
}

fn is_of_name(c: char) -> bool {
    c.is_alphanumeric() || "_-.%".contains(c)
}

fn is_quote(c: char) -> bool {
    QUOTES.contains(c)
}

fn ends_url(c: char) -> bool {
    c.is_whitespace() || c.is_control() || "\"<>`".contains(c)
}

/// `text` with `%2F` as `/`.
fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| first == b'%');
        let digits = digits.and_then(|it| std::str::from_utf8(it).ok());
        // A sign is no digit of it.
        let digits = digits.filter(|it| it.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let byte = digits.and_then(|it| u8::from_str_radix(it, 16).ok());
        bytes.push(byte.unwrap_or(first));
        rest = &after[if byte.is_some() { 2 } else { 0 }..];
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests;
