//! Which columns of shards hold image, caption and key.

use std::collections::HashMap;

use arrow::datatypes::{DataType, Field, FieldRef, Schema};

use super::{Classes, LabelChoice, LabelColumn};
use crate::error::{Error, ErrorKind, Result};

/// What the metadata of a column says that lies beside what a pair is made of: it is meant where no other can be.
pub(crate) const BESIDE: &str = "clip_filter:beside";
/// A member of a sample.
pub(crate) const BESIDE_MEMBER: &str = "member";
/// A key of a member that is a JSON object.
pub(crate) const BESIDE_JSON: &str = "json";
/// Names of image columns, most usual first: HF datasets, then img2dataset's.
const IMAGE_NAMES: [&str; 6] = ["image", "image_bytes", "jpg", "jpeg", "png", "webp"];
/// Names of caption columns: HF and DataComp, img2dataset, LAION, webdataset.
const TEXT_NAMES: [&str; 4] = ["text", "caption", "TEXT", "txt"];
/// Names of key columns, for the rejects file: DataComp, img2dataset, COYO, LAION, webdataset.
const KEY_NAMES: [&str; 5] = ["uid", "key", "id", "SAMPLE_ID", "__key__"];

/// Columns the caller named; `None` is detected.
#[derive(Debug, Clone, Default)]
pub struct ColumnChoice {
    /// `--image-column`.
    pub image: Option<String>,
    /// `--text-column`.
    pub text: Option<String>,
    /// Class labels.
    pub labels: LabelChoice,
}

/// How an image column holds its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageLayout {
    /// The encoded image itself.
    Bytes,
    /// HF: a struct with `bytes` and perhaps `path`, either of which may be null.
    Struct,
}

/// Which columns of a shard hold the image, the caption and the key.
#[derive(Debug, Clone)]
pub struct ColumnBinding {
    /// Name of the image column.
    pub image: String,
    /// How it holds its bytes.
    pub layout: ImageLayout,
    /// Name of the caption column, or of the label column where classes stand for captions.
    pub text: String,
    /// The classes, where the pairs are labelled.
    pub classes: Option<Classes>,
    /// Name of the key column, if there is one.
    pub key: Option<String>,
}

impl ColumnBinding {
    /// Finds the columns of `schema`.
    ///
    /// # Errors
    /// When none or several columns can be meant, or a named one is missing or of another type.
    pub fn detect(
        schema: &Schema,
        metadata: &HashMap<String, String>,
        choice: &ColumnChoice,
    ) -> Result<Self> {
        let (image, layout) = Self::image(schema, choice)?;
        let classes = match choice.labels.is_given() {
            true => Some(Classes::resolve(schema, metadata, &choice.labels)?),
            false => None,
        };
        let text = match (Self::text(schema, choice), &classes) {
            (Ok(text), _) => text,
            (Err(_), Some(classes)) if choice.text.is_none() => classes.column.clone(),
            (Err(error), None) => {
                return Err(match LabelColumn::detect(schema, metadata) {
                    Some(labels) => error.hint(format!("or --label-column {}", labels.column)),
                    None => error,
                });
            }
            (Err(error), _) => return Err(error),
        };
        Ok(Self {
            image,
            layout,
            text,
            classes,
            key: Self::key(schema),
        })
    }

    /// The column whose values are classes.
    pub fn label_column(&self) -> Option<&str> {
        self.classes.as_ref().map(|classes| classes.column.as_str())
    }

    /// The classes whose prompts stand for captions, where there is no caption column.
    pub fn class_captions(&self) -> Option<&Classes> {
        self.classes
            .as_ref()
            .filter(|classes| classes.column == self.text)
    }

    /// The columns that a score store was made of; `None` if the shards lack one.
    pub fn stored(schema: &Schema, image: &str, text: &str) -> Option<Self> {
        let choice = ColumnChoice {
            image: Some(image.to_owned()),
            ..ColumnChoice::default()
        };
        let (image, layout) = Self::image(schema, &choice).ok()?;
        schema.index_of(text).ok()?;
        Some(Self {
            image,
            layout,
            text: text.to_owned(),
            classes: None,
            key: Self::key(schema),
        })
    }

    /// Finds the image column alone.
    ///
    /// # Errors
    /// As [`ColumnBinding::detect`].
    pub fn image(schema: &Schema, choice: &ColumnChoice) -> Result<(String, ImageLayout)> {
        let image = find(schema, choice.image.as_deref(), &IMAGE_NAMES, &IMAGE)?;
        let layout = match image.data_type() {
            DataType::Struct(_) => ImageLayout::Struct,
            _ => ImageLayout::Bytes,
        };
        Ok((image.name().clone(), layout))
    }

    /// Finds the caption column alone.
    ///
    /// # Errors
    /// As [`ColumnBinding::detect`].
    pub fn text(schema: &Schema, choice: &ColumnChoice) -> Result<String> {
        let text = find(schema, choice.text.as_deref(), &TEXT_NAMES, &TEXT)?;
        Ok(text.name().clone())
    }

    /// Names of usual columns of which [`ColumnBinding::detect`] cannot choose one; none where it can.
    pub(super) fn several<'a>(schema: &'a Schema, choice: &ColumnChoice) -> Vec<&'a str> {
        let sought: [(_, &[&str], _); 2] = [
            (&choice.image, &IMAGE_NAMES, &IMAGE),
            (&choice.text, &TEXT_NAMES, &TEXT),
        ];
        for (named, usual, sought) in sought {
            let fitting = fitting(schema, usual, sought);
            if named.is_none() && fitting.len() > 1 {
                return fitting.iter().map(|field| field.name().as_str()).collect();
            }
        }
        Vec::new()
    }

    /// Tells why an image column of the usual name is none: it is text.
    pub(crate) fn image_that_is_text(schema: &Schema) -> Option<Error> {
        let mut fields = IMAGE_NAMES
            .iter()
            .filter_map(|name| schema.field_with_name(name).ok());
        let text = fields.find(|field| is_image_text(field.data_type()))?;
        Some(image_text(ErrorKind::Input, text))
    }

    /// Finds the key column.
    pub fn key(schema: &Schema) -> Option<String> {
        let key = KEY_NAMES.iter().find(|name| schema.index_of(name).is_ok());
        key.map(|name| (*name).to_owned())
    }
}

/// What is sought, in the words of the error.
struct Sought {
    what: &'static str,
    flag: &'static str,
    types: &'static str,
    fits: fn(&DataType) -> bool,
}

const IMAGE: Sought = Sought {
    what: "image",
    flag: "--image-column",
    types: "binary, or struct<bytes: binary, path: string>",
    fits: is_image,
};

const TEXT: Sought = Sought {
    what: "text",
    flag: "--text-column",
    types: "string",
    fits: is_text,
};

fn find<'a>(
    schema: &'a Schema,
    named: Option<&str>,
    usual: &[&str],
    sought: &Sought,
) -> Result<&'a FieldRef> {
    if let Some(name) = named {
        return find_named(schema, name, sought);
    }
    match fitting(schema, usual, sought).as_slice() {
        [one] => Ok(one),
        [] => {
            let text = ColumnBinding::image_that_is_text(schema);
            if let Some(error) = text.filter(|_| sought.what == IMAGE.what) {
                return Err(error);
            }
            Err(Error::input(format!("find the {} column", sought.what))
                .with("looked for", usual.join(", "))
                .with("of type", sought.types)
                .with("columns", columns(schema))
                .hint(format!("name it with {} NAME", sought.flag)))
        }
        several => {
            let names: Vec<&str> = several.iter().map(|field| field.name().as_str()).collect();
            Err(
                Error::input(format!("choose the {} column: several fit", sought.what))
                    .with("they are", names.join(", "))
                    .hint(format!("{} {}", sought.flag, names[0])),
            )
        }
    }
}

/// Columns of usual names; those that lie beside are among them where all do.
fn fitting<'a>(schema: &'a Schema, usual: &[&str], sought: &Sought) -> Vec<&'a FieldRef> {
    let all: Vec<&FieldRef> = usual
        .iter()
        .filter_map(|name| schema.fields().iter().find(|field| field.name() == name))
        .filter(|field| (sought.fits)(field.data_type()))
        .collect();
    let is_beside = |field: &&&FieldRef| field.metadata().contains_key(BESIDE);
    let main: Vec<_> = all
        .iter()
        .filter(|field| !is_beside(field))
        .copied()
        .collect();
    if main.is_empty() { all } else { main }
}

fn find_named<'a>(schema: &'a Schema, name: &str, sought: &Sought) -> Result<&'a FieldRef> {
    let Some(field) = schema.fields().iter().find(|field| field.name() == name) else {
        let error = Error::usage(format!("find the {} column '{name}'", sought.what))
            .with("columns", columns(schema));
        return Err(match nearest(schema, name) {
            Some(close) => error.hint(format!("{} {close}", sought.flag)),
            None => error,
        });
    };
    if !(sought.fits)(field.data_type()) {
        if sought.what == IMAGE.what && is_image_text(field.data_type()) {
            return Err(image_text(ErrorKind::Usage, field));
        }
        return Err(
            Error::usage(format!("use '{name}' as the {} column", sought.what))
                .with("its type", field.data_type())
                .with("expected", sought.types),
        );
    }
    Ok(field)
}

/// The column of `schema` whose name is within two edits of `name`.
pub(crate) fn nearest<'a>(schema: &'a Schema, name: &str) -> Option<&'a str> {
    schema
        .fields()
        .iter()
        .map(|field| {
            (
                edits(&field.name().to_lowercase(), &name.to_lowercase()),
                field.name().as_str(),
            )
        })
        .filter(|(distance, _)| *distance <= 2)
        .min()
        .map(|(_, close)| close)
}

fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

fn columns(schema: &Schema) -> String {
    let shown: Vec<String> = schema
        .fields()
        .iter()
        .map(|field| format!("{} {}", field.name(), field.data_type()))
        .collect();
    shown.join(", ")
}

fn is_bytes(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView
    )
}

fn is_image(data_type: &DataType) -> bool {
    match data_type {
        DataType::Struct(fields) => fields
            .iter()
            .any(|field| field.name() == "bytes" && is_bytes(field.data_type())),
        other => is_bytes(other),
    }
}

/// Text where images should be: as ClickHouse writes its strings, whatever is in them.
fn is_image_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Struct(fields) => fields
            .find("bytes")
            .is_some_and(|(_, field)| is_text(field.data_type())),
        other => is_text(other),
    }
}

fn image_text(kind: ErrorKind, field: &Field) -> Error {
    Error::new(kind, format!("use '{}' as the image column: it is there, but is text", field.name()))
        .with("its type", field.data_type())
        .with("expected", IMAGE.types)
        .hint("write it as binary: in ClickHouse SET output_format_parquet_string_as_string = 0; or name another column with --image-column")
}

pub(super) fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_text(values),
        other => matches!(
            other,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
        ),
    }
}

#[cfg(test)]
mod tests;
