//! Columns of vectors, read row by row as `f32` slices.

use std::{ops::Range, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray},
    buffer::{NullBuffer, OffsetBuffer, ScalarBuffer},
    compute::cast,
    datatypes::{ArrowNativeType, DataType, Field, Float16Type, Float32Type, Float64Type},
};
use clip_filter_vectors::dot;
use datafusion::common::{Result, internal_err};
use half::{f16, slice::HalfFloatSliceExt};

/// What fits as a vector, in the words of an error.
pub(super) const VECTOR_TYPES: &str = "lists of numbers (list, large list or fixed-size list)";

/// Whether values of this type are vectors; lists of integers and decimals are what SQL literals give.
pub(super) fn is_vector(data_type: &DataType) -> bool {
    match data_type {
        DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _) => {
            field.data_type().is_numeric() || field.data_type().is_null()
        }
        _ => false,
    }
}

/// Lengths whose square neither overflows nor loses digits in `f32`.
const SAFE_LENGTHS: std::ops::RangeInclusive<f64> = 1e-15..=1e15;

/// A vector up to a positive factor.
pub(super) struct Direction<'a> {
    pub(super) values: &'a [f32],
    /// Of `values`: positive and finite.
    pub(super) length: f64,
}

/// A column of vectors.
pub(super) struct Vectors {
    spans: Spans,
    nulls: Option<NullBuffer>,
    elements: Elements,
    element_nulls: Option<NullBuffer>,
}

enum Spans {
    Narrow(OffsetBuffer<i32>),
    Wide(OffsetBuffer<i64>),
    Fixed(usize),
}

enum Elements {
    Half(ScalarBuffer<f16>),
    Single(ScalarBuffer<f32>),
    Double(ScalarBuffer<f64>),
}

impl Vectors {
    /// The rows of `column`; nothing is copied where it holds floats.
    pub(super) fn try_new(column: &ArrayRef) -> Result<Self> {
        let (spans, elements) = match column.data_type() {
            DataType::List(_) => {
                let lists = column.as_list::<i32>();
                (Spans::Narrow(lists.offsets().clone()), lists.values())
            }
            DataType::LargeList(_) => {
                let lists = column.as_list::<i64>();
                (Spans::Wide(lists.offsets().clone()), lists.values())
            }
            DataType::FixedSizeList(_, length) => (
                Spans::Fixed(length.as_usize()),
                column.as_fixed_size_list().values(),
            ),
            DataType::Null => {
                let lists =
                    DataType::List(Arc::new(Field::new("element", DataType::Float32, true)));
                return Self::try_new(&cast(column, &lists)?);
            }
            other => return internal_err!("{other} is no vector"),
        };
        let element_nulls = elements.logical_nulls();
        Ok(Self {
            spans,
            nulls: column.nulls().cloned(),
            elements: Elements::try_new(elements)?,
            element_nulls: element_nulls.filter(|nulls| nulls.null_count() > 0),
        })
    }

    /// Numbers of `row`; `None` where it is null or empty.
    pub(super) fn dim(&self, row: usize) -> Option<usize> {
        let is_null = self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
        let dim = self.span(row).len();
        (!is_null && dim > 0).then_some(dim)
    }

    /// Where `row` points; `None` where it is null, empty, all zeros, or an element is null, NaN or infinite.
    ///
    /// `scratch` holds the numbers where they are not `f32` already.
    pub(super) fn direction<'a>(
        &'a self,
        row: usize,
        scratch: &'a mut Vec<f32>,
    ) -> Option<Direction<'a>> {
        self.dim(row)?;
        let span = self.span(row);
        let has_null = |nulls: &NullBuffer| nulls.slice(span.start, span.len()).null_count() > 0;
        if self.element_nulls.as_ref().is_some_and(has_null) {
            return None;
        }
        self.elements.narrow(span.clone(), scratch);
        let values = self.elements.narrowed(span.clone(), scratch);
        let length = length(values);
        if !SAFE_LENGTHS.contains(&length) {
            return self.elements.rescaled(span, scratch);
        }
        let values = self.elements.narrowed(span, scratch);
        Some(Direction { values, length })
    }

    fn span(&self, row: usize) -> Range<usize> {
        match &self.spans {
            Spans::Narrow(offsets) => offsets[row].as_usize()..offsets[row + 1].as_usize(),
            Spans::Wide(offsets) => offsets[row].as_usize()..offsets[row + 1].as_usize(),
            Spans::Fixed(dim) => row * dim..(row + 1) * dim,
        }
    }
}

impl Elements {
    fn try_new(elements: &ArrayRef) -> Result<Self> {
        Ok(match elements.data_type() {
            DataType::Float16 => {
                Self::Half(elements.as_primitive::<Float16Type>().values().clone())
            }
            DataType::Float32 => {
                Self::Single(elements.as_primitive::<Float32Type>().values().clone())
            }
            DataType::Float64 => {
                Self::Double(elements.as_primitive::<Float64Type>().values().clone())
            }
            _ => {
                let doubles = cast(elements, &DataType::Float64)?;
                Self::Double(doubles.as_primitive::<Float64Type>().values().clone())
            }
        })
    }

    /// Fills `scratch` unless the numbers are `f32` already.
    fn narrow(&self, span: Range<usize>, scratch: &mut Vec<f32>) {
        match self {
            Self::Single(_) => {}
            Self::Half(numbers) => {
                scratch.resize(span.len(), 0.0);
                numbers[span].convert_to_f32_slice(scratch);
            }
            Self::Double(numbers) => {
                scratch.clear();
                scratch.extend(numbers[span].iter().copied().map(to_single));
            }
        }
    }

    /// The numbers, after [`Self::narrow`].
    fn narrowed<'a>(&'a self, span: Range<usize>, scratch: &'a [f32]) -> &'a [f32] {
        match self {
            Self::Single(numbers) => &numbers[span],
            Self::Half(_) | Self::Double(_) => scratch,
        }
    }

    /// The numbers divided by the largest of them, for vectors whose squares `f32` cannot hold.
    fn rescaled<'a>(&self, span: Range<usize>, scratch: &'a mut Vec<f32>) -> Option<Direction<'a>> {
        let mut largest = 0.0f64;
        for number in span.clone().map(|position| self.double(position)) {
            if !number.is_finite() {
                return None;
            }
            largest = largest.max(number.abs());
        }
        if largest == 0.0 {
            return None;
        }
        scratch.clear();
        scratch.extend(span.map(|position| to_single(self.double(position) / largest)));
        Some(Direction {
            values: scratch,
            length: length(scratch),
        })
    }

    fn double(&self, position: usize) -> f64 {
        match self {
            Self::Half(numbers) => numbers[position].to_f64(),
            Self::Single(numbers) => f64::from(numbers[position]),
            Self::Double(numbers) => numbers[position],
        }
    }
}

fn length(vector: &[f32]) -> f64 {
    f64::from(dot(vector, vector)).sqrt()
}

/// The nearest `f32`.
#[expect(
    clippy::cast_possible_truncation,
    reason = "digits beyond f32 do not matter, and what overflows is rescaled"
)]
pub(super) fn to_single(number: f64) -> f32 {
    number as f32
}
