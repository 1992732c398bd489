//! From the members of samples to columns: views into what was read.

use std::{ops::Range, sync::Arc};

use arrow::{
    array::{ArrayRef, BinaryViewBuilder, NullArray, StringViewBuilder, StructArray},
    buffer::NullBuffer,
    datatypes::{DataType, Field, Fields},
};
use bytes::Bytes;

use super::{
    columns::Origin,
    fetch::{Fetched, FetchedAt},
    index::{Piece, Sample},
    json::{self, Object},
    members::name_in,
    names::key_and_field,
};

/// A sample that is read.
#[derive(Debug, Clone)]
pub(super) struct Row {
    /// Its position in the tar.
    pub(super) number: i64,
    pub(super) sample: Sample,
    /// The piece that is its image.
    pub(super) image: Option<Piece>,
}

impl Row {
    /// The member of a field, where it is read and not the image.
    pub(super) fn member(&self, field: u16) -> Option<Range<u64>> {
        let is_image = self
            .image
            .as_ref()
            .is_some_and(|image| image.field == field);
        let mut pieces = self.sample.pieces.iter().filter(|_| !is_image);
        let piece = pieces.find(|piece| piece.field == field)?;
        piece.is_read.then(|| piece.bytes.clone())
    }

    /// The JSON object in a field.
    pub(super) fn object(&self, field: u16, fetched: &Fetched) -> Option<Object> {
        json::object(fetched.bytes(&self.member(field)?)?)
    }

    fn key(&self, fetched: &Fetched) -> Option<String> {
        let headers = fetched.bytes(&self.sample.header)?;
        let name = name_in(Bytes::copy_from_slice(headers))?;
        let (key, _) = key_and_field(&name)?;
        Some(String::from_utf8_lossy(key).into_owned())
    }
}

/// The values of a column.
pub(super) fn column(
    origin: &Origin,
    names: &[String],
    rows: &[Row],
    fetched: &Fetched,
    objects: &[Option<Object>],
) -> ArrayRef {
    match origin {
        Origin::Key => {
            let mut keys = StringViewBuilder::with_capacity(rows.len());
            rows.iter()
                .for_each(|row| keys.append_option(row.key(fetched)));
            Arc::new(keys.finish())
        }
        Origin::Image => images(names, rows, fetched),
        Origin::Text(field) => texts(rows.iter().map(|row| row.member(*field)), fetched),
        Origin::Bytes(field) => bytes(rows.iter().map(|row| row.member(*field)), fetched),
        Origin::Json(_, key, kind) => kind.column(key, objects),
    }
}

fn images(names: &[String], rows: &[Row], fetched: &Fetched) -> ArrayRef {
    let read = |row: &Row| row.image.clone().filter(|image| image.is_read);
    let places = rows.iter().map(|row| Some(read(row)?.bytes));
    let mut paths = StringViewBuilder::with_capacity(rows.len());
    for row in rows {
        paths.append_option(read(row).and_then(|image| {
            let key = row.key(fetched)?;
            let key = key.rsplit('/').next().unwrap_or_default();
            Some(format!("{key}.{}", names.get(usize::from(image.field))?))
        }));
    }
    let nulls: NullBuffer = rows.iter().map(|row| read(row).is_some()).collect();
    let fields = [
        ("bytes", DataType::BinaryView),
        ("path", DataType::Utf8View),
    ];
    let fields = fields.map(|(name, data_type)| Field::new(name, data_type, true));
    let columns: Vec<ArrayRef> = vec![bytes(places, fetched), Arc::new(paths.finish())];
    let images = StructArray::try_new(Fields::from(fields.to_vec()), columns, Some(nulls));
    match images {
        Ok(images) => Arc::new(images),
        // Of equal lengths they are one.
        Err(_) => Arc::new(NullArray::new(rows.len())),
    }
}

fn bytes(places: impl Iterator<Item = Option<Range<u64>>>, fetched: &Fetched) -> ArrayRef {
    let mut values = BinaryViewBuilder::new();
    let blocks: Vec<u32> = fetched
        .buffers()
        .map(|block| values.append_block(block))
        .collect();
    for place in places {
        let view = place.and_then(|range| view(fetched.place(&range)?, &blocks));
        let appended =
            view.map(|view| values.try_append_view(view.block, view.offset, view.length));
        if !matches!(appended, Some(Ok(()))) {
            values.append_null();
        }
    }
    Arc::new(values.finish())
}

/// What is not UTF-8 is null.
fn texts(places: impl Iterator<Item = Option<Range<u64>>>, fetched: &Fetched) -> ArrayRef {
    let mut values = StringViewBuilder::new();
    let blocks: Vec<u32> = fetched
        .buffers()
        .map(|block| values.append_block(block))
        .collect();
    for place in places {
        let view = place.and_then(|range| view(fetched.place(&range)?, &blocks));
        // Appending looks whether it is text.
        let appended =
            view.map(|view| values.try_append_view(view.block, view.offset, view.length));
        if !matches!(appended, Some(Ok(()))) {
            values.append_null();
        }
    }
    Arc::new(values.finish())
}

struct View {
    block: u32,
    offset: u32,
    length: u32,
}

/// `None` for one that no view can have.
fn view(place: FetchedAt, blocks: &[u32]) -> Option<View> {
    Some(View {
        block: *blocks.get(place.block)?,
        offset: u32::try_from(place.offset).ok()?,
        length: u32::try_from(place.length).ok()?,
    })
}
