//! What a dataset has below a folder, page by page.

use futures::{Stream, stream};
use object_store::{Error as StoreError, ObjectMeta, Result as StoreResult, path::Path};
use reqwest::{Method, Url, header::LINK};
use serde::Deserialize;

use super::{HubStore, generic, requests::Answer};

/// Pages of a listing: the hub has a thousand files on each.
const MOST_PAGES: usize = 100_000;

/// A file or a folder, as the hub lists it.
#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    path: String,
    #[serde(default)]
    size: u64,
    oid: Option<String>,
    lfs: Option<Large>,
}

/// A file that does not lie in the repository itself.
#[derive(Deserialize)]
struct Large {
    oid: String,
    size: u64,
}

/// What comes next.
enum Next {
    First,
    Page(Url),
    End,
}

/// The files below `folder`, at any depth; none where no such folder is.
pub(super) fn pages(
    hub: HubStore,
    folder: Path,
) -> impl Stream<Item = StoreResult<Vec<ObjectMeta>>> + Send + 'static {
    stream::try_unfold((Next::First, 0), move |(next, read)| {
        let (hub, folder) = (hub.clone(), folder.clone());
        async move {
            let url = match next {
                Next::End => return Ok(None),
                Next::Page(_) if read == MOST_PAGES => {
                    return Err(generic("a listing of the hub has no end".into()));
                }
                Next::Page(url) => url,
                Next::First => first(&hub, &folder).await?,
            };
            let asked = hub.0.facts_of(Method::GET, url);
            let answer = match hub.0.answer(asked, folder.as_ref()).await {
                // A dataset that is not there is no folder that is not there.
                Err(StoreError::NotFound { source, .. }) if !source.is::<super::Refusal>() => {
                    return Ok(None);
                }
                answer => answer?,
            };
            let entries: Vec<Entry> = serde_json::from_slice(&answer.body).map_err(|_| {
                generic("what the hub lists cannot be read: is HF_ENDPOINT a hub?".into())
            })?;
            let page = entries.into_iter().filter_map(|entry| meta(entry, &folder));
            let next = next_page(&answer).map_or(Next::End, Next::Page);
            Ok(Some((page.collect(), (next, read + 1))))
        }
    })
}

async fn first(hub: &HubStore, folder: &Path) -> StoreResult<Url> {
    let commit = hub.0.commit().await?;
    let endpoint = &hub.0.requests.endpoint;
    let mut url = hub.0.dataset.api(endpoint, "tree", commit, folder.as_ref());
    url.query_pairs_mut()
        .append_pair("recursive", "true")
        .append_pair("expand", "false");
    Ok(url)
}

/// Nothing of what is no file below the folder, whatever the hub says.
fn meta(entry: Entry, folder: &Path) -> Option<ObjectMeta> {
    if entry.kind != "file" {
        return None;
    }
    let location = Path::parse(&entry.path).ok()?;
    let is_below = location.prefix_match(folder).is_some();
    let (size, version) = match entry.lfs {
        Some(large) => (large.size, Some(large.oid)),
        None => (entry.size, entry.oid),
    };
    is_below.then(|| ObjectMeta {
        location,
        last_modified: Default::default(),
        size,
        // Some hubs name how it was made.
        e_tag: version.map(|it| it.trim_start_matches("sha256:").to_owned()),
        version: None,
    })
}

/// `Link: <https://..>; rel="next"`.
fn next_page(answer: &Answer) -> Option<Url> {
    let links = answer.headers.get_all(LINK).iter();
    let mut links = links
        .filter_map(|link| link.to_str().ok())
        .flat_map(|link| link.split(','));
    let next = links.find(|link| link.contains("rel=\"next\"") || link.contains("rel=next"))?;
    let (_, address) = next.split_once('<')?;
    answer.url.join(address.split_once('>')?.0).ok()
}
