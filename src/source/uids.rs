//! Lists of uids as DataComp has them: a NumPy file of `u8,u8`, the high and the low 64 bits of 32 hexadecimal digits,
//! ascending.

use std::{
    fmt,
    fs::File,
    io::{self, BufReader, Read, Write},
    path::Path,
};

use arrow::{array::AsArray, compute::cast, datatypes::DataType};
use sha2::{Digest, Sha256};

use super::{BoundShards, LeftOut, ReadPlan, Shard, ShardReader, columns::is_text};
use crate::{
    digest::hex,
    error::{Error, Result},
};

/// The column of uids.
pub const UID: &str = "uid";
/// How a NumPy file begins.
const MAGIC: &[u8] = b"\x93NUMPY";
/// Longer headers are none of such a list.
const MOST_HEADER_BYTES: usize = 4096;
/// Bytes of a uid.
const UID_BYTES: u64 = 16;
/// Uids are read in portions of so many rows.
const BATCH_ROWS: usize = 8192;

/// The uid that 32 hexadecimal digits are; `None` for another text.
pub fn uid_of(text: &str) -> Option<u128> {
    let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex
        .then(|| u128::from_str_radix(text, 16).ok())
        .flatten()
}

/// Writes the header of a list of so many uids.
///
/// # Errors
/// When `out` takes no more.
pub fn write_header(out: &mut dyn Write, uids: u64) -> io::Result<()> {
    let facts = format!(
        "{{'descr': [('f0', '<u8'), ('f1', '<u8')], 'fortran_order': False, 'shape': ({uids},), }}"
    );
    // What follows begins at a multiple of 64.
    let length = (MAGIC.len() + 4 + facts.len() + 1).next_multiple_of(64) - MAGIC.len() - 4;
    let header = format!("{facts:<width$}\n", width = length - 1);
    out.write_all(MAGIC)?;
    out.write_all(&[1, 0])?;
    out.write_all(
        &u16::try_from(length)
            .map_err(io::Error::other)?
            .to_le_bytes(),
    )?;
    out.write_all(header.as_bytes())
}

/// Writes one uid.
///
/// # Errors
/// When `out` takes no more.
pub fn write_uid(out: &mut dyn Write, uid: u128) -> io::Result<()> {
    let bytes = uid.to_le_bytes();
    out.write_all(&bytes[8..])?;
    out.write_all(&bytes[..8])
}

/// A list of uids.
#[derive(Clone, PartialEq, Eq)]
pub struct Uids {
    /// Ascending.
    all: Vec<u128>,
    /// Tells them from others, hex.
    identity: String,
}

impl fmt::Debug for Uids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} uids {}", self.all.len(), self.identity)
    }
}

impl Uids {
    /// Reads the list in `file`; it is held in memory, where it may take `most_bytes`.
    ///
    /// # Errors
    /// When it is no such list, or has more.
    pub fn read(file: &Path, most_bytes: u64) -> Result<Self> {
        let failed = |error: io::Error| {
            Error::input("read the list of uids")
                .with("file", file.display())
                .source(error)
                .hint("it is a NumPy file of the type u8,u8, as DataComp writes and --uids-out does: np.array([(int(u[:16], 16), int(u[16:], 16)) for u in uids], np.dtype('u8,u8'))")
        };
        let opened = File::open(file).map_err(failed)?;
        let size = opened.metadata().map_err(failed)?.len();
        let mut opened = BufReader::with_capacity(1 << 20, opened);
        let (start, count) = header(&mut opened).map_err(failed)?;
        let bytes = count.checked_mul(UID_BYTES);
        if bytes.and_then(|bytes| bytes.checked_add(start)) != Some(size) {
            return Err(failed(io::Error::other(format!(
                "the file has {size} bytes, which are not those of {count} uids"
            ))));
        }
        if count * UID_BYTES > most_bytes {
            return Err(Error::usage("hold the list of uids in memory")
                .with("file", file.display())
                .with("it needs", format!("{} bytes", count * UID_BYTES))
                .with("it may take", format!("{most_bytes} bytes"))
                .hint("give a --memory-limit of four times as much, or cut the list"));
        }
        let mut all = Vec::new();
        let mut hash = Sha256::new();
        let mut uid = [0; 16];
        for _ in 0..count {
            opened.read_exact(&mut uid).map_err(failed)?;
            hash.update(uid);
            let (high, low) = uid.split_at(8);
            let half =
                |half: &[u8]| u64::from_le_bytes(<[u8; 8]>::try_from(half).unwrap_or_default());
            all.push(u128::from(half(high)) << 64 | u128::from(half(low)));
        }
        // Others need not have sorted it.
        all.sort_unstable();
        all.dedup();
        Ok(Self {
            all,
            identity: hex(&hash.finalize()),
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// What tells them from others, hex.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Whether `uid` is one of them.
    pub fn contains(&self, uid: u128) -> bool {
        self.all.binary_search(&uid).is_ok()
    }

    /// `shards` without the rows whose uids are not among these; nothing but uids is read.
    ///
    /// # Errors
    /// When they have no column of uids, or one cannot be read.
    pub fn only(&self, shards: &BoundShards) -> Result<BoundShards> {
        let column = uid_column(shards)?;
        let mut set = (*shards.set).clone();
        let (mut rows, mut none) = (0, 0);
        for shard in &mut set.shards {
            let mut left_out = Vec::new();
            each_uid(shard, column, &mut |row, uid| {
                rows += 1;
                none += u64::from(uid.is_none());
                if !uid.is_some_and(|uid| self.contains(uid)) {
                    left_out.push(row);
                }
            })?;
            shard.left_out = shard.left_out.with(&LeftOut::of(left_out));
        }
        let left = set.rows();
        set.notes.push(format!(
            "{left} of {rows} rows are in the list of {} uids; the others are not counted",
            self.len()
        ));
        if none > 0 {
            set.notes
                .push(format!("{none} rows have no uid of 32 hexadecimal digits"));
        }
        Ok(BoundShards::new(set, shards.binding.clone()))
    }
}

/// The place of the column of uids.
///
/// # Errors
/// When there is none, or it is no text.
pub fn uid_column(shards: &BoundShards) -> Result<usize> {
    let schema = &shards.set.schema;
    let names = || {
        let names = schema.fields().iter().map(|field| field.name().as_str());
        names.collect::<Vec<_>>().join(", ")
    };
    match schema.index_of(UID) {
        Ok(at) if is_text(schema.field(at).data_type()) => Ok(at),
        Ok(at) => Err(
            Error::usage("take uids from the column 'uid': it is no text")
                .with("its type", schema.field(at).data_type()),
        ),
        Err(_) => Err(Error::usage("find the column 'uid'").with("columns", names())),
    }
}

/// Gives `take` the number and the uid of every row of `shard` that is not left out.
///
/// # Errors
/// When the shard cannot be read.
pub fn each_uid(
    shard: &Shard,
    column: usize,
    take: &mut dyn FnMut(u64, Option<u128>),
) -> Result<()> {
    let plan = ReadPlan {
        columns: vec![column],
        lenient: vec![column],
        row_numbers: true,
        batch_rows: BATCH_ROWS,
        batch_bytes: 1 << 20,
        ..ReadPlan::default()
    };
    let failed = |error| {
        Error::input("read the column 'uid'")
            .with("shard", &shard.location)
            .source(error)
    };
    let reader = ShardReader::open(shard, plan)?;
    for group in 0..shard.row_groups.len() {
        for batch in reader.row_group(group, None)? {
            let batch = batch?;
            let uids = cast(batch.column(0), &DataType::Utf8View).map_err(failed)?;
            let rows = cast(batch.column(1), &DataType::UInt64).map_err(failed)?;
            let rows = rows.as_primitive::<arrow::datatypes::UInt64Type>();
            for (row, uid) in rows.values().iter().zip(uids.as_string_view()) {
                take(*row, uid.and_then(uid_of));
            }
        }
    }
    Ok(())
}

/// Where the uids of a file begin, and how many there are.
fn header(file: &mut dyn Read) -> io::Result<(u64, u64)> {
    let other = |why: &str| io::Error::other(why.to_owned());
    let mut start = [0; 8];
    file.read_exact(&mut start)?;
    if !start.starts_with(MAGIC) {
        return Err(other("it is no NumPy file"));
    }
    let wide = start[6] > 1;
    let mut length = [0; 4];
    file.read_exact(&mut length[..if wide { 4 } else { 2 }])?;
    let length = usize::try_from(u32::from_le_bytes(length)).map_err(io::Error::other)?;
    if length > MOST_HEADER_BYTES {
        return Err(other("its header is too long"));
    }
    let mut text = vec![0; length];
    file.read_exact(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    let flat: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let types = flat.split("'descr':").nth(1).unwrap_or_default();
    let types = types.split(']').next().unwrap_or_default();
    let is_pair = types.starts_with("[(") && types.matches("'<u8')").count() == 2;
    if !is_pair || types.matches('(').count() != 2 {
        return Err(other("its type is not u8,u8"));
    }
    let shape = flat.split("'shape':(").nth(1).unwrap_or_default();
    let shape = shape.split(')').next().unwrap_or_default();
    let count = shape.strip_suffix(',').and_then(|count| count.parse().ok());
    let count = count.ok_or_else(|| other("it has not one dimension"))?;
    let begin = 8 + if wide { 4 } else { 2 } + length;
    Ok((begin as u64, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(uids: &[u128]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_header(&mut bytes, uids.len() as u64).unwrap();
        assert_eq!(bytes.len() % 64, 0);
        uids.iter()
            .for_each(|&uid| write_uid(&mut bytes, uid).unwrap());
        bytes
    }

    fn read(bytes: &[u8], most_bytes: u64) -> Result<Uids> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("u.npy");
        std::fs::write(&path, bytes).unwrap();
        Uids::read(&path, most_bytes)
    }

    #[test]
    fn a_list_comes_back_sorted_or_not_with_repeats_or_without() {
        let uids = [5, 1 << 64, u128::MAX, 1, 5];
        let read = read(&listed(&uids), 1 << 20).unwrap();
        assert_eq!(read.all, [1, 5, 1 << 64, u128::MAX]);
        assert!(read.contains(1 << 64) && !read.contains(2));
        assert_eq!(
            uid_of("0123456789abcdefFEDCBA9876543210"),
            Some(0x0123456789abcdeffedcba9876543210)
        );
        for none in [
            "",
            "+123456789abcdef0123456789abcdef",
            "0123",
            "g123456789abcdef0123456789abcdef",
        ] {
            assert_eq!(uid_of(none), None, "{none}");
        }
    }

    #[test]
    fn other_files_are_refused_before_memory_is_taken() {
        let report = |bytes: &[u8]| read(bytes, 1 << 20).unwrap_err().report();
        assert!(report(b"").contains("list of uids"));
        assert!(report(b"PK\x03\x04 something else").contains("no NumPy file"));
        let text = String::from_utf8_lossy(&listed(&[])[10..]).into_owned();
        let other = |from: &str, to: &str| {
            let header = text.replace(from, to);
            let mut bytes = [MAGIC, &[1, 0]].concat();
            bytes.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
            bytes.extend(header.as_bytes());
            report(&bytes)
        };
        assert!(other("'<u8'), ", "'<f8'), ").contains("not u8,u8"));
        assert!(other("(0,)", "(2, 2)").contains("not one dimension"));
        assert!(other("(0,)", "(99999999999999,)").contains("not those of"));
        let many = read(&listed(&[7; 100]), 1599).unwrap_err().report();
        assert!(many.contains("--memory-limit"), "{many}");
    }
}
