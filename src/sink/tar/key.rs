//! Keys as names of members: within the tar wherever it is unpacked, and with their first dot where the key ends.

/// Longer keys are cut.
const MOST_BYTES: usize = 200;

/// `key` as a name may be; the number of the sample where nothing is left of it.
pub(super) fn name_of(key: &str, number: u64) -> String {
    let parts = key.split(['/', '\\']);
    let parts = parts.filter(|part| !matches!(*part, "" | "." | ".."));
    let mut parts: Vec<String> = parts.map(clean).collect();
    if let Some(last) = parts.last_mut() {
        *last = last.replace('.', "_");
    }
    // Readers pass over what begins and ends so.
    if let Some(first) = parts.first_mut()
        && first.starts_with("__")
        && first.ends_with("__")
    {
        first.insert(0, 'k');
    }
    let name = parts.join("/");
    match name.len() {
        0 => format!("{number:09}"),
        length if length > MOST_BYTES => {
            let mut end = MOST_BYTES;
            while !name.is_char_boundary(end) {
                end -= 1;
            }
            format!("{}-{number:09}", name[..end].trim_end_matches('/'))
        }
        _ => name,
    }
}

/// A column as the name of a field.
pub(super) fn field_of(column: &str) -> String {
    let name = clean(column).replace(['/', '\\'], "_").to_lowercase();
    let name = name.trim_matches('.');
    match name.is_empty() {
        true => "bin".to_owned(),
        false => name.to_owned(),
    }
}

fn clean(part: &str) -> String {
    let is_odd = |c: char| c.is_control() || c == ':';
    part.chars()
        .map(|c| if is_odd(c) { '_' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_leads_out_of_a_folder_or_ends_early() {
        let name = |key: &str| name_of(key, 7);
        for (key, expected) in [
            ("000123", "000123"),
            ("a/b/c", "a/b/c"),
            ("a.b/c", "a.b/c"),
            ("ü b", "ü b"),
            ("v1.5_1", "v1_5_1"),
            ("../../etc/passwd", "etc/passwd"),
            ("/abs", "abs"),
            ("a/./../b", "a/b"),
            ("..\\..\\x", "x"),
            ("C:\\x", "C_/x"),
            ("a\0\nb", "a__b"),
            ("__x__", "k__x__"),
            ("__x__/y", "k__x__/y"),
            ("", "000000007"),
            ("..", "000000007"),
            ("///", "000000007"),
        ] {
            assert_eq!(name(key), expected, "{key:?}");
        }
        let long = name(&"ü".repeat(300));
        assert!(long.len() < 220 && long.ends_with("ü-000000007"), "{long}");
    }

    #[test]
    fn a_column_is_a_field() {
        assert_eq!(field_of("seg.png"), "seg.png");
        assert_eq!(field_of("Depth Map"), "depth map");
        assert_eq!(field_of("../x/y"), "_x_y");
        assert_eq!(field_of(".."), "bin");
    }
}
