//! The label column of a shard, and the names of its classes.

use std::collections::HashMap;

use arrow::datatypes::{DataType, Schema};
use serde::Serialize;
use serde_json::Value;

use super::columns::is_text;

/// Names of label columns where the metadata names none.
const LABEL_NAMES: [&str; 2] = ["label", "class"];

/// A column of class labels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LabelColumn {
    /// Its name.
    pub column: String,
    /// The names of its classes, where HF metadata has them.
    pub classes: Option<Vec<String>>,
}

impl LabelColumn {
    /// Finds the label column of shards, the one that HF metadata calls a `ClassLabel` before one of a usual name.
    pub fn detect(schema: &Schema, metadata: &HashMap<String, String>) -> Option<Self> {
        let features = features(metadata);
        let declared = schema.fields().iter().find_map(|field| {
            let feature = class_label(features.as_ref()?, field.name())?;
            field.data_type().is_integer().then(|| Self {
                column: field.name().clone(),
                classes: class_names(feature),
            })
        });
        declared.or_else(|| {
            let usual = |name: &&str| {
                schema
                    .field_with_name(name)
                    .is_ok_and(|field| is_label(field.data_type()))
            };
            LABEL_NAMES
                .iter()
                .find(|name| usual(name))
                .map(|name| Self {
                    column: (*name).to_owned(),
                    classes: None,
                })
        })
    }

    /// The names of the classes of `column`, where HF metadata calls it a `ClassLabel` and has them.
    pub(super) fn classes_of(
        column: &str,
        metadata: &HashMap<String, String>,
    ) -> Option<Vec<String>> {
        class_names(class_label(&features(metadata)?, column)?)
    }
}

/// What HF metadata says of the columns.
fn features(metadata: &HashMap<String, String>) -> Option<Value> {
    let text = metadata.get("huggingface")?;
    let mut value: Value = serde_json::from_str(text).ok()?;
    value.pointer_mut("/info/features").map(Value::take)
}

fn class_label<'a>(features: &'a Value, column: &str) -> Option<&'a Value> {
    let feature = features.get(column)?;
    (feature.get("_type")?.as_str()? == "ClassLabel").then_some(feature)
}

fn is_label(data_type: &DataType) -> bool {
    data_type.is_integer() || is_text(data_type)
}

fn class_names(feature: &Value) -> Option<Vec<String>> {
    let names = feature.get("names")?.as_array()?;
    Some(
        names
            .iter()
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Field;

    use super::*;

    #[test]
    fn a_declared_label_comes_before_one_of_a_usual_name() {
        let schema = Schema::new(vec![
            Field::new("label", DataType::Utf8, true),
            Field::new("kind", DataType::Int64, true),
        ]);
        let detect = |text: &str| {
            LabelColumn::detect(
                &schema,
                &HashMap::from([("huggingface".to_owned(), text.to_owned())]),
            )
        };
        let text =
            r#"{"info": {"features": {"kind": {"_type": "ClassLabel", "names": ["a", "b"]}}}}"#;
        let declared = LabelColumn {
            column: "kind".to_owned(),
            classes: Some(vec!["a".to_owned(), "b".to_owned()]),
        };
        assert_eq!(detect(text), Some(declared));
        let usual = LabelColumn {
            column: "label".to_owned(),
            classes: None,
        };
        assert_eq!(detect("not json"), Some(usual));
        let none = Schema::new(vec![Field::new("label", DataType::Binary, true)]);
        assert_eq!(LabelColumn::detect(&none, &HashMap::new()), None);
    }

    #[test]
    fn every_declared_label_has_its_names() {
        let text = r#"{"info": {"features": {
            "label": {"_type": "ClassLabel", "names": ["a", "b"]},
            "other": {"_type": "ClassLabel", "names": ["c"]},
            "number": {"_type": "Value", "names": ["d"]}}}}"#;
        let metadata = HashMap::from([("huggingface".to_owned(), text.to_owned())]);
        let names = |column| LabelColumn::classes_of(column, &metadata);
        assert_eq!(names("label"), Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(names("other"), Some(vec!["c".to_owned()]));
        assert_eq!((names("number"), names("none")), (None, None));
    }
}
