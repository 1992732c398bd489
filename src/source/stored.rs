//! How columns are stored: the Parquet types of a file, and the Arrow types that carry their values as they lie.
//!
//! What a value means does not matter to whoever copies it. A leaf is read as the plain number or bytes that are in the
//! file, its annotation left out, and written under the type that the file has for it; so a UUID, a VARIANT, a time of
//! a zone, a decimal of any width and a text that is not UTF-8 come back as they were.

use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef, Schema};
use parquet::{
    arrow::{ArrowSchemaConverter, parquet_to_arrow_schema},
    basic::{ConvertedType, LogicalType, Repetition, TimeUnit, Type as PhysicalType},
    errors::ParquetError,
    schema::types::{ColumnDescPtr, SchemaDescriptor, Type, TypePtr},
};

use super::{view_schema, views::view_type};

/// What Parquet has a column as.
pub type StoredType = TypePtr;

/// The columns of a schema as a Parquet schema.
pub fn stored_schema(columns: &[TypePtr]) -> Result<SchemaDescriptor, ParquetError> {
    let root = Type::group_type_builder("schema").with_fields(columns.to_vec());
    Ok(SchemaDescriptor::new(Arc::new(root.build()?)))
}

/// The Arrow field that carries a column of this type from file to file; bytes are views where they can be.
///
/// # Errors
/// When the type is none that Parquet has.
pub(super) fn carried_field(column: &TypePtr) -> Result<FieldRef, ParquetError> {
    let schema = parquet_to_arrow_schema(&stored_schema(&[bare(column)?])?, None)?;
    Ok(Arc::clone(&view_schema(&schema).fields()[0]))
}

/// Whether a column can be carried as it lies: not with a time in 96 bits, which nothing writes.
pub(super) fn is_carried(column: &Type) -> bool {
    !has_leaf(column, &is_of_96_bits)
}

/// Whether the parquet crate reads a column as what it is: neither times in 96 bits nor intervals.
pub(super) fn is_read_well(column: &Type) -> bool {
    !has_leaf(column, &|leaf| is_of_96_bits(leaf) || is_interval(leaf))
}

fn is_of_96_bits(leaf: &Type) -> bool {
    leaf.get_physical_type() == PhysicalType::INT96
}

fn has_leaf(column: &Type, is_sought: &dyn Fn(&Type) -> bool) -> bool {
    match column {
        Type::PrimitiveType { .. } => is_sought(column),
        Type::GroupType { fields, .. } => fields.iter().any(|field| has_leaf(field, is_sought)),
    }
}

/// `column` without what its leaves mean; lists and maps stay what they are.
pub(super) fn bare(column: &TypePtr) -> Result<TypePtr, ParquetError> {
    rebuilt(column, &|leaf| {
        let plain = Type::primitive_type_builder(leaf.name(), leaf.get_physical_type())
            .with_repetition(leaf.get_basic_info().repetition())
            .with_length(numbers_of(leaf).length);
        Ok(Arc::new(plain.build()?))
    })
}

/// What a leaf says in numbers; -1 where it does not.
struct LeafNumbers {
    length: i32,
    precision: i32,
    scale: i32,
}

fn numbers_of(leaf: &Type) -> LeafNumbers {
    let (length, precision, scale) = match leaf {
        Type::PrimitiveType {
            type_length,
            precision,
            scale,
            ..
        } => (*type_length, *precision, *scale),
        Type::GroupType { .. } => (-1, -1, -1),
    };
    LeafNumbers {
        length,
        precision,
        scale,
    }
}

/// One type for columns of two files that are stored alike, but that null is allowed in one of them; `None` if they
/// differ in more.
pub(super) fn common(ours: &TypePtr, theirs: &TypePtr) -> Option<TypePtr> {
    if ours == theirs {
        return Some(Arc::clone(ours));
    }
    let (a, b) = (ours.get_basic_info(), theirs.get_basic_info());
    let repetition = match (a.repetition(), b.repetition()) {
        (a, b) if a == b => a,
        (Repetition::REPEATED, _) | (_, Repetition::REPEATED) => return None,
        _ => Repetition::OPTIONAL,
    };
    match (&**ours, &**theirs) {
        (Type::PrimitiveType { .. }, Type::PrimitiveType { .. }) => {
            let ours = with_repetition(ours, repetition).ok()?;
            let theirs = with_repetition(theirs, repetition).ok()?;
            (without_id(&ours)? == without_id(&theirs)?).then_some(ours)
        }
        (Type::GroupType { fields: x, .. }, Type::GroupType { fields: y, .. }) => {
            let same = a.name() == b.name()
                && a.logical_type_ref() == b.logical_type_ref()
                && a.converted_type() == b.converted_type()
                && x.len() == y.len();
            let fields = x.iter().zip(y).map(|(x, y)| common(x, y));
            let fields: Vec<TypePtr> = fields.collect::<Option<_>>().filter(|_| same)?;
            group_of(ours, repetition, fields).ok()
        }
        _ => None,
    }
}

/// `column`, which may be null.
pub(super) fn nullable(column: &TypePtr) -> Option<TypePtr> {
    match column.get_basic_info().repetition() {
        Repetition::REQUIRED => with_repetition(column, Repetition::OPTIONAL).ok(),
        Repetition::OPTIONAL => Some(Arc::clone(column)),
        // A list without a group around it is empty where it is missing, never null.
        Repetition::REPEATED => None,
    }
}

fn with_repetition(column: &TypePtr, repetition: Repetition) -> Result<TypePtr, ParquetError> {
    match &**column {
        Type::GroupType { fields, .. } => group_of(column, repetition, fields.clone()),
        Type::PrimitiveType { .. } => leaf_of(column, repetition, true),
    }
}

fn without_id(leaf: &TypePtr) -> Option<TypePtr> {
    leaf_of(leaf, leaf.get_basic_info().repetition(), false).ok()
}

fn leaf_of(leaf: &Type, repetition: Repetition, id: bool) -> Result<TypePtr, ParquetError> {
    named_leaf(leaf, leaf.name(), repetition, id)
}

fn named_leaf(
    leaf: &Type,
    name: &str,
    repetition: Repetition,
    id: bool,
) -> Result<TypePtr, ParquetError> {
    let info = leaf.get_basic_info();
    let numbers = numbers_of(leaf);
    let mut builder = Type::primitive_type_builder(name, leaf.get_physical_type())
        .with_repetition(repetition)
        .with_length(numbers.length)
        .with_precision(numbers.precision)
        .with_scale(numbers.scale)
        .with_converted_type(info.converted_type())
        .with_logical_type(info.logical_type_ref().cloned());
    if id && info.has_id() {
        builder = builder.with_id(Some(info.id()));
    }
    Ok(Arc::new(builder.build()?))
}

fn group_of(
    group: &Type,
    repetition: Repetition,
    fields: Vec<TypePtr>,
) -> Result<TypePtr, ParquetError> {
    named_group(group, group.name(), repetition, fields)
}

fn named_group(
    group: &Type,
    name: &str,
    repetition: Repetition,
    fields: Vec<TypePtr>,
) -> Result<TypePtr, ParquetError> {
    let info = group.get_basic_info();
    let built = Type::group_type_builder(name)
        .with_repetition(repetition)
        .with_converted_type(info.converted_type())
        .with_logical_type(info.logical_type_ref().cloned())
        .with_id(info.has_id().then(|| info.id()))
        .with_fields(fields)
        .build()?;
    Ok(Arc::new(built))
}

/// `column` as the type of a result's column `field`, whose values were not changed; `None` where they are read as
/// something else than `field` has, or are stored as what its values are not written as.
pub fn kept_type(column: &TypePtr, field: &Field) -> Option<TypePtr> {
    let is_read_so = || {
        let read = parquet_to_arrow_schema(&stored_schema(&[Arc::clone(column)]).ok()?, None);
        let read = read.ok()?;
        let read = view_type(read.field(0).data_type());
        Some(read.equals_datatype(&view_type(field.data_type())))
    };
    if column.get_basic_info().repetition() == Repetition::REPEATED
        || !is_read_well(column)
        || !is_read_so()?
    {
        return None;
    }
    let kept = named_column(column, field).ok()?;
    let derived = Schema::new(vec![field.clone()]);
    let derived = ArrowSchemaConverter::new().convert(&derived).ok()?;
    let own = stored_schema(&[Arc::clone(&kept)]).ok()?;
    let alike = |(a, b): (&ColumnDescPtr, &ColumnDescPtr)| {
        a.physical_type() == b.physical_type()
            && a.type_length() == b.type_length()
            && a.max_def_level() == b.max_def_level()
            && a.max_rep_level() == b.max_rep_level()
    };
    let fits = own.num_columns() == derived.num_columns()
        && own.columns().iter().zip(derived.columns()).all(alike);
    fits.then_some(kept)
}

/// The Parquet type of intervals for the column `field`.
///
/// # Errors
/// None that a name can bring about.
pub fn interval_type(field: &Field) -> Result<TypePtr, ParquetError> {
    let interval = Type::primitive_type_builder(field.name(), PhysicalType::FIXED_LEN_BYTE_ARRAY)
        .with_repetition(repetition_of(field))
        .with_length(12)
        .with_converted_type(ConvertedType::INTERVAL);
    Ok(Arc::new(interval.build()?))
}

fn named_column(column: &TypePtr, field: &Field) -> Result<TypePtr, ParquetError> {
    let (name, repetition) = (field.name(), repetition_of(field));
    match &**column {
        Type::GroupType { fields, .. } => named_group(column, name, repetition, fields.clone()),
        Type::PrimitiveType { .. } => named_leaf(column, name, repetition, true),
    }
}

fn repetition_of(field: &Field) -> Repetition {
    match field.is_nullable() {
        true => Repetition::OPTIONAL,
        false => Repetition::REQUIRED,
    }
}

/// `column` with other leaves.
fn rebuilt(
    column: &TypePtr,
    leaf: &dyn Fn(&TypePtr) -> Result<TypePtr, ParquetError>,
) -> Result<TypePtr, ParquetError> {
    let Type::GroupType { fields, .. } = &**column else {
        return leaf(column);
    };
    let fields: Result<Vec<TypePtr>, _> = fields.iter().map(|field| rebuilt(field, leaf)).collect();
    group_of(column, column.get_basic_info().repetition(), fields?)
}

/// `column` without the numbers that a table knows it by: another one has others, and columns that are added have none.
///
/// # Errors
/// When the type is none that Parquet has.
pub fn unnumbered(column: &TypePtr) -> Result<TypePtr, ParquetError> {
    let info = column.get_basic_info();
    let built = match &**column {
        Type::GroupType { fields, .. } => {
            let fields: Result<Vec<TypePtr>, _> = fields.iter().map(unnumbered).collect();
            Type::group_type_builder(info.name())
                .with_repetition(info.repetition())
                .with_converted_type(info.converted_type())
                .with_logical_type(info.logical_type_ref().cloned())
                .with_fields(fields?)
                .build()?
        }
        Type::PrimitiveType { .. } => {
            return named_leaf(column, info.name(), info.repetition(), false);
        }
    };
    Ok(Arc::new(built))
}

/// `column` with intervals as bare bytes, whose months the parquet crate does not read.
pub(super) fn without_intervals(column: &TypePtr) -> Result<TypePtr, ParquetError> {
    rebuilt(column, &|leaf| match is_interval(leaf) {
        true => bare(leaf),
        false => Ok(Arc::clone(leaf)),
    })
}

/// Whether a column is an interval.
pub(super) fn is_interval(column: &Type) -> bool {
    column.get_basic_info().converted_type() == ConvertedType::INTERVAL
}

/// `column` with times of 96 bits as if they were microseconds: nanoseconds, which 96 bits have too, would reach from 1677
/// to 2262 only.
pub(super) fn with_micros(column: &TypePtr) -> Result<TypePtr, ParquetError> {
    rebuilt(column, &|leaf| {
        if !is_of_96_bits(leaf) {
            return Ok(Arc::clone(leaf));
        }
        let micros = LogicalType::timestamp(false, TimeUnit::MICROS);
        let time = Type::primitive_type_builder(leaf.name(), PhysicalType::INT64)
            .with_repetition(leaf.get_basic_info().repetition())
            .with_logical_type(Some(micros));
        Ok(Arc::new(time.build()?))
    })
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, TimeUnit};
    use parquet::schema::parser::parse_message_type;

    use super::*;

    fn column(text: &str) -> TypePtr {
        let message = format!("message schema {{ {text}; }}");
        Arc::clone(&parse_message_type(&message).unwrap().get_fields()[0])
    }

    #[test]
    fn numbers_go_at_any_depth_and_nothing_else_does() {
        let numbered = "required group a (LIST) = 3 { repeated group list { optional group element = 4 {
            required fixed_len_byte_array(16) b (DECIMAL(20, 2)) = 5; optional int64 c (TIMESTAMP(MICROS,true)) = 6; } } }";
        let bare = ["3", "4", "5", "6"]
            .iter()
            .fold(numbered.to_owned(), |text, id| {
                text.replace(&format!(" = {id}"), "")
            });
        let column = |text: &str| {
            let message = parse_message_type(&format!("message schema {{ {text} }}")).unwrap();
            Arc::clone(&message.get_fields()[0])
        };
        let (numbered, bare) = (column(numbered), column(&bare));
        assert_ne!(numbered, bare);
        assert_eq!(unnumbered(&numbered).unwrap(), bare);
        assert_eq!(unnumbered(&bare).unwrap(), bare);
    }

    fn kept(text: &str, data_type: DataType, nullable: bool) -> Option<TypePtr> {
        kept_type(&column(text), &Field::new("b", data_type, nullable))
    }

    #[test]
    fn a_type_is_kept_under_the_name_of_the_result() {
        use DataType::{Binary, Decimal128, FixedSizeBinary, Time64, UInt8, Utf8View};
        let cases = [
            ("fixed_len_byte_array(16) a (UUID)", FixedSizeBinary(16)),
            ("byte_array a (JSON)", Utf8View),
            ("byte_array a (ENUM)", Binary),
            ("byte_array a (BSON)", Binary),
            ("int64 a (TIME(MICROS,true))", Time64(TimeUnit::Microsecond)),
            ("int64 a (DECIMAL(15,2))", Decimal128(15, 2)),
            ("int32 a (INTEGER(8,false))", UInt8),
        ];
        for (stored, data_type) in cases {
            for (from, to) in [
                ("optional", "optional"),
                ("optional", "required"),
                ("required", "optional"),
            ] {
                let stored_so = format!("{from} {stored}");
                let read = kept(&stored_so, data_type.clone(), to == "optional");
                let expected = column(&format!("{to} {}", stored.replacen(" a ", " b ", 1)));
                assert_eq!(read, Some(expected), "{from} {stored}");
            }
        }
    }

    #[test]
    fn a_type_is_not_kept_of_values_that_are_read_as_another() {
        let cases = [
            (
                "required int64 a (TIMESTAMP(MILLIS,true))",
                DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
            ),
            ("required fixed_len_byte_array(16) a (UUID)", DataType::Utf8),
            (
                "required fixed_len_byte_array(16) a (DECIMAL(15,2))",
                DataType::Decimal128(15, 2),
            ),
            ("required int64 a (INTEGER(64,false))", DataType::Int64),
            (
                "required int96 a",
                DataType::Timestamp(TimeUnit::Nanosecond, None),
            ),
            ("repeated int32 a", DataType::Int32),
        ];
        for (stored, data_type) in cases {
            assert_eq!(kept(stored, data_type, false), None, "{stored}");
        }
    }
}
