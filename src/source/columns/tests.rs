//! Which columns are the image and the caption.

use super::*;

fn schema(columns: &[(&str, DataType)]) -> Schema {
    Schema::new(
        columns
            .iter()
            .map(|(name, data_type)| Field::new(*name, data_type.clone(), true))
            .collect::<Vec<_>>(),
    )
}

fn hf_image() -> DataType {
    DataType::Struct(
        vec![
            Field::new("bytes", DataType::Binary, true),
            Field::new("path", DataType::Utf8, true),
        ]
        .into(),
    )
}

#[test]
fn every_usual_layout_is_found() {
    let cases = [
        (
            ("image", hf_image()),
            ("text", DataType::Utf8),
            ImageLayout::Struct,
        ),
        (
            ("jpg", DataType::Binary),
            ("caption", DataType::LargeUtf8),
            ImageLayout::Bytes,
        ),
        (
            ("webp", DataType::LargeBinary),
            ("TEXT", DataType::Utf8View),
            ImageLayout::Bytes,
        ),
        (
            ("image_bytes", DataType::BinaryView),
            ("txt", DataType::Utf8),
            ImageLayout::Bytes,
        ),
    ];
    for (image, text, layout) in cases {
        let binding = ColumnBinding::detect(
            &schema(&[image.clone(), text.clone()]),
            &HashMap::new(),
            &ColumnChoice::default(),
        )
        .unwrap();
        assert_eq!(
            (binding.image.as_str(), binding.text.as_str()),
            (image.0, text.0)
        );
        assert_eq!(binding.layout, layout);
    }
}

#[test]
fn several_captions_ask_for_a_choice() {
    let schema = schema(&[
        ("image", DataType::Binary),
        ("text", DataType::Utf8),
        ("caption", DataType::Utf8),
    ]);
    let error =
        ColumnBinding::detect(&schema, &HashMap::new(), &ColumnChoice::default()).unwrap_err();
    assert_eq!(
        error.report(),
        "failed to choose the text column: several fit\n  they are: text, caption\n  try: --text-column text"
    );
    let choice = ColumnChoice {
        text: Some("caption".into()),
        ..ColumnChoice::default()
    };
    assert_eq!(
        ColumnBinding::detect(&schema, &HashMap::new(), &choice)
            .unwrap()
            .text,
        "caption"
    );
}

#[test]
fn a_misspelt_column_suggests_the_nearest() {
    let schema = schema(&[("picture", DataType::Binary), ("text", DataType::Utf8)]);
    let choice = ColumnChoice {
        image: Some("pictre".into()),
        ..ColumnChoice::default()
    };
    let error = ColumnBinding::detect(&schema, &HashMap::new(), &choice).unwrap_err();
    assert!(
        error.report().ends_with("try: --image-column picture"),
        "{}",
        error.report()
    );
}

#[test]
fn a_string_image_is_no_image() {
    let schema = schema(&[("image", DataType::Utf8), ("text", DataType::Utf8)]);
    let error =
        ColumnBinding::detect(&schema, &HashMap::new(), &ColumnChoice::default()).unwrap_err();
    let report = error.report();
    assert!(report.contains("'image' as the image column"), "{report}");
    assert!(report.contains("output_format_parquet_string_as_string = 0"));
    let fields = vec![Field::new("bytes", DataType::Utf8, true)];
    let named = Schema::new(vec![
        Field::new("picture", DataType::Struct(fields.into()), true),
        Field::new("text", DataType::Utf8, true),
    ]);
    let choice = ColumnChoice {
        image: Some("picture".into()),
        ..ColumnChoice::default()
    };
    let error = ColumnBinding::detect(&named, &HashMap::new(), &choice).unwrap_err();
    assert!(error.report().contains("it is there, but is text"));
}
