//! Brace ranges and lists in the names of shards: `part-{00000..00127}.parquet`, `{a,b}.parquet`.

use crate::error::{Error, Result};

/// Most paths that one brace pattern may stand for.
const MAX_BRACE_PATHS: usize = 1_000_000;

/// Every text that the braces of `pattern` stand for: `{3..5}`, `{007..010}`, `{a,b}`, nested by position.
pub(super) fn expand_braces(pattern: &str) -> Result<Vec<String>> {
    let Some((before, body, after)) = first_brace(pattern) else {
        return Ok(vec![pattern.to_owned()]);
    };
    let choices = brace_choices(body, pattern)?;
    let mut texts = Vec::new();
    for tail in expand_braces(after)? {
        for choice in &choices {
            texts.push(format!("{before}{choice}{tail}"));
        }
    }
    if texts.len() > MAX_BRACE_PATHS {
        return Err(too_many(pattern));
    }
    texts.sort();
    Ok(texts)
}

fn first_brace(pattern: &str) -> Option<(&str, &str, &str)> {
    let open = pattern.find('{')?;
    let close = open + pattern[open..].find('}')?;
    Some((
        &pattern[..open],
        &pattern[open + 1..close],
        &pattern[close + 1..],
    ))
}

fn brace_choices(body: &str, pattern: &str) -> Result<Vec<String>> {
    let Some((first, last)) = body.split_once("..") else {
        return Ok(body.split(',').map(str::to_owned).collect());
    };
    let number = |text: &str| {
        text.parse::<u64>().map_err(|error| {
            Error::usage("read a brace range")
                .with("pattern", pattern)
                .with("bound", text)
                .source(error)
        })
    };
    let (from, to) = (number(first)?, number(last)?);
    if from > to {
        return Err(Error::usage("read a brace range: it counts down").with("pattern", pattern));
    }
    if to - from >= MAX_BRACE_PATHS as u64 {
        return Err(too_many(pattern));
    }
    // {00000..00127} keeps its zeros, {8..12} has none.
    let digits = if first.len() == last.len() {
        first.len()
    } else {
        0
    };
    Ok((from..=to)
        .map(|value| format!("{value:0digits$}"))
        .collect())
}

fn too_many(pattern: &str) -> Error {
    Error::usage(format!(
        "expand a pattern that stands for over {MAX_BRACE_PATHS} paths"
    ))
    .with("pattern", pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brace_ranges_keep_their_zeros() {
        assert_eq!(
            expand_braces("p-{098..101}.parquet").unwrap(),
            [
                "p-098.parquet",
                "p-099.parquet",
                "p-100.parquet",
                "p-101.parquet"
            ]
        );
        assert_eq!(
            expand_braces("{a,b}/{1..2}").unwrap(),
            ["a/1", "a/2", "b/1", "b/2"]
        );
        assert_eq!(expand_braces("plain").unwrap(), ["plain"]);
    }

    #[test]
    fn brace_ranges_that_make_no_sense_are_refused() {
        for pattern in ["{5..1}", "{a..b}", "{0..99999999999}"] {
            assert!(expand_braces(pattern).is_err(), "{pattern}");
        }
    }
}
