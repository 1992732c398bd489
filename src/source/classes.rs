//! Class labels, and how a class is said in words.

use std::collections::HashMap;

use arrow::{
    array::{ArrayRef, AsArray, StringViewArray},
    compute::cast,
    datatypes::{DataType, Int64Type, Schema},
};
use sha2::{Digest, Sha256};

use super::{
    LabelColumn,
    columns::{is_text, nearest},
};
use crate::{
    digest::hex,
    error::{Error, Result},
    secrets::told_apart,
};

/// The prompt of CLIP's paper; `{}` stands for the name of the class.
const DEFAULT_PROMPT: &str = "a photo of a {}";
const SLOT: &str = "{}";

/// What the caller said of class labels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelChoice {
    /// `--label-column`.
    pub column: Option<String>,
    /// The lines of `--class-names`.
    pub class_names: Option<Vec<String>>,
    /// `--prompt`, as often as it was given.
    pub prompts: Vec<String>,
}

impl LabelChoice {
    /// True if anything was said, so that pairs are labelled rather than captioned.
    pub fn is_given(&self) -> bool {
        self.column.is_some() || self.class_names.is_some() || !self.prompts.is_empty()
    }
}

/// A column of class labels, and how a class is said in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classes {
    /// The column.
    pub column: String,
    /// Names by label; `None` where the column holds the names themselves.
    pub names: Option<Vec<String>>,
    /// Each with one `{}` for the name; at least one.
    pub prompts: Vec<String>,
}

impl Classes {
    /// Finds the label column and the names of its classes.
    ///
    /// # Errors
    /// When the column is missing or holds no labels, numbers have no names, or a prompt has no `{}`.
    pub fn resolve(
        schema: &Schema,
        metadata: &HashMap<String, String>,
        choice: &LabelChoice,
    ) -> Result<Self> {
        let detected = LabelColumn::detect(schema, metadata);
        let column = match (&choice.column, detected) {
            (Some(named), _) => named.clone(),
            (None, Some(found)) => found.column,
            (None, None) => {
                return Err(Error::usage("find the label column").hint("--label-column NAME"));
            }
        };
        let Ok(field) = schema.field_with_name(&column) else {
            let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
            let error = Error::usage(format!("find the label column '{column}'"))
                .with("columns", names.join(", "));
            return Err(match nearest(schema, &column) {
                Some(close) => error.hint(format!("--label-column {close}")),
                None => error,
            });
        };
        let names = choice
            .class_names
            .clone()
            .or_else(|| LabelColumn::classes_of(&column, metadata));
        let names = match field.data_type() {
            text if is_text(text) => None,
            number if number.is_integer() => Some(names.ok_or_else(|| {
                Error::usage(format!("name the classes of '{column}': it holds numbers, and the metadata has no names"))
                    .hint("--class-names FILE, one name per line, that of label 0 first")
            })?),
            other => {
                return Err(Error::usage(format!("use '{column}' as the label column"))
                    .with("its type", other)
                    .with("expected", "an integer or a string"));
            }
        };
        Ok(Self {
            column,
            names,
            prompts: prompts(&choice.prompts)?,
        })
    }

    /// What is said of an image of this class, prompt by prompt.
    pub fn captions<'a>(&'a self, name: &'a str) -> impl Iterator<Item = String> + 'a {
        let plain = name.replace('_', " ");
        self.prompts
            .iter()
            .map(move |prompt| prompt.replacen(SLOT, &plain, 1))
    }

    /// The names of `labels`; null where a label is null or has no name.
    ///
    /// # Errors
    /// When they are neither integers nor strings.
    pub fn names_of(&self, labels: &ArrayRef) -> Result<StringViewArray> {
        let failed = |error| Error::internal("read class labels").source(error);
        let Some(names) = &self.names else {
            let labels = cast(labels, &DataType::Utf8View).map_err(failed)?;
            return Ok(labels.as_string_view().clone());
        };
        let labels = cast(labels, &DataType::Int64).map_err(failed)?;
        let labels = labels.as_primitive::<Int64Type>();
        let name = |label: i64| Some(names.get(usize::try_from(label).ok()?)?.as_str());
        Ok(labels.iter().map(|label| label.and_then(name)).collect())
    }

    /// The first prompt of each of `labels`; null where there is no class.
    ///
    /// # Errors
    /// As [`Classes::names_of`].
    pub fn captions_of(&self, labels: &ArrayRef) -> Result<StringViewArray> {
        let mut known: HashMap<String, String> = HashMap::new();
        let names = self.names_of(labels)?;
        let captions = names.iter().map(|name| {
            let name = name?;
            if !known.contains_key(name) {
                let caption = self.captions(name).next()?;
                known.insert(name.to_owned(), caption);
            }
            known.get(name).cloned()
        });
        Ok(captions.collect())
    }

    /// Says in one line what stands for a caption; other names or prompts give another line. Secrets in it are hidden.
    pub fn describe(&self) -> String {
        let prompts: Vec<String> = self
            .prompts
            .iter()
            .map(|prompt| told_apart(prompt))
            .collect();
        let mut text = format!("{} as \"{}\"", self.column, prompts.join("\", \""));
        if let Some(names) = &self.names {
            let mut hash = Sha256::new();
            for name in names {
                hash.update(name.as_bytes());
                hash.update([0]);
            }
            text.push_str(" of names ");
            text.push_str(&hex(&hash.finalize()[..4]));
        }
        text
    }
}

fn prompts(given: &[String]) -> Result<Vec<String>> {
    if given.is_empty() {
        return Ok(vec![DEFAULT_PROMPT.to_owned()]);
    }
    match given
        .iter()
        .find(|prompt| prompt.matches(SLOT).count() != 1)
    {
        None => Ok(given.to_vec()),
        Some(prompt) => Err(Error::usage(format!(
            "use the prompt '{prompt}': it needs one {{}} for the class"
        ))
        .hint("--prompt 'a photo of a {}'")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{Int64Array, StringArray},
        datatypes::Field,
    };

    use super::*;

    fn schema() -> Schema {
        Schema::new(vec![
            Field::new("label", DataType::Int64, true),
            Field::new("kind", DataType::Utf8, true),
            Field::new("score", DataType::Float32, true),
        ])
    }

    fn choice(column: &str, names: Option<&[&str]>, prompts: &[&str]) -> LabelChoice {
        LabelChoice {
            column: Some(column.to_owned()),
            class_names: names.map(|names| names.iter().map(|&name| name.to_owned()).collect()),
            prompts: prompts.iter().map(|&prompt| prompt.to_owned()).collect(),
        }
    }

    fn resolve(choice: &LabelChoice) -> Result<Classes> {
        Classes::resolve(&schema(), &HashMap::new(), choice)
    }

    #[test]
    fn labels_are_said_in_words() {
        let choice = choice("label", Some(&["cat", "traffic_light"]), &["a {} at night"]);
        let classes = resolve(&choice).unwrap();
        let labels: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(0), Some(2)]));
        let captions = classes.captions_of(&labels).unwrap();
        let captions: Vec<Option<&str>> = captions.iter().collect();
        let expected = [
            Some("a traffic light at night"),
            None,
            Some("a cat at night"),
            None,
        ];
        assert_eq!(captions, expected);
    }

    #[test]
    fn a_string_column_holds_the_names() {
        let classes = resolve(&choice("kind", None, &[])).unwrap();
        let labels: ArrayRef = Arc::new(StringArray::from(vec![Some("dog"), None]));
        let captions = classes.captions_of(&labels).unwrap();
        assert_eq!(
            captions.iter().collect::<Vec<_>>(),
            [Some("a photo of a dog"), None]
        );
    }

    #[test]
    fn a_column_has_the_names_that_were_declared_for_it() {
        let text = r#"{"info": {"features": {
            "score": {"_type": "ClassLabel", "names": ["no"]},
            "other": {"_type": "ClassLabel", "names": ["first"]},
            "label": {"_type": "ClassLabel", "names": ["cat", "dog"]}}}}"#;
        let schema = Schema::new(vec![
            Field::new("other", DataType::Int64, true),
            Field::new("label", DataType::Int64, true),
        ]);
        let metadata = HashMap::from([("huggingface".to_owned(), text.to_owned())]);
        let names = |choice| Classes::resolve(&schema, &metadata, &choice).unwrap().names;
        let declared = |names: &[&str]| Some(names.iter().map(|&name| name.to_owned()).collect());
        assert_eq!(names(choice("label", None, &[])), declared(&["cat", "dog"]));
        assert_eq!(names(LabelChoice::default()), declared(&["first"]));
        let given = choice("label", Some(&["a", "b"]), &[]);
        assert_eq!(names(given), declared(&["a", "b"]));
    }

    #[test]
    fn what_cannot_be_used_is_refused() {
        for (choice, says) in [
            (choice("label", None, &[]), "--class-names"),
            (choice("score", None, &[]), "an integer or a string"),
            (choice("lable", None, &[]), "label, kind, score"),
            (choice("kind", None, &["a photo"]), "needs one {}"),
        ] {
            let error = resolve(&choice).unwrap_err().report();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn other_names_are_described_otherwise() {
        let of = |names: &[&str]| {
            resolve(&choice("label", Some(names), &[]))
                .unwrap()
                .describe()
        };
        let prompted = |prompt: &str| {
            let prompts = [prompt];
            let choice = choice("label", Some(&["a", "b"]), &prompts);
            resolve(&choice).unwrap().describe()
        };
        let (one, other) = (
            prompted("{} of https://u:first@h.invalid/"),
            prompted("{} of https://u:second@h.invalid/"),
        );
        assert!(
            !one.contains("first") && !other.contains("second"),
            "{one} {other}"
        );
        assert_ne!(one, other);
        assert_ne!(of(&["a", "b"]), of(&["b", "a"]));
        assert_eq!(of(&["a", "b"]), of(&["a", "b"]));
    }
}
