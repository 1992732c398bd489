//! What the tests of all functions share, and the tests of all of them together.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, BinaryArray, RecordBatch, StringArray, StructArray},
    datatypes::{DataType, Field},
    util::display::array_value_to_string,
};
use datafusion::{
    common::{Result, config::ConfigOptions},
    logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF},
};

use super::cheap_functions;
use crate::{config::ByteSize, engine::session::session};

/// The function named `name`.
pub(super) fn function(name: &str) -> ScalarUDF {
    let found = cheap_functions()
        .into_iter()
        .find(|function| function.name() == name);
    found.unwrap()
}

/// Calls it as the engine does: the type first, then the values.
pub(super) fn call(name: &str, args: Vec<ColumnarValue>, rows: usize) -> Result<ColumnarValue> {
    let function = function(name);
    let arg_fields: Vec<_> = args
        .iter()
        .map(|arg| Arc::new(Field::new("argument", arg.data_type(), true)))
        .collect();
    let return_field = function.return_field_from_args(ReturnFieldArgs {
        arg_fields: &arg_fields,
        scalar_arguments: &vec![None; args.len()],
    })?;
    function.invoke_with_args(ScalarFunctionArgs {
        args,
        arg_fields,
        number_rows: rows,
        return_field,
        config_options: Arc::new(ConfigOptions::default()),
    })
}

/// Calls it on whole columns.
pub(super) fn call_columns(name: &str, columns: &[ArrayRef]) -> Result<ArrayRef> {
    let rows = columns[0].len();
    let args = columns
        .iter()
        .map(|column| ColumnarValue::Array(Arc::clone(column)))
        .collect();
    match call(name, args, rows)? {
        ColumnarValue::Array(values) => {
            assert_eq!(values.len(), rows, "{name}");
            Ok(values)
        }
        ColumnarValue::Scalar(value) => panic!("{name} of columns is the constant {value}"),
    }
}

/// Every row as it prints; null is `NULL`.
pub(super) fn printed(values: &ArrayRef) -> Vec<String> {
    let print = |row| match values.is_null(row) {
        true => "NULL".to_owned(),
        false => array_value_to_string(values, row).unwrap(),
    };
    (0..values.len()).map(print).collect()
}

/// A BMP of black pixels.
pub(super) fn bmp(width: u32, height: u32) -> Vec<u8> {
    let pixels = (width * 3).next_multiple_of(4) * height;
    let mut bytes = b"BM".to_vec();
    for field in [
        54 + pixels,
        0,
        54,
        40,
        width,
        height,
        1 | 24 << 16,
        0,
        pixels,
    ] {
        bytes.extend(field.to_le_bytes());
    }
    bytes.resize(usize::try_from(54 + pixels).unwrap(), 0);
    bytes
}

/// The first bytes of a PNG that declares this size: all that a header holds.
pub(super) fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
    bytes.extend(width.to_be_bytes());
    bytes.extend(height.to_be_bytes());
    bytes.extend([8, 2, 0, 0, 0]);
    bytes
}

/// `struct<bytes, path>`.
pub(super) fn image_structs(images: Vec<(Option<&[u8]>, Option<&str>)>) -> StructArray {
    let (bytes, paths): (Vec<_>, Vec<_>) = images.into_iter().unzip();
    StructArray::from(vec![
        (
            Arc::new(Field::new("bytes", DataType::Binary, true)),
            Arc::new(BinaryArray::from(bytes)) as ArrayRef,
        ),
        (
            Arc::new(Field::new("path", DataType::Utf8, true)),
            Arc::new(StringArray::from(paths)) as ArrayRef,
        ),
    ])
}

async fn query(sql: &str) -> Result<Vec<RecordBatch>> {
    let context = session(ByteSize(1 << 26), 1024).unwrap();
    context.sql(sql).await?.collect().await
}

#[tokio::test]
async fn sql_calls_the_functions_of_this_crate() {
    let batches = query(
        "SELECT cosine_similarity([3.0, 4.0], [4, 3]), l2_normalize([3, 4]), image_format(X''), \
         image_status(X''), image_status(NULL), image_width(NULL), word_count('a b'), \
         text_length(NULL), cosine_similarity(NULL, [1.0])",
    )
    .await
    .unwrap();
    let row: Vec<String> = batches[0]
        .columns()
        .iter()
        .map(|column| printed(column).remove(0))
        .collect();
    let expected = [
        "0.96",
        "[0.6, 0.8]",
        "NULL",
        "empty_image",
        "null_image",
        "NULL",
        "2",
        "NULL",
        "NULL",
    ];
    assert_eq!(row, expected);
}

#[tokio::test]
async fn an_argument_that_does_not_fit_is_named_with_what_would() {
    for (sql, expected) in [
        (
            "SELECT cosine_similarity([1.0])",
            "cosine_similarity(List(Float64)): cosine_similarity takes (a, b), lists of numbers",
        ),
        (
            "SELECT cosine_similarity([1.0], 'x')",
            "cosine_similarity(List(Float64), Utf8): cosine_similarity takes (a, b), lists of numbers",
        ),
        (
            "SELECT l2_normalize(['x'])",
            "l2_normalize takes (v), lists of numbers",
        ),
        (
            "SELECT l2_normalize()",
            "l2_normalize(): l2_normalize takes (v)",
        ),
        (
            "SELECT image_width('x')",
            "image_width(Utf8): image_width takes (image), an image: binary",
        ),
        (
            "SELECT image_height(1)",
            "image_height(Int64): image_height takes (image)",
        ),
        (
            "SELECT image_format(named_struct('path', 'x'))",
            "image_format takes (image), an image: binary, or struct<bytes: binary, path: string>",
        ),
        (
            "SELECT image_status()",
            "image_status(): image_status takes (image)",
        ),
        (
            "SELECT word_count(1)",
            "word_count(Int64): word_count takes (text), a string",
        ),
        (
            "SELECT text_length('a', 'b')",
            "text_length(Utf8, Utf8): text_length takes (text), a string",
        ),
    ] {
        let error = query(sql).await.unwrap_err().strip_backtrace();
        assert!(error.contains("Error during planning"), "{sql}: {error}");
        assert!(error.contains(expected), "{sql}: {error}");
    }
}

#[test]
fn names_are_distinct_and_no_result_depends_on_when_it_is_asked() {
    let functions = cheap_functions();
    for (position, function) in functions.iter().enumerate() {
        let immutable = datafusion::logical_expr::Volatility::Immutable;
        assert_eq!(function.signature().volatility, immutable);
        assert!(functions[..position].iter().all(|other| other != function));
    }
}
