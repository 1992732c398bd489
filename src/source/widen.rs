//! One type for columns that shards store differently, where no value changes, and columns brought to it.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, FixedSizeListArray, GenericListArray, MapArray, OffsetSizeTrait,
        StructArray, new_null_array,
    },
    compute::{CastOptions, cast_with_options},
    datatypes::{DataType, Field, FieldRef, Fields, TimeUnit},
    error::ArrowError,
};

/// The type that holds every value of both; `None` if there is none.
///
/// Numbers go to the narrowest type that has all of them, times to the finer unit, structs to the fields of both;
/// null to anything.
pub(super) fn widened(ours: &DataType, theirs: &DataType) -> Option<DataType> {
    use DataType::*;
    Some(match (ours, theirs) {
        (a, b) if a == b => a.clone(),
        (Null, other) | (other, Null) => other.clone(),
        (Dictionary(_, a), Dictionary(_, b)) => {
            Dictionary(Box::new(Int32), Box::new(widened(a, b)?))
        }
        (Dictionary(_, value), other) | (other, Dictionary(_, value)) => widened(value, other)?,
        (a, b) if a.is_integer() && b.is_integer() => wider_integer(a, b)?,
        (a, b) if a.is_floating() && b.is_floating() => wider_float(a, b),
        (whole, float) | (float, whole) if whole.is_integer() && float.is_floating() => {
            float_for(whole, float)?
        }
        (Decimal32(..) | Decimal64(..) | Decimal128(..) | Decimal256(..), _) => {
            wider_decimal(ours, theirs)?
        }
        // One type to a reader, who has them as views.
        (Utf8 | LargeUtf8 | Utf8View, Utf8 | LargeUtf8 | Utf8View) => ours.clone(),
        (FixedSizeBinary(_), FixedSizeBinary(_)) => Binary,
        (FixedSizeBinary(_), other) | (other, FixedSizeBinary(_)) if is_bytes(other) => {
            other.clone()
        }
        (a, b) if is_bytes(a) && is_bytes(b) => a.clone(),
        (Timestamp(a, x), Timestamp(b, y)) if x.is_some() == y.is_some() => {
            Timestamp(finer(*a, *b), x.clone())
        }
        (Date32, Date64) | (Date64, Date32) => Date64,
        (Time32(_) | Time64(_), Time32(_) | Time64(_)) => finer_time(ours, theirs)?,
        (Duration(a), Duration(b)) => Duration(finer(*a, *b)),
        (Struct(a), Struct(b)) => Struct(all_fields(a, b)?),
        (Map(a, sorted), Map(b, both)) => Map(one_field(a, b)?, *sorted && *both),
        (a, b) => {
            let item = one_field(item_of(a)?, item_of(b)?)?;
            match (a, b) {
                (FixedSizeList(_, a), FixedSizeList(_, b)) if a == b => FixedSizeList(item, *a),
                (LargeList(_), _) | (_, LargeList(_)) => LargeList(item),
                _ => List(item),
            }
        }
    })
}

/// `ours` with the type that holds the values of both, and null if either allows it.
pub(super) fn widened_field(ours: &Field, theirs: &Field) -> Option<Field> {
    let data_type = widened(ours.data_type(), theirs.data_type())?;
    let nullable = ours.is_nullable() || theirs.is_nullable();
    Some(
        ours.clone()
            .with_data_type(data_type)
            .with_nullable(nullable),
    )
}

fn one_field(ours: &FieldRef, theirs: &FieldRef) -> Option<FieldRef> {
    widened_field(ours, theirs).map(Arc::new)
}

/// The fields of both by name; one that the other lacks may be null.
fn all_fields(ours: &Fields, theirs: &Fields) -> Option<Fields> {
    let missing = |field: &Field| Arc::new(field.clone().with_nullable(true));
    let mut all = Vec::with_capacity(ours.len());
    for field in ours {
        all.push(match theirs.find(field.name()) {
            Some((_, other)) => one_field(field, other)?,
            None => missing(field),
        });
    }
    let new = theirs
        .iter()
        .filter(|field| ours.find(field.name()).is_none());
    all.extend(new.map(|field| missing(field)));
    Some(all.into())
}

fn item_of(list: &DataType) -> Option<&FieldRef> {
    match list {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            Some(item)
        }
        _ => None,
    }
}

fn is_bytes(data_type: &DataType) -> bool {
    use DataType::*;
    matches!(data_type, Binary | LargeBinary | BinaryView)
}

/// Bits, and whether it has a sign.
fn bits(integer: &DataType) -> (u8, bool) {
    use DataType::*;
    let bits = match integer {
        Int8 | UInt8 => 8,
        Int16 | UInt16 => 16,
        Int32 | UInt32 => 32,
        _ => 64,
    };
    (bits, integer.is_signed_integer())
}

fn wider_integer(ours: &DataType, theirs: &DataType) -> Option<DataType> {
    let ((a, signed), (b, also)) = (bits(ours), bits(theirs));
    if signed == also {
        return Some(if a >= b { ours.clone() } else { theirs.clone() });
    }
    let unsigned = if signed { b } else { a };
    Some(match a.max(b).max(2 * unsigned.min(64)) {
        16 => DataType::Int16,
        32 => DataType::Int32,
        64 => DataType::Int64,
        _ => return None,
    })
}

fn float_bits(float: &DataType) -> u8 {
    match float {
        DataType::Float16 => 16,
        DataType::Float32 => 32,
        _ => 64,
    }
}

fn wider_float(ours: &DataType, theirs: &DataType) -> DataType {
    match float_bits(ours) >= float_bits(theirs) {
        true => ours.clone(),
        false => theirs.clone(),
    }
}

/// The float type that has every value of `whole` and of `float`.
fn float_for(whole: &DataType, float: &DataType) -> Option<DataType> {
    let needed = match bits(whole).0 {
        8 => 16,
        16 => 32,
        32 => 64,
        _ => return None,
    };
    Some(match float_bits(float).max(needed) {
        16 => DataType::Float16,
        32 => DataType::Float32,
        _ => DataType::Float64,
    })
}

fn digits(decimal: &DataType) -> Option<(u8, i8)> {
    use DataType::*;
    match decimal {
        Decimal32(precision, scale)
        | Decimal64(precision, scale)
        | Decimal128(precision, scale)
        | Decimal256(precision, scale) => Some((*precision, *scale)),
        _ => None,
    }
}

fn wider_decimal(ours: &DataType, theirs: &DataType) -> Option<DataType> {
    let ((a, x), (b, y)) = (digits(ours)?, digits(theirs)?);
    let scale = x.max(y);
    let whole = (i16::from(a) - i16::from(x)).max(i16::from(b) - i16::from(y));
    let precision = u8::try_from(whole + i16::from(scale)).ok()?;
    match precision {
        ..=38 => Some(DataType::Decimal128(precision, scale)),
        39..=76 => Some(DataType::Decimal256(precision, scale)),
        _ => None,
    }
}

fn finer(ours: TimeUnit, theirs: TimeUnit) -> TimeUnit {
    ours.max(theirs)
}

fn finer_time(ours: &DataType, theirs: &DataType) -> Option<DataType> {
    use DataType::{Time32, Time64};
    let unit = |time: &DataType| match time {
        Time32(unit) | Time64(unit) => Some(*unit),
        _ => None,
    };
    Some(match finer(unit(ours)?, unit(theirs)?) {
        unit @ (TimeUnit::Second | TimeUnit::Millisecond) => Time32(unit),
        unit => Time64(unit),
    })
}

/// `column` as `data_type`, to which its own can be [`widened`].
///
/// # Errors
/// When a value has none there, as a year of five digits in nanoseconds.
pub(super) fn fitted(column: &ArrayRef, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
    if column.data_type() == data_type {
        return Ok(Arc::clone(column));
    }
    match (column.data_type(), data_type) {
        (DataType::Null, _) => Ok(new_null_array(data_type, column.len())),
        (DataType::Struct(_), DataType::Struct(fields)) => fitted_struct(column, fields),
        (DataType::List(_), DataType::List(item)) => fitted_list::<i32>(column, item),
        (DataType::LargeList(_), DataType::LargeList(item)) => fitted_list::<i64>(column, item),
        (DataType::FixedSizeList(_, length), DataType::FixedSizeList(item, same))
            if length == same =>
        {
            let (_, length, values, nulls) = column.as_fixed_size_list().clone().into_parts();
            let values = fitted(&values, item.data_type())?;
            let list = FixedSizeListArray::try_new(Arc::clone(item), length, values, nulls)?;
            Ok(Arc::new(list))
        }
        (DataType::Map(_, _), DataType::Map(entries, sorted)) => {
            let (_, offsets, pairs, nulls, _) = column.as_map().clone().into_parts();
            let pairs: ArrayRef = Arc::new(pairs);
            let pairs = fitted(&pairs, entries.data_type())?;
            let pairs = pairs.as_struct().clone();
            let map = MapArray::try_new(Arc::clone(entries), offsets, pairs, nulls, *sorted)?;
            Ok(Arc::new(map))
        }
        (from, to) => match (item_of(from), item_of(to)) {
            // First the kind of list, then what is in it.
            (Some(own), Some(_)) if !same_kind(from, to) => {
                let same_items = with_item(to, own);
                fitted(&checked(column, &same_items)?, data_type)
            }
            _ => checked(column, data_type),
        },
    }
}

fn same_kind(a: &DataType, b: &DataType) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b)
}

fn with_item(list: &DataType, item: &FieldRef) -> DataType {
    match list {
        DataType::LargeList(_) => DataType::LargeList(Arc::clone(item)),
        DataType::FixedSizeList(_, length) => DataType::FixedSizeList(Arc::clone(item), *length),
        _ => DataType::List(Arc::clone(item)),
    }
}

/// A cast in which nothing becomes null.
fn checked(column: &ArrayRef, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    cast_with_options(column, data_type, &options)
}

fn fitted_struct(column: &ArrayRef, fields: &Fields) -> Result<ArrayRef, ArrowError> {
    let column = column.as_struct();
    let columns = fields
        .iter()
        .map(|field| match column.column_by_name(field.name()) {
            Some(own) => fitted(own, field.data_type()),
            None => Ok(new_null_array(field.data_type(), column.len())),
        });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let nulls = column.nulls().cloned();
    let fitted = StructArray::try_new_with_length(fields.clone(), columns, nulls, column.len())?;
    Ok(Arc::new(fitted))
}

fn fitted_list<O: OffsetSizeTrait>(
    column: &ArrayRef,
    item: &FieldRef,
) -> Result<ArrayRef, ArrowError> {
    let (_, offsets, values, nulls) = column.as_list::<O>().clone().into_parts();
    let values = fitted(&values, item.data_type())?;
    let list = GenericListArray::<O>::try_new(Arc::clone(item), offsets, values, nulls)?;
    Ok(Arc::new(list))
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int32Array, Int64Array, ListArray, StringArray, TimestampSecondArray};
    use arrow::datatypes::Int32Type;

    use super::*;

    fn wide(ours: DataType, theirs: DataType) -> Option<DataType> {
        let wide = widened(&ours, &theirs);
        // Which shard came first says nothing of the values.
        assert_eq!(widened(&theirs, &ours).is_some(), wide.is_some());
        wide
    }

    #[test]
    fn numbers_go_to_the_narrowest_type_that_has_them_all() {
        use DataType::*;
        assert_eq!(wide(Int32, Int64), Some(Int64));
        assert_eq!(wide(UInt8, Int8), Some(Int16));
        assert_eq!(wide(UInt8, Int64), Some(Int64));
        assert_eq!(wide(UInt32, Int32), Some(Int64));
        assert_eq!(wide(UInt64, Int8), None);
        assert_eq!(wide(Float16, Float64), Some(Float64));
        assert_eq!(wide(Int32, Float32), Some(Float64));
        assert_eq!(wide(Int8, Float16), Some(Float16));
        assert_eq!(wide(Int64, Float64), None);
        assert_eq!(
            wide(Decimal128(9, 2), Decimal128(9, 4)),
            Some(Decimal128(11, 4))
        );
        assert_eq!(
            wide(Decimal128(38, 0), Decimal128(38, 38)),
            Some(Decimal256(76, 38))
        );
    }

    #[test]
    fn what_means_something_else_is_not_widened() {
        use DataType::*;
        let utc = Some("UTC".into());
        for (ours, theirs) in [
            (Utf8, Binary),
            (Utf8, Int32),
            (Boolean, Int8),
            (
                Timestamp(TimeUnit::Second, None),
                Timestamp(TimeUnit::Second, utc),
            ),
            (Date32, Int32),
            (Decimal128(5, 1), Float64),
        ] {
            assert_eq!(wide(ours, theirs), None);
        }
    }

    #[test]
    fn structs_have_the_fields_of_both() {
        let field = |name: &str, data_type| Field::new(name, data_type, false);
        let structure = |fields: Vec<Field>| DataType::Struct(fields.into());
        let ours = structure(vec![
            field("a", DataType::Int32),
            field("b", DataType::Utf8),
        ]);
        let theirs = structure(vec![field("b", DataType::Utf8), field("c", DataType::Int8)]);
        let both = wide(ours.clone(), theirs).unwrap();
        let nullable = |name: &str, data_type| Field::new(name, data_type, true);
        assert_eq!(
            both,
            structure(vec![
                nullable("a", DataType::Int32),
                field("b", DataType::Utf8),
                nullable("c", DataType::Int8),
            ])
        );
        let numbers: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["x", "y"]));
        let DataType::Struct(fields) = ours else {
            unreachable!()
        };
        let column: ArrayRef = Arc::new(StructArray::new(fields, vec![numbers, texts], None));
        let fitted = fitted(&column, &both).unwrap();
        let fitted = fitted.as_struct();
        assert_eq!(
            fitted.column(0).as_primitive::<Int32Type>().values(),
            &[1, 2]
        );
        assert_eq!(fitted.column(2).null_count(), 2);
    }

    #[test]
    fn lists_are_brought_to_a_kind_and_an_item() {
        let column: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([
            Some(vec![Some(1), Some(2)]),
            None,
        ]));
        let item = Arc::new(Field::new("item", DataType::Int64, true));
        let wide = widened(column.data_type(), &DataType::LargeList(item)).unwrap();
        let fitted = fitted(&column, &wide).unwrap();
        let fitted = fitted.as_list::<i64>();
        assert!(fitted.is_null(1));
        assert_eq!(*fitted.value(0), Int64Array::from(vec![1, 2]));
    }

    #[test]
    fn a_value_that_would_change_is_an_error() {
        let column: ArrayRef = Arc::new(TimestampSecondArray::from(vec![i64::MAX / 1000]));
        let nanos = DataType::Timestamp(TimeUnit::Nanosecond, None);
        assert!(fitted(&column, &nanos).is_err());
    }
}
