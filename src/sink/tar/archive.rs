//! A tar under way: headers of ustar, and of pax where a name is too long for those.

use std::io::{self, Write};

const BLOCK: usize = 512;
/// Zeros at the end: two blocks, and what makes the length whole.
const RECORD: u64 = 10_240;

/// Appends one member: headers, bytes, padding.
pub(super) fn append(out: &mut dyn Write, name: &str, bytes: &[u8]) -> io::Result<u64> {
    let mut written = 0;
    let (prefix, rest) = match split(name) {
        Some(parts) => parts,
        None => {
            let record = pax_line("path", name);
            let header = header("PaxHeaders/name", "", record.len(), b'x')?;
            written += put(out, &header, record.as_bytes())?;
            ("", "name")
        }
    };
    written += put(out, &header(rest, prefix, bytes.len(), b'0')?, bytes)?;
    Ok(written)
}

/// What stands behind the last of `written` bytes.
pub(super) fn end(out: &mut dyn Write, written: u64) -> io::Result<()> {
    let least = written + 2 * BLOCK as u64;
    let padding = least.next_multiple_of(RECORD) - written;
    let zeros = vec![0; usize::try_from(padding).map_err(io::Error::other)?];
    out.write_all(&zeros)
}

fn put(out: &mut dyn Write, header: &[u8; BLOCK], bytes: &[u8]) -> io::Result<u64> {
    out.write_all(header)?;
    out.write_all(bytes)?;
    let whole = bytes.len().next_multiple_of(BLOCK);
    out.write_all(&[0; BLOCK][..whole - bytes.len()])?;
    Ok((BLOCK + whole) as u64)
}

/// The parts of a name that fit a header: what stands before a slash, and behind it.
fn split(name: &str) -> Option<(&str, &str)> {
    if name.len() <= 100 {
        return Some(("", name));
    }
    let mut slashes = name.match_indices('/').map(|(at, _)| at);
    let at = slashes.find(|&at| name.len() - at - 1 <= 100)?;
    (at <= 155).then(|| (&name[..at], &name[at + 1..]))
}

fn header(name: &str, prefix: &str, size: usize, kind: u8) -> io::Result<[u8; BLOCK]> {
    let mut block = [0; BLOCK];
    let mut field = |at: usize, text: &str| {
        block[at..at + text.len()].copy_from_slice(text.as_bytes());
    };
    let size = format!("{size:011o}");
    if size.len() > 11 {
        return Err(io::Error::other("a member has 8 GiB or more"));
    }
    field(0, name);
    field(100, "0000644");
    field(108, "0000000");
    field(116, "0000000");
    field(124, &size);
    field(136, "00000000000");
    field(148, "        ");
    field(257, "ustar");
    field(263, "00");
    field(345, prefix);
    block[156] = kind;
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Ok(block)
}

/// A line that begins with its own length.
fn pax_line(key: &str, value: &str) -> String {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length += 1;
    }
    format!("{length} {key}={value}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_pax_counts_itself() {
        for length in 1..1200 {
            let line = pax_line("path", &"n".repeat(length));
            let (said, _) = line.split_once(' ').unwrap();
            assert_eq!(said.parse(), Ok(line.len()));
        }
    }

    #[test]
    fn a_long_name_is_split_where_both_parts_fit() {
        let name = format!("{}/{}/{}", "a".repeat(60), "b".repeat(60), "c".repeat(60));
        let (prefix, rest) = split(&name).unwrap();
        assert_eq!(format!("{prefix}/{rest}"), name);
        assert!(rest.len() <= 100 && prefix.len() <= 155);
        assert_eq!(split(&"a".repeat(101)), None);
        assert_eq!(split(&format!("{}/b", "a".repeat(156))), None);
    }
}
