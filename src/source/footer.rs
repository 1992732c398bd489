//! Reading the footer of a Parquet file, and the words where that fails.

use parquet::{
    arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions},
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

fn footer_error(location: &Location, file: &ShardBytes, error: ParquetError) -> Error {
    let size = file.size_bytes();
    let read = |range| file.read_at(range).unwrap_or_default();
    if *read(size.saturating_sub(4)..size) == *b"PARE" {
        return encrypted(location, "read the Parquet footer: it is encrypted");
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
