//! The uids of the rows that stay, sorted where memory ends: runs of them lie in temporary files.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fs::File,
    io::{self, BufReader, BufWriter, Read, Seek, Write},
};

use super::Staged;
use crate::{
    error::{Error, Result},
    selection::Selection,
    source::{BoundShards, each_uid, uid_column, write_header, write_uid},
};

/// Uids of a run: 16 bytes of each are in memory.
const RUN: usize = 2 << 20;

/// Writes the uids of `rows` to `file`, repeats as often as there are; not visible yet.
///
/// # Errors
/// When a row has none.
pub fn list_uids(shards: &BoundShards, rows: &Selection, file: Staged) -> Result<Staged> {
    let column = uid_column(shards)?;
    let mut sorted = Sorted::new(RUN);
    for (number, shard) in shards.set.shards.iter().enumerate() {
        let (mut none, mut failed) = (None, None);
        let is_kept = |row: u64| usize::try_from(row).is_ok_and(|row| rows.contains(number, row));
        each_uid(shard, column, &mut |row, uid| match uid {
            _ if !is_kept(row) => {}
            None => none = none.or(Some(row)),
            Some(uid) => failed = failed.take().or(sorted.push(uid).err()),
        })?;
        if let Some(row) = none {
            return Err(
                Error::input("list the uid of a row: it is no 32 hexadecimal digits")
                    .with("shard", &shard.location)
                    .with("row", row)
                    .hint("leave --uids-out out, or such rows: --where 'length(uid) = 32'"),
            );
        }
        failed.map_or(Ok(()), |error| Err(spooled(error)))?;
    }
    let mut file = file;
    let mut out = BufWriter::with_capacity(1 << 18, file.part(0)?);
    sorted.write(&mut out).map_err(spooled)?;
    let part = out
        .into_inner()
        .map_err(|error| spooled(error.into_error()))?;
    file.add(part.close()?);
    Ok(file)
}

fn spooled(error: io::Error) -> Error {
    Error::output("write the list of uids")
        .source(error)
        .hint("free space there and in the directory for temporary files")
}

/// Uids in order, of which a run is in memory.
struct Sorted {
    run: Vec<u128>,
    runs: Vec<File>,
    most: usize,
    count: u64,
}

impl Sorted {
    fn new(most: usize) -> Self {
        Self {
            run: Vec::new(),
            runs: Vec::new(),
            most,
            count: 0,
        }
    }

    fn push(&mut self, uid: u128) -> io::Result<()> {
        self.run.push(uid);
        self.count += 1;
        if self.run.len() < self.most {
            return Ok(());
        }
        self.run.sort_unstable();
        let mut out = BufWriter::with_capacity(1 << 18, tempfile::tempfile()?);
        for uid in self.run.drain(..) {
            out.write_all(&uid.to_le_bytes())?;
        }
        let mut file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.rewind()?;
        self.runs.push(file);
        Ok(())
    }

    fn write(mut self, out: &mut dyn Write) -> io::Result<()> {
        write_header(out, self.count)?;
        self.run.sort_unstable();
        let mut last = self.run.into_iter();
        let mut runs: Vec<BufReader<File>> = self.runs.into_iter().map(BufReader::new).collect();
        let mut next = |run: usize| match runs.get_mut(run) {
            None => Ok(last.next()),
            Some(file) => {
                let mut uid = [0; 16];
                match file.read_exact(&mut uid) {
                    Ok(()) => Ok(Some(u128::from_le_bytes(uid))),
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
                    Err(error) => Err(error),
                }
            }
        };
        let mut heads = BinaryHeap::new();
        let all = usize::try_from(self.count).unwrap_or(usize::MAX) / self.most + 1;
        for run in 0..all {
            heads.extend(next(run)?.map(|uid| Reverse((uid, run))));
        }
        while let Some(Reverse((uid, run))) = heads.pop() {
            write_uid(out, uid)?;
            heads.extend(next(run)?.map(|uid| Reverse((uid, run))));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_one_list() {
        let uids = |rows: u128| (0..rows).map(|row| row * 7919 % 1009);
        for rows in [0, 1, 9, 10, 11, 100, 1234] {
            let list = |most: usize| {
                let mut sorted = Sorted::new(most);
                uids(rows).for_each(|uid| sorted.push(uid).unwrap());
                let mut out = Vec::new();
                sorted.write(&mut out).unwrap();
                out
            };
            let whole = list(1 << 20);
            assert!(list(10) == whole, "{rows}");
            assert_eq!(whole.len() as u128 % 64, rows * 16 % 64);
        }
    }
}
