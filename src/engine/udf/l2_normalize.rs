//! `l2_normalize(v)`.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, Float32Array, ListArray},
    buffer::{NullBuffer, OffsetBuffer},
    datatypes::{DataType, Field, FieldRef},
};
use datafusion::{
    common::{Result, exec_err},
    logical_expr::ScalarUDF,
};

use super::{
    column_function::ColumnFunction,
    takes::Takes,
    vectors::{VECTOR_TYPES, Vectors, is_vector, to_single},
};

/// `l2_normalize(v)`: the vector of length one that points the same way.
pub(super) fn l2_normalize() -> ScalarUDF {
    ColumnFunction {
        takes: Takes {
            function: "l2_normalize",
            arguments: &["v"],
            types: VECTOR_TYPES,
            fits: is_vector,
        },
        returns: DataType::List(element()),
        is_strict: true,
        kernel: unit_vectors,
    }
    .into()
}

fn element() -> FieldRef {
    Arc::new(Field::new("element", DataType::Float32, true))
}

fn unit_vectors(column: &ArrayRef) -> Result<ArrayRef> {
    let vectors = Vectors::try_new(column)?;
    let (mut numbers, mut scratch) = (Vec::new(), Vec::new());
    let mut dims = Vec::with_capacity(column.len());
    for row in 0..column.len() {
        let start = numbers.len();
        if let Some(found) = vectors.direction(row, &mut scratch) {
            let unit = |number: &f32| to_single(f64::from(*number) / found.length);
            numbers.extend(found.values.iter().map(unit));
        }
        dims.push(numbers.len() - start);
    }
    if i32::try_from(numbers.len()).is_err() {
        return exec_err!(
            "l2_normalize: a batch of {} numbers is more than a list column holds; take a smaller batch size",
            numbers.len()
        );
    }
    Ok(Arc::new(ListArray::try_new(
        element(),
        OffsetBuffer::from_lengths(dims.iter().copied()),
        Arc::new(Float32Array::from(numbers)),
        Some(NullBuffer::from_iter(dims.iter().map(|&dim| dim > 0))),
    )?))
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{AsArray, FixedSizeListArray, LargeListArray},
        datatypes::{Float16Type, Float32Type, Float64Type, Int64Type},
    };
    use datafusion::{common::ScalarValue, logical_expr::ColumnarValue};
    use half::f16;

    use super::*;
    use crate::engine::udf::tests::{call, call_columns, printed};

    fn normalized(column: ArrayRef) -> Vec<String> {
        let vectors = call_columns("l2_normalize", &[column]).unwrap();
        assert_eq!(vectors.data_type(), &DataType::List(element()));
        printed(&vectors)
    }

    #[test]
    fn vectors_of_every_type_get_length_one() {
        let half = f16::from_f32;
        let columns: [ArrayRef; 5] = [
            Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>([
                Some(vec![Some(3.0), Some(4.0)]),
                None,
            ])),
            Arc::new(LargeListArray::from_iter_primitive::<Float64Type, _, _>([
                Some(vec![Some(3.0), Some(4.0)]),
                None,
            ])),
            Arc::new(ListArray::from_iter_primitive::<Float16Type, _, _>([
                Some(vec![Some(half(3.0)), Some(half(4.0))]),
                None,
            ])),
            Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>([
                Some(vec![Some(3), Some(4)]),
                None,
            ])),
            Arc::new(
                FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>(
                    [Some(vec![Some(3.0), Some(4.0)]), None],
                    2,
                ),
            ),
        ];
        for column in columns {
            assert_eq!(normalized(Arc::clone(&column)), ["[0.6, 0.8]", "NULL"]);
            assert_eq!(normalized(column.slice(1, 1)), ["NULL"]);
            assert_eq!(normalized(column.slice(0, 0)), [""; 0]);
        }
    }

    #[test]
    fn a_vector_without_direction_is_null() {
        let rows = [
            vec![],
            vec![Some(0.0), Some(-0.0)],
            vec![Some(1.0), None],
            vec![Some(1.0), Some(f32::NAN)],
            vec![Some(1.0), Some(f32::INFINITY)],
            vec![Some(1e-42), Some(0.0)],
            vec![Some(3e38), Some(-3e38)],
        ];
        let column = ListArray::from_iter_primitive::<Float32Type, _, _>(rows.map(Some));
        let found = normalized(Arc::new(column));
        assert_eq!(found[..5], ["NULL"; 5]);
        assert_eq!(found[5..], ["[1.0, 0.0]", "[0.70710677, -0.70710677]"]);
    }

    #[test]
    fn doubles_beyond_single_precision_keep_their_direction() {
        let rows = [
            vec![Some(3e300), Some(4e300)],
            vec![Some(3e-300), Some(4e-300)],
        ];
        let column = ListArray::from_iter_primitive::<Float64Type, _, _>(rows.map(Some));
        let vectors = call_columns("l2_normalize", &[Arc::new(column)]).unwrap();
        for vector in vectors.as_list::<i32>().iter().flatten() {
            let numbers = vector.as_primitive::<Float32Type>().values().to_vec();
            assert!((numbers[0] - 0.6).abs() < 1e-6 && (numbers[1] - 0.8).abs() < 1e-6);
        }
    }

    #[test]
    fn a_constant_stays_a_constant() {
        let result = call(
            "l2_normalize",
            vec![ColumnarValue::Scalar(ScalarValue::Null)],
            3,
        );
        let ColumnarValue::Scalar(value) = result.unwrap() else {
            panic!("a constant gives a constant");
        };
        assert!(value.is_null());
    }
}
