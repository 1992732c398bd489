//! `image_status(image)`.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, StringArray},
    datatypes::DataType,
};
use datafusion::{common::Result, logical_expr::ScalarUDF};

use super::{column_function::ColumnFunction, image_header::takes_image};
use crate::{
    config::DEFAULT_MAX_PIXELS, engine::encode_columns::image_parts, preprocess::probe,
    schema::Status,
};

/// `image_status(image)`: what the header alone says of the image.
pub(super) fn image_status() -> ScalarUDF {
    ColumnFunction {
        takes: takes_image("image_status"),
        returns: DataType::Utf8,
        // A null image has a status.
        is_strict: false,
        kernel: statuses,
    }
    .into()
}

/// Null where only a path is given: no function opens a file.
fn statuses(column: &ArrayRef) -> Result<ArrayRef> {
    let (images, paths) = image_parts(column)?;
    let has_path = |row| paths.as_ref().is_some_and(|paths| paths.is_valid(row));
    let names = images.iter().enumerate().map(|(row, bytes)| match bytes {
        Some(bytes) => Some(status(bytes).as_str()),
        None if has_path(row) => None,
        None => Some(Status::NullImage.as_str()),
    });
    Ok(Arc::new(names.collect::<StringArray>()))
}

fn status(bytes: &[u8]) -> Status {
    match probe(bytes, DEFAULT_MAX_PIXELS) {
        Ok(_) => Status::Ok,
        Err(fault) => fault.status,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::udf::tests::{bmp, call_columns, image_structs, png_header, printed};

    #[test]
    fn the_header_decides() {
        let sound = bmp(8, 4);
        let huge = png_header(70_000, 60_000);
        let flat = png_header(0, 4);
        let images = vec![
            (Some(sound.as_slice()), None),
            (None, None),
            (Some(b"".as_slice()), None),
            (Some(b"<html>"), None),
            (Some(&flat), None),
            (Some(&sound[..20]), None),
            (Some(&huge), None),
            (None, Some("beside/the/shard.jpg")),
            (Some(&sound), Some("a name that says nothing.jpg")),
        ];
        let column: ArrayRef = Arc::new(image_structs(images));
        let expected = [
            "ok",
            "null_image",
            "empty_image",
            "unsupported_image",
            "corrupt_image",
            "truncated_image",
            "too_many_pixels",
            "NULL",
            "ok",
        ];
        let statuses = call_columns("image_status", &[Arc::clone(&column)]).unwrap();
        assert_eq!(printed(&statuses), expected);
        for name in expected.iter().filter(|name| **name != "NULL") {
            assert!(Status::from_name(name).is_some(), "{name}");
        }
        let slice = call_columns("image_status", &[column.slice(6, 3)]).unwrap();
        assert_eq!(printed(&slice), expected[6..]);
    }
}
