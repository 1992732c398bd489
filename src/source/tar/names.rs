//! What the name of a member says, by the rules of the package `webdataset`: whose sample it is, and which field.

/// Fields that are images, the one that is taken where a sample has several first.
pub(crate) const IMAGES: [&str; 12] = [
    "jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "avif", "ppm", "pgm", "img",
];
/// Fields that are text, but for `json`.
const TEXTS: [&str; 14] = [
    "txt",
    "text",
    "transcript",
    "caption",
    "cls",
    "cls2",
    "class",
    "count",
    "index",
    "inx",
    "id",
    "url",
    "uid",
    "key",
];
/// The field whose members are objects of further columns.
pub(super) const JSON: &str = "json";

/// The key and the field of a member: what stands before and behind the first dot of its last part.
///
/// `None` for a name without, or one that means nothing to a data set: a part of it begins and ends in `__`.
pub(super) fn key_and_field(name: &[u8]) -> Option<(&[u8], String)> {
    if is_meta(name) {
        return None;
    }
    let base = name.iter().rposition(|&byte| byte == b'/');
    let base = base.map_or(0, |slash| slash + 1);
    let dot = name[base..].iter().position(|&byte| byte == b'.')?;
    let (key, field) = (&name[..base + dot], &name[base + dot + 1..]);
    let field = String::from_utf8_lossy(field).to_lowercase();
    (dot > 0).then_some((key, field))
}

/// `__NAME__`, or what lies below a folder of such a name.
fn is_meta(name: &[u8]) -> bool {
    let first = name.split(|&byte| byte == b'/').next().unwrap_or_default();
    let Some(rest) = first.strip_prefix(b"__") else {
        return false;
    };
    rest.ends_with(b"__")
}

/// The rank of a field among images; `None` for another.
pub(super) fn image_rank(field: &str) -> Option<usize> {
    IMAGES.iter().position(|image| *image == field)
}

/// Whether a field is read as text.
pub(super) fn is_text(field: &str) -> bool {
    field == JSON || TEXTS.contains(&field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_ends_at_the_first_dot_of_the_last_part() {
        let of = |name: &str| {
            key_and_field(name.as_bytes())
                .map(|(key, field)| (String::from_utf8_lossy(key).into_owned(), field))
        };
        let is = |name: &str, key: &str, field: &str| {
            assert_eq!(of(name), Some((key.to_owned(), field.to_owned())), "{name}");
        };
        is("a.jpg", "a", "jpg");
        is("a.JPG", "a", "jpg");
        is("v1.5_1.jpg", "v1", "5_1.jpg");
        is("a/b.c/d.seg.png", "a/b.c/d", "seg.png");
        is("./a.txt", "./a", "txt");
        is("../../a.txt", "../../a", "txt");
        is("a.", "a", "");
        is("__x.jpg", "__x", "jpg");
        for none in [
            "a",
            "a/b",
            ".jpg",
            "a/.jpg",
            "__meta__",
            "__meta__/a.jpg",
            "",
        ] {
            assert_eq!(of(none), None, "{none}");
        }
    }
}
