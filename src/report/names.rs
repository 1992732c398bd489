//! Row references as text: `SHARD:ROW`.

use std::{collections::HashMap, path::Path};

use super::case::RowRef;
use crate::{
    error::{Error, Result},
    source::Shard,
};

/// What the shards of a set are called.
pub(crate) struct ShardNames {
    paths: Vec<String>,
    /// The file's name where no other shard has it, else the whole path.
    short: Vec<String>,
}

impl ShardNames {
    pub(crate) fn of(shards: &[Shard]) -> Self {
        let mut uses: HashMap<&str, usize> = HashMap::new();
        for shard in shards {
            *uses.entry(shard.location.file_name()).or_default() += 1;
        }
        let paths = shards.iter().map(|shard| shard.location.to_string());
        let short = shards.iter().map(|shard| match shard.location.file_name() {
            name if uses[name] == 1 => name.to_owned(),
            _ => shard.location.to_string(),
        });
        Self {
            paths: paths.collect(),
            short: short.collect(),
        }
    }

    pub(super) fn reference(&self, row: RowRef) -> String {
        format!("{}:{}", self.short[row.shard], row.row)
    }

    /// The reference with the whole path.
    pub(super) fn place(&self, row: RowRef) -> String {
        format!("{}:{}", self.paths[row.shard], row.row)
    }

    /// The row that a reference names: a shard by its path or the end of it.
    ///
    /// # Errors
    /// When it is no reference, no shard or several are of that name, or the shard has fewer rows.
    pub(crate) fn find(&self, reference: &str, shards: &[Shard]) -> Result<RowRef> {
        let Some((name, row)) = split(reference) else {
            return Err(Error::usage("read the row reference")
                .with("reference", reference)
                .hint("SHARD:ROW, as in shards/a.parquet:17; rows count from 0"));
        };
        let place = |path: &str| std::path::absolute(path).ok();
        let ends = |path: &String| {
            Path::new(path).ends_with(name) || place(path).is_some_and(|p| Some(p) == place(name))
        };
        let named: Vec<usize> = (0..self.paths.len())
            .filter(|&shard| ends(&self.paths[shard]))
            .collect();
        let exact = named.iter().find(|&&shard| self.paths[shard] == name);
        let shard = match (exact, named.as_slice()) {
            (Some(&shard), _) | (None, &[shard]) => shard,
            (None, []) => {
                return Err(Error::usage("find the shard of the row")
                    .with("shard", name)
                    .with("shards", self.shown())
                    .hint("give its path, or the end of it, as the inputs name it"));
            }
            (None, several) => {
                return Err(Error::usage(format!(
                    "tell which shard is meant: {} have this name",
                    several.len()
                ))
                .with("shard", name)
                .hint(format!("{}:{row}", self.paths[several[0]])));
            }
        };
        let rows = shards[shard].rows;
        match u64::try_from(row) {
            Ok(number) if number < rows => Ok(RowRef { shard, row }),
            _ => Err(Error::usage("find the row: its shard is shorter")
                .with("shard", &self.paths[shard])
                .with("row", row)
                .with("rows", rows)
                .hint("rows count from 0")),
        }
    }

    fn shown(&self) -> String {
        const SHOWN: usize = 5;
        let mut text = self.paths[..self.paths.len().min(SHOWN)].join(", ");
        if self.paths.len() > SHOWN {
            text.push_str(&format!(" and {} more", self.paths.len() - SHOWN));
        }
        text
    }
}

/// The shard and the row of a reference.
fn split(reference: &str) -> Option<(&str, i64)> {
    let (shard, row) = reference.rsplit_once(':')?;
    let is_number = !row.is_empty() && row.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && !shard.is_empty()).then_some(())?;
    Some((shard, row.parse().ok()?))
}

/// True for what looks like `SHARD:ROW`.
pub fn is_row_reference(text: &str) -> bool {
    split(text).is_some() && !Path::new(text).exists()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Location;

    fn shards() -> Vec<Shard> {
        let shard = |path: &str| Shard::remembered(Location::local(path), 10);
        ["/d/a/0.parquet", "/d/b/0.parquet", "/d/b/1.parquet"]
            .map(shard)
            .to_vec()
    }

    #[test]
    fn a_reference_is_read_as_it_is_shown() {
        let shards = shards();
        let names = ShardNames::of(&shards);
        for shard in 0..3 {
            let row = RowRef { shard, row: 7 };
            for text in [names.reference(row), names.place(row)] {
                assert_eq!(names.find(&text, &shards).unwrap(), row);
            }
        }
        let row = RowRef { shard: 2, row: 3 };
        assert_eq!(names.reference(row), "1.parquet:3");
        for text in ["b/1.parquet:3", "/d/./b/1.parquet:3"] {
            assert_eq!(names.find(text, &shards).unwrap(), row);
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let shards = shards();
        let names = ShardNames::of(&shards);
        let found = |text: &str| names.find(text, &shards).unwrap_err().to_string();
        assert!(found("0.parquet:1").starts_with("tell which shard is meant: 2"));
        assert!(found("2.parquet:1").starts_with("find the shard"));
        assert!(found("1.parquet:10").contains("rows: 10"));
        for text in ["1.parquet", ":1", "1.parquet:", "1.parquet:-1"] {
            assert!(found(text).starts_with("read the row reference"), "{text}");
        }
    }
}
