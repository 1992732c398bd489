//! Reading the footer of a Parquet file, and the words where that fails.

use parquet::{
    arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions},
    basic::{ConvertedType, Type},
    errors::ParquetError,
};

use super::{
    Location, ShardBytes,
    encryption::{KeepsLast, encrypted_leaf},
    read_footer,
};
use crate::error::{Error, Result};

/// How files begin that are compressed as a whole.
const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The footer of a shard of which nothing is encrypted.
pub(super) fn footer_of(location: &Location, file: &ShardBytes) -> Result<ArrowReaderMetadata> {
    let read = KeepsLast::new(file);
    let footer = read_footer(&read, ArrowReaderOptions::new());
    let footer = footer.map_err(|error| footer_error(location, file, error))?;
    if let Some(leaf) = encrypted_leaf(&read.last()) {
        let columns = footer.parquet_schema().columns();
        let column = columns.get(leaf).map(|column| column.path().string());
        let column = column.unwrap_or_default();
        return Err(encrypted(
            location,
            &format!("read the shard: its column '{column}' is encrypted"),
        ));
    }
    Ok(footer)
}

fn encrypted(location: &Location, what: &str) -> Error {
    Error::input(what)
        .with("shard", location)
        .hint("write it without encryption first: this program takes no keys")
        .of_bad_shard(location.name())
}

/// Where the file itself is sound: the columns whose type Parquet does not tell, and their types in the file.
fn columns_of_unknown_type(file: &ShardBytes) -> Option<String> {
    let plain = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let footer = read_footer(&KeepsLast::new(file), plain).ok()?;
    let leaves = footer.parquet_schema().columns().iter();
    let unknown = leaves.filter(|leaf| {
        leaf.physical_type() == Type::FIXED_LEN_BYTE_ARRAY
            && leaf.logical_type_ref().is_none()
            && leaf.converted_type() == ConvertedType::NONE
    });
    let unknown =
        unknown.map(|leaf| format!("{} of {} bytes", leaf.path().string(), leaf.type_length()));
    let unknown: Vec<String> = unknown.collect();
    (!unknown.is_empty()).then(|| unknown.join(", "))
}

fn footer_error(location: &Location, file: &ShardBytes, error: ParquetError) -> Error {
    let size = file.size_bytes();
    let read = |range| file.read_at(range).unwrap_or_default();
    if *read(size.saturating_sub(4)..size) == *b"PARE" {
        return encrypted(location, "read the Parquet footer: it is encrypted");
    }
    if let Some(columns) = columns_of_unknown_type(file) {
        return Error::input("read the columns of the shard: its writer declared a type that is not known")
            .with("shard", location)
            .with("columns", columns)
            .source(error)
            .hint("write them as another type: of an Int128 of Polars cast(pl.Decimal(38, 0)) or cast(pl.String)")
            .of_bad_shard(location.name());
    }
    let start = read(0..4);
    let is_packed = start.starts_with(&GZIP) || start.starts_with(&ZSTD);
    Error::input("read the Parquet footer")
        .with("shard", location)
        .with("size", format!("{size} bytes"))
        .source(error)
        .hint(match is_packed {
            true => "the file is compressed as a whole: unpack it, Parquet compresses its own pages",
            false => "the file is not Parquet, is damaged, or was not written to its end; fetch it again or leave it out (--on-bad-shard skip)",
        })
        .of_bad_shard(location.name())
}
