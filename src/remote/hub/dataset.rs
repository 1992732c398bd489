//! Names of datasets on the hub: `hf://datasets/user/repo[@revision]/path`.

use object_store::path::Path;
use reqwest::Url;

/// Revisions whose names hold slashes that need not be encoded.
const NAMES_WITH_SLASH: [&str; 2] = ["refs/convert/", "refs/pr/"];
/// What the hub itself has made Parquet of, as DuckDB writes it.
const CONVERTED: (&str, &str) = ("~parquet", "refs/convert/parquet");
const MOST_PART_BYTES: usize = 96;

/// A dataset of the hub, at a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::remote) struct Dataset {
    /// `user/repo`.
    pub(super) repo: String,
    /// A branch, a tag or a commit; `main` if none was named.
    pub(super) revision: String,
}

impl Dataset {
    /// Reads what follows `hf://`; gives how many bytes of it name the dataset, too.
    ///
    /// # Errors
    /// Why it names none.
    pub(in crate::remote) fn of(rest: &str) -> Result<(Self, usize), &'static str> {
        const START: &str = "datasets/";
        let named = rest.strip_prefix(START);
        let named = named.ok_or("of the hub only datasets are read")?;
        let (user, behind) = named.split_once('/').ok_or("it names no dataset")?;
        let name = behind.split(['/', '@']).next().unwrap_or_default();
        if !is_name(user) || !is_name(name) {
            return Err("no dataset is called so");
        }
        let repo = format!("{user}/{name}");
        let mut end = START.len() + repo.len();
        let mut revision = "main".to_owned();
        if let Some(behind) = behind[name.len()..].strip_prefix('@') {
            let written = written_revision(behind);
            end += 1 + written.len();
            revision = match written {
                name if name == CONVERTED.0 => CONVERTED.1.to_owned(),
                name => Path::from_url_path(name)
                    .map_err(|_| "no revision is called so")?
                    .to_string(),
            };
            if revision.is_empty() {
                return Err("it names no revision behind the @");
            }
        }
        Ok((Self { repo, revision }, end))
    }

    /// An address of the hub's API, `parts` behind the dataset's own.
    pub(super) fn api(&self, endpoint: &Url, what: &str, revision: &str, path: &str) -> Url {
        let own = ["api", "datasets"].into_iter().chain(self.repo.split('/'));
        let more = [what, revision].into_iter();
        joined(endpoint, own.chain(more).chain(parts(path)))
    }

    /// The address that sends on to the bytes of a file.
    pub(super) fn resolve(&self, endpoint: &Url, revision: &str, path: &str) -> Url {
        let own = ["datasets"].into_iter().chain(self.repo.split('/'));
        let more = ["resolve", revision].into_iter();
        joined(endpoint, own.chain(more).chain(parts(path)))
    }
}

fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty())
}

/// Each part is encoded: a revision's slashes, too.
fn joined<'a>(endpoint: &Url, parts: impl Iterator<Item = &'a str>) -> Url {
    let mut url = endpoint.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(parts);
    }
    url
}

/// The revision among what follows the `@`.
fn written_revision(behind: &str) -> &str {
    let mut ends = behind.match_indices('/').map(|(end, _)| end);
    let has_slash = NAMES_WITH_SLASH.iter().any(|it| behind.starts_with(it));
    let end = match has_slash {
        true => ends.nth(2),
        false => ends.next(),
    };
    &behind[..end.unwrap_or(behind.len())]
}

fn is_name(part: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !part.is_empty()
        && part.len() <= MOST_PART_BYTES
        && part.bytes().all(known)
        && !part.starts_with('.')
        && !part.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_stands_behind_the_name() {
        let cases = [
            ("datasets/u/r", "u/r", "main", ""),
            ("datasets/u/r/a/b.parquet", "u/r", "main", "/a/b.parquet"),
            ("datasets/u/r@v1.0/a", "u/r", "v1.0", "/a"),
            ("datasets/u/r@refs%2Fpr%2F1/a", "u/r", "refs/pr/1", "/a"),
            ("datasets/u/r@refs/pr/1/a", "u/r", "refs/pr/1", "/a"),
            (
                "datasets/u/r@refs/convert/parquet/d/0.parquet",
                "u/r",
                "refs/convert/parquet",
                "/d/0.parquet",
            ),
            (
                "datasets/u/r@~parquet/d",
                "u/r",
                "refs/convert/parquet",
                "/d",
            ),
            ("datasets/u/r/x@y/z", "u/r", "main", "/x@y/z"),
        ];
        for (written, repo, revision, path) in cases {
            let (dataset, end) = Dataset::of(written).unwrap();
            assert_eq!(
                (
                    dataset.repo.as_str(),
                    dataset.revision.as_str(),
                    &written[end..]
                ),
                (repo, revision, path),
                "{written}"
            );
        }
        for written in [
            "u/r/a",
            "datasets/u",
            "datasets//r",
            "datasets/u/..",
            "datasets/u/r@/a",
            "datasets/u/r@../a",
            "datasets/u/ü",
        ] {
            assert!(Dataset::of(written).is_err(), "{written}");
        }
    }

    #[test]
    fn what_stands_in_a_name_is_part_of_no_other_address() {
        let endpoint = Url::parse("https://h/proxy/").unwrap();
        let dataset = Dataset::of("datasets/u/r").unwrap().0;
        assert_eq!(
            dataset
                .api(&endpoint, "tree", "refs/pr/1", "a b/ü?x#y")
                .as_str(),
            "https://h/proxy/api/datasets/u/r/tree/refs%2Fpr%2F1/a%20b/%C3%BC%3Fx%23y"
        );
        assert_eq!(
            dataset.resolve(&endpoint, "main", "50%/a").as_str(),
            "https://h/proxy/datasets/u/r/resolve/main/50%25/a"
        );
        assert_eq!(
            dataset.api(&endpoint, "tree", "main", "").as_str(),
            "https://h/proxy/api/datasets/u/r/tree/main"
        );
    }
}
