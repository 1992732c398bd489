//! From rows to samples: what becomes a member, and what a key of the JSON beside it.

use std::collections::BTreeMap;

use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{DataType, Field, Schema},
    error::ArrowError,
    util::display::array_value_to_string,
};
use serde_json::Value;

use super::{
    key::{field_of, name_of},
    values::{put, put_text},
    writer::TarPolicy,
};
use crate::source::{BESIDE, BESIDE_JSON, BESIDE_MEMBER, IMAGES};

const CAPTION: &str = "txt";
const JSON: &str = "json";
/// The column of keys of a tar that was read: its values are in the names of members, and nowhere else.
const TAR_KEY: &str = "__key__";

/// How the files of pictures begin, and what their field is.
const SIGNATURES: [(usize, &[u8], &str); 9] = [
    (0, b"\xff\xd8\xff", "jpg"),
    (0, b"\x89PNG", "png"),
    (8, b"WEBP", "webp"),
    (0, b"GIF8", "gif"),
    (0, b"BM", "bmp"),
    (0, b"II*\0", "tif"),
    (0, b"MM\0*", "tif"),
    (4, b"ftypavif", "avif"),
    (4, b"ftypavis", "avif"),
];

/// The members of one key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Sample {
    pub(super) key: String,
    /// By their fields.
    pub(super) members: Vec<Member>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) field: String,
    pub(super) bytes: Vec<u8>,
}

impl Sample {
    pub(super) fn size_bytes(&self) -> u64 {
        let members = self.members.iter();
        members.map(|member| member.bytes.len() as u64 + 1024).sum()
    }

    fn add(&mut self, field: String, bytes: &[u8]) {
        let mut field = field;
        while self.members.iter().any(|known| known.field == field) {
            field.insert_str(0, "other.");
        }
        self.members.push(Member {
            field,
            bytes: bytes.to_vec(),
        });
    }
}

/// What becomes of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Role {
    Image,
    Caption {
        in_json: bool,
    },
    Key {
        in_json: bool,
    },
    Member(String),
    /// The JSON that others are added to.
    Base,
    Json(String),
    /// It is in that already.
    InBase,
}

/// What becomes of each column.
#[derive(Debug)]
pub(super) struct Roles(Vec<Role>);

impl Roles {
    /// Those of rows of `schema`.
    pub(super) fn of(schema: &Schema, policy: &TarPolicy) -> Self {
        let is_base = |field: &Field| beside(field) == Some(BESIDE_MEMBER) && field.name() == JSON;
        let has_base = schema.fields().iter().any(|field| is_base(field));
        // Of a tar names of members are the keys, whatever its JSON calls so.
        let own_key = schema.index_of(TAR_KEY).is_ok().then_some(TAR_KEY);
        let key = own_key.or(policy.key.as_deref());
        let role = |field: &Field| {
            let name = field.name();
            let beside = beside(field);
            let is_text = is_text(field.data_type());
            if *name == policy.image {
                Role::Image
            } else if key == Some(name.as_str()) {
                match (beside, has_base) {
                    (Some(BESIDE_JSON), true) => Role::Key { in_json: false },
                    (Some(BESIDE_MEMBER), _) => Role::Member(field_of(name)),
                    _ => Role::Key {
                        in_json: name != TAR_KEY,
                    },
                }
            } else if is_base(field) && is_text {
                Role::Base
            } else if beside == Some(BESIDE_JSON) && has_base {
                Role::InBase
            } else if beside == Some(BESIDE_MEMBER) || is_bytes(field.data_type()) {
                Role::Member(field_of(name))
            } else if *name == policy.text && beside.is_none() && is_text {
                Role::Caption {
                    in_json: name != CAPTION,
                }
            } else {
                Role::Json(name.clone())
            }
        };
        Self(schema.fields().iter().map(|field| role(field)).collect())
    }

    /// Whether a column has the keys.
    pub(super) fn have_key(&self) -> bool {
        self.0.iter().any(|role| matches!(role, Role::Key { .. }))
    }

    /// The sample of a row; `number` is its place among all.
    pub(super) fn sample(
        &self,
        batch: &RecordBatch,
        row: usize,
        number: u64,
    ) -> Result<Sample, ArrowError> {
        let mut sample = Sample::default();
        let (mut json, mut base) = (Pairs::default(), None);
        let mut own_key = None;
        let schema = batch.schema_ref();
        for ((role, field), column) in self.0.iter().zip(schema.fields()).zip(batch.columns()) {
            let is_there = column.is_valid(row);
            match role {
                Role::Image if is_there => add_image(&mut sample, column, row)?,
                Role::Member(name) if is_there => add_value(&mut sample, name, column, row)?,
                Role::Base if is_there => base = Some(text(column, row)?),
                Role::Caption { in_json } => {
                    if is_there {
                        sample.add(CAPTION.to_owned(), text(column, row)?.as_bytes());
                    }
                    if *in_json {
                        json.add(field.name(), column, row)?;
                    }
                }
                Role::Key { in_json } => {
                    own_key = is_there.then(|| text(column, row)).transpose()?;
                    if *in_json {
                        json.add(field.name(), column, row)?;
                    }
                }
                Role::Json(name) => json.add(name, column, row)?,
                Role::Image | Role::Member(_) | Role::Base | Role::InBase => {}
            }
        }
        sample.key = name_of(own_key.as_deref().unwrap_or_default(), number);
        if let Some(own) = own_key.filter(|own| *own != sample.key)
            && self.0.contains(&Role::Key { in_json: false })
        {
            json.add_text(TAR_KEY, &own);
        }
        if let Some(json) = json.onto(base.as_deref()) {
            sample.add(JSON.to_owned(), json.as_bytes());
        }
        Ok(sample)
    }
}

fn beside(field: &Field) -> Option<&str> {
    field.metadata().get(BESIDE).map(String::as_str)
}

fn is_text(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    )
}

fn is_bytes(data_type: &DataType) -> bool {
    use DataType::*;
    matches!(data_type, Binary | LargeBinary | BinaryView)
}

fn text(column: &dyn Array, row: usize) -> Result<String, ArrowError> {
    array_value_to_string(column, row)
}

fn bytes_of(column: &dyn Array, row: usize) -> Option<&[u8]> {
    let is_there = column.is_valid(row);
    match column.data_type() {
        _ if !is_there => None,
        DataType::BinaryView => Some(column.as_binary_view().value(row)),
        DataType::Binary => Some(column.as_binary::<i32>().value(row)),
        DataType::LargeBinary => Some(column.as_binary::<i64>().value(row)),
        _ => None,
    }
}

fn add_value(
    sample: &mut Sample,
    name: &str,
    column: &dyn Array,
    row: usize,
) -> Result<(), ArrowError> {
    match bytes_of(column, row) {
        Some(bytes) => sample.add(name.to_owned(), bytes),
        None => sample.add(name.to_owned(), text(column, row)?.as_bytes()),
    }
    Ok(())
}

fn add_image(sample: &mut Sample, column: &dyn Array, row: usize) -> Result<(), ArrowError> {
    let Some(parts) = column.as_struct_opt() else {
        if let Some(bytes) = bytes_of(column, row) {
            sample.add(image_field(None, bytes), bytes);
        }
        return Ok(());
    };
    let path = match parts.column_by_name("path") {
        Some(path) if path.is_valid(row) && is_text(path.data_type()) => Some(text(path, row)?),
        _ => None,
    };
    let bytes = parts.column_by_name("bytes");
    let bytes = bytes.and_then(|bytes| bytes_of(bytes, row));
    match (bytes, path) {
        (Some(bytes), path) => sample.add(image_field(path.as_deref(), bytes), bytes),
        // Without it the sample would be another than the one that was scored.
        (None, Some(path)) => {
            return Err(ArrowError::ExternalError(
                format!("the picture is in a file of its own, {path}: put its bytes into the shard first").into(),
            ));
        }
        (None, None) => {}
    }
    Ok(())
}

/// What stands in the name behind the first dot, if that is of a picture; else what the bytes are.
fn image_field(path: Option<&str>, bytes: &[u8]) -> String {
    let base = path.and_then(|path| path.rsplit('/').next());
    let named = base.and_then(|base| base.split_once('.'));
    if let Some((_, field)) = named {
        let field = field_of(field);
        if IMAGES.contains(&field.as_str()) {
            return field;
        }
        let last = field.rsplit('.').next().unwrap_or_default();
        if IMAGES.contains(&last) {
            return last.to_owned();
        }
    }
    let known = SIGNATURES.iter().find(|(at, start, _)| {
        let there = bytes.get(*at..);
        there.is_some_and(|there| there.starts_with(start))
    });
    known.map_or("img", |(_, _, field)| field).to_owned()
}

/// Keys of an object, with their values as JSON.
#[derive(Default)]
struct Pairs(Vec<Pair>);

struct Pair {
    key: String,
    value: String,
}

impl Pairs {
    fn add(&mut self, key: &str, column: &dyn Array, row: usize) -> Result<(), ArrowError> {
        let mut value = String::new();
        put(&mut value, column, row)?;
        self.0.push(Pair {
            key: key.to_owned(),
            value,
        });
        Ok(())
    }

    fn add_text(&mut self, key: &str, text: &str) {
        let mut value = String::new();
        put_text(&mut value, text);
        self.0.push(Pair {
            key: key.to_owned(),
            value,
        });
    }

    /// The object `base`, as it is written, with these behind; `None` where there is nothing at all.
    fn onto(mut self, base: Option<&str>) -> Option<String> {
        let mut out = String::from("{");
        let mut is_first = true;
        match base.map(|base| (base, serde_json::from_str::<BTreeMap<String, Value>>(base))) {
            None if self.0.is_empty() => return None,
            None => {}
            Some((base, Ok(known))) => {
                let is_new = |pair: &Pair| !known.contains_key(&pair.key);
                if self.0.iter().all(is_new) {
                    let open = base.trim_end().strip_suffix('}').unwrap_or(base);
                    out = open.trim_end().to_owned();
                    is_first = known.is_empty();
                } else {
                    for (key, value) in &known {
                        let is_replaced = self.0.iter().any(|pair| pair.key == *key);
                        if !is_replaced {
                            put_pair(&mut out, &mut is_first, key, &value.to_string());
                        }
                    }
                }
            }
            // What is no object is kept as text.
            Some((base, Err(_))) => self.add_text(JSON, base),
        }
        for pair in &self.0 {
            put_pair(&mut out, &mut is_first, &pair.key, &pair.value);
        }
        out.push('}');
        Some(out)
    }
}

fn put_pair(out: &mut String, is_first: &mut bool, key: &str, value: &str) {
    if !*is_first {
        out.push_str(", ");
    }
    *is_first = false;
    put_text(out, key);
    out.push_str(": ");
    out.push_str(value);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};

    use super::*;

    fn merged(base: Option<&str>, keys: &[&str]) -> Option<String> {
        let mut pairs = Pairs::default();
        for key in keys {
            let value: ArrayRef = Arc::new(Int64Array::from(vec![7]));
            pairs.add(key, &value, 0).unwrap();
        }
        let merged = pairs.onto(base);
        if let Some(json) = &merged {
            let read: Result<BTreeMap<String, Value>, _> = serde_json::from_str(json);
            assert!(read.is_ok(), "{json}");
        }
        merged
    }

    #[test]
    fn scores_stand_behind_what_is_there_which_stays_as_it_is() {
        let of = |base, keys: &[&str]| merged(Some(base), keys).unwrap();
        assert_eq!(
            of("{\"a\": 1.50,\"b\":[ 1 ]} \n", &["s"]),
            "{\"a\": 1.50,\"b\":[ 1 ], \"s\": 7}"
        );
        assert_eq!(of("{ }", &["s", "t"]), "{\"s\": 7, \"t\": 7}");
        assert_eq!(of("{\"a\":1, \"s\": 2}", &["s"]), "{\"a\": 1, \"s\": 7}");
        assert_eq!(of("[1]", &["s"]), "{\"s\": 7, \"json\": \"[1]\"}");
        assert_eq!(of("{\"a\": 1}", &[]), "{\"a\": 1}");
        assert_eq!(merged(None, &["s"]).unwrap(), "{\"s\": 7}");
        assert_eq!(merged(None, &[]), None);
    }

    #[test]
    fn the_field_of_an_image_is_that_of_its_name_or_of_its_bytes() {
        assert_eq!(image_field(Some("a/b.JPEG"), b"BM"), "jpeg");
        assert_eq!(image_field(Some("b.seg.png"), b"BM"), "png");
        assert_eq!(image_field(Some("b.php?x=1"), b"BM"), "bmp");
        assert_eq!(image_field(None, b"RIFF....WEBPVP8 "), "webp");
        assert_eq!(image_field(None, b"\xff\xd8\xff\xe0"), "jpg");
        assert_eq!(image_field(Some("b"), b"?"), "img");
    }
}
