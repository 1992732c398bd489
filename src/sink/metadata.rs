//! What an output says of itself: provenance, and the features that HF `datasets` reads.

use std::collections::HashMap;

use arrow::datatypes::{DataType, Schema, TimeUnit};
use serde_json::{Value, json};

use crate::{
    config::{ImageChoice, Reading},
    error::{Error, Result},
    secrets,
    summary::ModelCard,
};

/// Key of the metadata that HF `datasets` writes and reads.
const HUGGINGFACE: &str = "huggingface";

/// What makes an output citable.
#[derive(Debug, Clone)]
pub struct Provenance {
    /// The model that scored.
    pub model: ModelCard,
    /// The command line, its secrets hidden.
    pub command: String,
    /// What selected the rows.
    pub selection: String,
    /// How picture files were read.
    pub reading: Reading,
    /// What scores from embeddings were made with, JSON; `None` if there are none.
    pub derived: Option<String>,
}

impl Provenance {
    /// File-level key-value pairs.
    fn pairs(&self) -> Vec<(String, String)> {
        let pair = |key: &str, value: String| (format!("clip_filter.{key}"), value);
        let mut pairs = vec![
            pair("version", env!("CARGO_PKG_VERSION").to_owned()),
            pair(
                "model",
                serde_json::to_string(&self.model).unwrap_or_default(),
            ),
            pair("selection", secrets::in_text(&self.selection)),
            pair("command", secrets::in_text(&self.command)),
        ];
        // Outputs of before it could be chosen say nothing of it.
        if !self.reading.is_default() {
            let reading = serde_json::to_string(&self.reading).unwrap_or_default();
            pairs.push(pair("reading", reading));
        }
        pairs.extend(
            self.derived
                .iter()
                .map(|text| pair("derived", text.clone())),
        );
        pairs
    }

    /// What the metadata of an output says, and the version of the program that wrote it; `None` of any other
    /// file.
    pub fn of_file(metadata: &HashMap<String, String>) -> Option<(String, Self)> {
        let value = |key: &str| metadata.get(&format!("clip_filter.{key}")).cloned();
        let provenance = Self {
            model: serde_json::from_str(&value("model")?).ok()?,
            // Another version may have hidden less.
            command: secrets::in_text(&value("command")?),
            selection: secrets::in_text(&value("selection")?),
            reading: match value("reading") {
                Some(reading) => serde_json::from_str(&reading).ok()?,
                None => Reading::default(),
            },
            derived: value("derived"),
        };
        Some((value("version")?, provenance))
    }

    /// How picture files were read.
    ///
    /// # Errors
    /// When something else was asked for.
    pub fn check_reading(&self, asked: &ImageChoice) -> Result<Reading> {
        let (ours, theirs) = (self.reading, asked.over(self.reading));
        let texts = |reading: Reading| {
            (
                reading.orientation.to_string(),
                reading.truncated.to_string(),
            )
        };
        let ((turned, filled), (other_turned, other_filled)) = (texts(ours), texts(theirs));
        let facts = [
            ("--orientation", turned, other_turned),
            ("--truncated", filled, other_filled),
        ];
        match facts.into_iter().find(|(_, ours, theirs)| ours != theirs) {
            None => Ok(ours),
            Some((what, ours, theirs)) => Err(Error::input(format!(
                "report on the output: it was made with another {what}"
            ))
            .with("the output has", ours)
            .with("asked for", theirs)
            .hint(format!("leave {what} out"))),
        }
    }

    /// Metadata of an added column.
    pub fn of_column(&self) -> HashMap<String, String> {
        let pair = |key: &str, value: &str| (format!("clip_filter.{key}"), value.to_owned());
        HashMap::from([
            pair("model", &self.model.name),
            pair("model_sha256", &self.model.fingerprint),
            pair("precision", &self.model.precision),
        ])
    }
}

/// The input's key-value pairs with provenance added; `huggingface` features gain the `added` columns, those of folders among them.
pub fn output_metadata(
    input: &HashMap<String, String>,
    added: &Schema,
    provenance: &Provenance,
) -> Vec<(String, String)> {
    let mut pairs: Vec<(String, String)> = input
        .iter()
        // Provenance of an earlier run describes that run's output, not this one's.
        .filter(|(key, _)| !key.starts_with("clip_filter."))
        .map(|(key, value)| {
            let value = match key.as_str() {
                HUGGINGFACE => extend_features(value, added).unwrap_or_else(|| value.clone()),
                _ => value.clone(),
            };
            (key.clone(), value)
        })
        .collect();
    pairs.extend(provenance.pairs());
    pairs.sort();
    pairs
}

/// The same without the `huggingface` features of columns that the files do not have.
pub(super) fn without_features(pairs: &mut [(String, String)], names: &[String]) {
    for (_, text) in pairs.iter_mut().filter(|(key, _)| key == HUGGINGFACE) {
        let Ok(mut value) = serde_json::from_str::<Value>(text) else {
            continue;
        };
        let features = value.pointer_mut("/info/features");
        if let Some(features) = features.and_then(Value::as_object_mut) {
            features.retain(|name, _| !names.contains(name));
            *text = value.to_string();
        }
    }
}

/// `None` where the text is not what `datasets` writes; it is then kept as it is.
fn extend_features(text: &str, added: &Schema) -> Option<String> {
    let mut value: Value = serde_json::from_str(text).ok()?;
    let features = value.pointer_mut("/info/features")?.as_object_mut()?;
    for field in added.fields() {
        features.insert(field.name().clone(), feature(field.data_type()));
    }
    Some(value.to_string())
}

fn feature(data_type: &DataType) -> Value {
    match data_type {
        DataType::List(element) => {
            json!({ "feature": feature(element.data_type()), "_type": "Sequence" })
        }
        other => {
            let dtype = match other {
                DataType::Float32 => "float32",
                DataType::UInt32 => "uint32",
                DataType::Int64 => "int64",
                DataType::Date32 => "date32",
                DataType::Timestamp(TimeUnit::Microsecond, None) => "timestamp[us]",
                _ => "string",
            };
            json!({ "dtype": dtype, "_type": "Value" })
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Field;

    use super::*;
    use crate::config::Orientation;

    #[test]
    fn provenance_is_read_as_it_was_written() {
        let written = Provenance {
            model: ModelCard {
                name: "m".into(),
                dim: 4,
                ..ModelCard::default()
            },
            command: "clip-filter a b".into(),
            selection: "keep 0.3".into(),
            reading: Reading {
                orientation: Orientation::Apply,
                ..Reading::default()
            },
            derived: None,
        };
        let metadata = written.pairs().into_iter().collect();
        let (version, read) = Provenance::of_file(&metadata).unwrap();
        assert_eq!(version, env!("CARGO_PKG_VERSION"));
        let asked = |orientation| ImageChoice {
            orientation: Some(orientation),
            ..ImageChoice::default()
        };
        let same = asked(Orientation::Apply);
        assert_eq!(read.check_reading(&same).unwrap(), written.reading);
        let refused = read.check_reading(&asked(Orientation::Ignore));
        let refused = refused.unwrap_err().report();
        assert!(refused.contains("--orientation"), "{refused}");
        assert_eq!((read.model, read.command), (written.model, written.command));
        assert!(Provenance::of_file(&HashMap::new()).is_none());
    }

    #[test]
    fn features_gain_the_added_columns() {
        let text = r#"{"info": {"features": {"image": {"_type": "Image"}}}}"#;
        let added = Schema::new(vec![
            Field::new("clip_score", DataType::Float32, true),
            Field::new(
                "e",
                DataType::List(Field::new("element", DataType::Float32, true).into()),
                true,
            ),
        ]);
        let extended: Value =
            serde_json::from_str(&extend_features(text, &added).unwrap()).unwrap();
        let expected = json!({"info": {"features": {
            "image": {"_type": "Image"},
            "clip_score": {"dtype": "float32", "_type": "Value"},
            "e": {"feature": {"dtype": "float32", "_type": "Value"}, "_type": "Sequence"},
        }}});
        assert_eq!(extended, expected);
        assert_eq!(extend_features("not json", &added), None);
        assert_eq!(extend_features("{}", &added), None);
    }
}
