//! Values as short text for a person.

use std::{
    fmt::{self, Write},
    ops::Range,
};

use arrow::{
    array::{Array, AsArray},
    datatypes::{DataType, Float16Type, Float32Type, Float64Type},
    util::display::{ArrayFormatter, FormatOptions},
};
use unicode_width::UnicodeWidthChar;

use crate::{
    cli::{plain::is_obeyed, summary::count},
    error::{Error, Result},
};

/// Longer lists of numbers are embeddings: their first two numbers and their length are shown.
const LONGEST_LIST_OF_NUMBERS: usize = 4;

/// The cells of one column of one batch.
pub(super) struct Cells<'a> {
    array: &'a dyn Array,
    kind: Kind<'a>,
}

enum Kind<'a> {
    Binary(Box<dyn Fn(usize) -> usize + 'a>),
    Struct(Vec<(&'a str, Cells<'a>)>),
    List {
        range: Box<dyn Fn(usize) -> Range<usize> + 'a>,
        items: Box<Cells<'a>>,
    },
    Plain(ArrayFormatter<'a>),
}

impl<'a> Cells<'a> {
    pub(super) fn try_new(array: &'a dyn Array) -> Result<Self> {
        let kind = match array.data_type() {
            DataType::Struct(fields) => {
                let columns = array.as_struct().columns();
                let cells = fields
                    .iter()
                    .zip(columns)
                    .map(|(field, column)| Ok((field.name().as_str(), Self::try_new(column)?)));
                Kind::Struct(cells.collect::<Result<_>>()?)
            }
            other => match (lengths(array), other) {
                (Some(length), _) => Kind::Binary(length),
                (None, _) => Self::list_or_plain(array)?,
            },
        };
        Ok(Self { array, kind })
    }

    fn list_or_plain(array: &'a dyn Array) -> Result<Kind<'a>> {
        let (range, items): (Box<dyn Fn(usize) -> Range<usize>>, _) = match array.data_type() {
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                (Box::new(move |row| offsets(list, row)), list.values())
            }
            DataType::LargeList(_) => {
                let list = array.as_list::<i64>();
                (Box::new(move |row| offsets(list, row)), list.values())
            }
            DataType::FixedSizeList(..) => {
                let list = array.as_fixed_size_list();
                let length = usize::try_from(list.value_length()).unwrap_or_default();
                let range = move |row| row * length..(row + 1) * length;
                (Box::new(range), list.values())
            }
            _ => {
                let options = FormatOptions::new().with_null("NULL");
                return ArrayFormatter::try_new(array, &options)
                    .map(Kind::Plain)
                    .map_err(|error| Error::output("show a column").source(error));
            }
        };
        let items = Box::new(Self::try_new(items)?);
        Ok(Kind::List { range, items })
    }

    /// The cell of `row` in at most `width` columns of a terminal, on one line.
    pub(super) fn text(&self, row: usize, width: usize) -> String {
        let mut line = Line::new(width);
        // Fails where the line is full, which spares the rest of a long text.
        let _ = self.write(row, &mut line);
        line.end()
    }

    fn write(&self, row: usize, out: &mut Line) -> fmt::Result {
        if self.array.is_null(row) {
            return out.write_str("NULL");
        }
        match &self.kind {
            Kind::Binary(length) => {
                write!(out, "<{} bytes>", count(length(row) as u64))
            }
            Kind::Struct(cells) => {
                out.write_str("{")?;
                for (position, (name, cells)) in cells.iter().enumerate() {
                    let comma = if position > 0 { ", " } else { "" };
                    write!(out, "{comma}{name}: ")?;
                    cells.write(row, out)?;
                }
                out.write_str("}")
            }
            Kind::List { range, items } => items.write_list(range(row), out),
            Kind::Plain(formatter) => write!(out, "{}", formatter.value(row)),
        }
    }

    fn write_list(&self, rows: Range<usize>, out: &mut Line) -> fmt::Result {
        let length = rows.len();
        let short = length > LONGEST_LIST_OF_NUMBERS && self.array.data_type().is_floating();
        let shown = if short { 2 } else { length };
        out.write_str("[")?;
        for (position, row) in rows.take(shown).enumerate() {
            if position > 0 {
                out.write_str(", ")?;
            }
            match float(self.array, row) {
                Some(number) if short => write!(out, "{number:.2}")?,
                _ => self.write(row, out)?,
            }
        }
        if short {
            write!(out, ", … {length}")?;
        }
        out.write_str("]")
    }
}

fn offsets<O: arrow::array::OffsetSizeTrait>(
    list: &arrow::array::GenericListArray<O>,
    row: usize,
) -> Range<usize> {
    let offsets = list.value_offsets();
    offsets[row].as_usize()..offsets[row + 1].as_usize()
}

/// Byte counts of the rows of a binary column.
fn lengths<'a>(array: &'a dyn Array) -> Option<Box<dyn Fn(usize) -> usize + 'a>> {
    Some(match array.data_type() {
        DataType::Binary => {
            let bytes = array.as_binary::<i32>();
            Box::new(move |row| bytes.value(row).len())
        }
        DataType::LargeBinary => {
            let bytes = array.as_binary::<i64>();
            Box::new(move |row| bytes.value(row).len())
        }
        DataType::BinaryView => {
            let bytes = array.as_binary_view();
            Box::new(move |row| bytes.value(row).len())
        }
        DataType::FixedSizeBinary(_) => {
            let bytes = array.as_fixed_size_binary();
            Box::new(move |row| bytes.value(row).len())
        }
        _ => return None,
    })
}

fn float(array: &dyn Array, row: usize) -> Option<f64> {
    if array.is_null(row) {
        return None;
    }
    match array.data_type() {
        DataType::Float16 => Some(array.as_primitive::<Float16Type>().value(row).to_f64()),
        DataType::Float32 => Some(f64::from(array.as_primitive::<Float32Type>().value(row))),
        DataType::Float64 => Some(array.as_primitive::<Float64Type>().value(row)),
        _ => None,
    }
}

/// `text` in at most `width` columns, on one line, with nothing that a terminal would obey.
pub(super) fn fit(text: &str, width: usize) -> String {
    let mut line = Line::new(width);
    let _ = line.write_str(text);
    line.end()
}

/// Columns of a terminal that `text` takes.
pub(super) fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

fn char_width(c: char) -> usize {
    c.width().unwrap_or(0)
}

/// One line that takes so much and then refuses.
struct Line {
    text: String,
    used: usize,
    most: usize,
    full: bool,
}

impl Line {
    fn new(most: usize) -> Self {
        Self {
            text: String::new(),
            used: 0,
            most,
            full: false,
        }
    }

    fn push(&mut self, c: char) -> fmt::Result {
        if self.used + char_width(c) > self.most {
            self.full = true;
            return Err(fmt::Error);
        }
        self.used += char_width(c);
        self.text.push(c);
        Ok(())
    }

    fn end(mut self) -> String {
        if self.full {
            while self.used + 1 > self.most {
                let Some(last) = self.text.pop() else { break };
                self.used -= char_width(last);
            }
            self.text.push('…');
        }
        self.text
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '\n' | '\r' | '\t' => c.escape_default().try_for_each(|c| self.push(c))?,
                c if is_obeyed(c) => c.escape_unicode().try_for_each(|c| self.push(c))?,
                c => self.push(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{
            ArrayRef, BinaryViewArray, FixedSizeListArray, Float32Array, Int64Array, ListArray,
            NullArray, StringArray, StructArray,
        },
        datatypes::{Field, Int32Type},
    };

    use super::*;

    fn texts(array: &dyn Array, width: usize) -> Vec<String> {
        let cells = Cells::try_new(array).unwrap();
        (0..array.len()).map(|row| cells.text(row, width)).collect()
    }

    #[test]
    fn bytes_are_counted_and_embeddings_shortened() {
        let bytes = vec![0_u8; 12_345];
        let bytes: ArrayRef = Arc::new(BinaryViewArray::from(vec![Some(bytes.as_slice()), None]));
        assert_eq!(texts(&bytes, 40), ["<12,345 bytes>", "NULL"]);
        let path: ArrayRef = Arc::new(StringArray::from(vec![None, Some("a.jpg")]));
        let image = StructArray::from(vec![
            (
                Arc::new(Field::new("bytes", DataType::BinaryView, true)),
                bytes,
            ),
            (Arc::new(Field::new("path", DataType::Utf8, true)), path),
        ]);
        assert_eq!(
            texts(&image, 40),
            [
                "{bytes: <12,345 bytes>, path: NULL}",
                "{bytes: NULL, path: a.jpg}"
            ]
        );
        let item = Arc::new(Field::new("item", DataType::Float32, true));
        let numbers = Float32Array::from_iter_values((0..10).map(|n| n as f32 / 7.0 - 0.031));
        let list = FixedSizeListArray::new(item, 5, Arc::new(numbers), None);
        assert_eq!(
            texts(&list, 40),
            ["[-0.03, 0.11, … 5]", "[0.68, 0.83, … 5]"]
        );
    }

    #[test]
    fn short_lists_and_nulls_are_shown_whole() {
        let rows = [Some(vec![Some(1), None, Some(3)]), None, Some(vec![])];
        let list = ListArray::from_iter_primitive::<Int32Type, _, _>(rows);
        assert_eq!(texts(&list, 40), ["[1, NULL, 3]", "NULL", "[]"]);
        assert_eq!(texts(&list.slice(1, 2), 40), ["NULL", "[]"]);
        assert_eq!(texts(&NullArray::new(1), 40), ["NULL"]);
        assert_eq!(texts(&Int64Array::from(vec![-7]), 40), ["-7"]);
    }

    #[test]
    fn long_text_is_cut_by_the_columns_it_takes() {
        let array = StringArray::from(vec!["abcdef", "abcdefg", "日本語文字", "日本", ""]);
        assert_eq!(texts(&array, 6), ["abcdef", "abcde…", "日本…", "日本", ""]);
        assert_eq!(width("日本…"), 5);
    }

    #[test]
    fn a_terminal_is_not_commanded_by_data() {
        let array = StringArray::from(vec!["a\nb\tc", "\u{1b}[2J", "x\u{202e}y"]);
        assert_eq!(
            texts(&array, 40),
            ["a\\nb\\tc", "\\u{1b}[2J", "x\\u{202e}y"]
        );
    }
}
