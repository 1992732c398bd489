//! Tar shards as the package `webdataset` has them: a sample is the members of one key that stand together.
//!
//! ```text
//! stream ─► members ─► survey ─► index     where samples lie, once from front to back
//!                         └────► columns   key, image, other fields, keys of JSON
//! index, columns ─► open_tar ─► fetch ─► values    ranges of a stretch, as columns
//! ```
//!
//! `__key__` is a column, `image` is the first image of a sample with its name, `txt` and other fields have their own
//! names. Each key of a `.json` is a column, too, beside `json` itself, which holds it as it is. A tar that is
//! compressed as a whole is read from front to back, and is one stretch.
//!
//! # Limits
//! A member of more than 256 MiB is not read, nor is a link, a device or a sparse file: the sample lacks it, and the run
//! tells how many there are. The index is held while the shards are: about five bytes for each member.

mod columns;
mod fetch;
mod header;
mod index;
mod json;
mod members;
mod names;
mod open_tar;
mod stream;
mod survey;
#[cfg(test)]
mod tests;
mod values;

use std::{collections::HashMap, io, sync::Arc};

use parquet::basic::{Compression, ZstdLevel};

pub(crate) use self::names::IMAGES;
use self::{
    columns::{ColumnBytes, Columns},
    open_tar::{OpenTar, Tar},
    stream::{TarStream, is_packed},
    survey::{Surveyed, survey},
};
use super::{
    Location, ReadPlan, ShardBytes,
    kind::{ChunkLayout, GroupLayout, Layout, OpenRows, Outline, ShardKind, ShardRows},
    view_schema,
};
use crate::error::{Error, Result};

pub(super) const KIND: ShardKind = ShardKind {
    endings: &["tar", "tgz"],
    outline,
    layout,
};

fn surveyed(location: &Location, file: &ShardBytes) -> Result<(Surveyed, bool)> {
    let failed = |error: io::Error| {
        Error::input("read the headers of the tar")
            .with("shard", location)
            .with("size", format!("{} bytes", file.size_bytes()))
            .source(error)
            .hint("the file is no tar, is damaged, or was not written to its end; fetch it again or leave it out (--on-bad-shard skip)")
            .of_bad_shard(location.name())
    };
    if file.size_bytes() == 0 {
        return Err(failed(io::ErrorKind::UnexpectedEof.into()));
    }
    let is_packed = is_packed(file).map_err(failed)?;
    let stream = TarStream::of(file, is_packed).map_err(failed)?;
    Ok((survey(stream).map_err(failed)?, is_packed))
}

fn outline(location: &Location, file: &ShardBytes) -> Result<Outline> {
    let (surveyed, is_packed) = surveyed(location, file)?;
    let columns = Columns::of(&surveyed);
    let bytes = columns.bytes(&surveyed);
    let row_groups = surveyed.index.rows();
    let rows = row_groups.iter().sum::<u64>().max(1);
    let whole = bytes.iter().map(|column| column.most).max();
    Ok(Outline {
        schema: Arc::clone(&columns.schema),
        stored: vec![None; columns.origins.len()],
        metadata: HashMap::new(),
        compression: Compression::ZSTD(ZstdLevel::default()),
        row_groups,
        whole_bytes: whole.unwrap_or(0),
        value_bytes: bytes
            .iter()
            .map(|column| column.all.div_ceil(rows))
            .collect(),
        tallies: surveyed.tallies,
        seal: Some(surveyed.seal),
        is_loose: true,
        rows: Arc::new(TarRows {
            bytes,
            tar: Arc::new(Tar {
                index: surveyed.index,
                columns,
                is_packed,
                size_bytes: file.size_bytes(),
            }),
        }),
    })
}

fn layout(location: &Location, file: &ShardBytes) -> Result<Layout> {
    let (surveyed, is_packed) = surveyed(location, file)?;
    let columns = Columns::of(&surveyed);
    let groups = surveyed.index.rows();
    let codec = match is_packed {
        true => "whole file",
        false => "uncompressed",
    };
    // The bytes of each stretch are not counted: its rows have their share.
    let all: u64 = groups.iter().sum::<u64>().max(1);
    let share = |bytes: u64, rows: u64| {
        let bytes = u128::from(bytes) * u128::from(rows) / u128::from(all);
        u64::try_from(bytes).unwrap_or(u64::MAX)
    };
    let bytes = columns.bytes(&surveyed);
    let group = |&rows: &u64| GroupLayout {
        rows,
        compressed_bytes: share(file.size_bytes(), rows),
        is_indexed: !is_packed,
        chunks: (bytes.iter().enumerate())
            .map(|(column, of)| ChunkLayout {
                column,
                codec: codec.to_owned(),
                compressed_bytes: share(of.all, rows),
                uncompressed_bytes: share(of.all, rows),
            })
            .collect(),
    };
    Ok(Layout {
        row_groups: groups.iter().map(group).collect(),
        schema: Arc::clone(&columns.schema),
        metadata: HashMap::new(),
    })
}

/// The rows of a tar.
#[derive(Debug)]
struct TarRows {
    tar: Arc<Tar>,
    bytes: Vec<ColumnBytes>,
}

impl ShardRows for TarRows {
    fn open(&self, location: &Location, plan: ReadPlan) -> Result<Box<dyn OpenRows>> {
        let file = location.open()?;
        if file.size_bytes() != self.tar.size_bytes {
            return Err(
                Error::input("read a tar that has changed since it was looked at")
                    .with("shard", location)
                    .hint("run again when nobody writes it any more"),
            );
        }
        Ok(Box::new(OpenTar {
            shard: location.name().into(),
            file,
            read: Arc::new(view_schema(&self.tar.columns.schema)),
            tar: Arc::clone(&self.tar),
            plan: Arc::new(plan),
        }))
    }

    fn whole_bytes(&self, _: &Location, columns: &[usize], least: u64) -> Result<u64> {
        let bytes = columns.iter().filter_map(|&column| self.bytes.get(column));
        let most = bytes.map(|column| column.most).max().unwrap_or(0);
        Ok(if most > least { most } else { 0 })
    }
}
