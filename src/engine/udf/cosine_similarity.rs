//! `cosine_similarity(a, b)`.

use std::sync::Arc;

use arrow::{
    array::{Array, Float32Array, Float32Builder},
    datatypes::DataType,
};
use clip_filter_vectors::dot;
use datafusion::{
    common::{Result, ScalarValue, exec_err, utils::take_function_args},
    logical_expr::{
        ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
    },
};

use super::{
    column_function::any_arguments,
    takes::Takes,
    vectors::{Direction, VECTOR_TYPES, Vectors, is_vector, to_single},
};

const TAKES: Takes = Takes {
    function: "cosine_similarity",
    arguments: &["a", "b"],
    types: VECTOR_TYPES,
    fits: is_vector,
};

/// `cosine_similarity(a, b)`: the cosine of the angle between two vectors.
pub(super) fn cosine_similarity() -> ScalarUDF {
    ScalarUDF::new_from_impl(CosineSimilarity {
        signature: any_arguments(Volatility::Immutable),
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct CosineSimilarity {
    signature: Signature,
}

impl ScalarUDFImpl for CosineSimilarity {
    fn name(&self) -> &str {
        TAKES.function
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        TAKES.check(arguments)?;
        Ok(DataType::Float32)
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_constant = |value: &ColumnarValue| matches!(value, ColumnarValue::Scalar(_));
        let all_constant = args.args.iter().all(is_constant);
        let [a, b] = take_function_args(self.name(), &args.args)?;
        let (mut a, mut b) = (Operand::try_new(a)?, Operand::try_new(b)?);
        let rows = if all_constant { 1 } else { args.number_rows };
        let cosines = cosines(&mut a, &mut b, rows)?;
        Ok(if all_constant {
            ColumnarValue::Scalar(ScalarValue::Float32(
                cosines.is_valid(0).then(|| cosines.value(0)),
            ))
        } else {
            ColumnarValue::Array(Arc::new(cosines))
        })
    }
}

/// One argument: a vector per row, or one for all rows, which is read once.
enum Operand {
    Rows {
        vectors: Vectors,
        scratch: Vec<f32>,
    },
    Constant {
        dim: Option<usize>,
        direction: Option<(Vec<f32>, f64)>,
    },
}

impl Operand {
    fn try_new(value: &ColumnarValue) -> Result<Self> {
        match value {
            ColumnarValue::Array(column) => Ok(Self::Rows {
                vectors: Vectors::try_new(column)?,
                scratch: Vec::new(),
            }),
            ColumnarValue::Scalar(value) => {
                let vectors = Vectors::try_new(&value.to_array()?)?;
                let mut scratch = Vec::new();
                let direction = vectors.direction(0, &mut scratch);
                Ok(Self::Constant {
                    dim: vectors.dim(0),
                    direction: direction.map(|found| (found.values.to_vec(), found.length)),
                })
            }
        }
    }

    fn dim(&self, row: usize) -> Option<usize> {
        match self {
            Self::Rows { vectors, .. } => vectors.dim(row),
            Self::Constant { dim, .. } => *dim,
        }
    }

    fn direction(&mut self, row: usize) -> Option<Direction<'_>> {
        match self {
            Self::Rows { vectors, scratch } => vectors.direction(row, scratch),
            Self::Constant { direction, .. } => {
                direction.as_ref().map(|(values, length)| Direction {
                    values,
                    length: *length,
                })
            }
        }
    }
}

fn cosines(a: &mut Operand, b: &mut Operand, rows: usize) -> Result<Float32Array> {
    let mut cosines = Float32Builder::with_capacity(rows);
    for row in 0..rows {
        if let (Some(a_dim), Some(b_dim)) = (a.dim(row), b.dim(row))
            && a_dim != b_dim
        {
            return exec_err!(
                "cosine_similarity: vectors of different length, {a_dim} and {b_dim}, in row {row} of {rows}"
            );
        }
        cosines.append_option(cosine_of(a.direction(row), b.direction(row)));
    }
    Ok(cosines.finish())
}

fn cosine_of(a: Option<Direction<'_>>, b: Option<Direction<'_>>) -> Option<f32> {
    let (a, b) = (a?, b?);
    // One rounding at the end; the product of two lengths may overflow in f32.
    let cosine = f64::from(dot(a.values, b.values)) / (a.length * b.length);
    Some(to_single(cosine).clamp(-1.0, 1.0))
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{ArrayRef, AsArray, FixedSizeListArray, LargeListArray, ListArray},
        datatypes::{Float16Type, Float32Type, Float64Type},
    };
    use half::f16;

    use super::*;
    use crate::engine::udf::tests::{call, call_columns, printed};

    type Row = Option<Vec<Option<f32>>>;

    fn row(numbers: &[f32]) -> Row {
        Some(numbers.iter().copied().map(Some).collect())
    }

    fn list(rows: Vec<Row>) -> ArrayRef {
        Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>(rows))
    }

    /// The same vectors in every type; each row must have `dim` numbers.
    fn all_types(rows: &[Row], dim: i32) -> Vec<ArrayRef> {
        let halves = rows.iter().map(|row| {
            let numbers = row.as_ref()?.iter();
            Some(
                numbers
                    .map(|number| number.map(f16::from_f32))
                    .collect::<Vec<_>>(),
            )
        });
        let doubles = rows.iter().map(|row| {
            let numbers = row.as_ref()?.iter();
            Some(
                numbers
                    .map(|number| number.map(f64::from))
                    .collect::<Vec<_>>(),
            )
        });
        vec![
            list(rows.to_vec()),
            Arc::new(LargeListArray::from_iter_primitive::<Float32Type, _, _>(
                rows.to_vec(),
            )),
            Arc::new(ListArray::from_iter_primitive::<Float16Type, _, _>(halves)),
            Arc::new(LargeListArray::from_iter_primitive::<Float64Type, _, _>(
                doubles,
            )),
            Arc::new(
                FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>(rows.to_vec(), dim),
            ),
        ]
    }

    fn constant(numbers: &[f32]) -> ColumnarValue {
        ColumnarValue::Scalar(ScalarValue::try_from_array(&list(vec![row(numbers)]), 0).unwrap())
    }

    fn rows_against(column: &ArrayRef, constant: ColumnarValue) -> Result<ArrayRef> {
        let args = vec![ColumnarValue::Array(Arc::clone(column)), constant];
        call("cosine_similarity", args, column.len())?.into_array(column.len())
    }

    #[test]
    fn vectors_of_all_types_are_compared() {
        let a = [row(&[3.0, 4.0]), None, row(&[1.0, 0.0]), row(&[2.0, 0.0])];
        let b = [
            row(&[4.0, 3.0]),
            row(&[1.0, 1.0]),
            row(&[0.0, -7.0]),
            row(&[-0.5, 0.0]),
        ];
        for a in all_types(&a, 2) {
            for b in all_types(&b, 2) {
                let found =
                    call_columns("cosine_similarity", &[Arc::clone(&a), Arc::clone(&b)]).unwrap();
                assert_eq!(printed(&found), ["0.96", "NULL", "0.0", "-1.0"]);
                let slices = [a.slice(2, 2), b.slice(2, 2)];
                let found = call_columns("cosine_similarity", &slices).unwrap();
                assert_eq!(printed(&found), ["0.0", "-1.0"]);
                let none = [a.slice(0, 0), b.slice(0, 0)];
                assert_eq!(call_columns("cosine_similarity", &none).unwrap().len(), 0);
            }
        }
    }

    #[test]
    fn a_vector_without_direction_has_no_cosine() {
        let a = list(vec![
            row(&[]),
            row(&[0.0, 0.0]),
            Some(vec![Some(1.0), None]),
            row(&[f32::NAN, 1.0]),
            row(&[f32::NEG_INFINITY, 1.0]),
            row(&[1e-40, 0.0]),
            row(&[1e38, 0.0]),
        ]);
        let expected = ["NULL", "NULL", "NULL", "NULL", "NULL", "1.0", "1.0"];
        let b = list(vec![row(&[5.0, 0.0]); 7]);
        let found = call_columns("cosine_similarity", &[Arc::clone(&a), b]).unwrap();
        assert_eq!(printed(&found), expected);
        let found = rows_against(&a, constant(&[5.0, 0.0])).unwrap();
        assert_eq!(printed(&found), expected);
        let found = rows_against(&a, constant(&[])).unwrap();
        assert_eq!(found.null_count(), 7);
        let found = rows_against(&a, ColumnarValue::Scalar(ScalarValue::Null)).unwrap();
        assert_eq!(found.null_count(), 7);
    }

    #[test]
    fn a_constant_equals_the_column_of_it() {
        let numbers = |seed: u16| -> Vec<f32> {
            (0..100u16)
                .map(|i| f32::from((i * 37 + seed * 11) % 101) - 50.0)
                .collect()
        };
        let rows: Vec<Row> = (0..20).map(|seed| row(&numbers(seed))).collect();
        let a = list(rows);
        let b = list(vec![row(&numbers(99)); 20]);
        let columns = call_columns("cosine_similarity", &[Arc::clone(&a), b]).unwrap();
        let with_constant = rows_against(&a, constant(&numbers(99))).unwrap();
        assert_eq!(&columns, &with_constant);
        for (seed, found) in (0..20).zip(columns.as_primitive::<Float32Type>().values()) {
            let (a, b) = (numbers(seed), numbers(99));
            let sum = |x: &[f32], y: &[f32]| -> f64 {
                x.iter()
                    .zip(y)
                    .map(|(x, y)| f64::from(*x) * f64::from(*y))
                    .sum()
            };
            let exact = sum(&a, &b) / (sum(&a, &a) * sum(&b, &b)).sqrt();
            assert!((f64::from(*found) - exact).abs() < 1e-6);
        }
    }

    #[test]
    fn two_constants_give_a_constant() {
        let args = vec![constant(&[3.0, 4.0]), constant(&[4.0, 3.0])];
        let found = call("cosine_similarity", args, 9).unwrap();
        assert!(matches!(
            found,
            ColumnarValue::Scalar(ScalarValue::Float32(Some(_)))
        ));
    }

    #[test]
    fn vectors_of_different_length_are_an_error_that_names_the_row() {
        let a = list(vec![None, row(&[1.0, 2.0]), row(&[1.0, 2.0])]);
        let b = list(vec![row(&[1.0]), row(&[1.0, 2.0]), row(&[1.0, 2.0, 3.0])]);
        let error = call_columns("cosine_similarity", &[Arc::clone(&a), b]).unwrap_err();
        let expected = "vectors of different length, 2 and 3, in row 2 of 3";
        assert!(error.to_string().contains(expected), "{error}");
        let error = rows_against(&a, constant(&[1.0])).unwrap_err();
        let expected = "vectors of different length, 2 and 1, in row 1 of 3";
        assert!(error.to_string().contains(expected), "{error}");
    }
}
