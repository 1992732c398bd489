//! The instant that a time, a date or a text of one stands for, as a number that holds every one of them.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Decimal128Array, timezone::Tz},
    compute::{cast, kernels::cast_utils::string_to_datetime},
    datatypes::{
        DataType, Date32Type, Date64Type, Decimal128Type, TimeUnit, TimestampMicrosecondType,
        TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    },
    error::ArrowError,
};
use datafusion::{
    common::{Result, ScalarValue, exec_err},
    logical_expr::{
        ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
    },
};

/// The type of instants: seconds of 64 bits are 28 digits of nanoseconds.
const DIGITS: u8 = 38;

/// Nanoseconds since 1970 in UTC, of a timestamp of any unit, a date (its midnight) or a text.
///
/// Nanoseconds of 64 bits reach from 1677 to 2262; these have every value of every column.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Instant {
    /// The zone of what names none; UTC if `None`.
    pub(super) zone: Option<Arc<str>>,
    /// Whether a text that is no time is null, and no error.
    pub(super) is_lenient: bool,
    signature: Signature,
}

impl Instant {
    /// Of what names no zone, in `zone`.
    pub(super) fn within(zone: Option<Arc<str>>) -> Self {
        Self {
            zone,
            is_lenient: false,
            signature: Signature::any(1, Volatility::Immutable),
        }
    }

    /// The same, null where a text is no time.
    pub(super) fn lenient(self) -> Self {
        Self {
            is_lenient: true,
            ..self
        }
    }

    /// The instant of `expr`.
    pub(super) fn of(self, expr: Expr) -> Expr {
        ScalarUDF::new_from_impl(self).call(vec![expr])
    }

    /// The instant of `value`; `None` where it is null.
    pub(super) fn of_value(&self, value: &ScalarValue) -> Result<Option<i128>> {
        let instants = self.of_each(&value.to_array()?)?;
        Ok(instants.is_valid(0).then(|| instants.value(0)))
    }

    fn of_each(&self, column: &ArrayRef) -> Result<Decimal128Array> {
        use DataType::{Date32, Date64, Dictionary, Timestamp};
        let instants: Decimal128Array =
            match (column.data_type(), &self.zone) {
                (Dictionary(_, values), _) => return self.of_each(&cast(column, values)?),
                // A time of no zone is what a clock there shows.
                (Timestamp(unit, None), Some(zone)) => {
                    let there = Timestamp(*unit, Some(Arc::clone(zone)));
                    return self.of_each(&cast(column, &there)?);
                }
                (Timestamp(TimeUnit::Second, _), _) => column
                    .as_primitive::<TimestampSecondType>()
                    .unary::<_, Decimal128Type>(|second| i128::from(second) * 1_000_000_000),
                (Timestamp(TimeUnit::Millisecond, _), _) => column
                    .as_primitive::<TimestampMillisecondType>()
                    .unary(|milli| i128::from(milli) * 1_000_000),
                (Timestamp(TimeUnit::Microsecond, _), _) => column
                    .as_primitive::<TimestampMicrosecondType>()
                    .unary(|micro| i128::from(micro) * 1_000),
                (Timestamp(TimeUnit::Nanosecond, _), _) => column
                    .as_primitive::<TimestampNanosecondType>()
                    .unary(i128::from),
                (Date32, _) => column
                    .as_primitive::<Date32Type>()
                    .unary(|day| i128::from(day) * DAY),
                (Date64, _) => column
                    .as_primitive::<Date64Type>()
                    .unary(|milli| i128::from(milli) * 1_000_000),
                (text, _) if text.is_string() => self.of_texts(column)?,
                (other, _) => return exec_err!("{} is of times, not of {other}", self.name()),
            };
        Ok(instants.with_precision_and_scale(DIGITS, 0)?)
    }

    fn of_texts(&self, column: &ArrayRef) -> Result<Decimal128Array, ArrowError> {
        let zone: Tz = self.zone.as_deref().unwrap_or("+00:00").parse()?;
        let texts = cast(column, &DataType::Utf8View)?;
        let instant = |text: Option<&str>| {
            let parsed = text.map(|text| string_to_datetime(&zone, text));
            match parsed.transpose() {
                Err(_) if self.is_lenient => Ok(None),
                parsed => parsed.map(|time| {
                    time.map(|time| {
                        let nanos = i128::from(time.timestamp_subsec_nanos());
                        i128::from(time.timestamp()) * 1_000_000_000 + nanos
                    })
                }),
            }
        };
        texts.as_string_view().iter().map(instant).collect()
    }
}

/// Nanoseconds of a day.
const DAY: i128 = 86_400_000_000_000;

/// `instant` as a literal.
pub(super) fn instant_literal(instant: Option<i128>) -> Expr {
    Expr::Literal(ScalarValue::Decimal128(instant, DIGITS, 0), None)
}

/// `instant` as a value of `data_type`; `None` if that has none.
pub(super) fn as_type(instant: Option<i128>, data_type: &DataType) -> Result<Option<ScalarValue>> {
    use DataType::{Date32, Date64, Timestamp};
    let Some(instant) = instant else {
        return ScalarValue::try_from(data_type).map(Some);
    };
    let size = match data_type {
        Timestamp(TimeUnit::Second, _) => 1_000_000_000,
        Timestamp(TimeUnit::Millisecond, _) | Date64 => 1_000_000,
        Timestamp(TimeUnit::Microsecond, _) => 1_000,
        Timestamp(TimeUnit::Nanosecond, _) => 1,
        Date32 => DAY,
        _ => return Ok(None),
    };
    let whole = (instant % size == 0).then_some(instant / size);
    let Some(number) = whole.and_then(|number| i64::try_from(number).ok()) else {
        return Ok(None);
    };
    Ok(match data_type {
        Date32 => i32::try_from(number)
            .ok()
            .map(|day| ScalarValue::Date32(Some(day))),
        Date64 => Some(ScalarValue::Date64(Some(number))),
        Timestamp(unit, zone) => Some(match unit {
            TimeUnit::Second => ScalarValue::TimestampSecond(Some(number), zone.clone()),
            TimeUnit::Millisecond => ScalarValue::TimestampMillisecond(Some(number), zone.clone()),
            TimeUnit::Microsecond => ScalarValue::TimestampMicrosecond(Some(number), zone.clone()),
            TimeUnit::Nanosecond => ScalarValue::TimestampNanosecond(Some(number), zone.clone()),
        }),
        _ => None,
    })
}

impl ScalarUDFImpl for Instant {
    fn name(&self) -> &str {
        "instant"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Decimal128(DIGITS, 0))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match args.args.as_slice() {
            [ColumnarValue::Array(column)] => {
                Ok(ColumnarValue::Array(Arc::new(self.of_each(column)?)))
            }
            [ColumnarValue::Scalar(value)] => {
                let instant = self.of_value(value)?;
                let value = ScalarValue::Decimal128(instant, DIGITS, 0);
                Ok(ColumnarValue::Scalar(value))
            }
            _ => exec_err!("{} is of one column", self.name()),
        }
    }
}
