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
        let features: Option<Value> = metadata
            .get("huggingface")
            .and_then(|text| serde_json::from_str(text).ok());
        let feature = |name: &str| features.as_ref()?.pointer("/info/features")?.get(name);
        let declared = schema.fields().iter().find_map(|field| {
            let feature = feature(field.name())?;
            let is_label = feature.get("_type")?.as_str()? == "ClassLabel";
            (is_label && field.data_type().is_integer()).then(|| Self {
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
}
