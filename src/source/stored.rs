//! How columns are stored: the Parquet types of a file, and the Arrow types that carry their values as they lie.
//!
//! What a value means does not matter to whoever copies it. A leaf is read as the plain number or bytes that are in the
//! file, its annotation left out, and written under the type that the file has for it; so a UUID, a VARIANT, a time of
//! a zone, a decimal of any width and a text that is not UTF-8 come back as they were.

use std::sync::Arc;

use arrow::datatypes::FieldRef;
use parquet::{
    arrow::parquet_to_arrow_schema,
    basic::{ConvertedType, LogicalType, Repetition, TimeUnit, Type as PhysicalType},
    errors::ParquetError,
    schema::types::{SchemaDescriptor, Type, TypePtr},
};

use super::view_schema;

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
    let info = leaf.get_basic_info();
    let numbers = numbers_of(leaf);
    let mut builder = Type::primitive_type_builder(info.name(), leaf.get_physical_type())
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
    let info = group.get_basic_info();
    let built = Type::group_type_builder(info.name())
        .with_repetition(repetition)
        .with_converted_type(info.converted_type())
        .with_logical_type(info.logical_type_ref().cloned())
        .with_id(info.has_id().then(|| info.id()))
        .with_fields(fields)
        .build()?;
    Ok(Arc::new(built))
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
