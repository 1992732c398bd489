//! The columns of a tar: the key, the image, a column for each other field, and one for each key of its JSON.

use std::{collections::HashMap, sync::Arc};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::{
    json::JsonType,
    names::{JSON, image_rank, is_text},
    survey::Surveyed,
};
use crate::{
    schema::{ROW, SHARD},
    source::columns::{BESIDE, BESIDE_JSON, BESIDE_MEMBER},
};

/// The column of keys.
const KEY: &str = "__key__";
/// The column of images.
const IMAGE: &str = "image";
/// The field of captions.
const CAPTION: &str = "txt";

/// Where the values of a column come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// The name of the first member.
    Key,
    /// The member that is the image, and its name.
    Image,
    /// The member of this field, where it is not the image.
    Text(u16),
    Bytes(u16),
    /// A key of the JSON in this field.
    Json(u16, String, JsonType),
}

/// The columns of a tar.
#[derive(Debug, Clone)]
pub(super) struct Columns {
    pub(super) schema: SchemaRef,
    /// In the order of the schema.
    pub(super) origins: Vec<Origin>,
    /// Of each field the rank among images.
    pub(super) ranks: Vec<Option<usize>>,
    /// Of each field the name.
    pub(super) names: Vec<String>,
}

impl Columns {
    pub(super) fn of(surveyed: &Surveyed) -> Self {
        let mut columns = Gathered::default();
        columns.add(Field::new(KEY, DataType::Utf8, true), Origin::Key);
        if surveyed.has_images {
            let parts = [("bytes", DataType::Binary), ("path", DataType::Utf8)];
            let parts = parts.map(|(name, data_type)| Field::new(name, data_type, true));
            let image = DataType::Struct(parts.into_iter().collect());
            columns.add(Field::new(IMAGE, image, true), Origin::Image);
        }
        let mut json = None;
        for (number, field) in surveyed.fields.iter().enumerate() {
            let Ok(number) = u16::try_from(number) else {
                continue;
            };
            if field.name == JSON {
                json = Some(number);
            }
            if !field.is_column {
                continue;
            }
            let (data_type, origin) = match is_text(&field.name) {
                true => (DataType::Utf8, Origin::Text(number)),
                false => (DataType::Binary, Origin::Bytes(number)),
            };
            let own = Field::new(&field.name, data_type, true);
            let own = match field.name.as_str() {
                CAPTION => own,
                _ => beside(own, BESIDE_MEMBER),
            };
            columns.add(own, origin);
        }
        for (key, kind) in &surveyed.keys {
            if let Some(json) = json {
                let own = Field::new(key, kind.data_type(), true);
                let origin = Origin::Json(json, key.clone(), *kind);
                columns.add(beside(own, BESIDE_JSON), origin);
            }
        }
        let fields = surveyed.fields.iter();
        Self {
            schema: Arc::new(Schema::new(columns.fields)),
            origins: columns.origins,
            ranks: fields
                .clone()
                .map(|field| image_rank(&field.name))
                .collect(),
            names: fields.map(|field| field.name.clone()).collect(),
        }
    }

    /// The largest value of each column, and the bytes of all its values.
    pub(super) fn bytes(&self, surveyed: &Surveyed) -> Vec<ColumnBytes> {
        let of = |number: u16| surveyed.fields.get(usize::from(number));
        let images = surveyed.fields.iter();
        let images = images.filter(|field| image_rank(&field.name).is_some());
        let origins = self.origins.iter().map(|origin| match origin {
            Origin::Key => ColumnBytes { all: 0, most: 0 },
            Origin::Image => ColumnBytes {
                all: images.clone().map(|field| field.bytes).sum(),
                most: images
                    .clone()
                    .map(|field| field.most_bytes)
                    .max()
                    .unwrap_or(0),
            },
            Origin::Text(number) | Origin::Bytes(number) | Origin::Json(number, ..) => {
                ColumnBytes {
                    all: of(*number).map_or(0, |field| field.bytes),
                    most: of(*number).map_or(0, |field| field.most_bytes),
                }
            }
        });
        origins.collect()
    }
}

/// How much a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ColumnBytes {
    pub(super) all: u64,
    pub(super) most: u64,
}

#[derive(Default)]
struct Gathered {
    fields: Vec<Field>,
    origins: Vec<Origin>,
    names: HashMap<String, usize>,
}

impl Gathered {
    /// Adds a column; one whose name is taken is named `json.NAME`.
    fn add(&mut self, field: Field, origin: Origin) {
        let mut name = field.name().clone();
        while name.is_empty()
            || [SHARD, ROW].contains(&name.as_str())
            || self.names.contains_key(&name)
        {
            let before = match origin {
                Origin::Json(..) => "json",
                _ => "member",
            };
            name = format!("{before}.{name}");
        }
        self.names.insert(name.clone(), self.fields.len());
        self.fields.push(field.with_name(name));
        self.origins.push(origin);
    }
}

fn beside(field: Field, what: &str) -> Field {
    let metadata = HashMap::from([(BESIDE.to_owned(), what.to_owned())]);
    field.with_metadata(metadata)
}
