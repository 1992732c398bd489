//! The columns of members that are JSON objects: a key is a column, of a type that all its values have.

use std::collections::BTreeMap;

use arrow::{
    array::{ArrayRef, BooleanArray, Float64Array, Int64Array, StringViewArray},
    datatypes::DataType,
};
use serde_json::Value;
use std::sync::Arc;

pub(super) type Object = BTreeMap<String, Value>;

/// What the values of a key are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JsonType {
    Truth,
    Whole,
    Float,
    /// Text, or anything: what is no text stands as its JSON.
    Text,
}

impl JsonType {
    /// The type of a value; `None` if it is null.
    pub(super) fn of(value: &Value) -> Option<Self> {
        Some(match value {
            Value::Null => return None,
            Value::Bool(_) => Self::Truth,
            Value::Number(number) if number.is_i64() => Self::Whole,
            Value::Number(number) if number.is_f64() => Self::Float,
            _ => Self::Text,
        })
    }

    /// The type that holds both.
    pub(super) fn with(self, other: Self) -> Self {
        match (self, other) {
            (ours, theirs) if ours == theirs => ours,
            (Self::Whole, Self::Float) | (Self::Float, Self::Whole) => Self::Float,
            _ => Self::Text,
        }
    }

    pub(super) fn data_type(self) -> DataType {
        match self {
            Self::Truth => DataType::Boolean,
            Self::Whole => DataType::Int64,
            Self::Float => DataType::Float64,
            Self::Text => DataType::Utf8,
        }
    }

    /// The values of `key`, null where an object lacks it.
    pub(super) fn column(self, key: &str, objects: &[Option<Object>]) -> ArrayRef {
        let values = objects.iter().map(|object| object.as_ref()?.get(key));
        match self {
            Self::Truth => Arc::new(BooleanArray::from_iter(
                values.map(|value| value?.as_bool()),
            )),
            Self::Whole => Arc::new(Int64Array::from_iter(values.map(|value| value?.as_i64()))),
            Self::Float => Arc::new(Float64Array::from_iter(values.map(|value| value?.as_f64()))),
            Self::Text => Arc::new(StringViewArray::from_iter(
                values.map(|value| value.and_then(text_of)),
            )),
        }
    }
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// The object that a member is; `None` if it is none.
pub(super) fn object(bytes: &[u8]) -> Option<Object> {
    serde_json::from_slice(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_the_type_of_all_its_values() {
        let of = |values: &str| {
            let values: Vec<Value> = serde_json::from_str(values).unwrap();
            let types = values.iter().filter_map(JsonType::of);
            types.reduce(JsonType::with)
        };
        assert_eq!(of("[1, -2, null]"), Some(JsonType::Whole));
        assert_eq!(of("[1, 0.5]"), Some(JsonType::Float));
        assert_eq!(of("[true, false]"), Some(JsonType::Truth));
        assert_eq!(of("[1, \"1\"]"), Some(JsonType::Text));
        assert_eq!(of("[18446744073709551615]"), Some(JsonType::Text));
        assert_eq!(of("[[1], {}]"), Some(JsonType::Text));
        assert_eq!(of("[null]"), None);
    }
}
