//! A web server of the test's own that gives files in ranges, and fails as servers do.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// What a server does.
#[derive(Default)]
pub(super) struct Ways {
    files: Mutex<HashMap<String, Arc<Vec<u8>>>>,
    /// Requests that are answered by 503 before others are answered well.
    pub(super) busy: AtomicU64,
    /// Answers that end in their midst.
    pub(super) cut: AtomicU64,
    /// Requests that are answered by 403: a signed address that holds no longer.
    pub(super) expired: AtomicU64,
    /// Where everything is sent on to.
    pub(super) redirect: Mutex<Option<String>>,
    /// Bytes of bodies.
    pub(super) sent: AtomicU64,
    /// Requests for ranges.
    pub(super) ranges: AtomicU64,
    /// Another content takes the place of a file after so many ranges of it.
    pub(super) replace_after: Mutex<Option<(u64, Vec<u8>)>>,
    /// Heads of requests, as they came.
    pub(super) heads: Mutex<Vec<String>>,
}

/// A server that answers until the test ends.
pub(super) struct Web {
    pub(super) ways: Arc<Ways>,
    pub(super) address: String,
}

impl Web {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let ways = Arc::<Ways>::default();
        let served = Arc::clone(&ways);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let ways = Arc::clone(&served);
                std::thread::spawn(move || serve(&stream, &ways));
            }
        });
        Self { ways, address }
    }

    /// Puts a file at a path.
    pub(super) fn put(&self, path: &str, bytes: Vec<u8>) {
        let mut files = self.ways.files.lock().unwrap();
        files.insert(path.to_owned(), Arc::new(bytes));
    }
}

fn takes(count: &AtomicU64) -> bool {
    count
        .fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1))
        .is_ok()
}

fn serve(stream: &TcpStream, ways: &Ways) {
    heads(stream, |head| {
        ways.heads.lock().unwrap().push(head.to_owned());
        answer(stream, ways, head)
    });
}

/// Gives the head of each request of a connection, as long as `answer` gives something.
pub(super) fn heads(stream: &TcpStream, mut answer: impl FnMut(&str) -> Option<()>) {
    let mut requests = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            match requests.read_line(&mut head) {
                Ok(read) if read > 0 => {}
                _ => return,
            }
        }
        if answer(&head).is_none() {
            return;
        }
    }
}

const EMPTY_LISTING: &str =
    "<ListBucketResult><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>";

/// The value of a header.
pub(super) fn header(head: &str, name: &str) -> Option<String> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(": ")?;
        key.eq_ignore_ascii_case(name)
            .then(|| value.trim().to_owned())
    })
}

/// `None` where the connection is to end.
fn answer(mut stream: &TcpStream, ways: &Ways, head: &str) -> Option<()> {
    let mut say = |status: &str, more: &str, length: usize| {
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{more}\r\n"
        )
        .ok()
    };
    let header = |name| header(head, name);
    let mut words = head.split(' ');
    let (method, path) = (words.next()?, words.next()?);
    if let Some(target) = &*ways.redirect.lock().unwrap() {
        return say(
            "307 Temporary Redirect",
            &format!("Location: {target}{path}\r\n"),
            0,
        );
    }
    if takes(&ways.busy) {
        return say("503 Slow Down", "", 0);
    }
    if takes(&ways.expired) {
        return say("403 Forbidden", "", 0);
    }
    if path.contains("list-type=2") {
        // Of folders that nothing is asked for in.
        say(
            "200 OK",
            "Content-Type: application/xml\r\n",
            EMPTY_LISTING.len(),
        )?;
        return stream.write_all(EMPTY_LISTING.as_bytes()).ok();
    }
    let path = path.split('?').next()?;
    let file = ways.files.lock().unwrap().get(path).cloned();
    let Some(file) = file else {
        return say("404 Not Found", "", 0);
    };
    let etag = format!(
        "\"{}-{}\"",
        file.len(),
        file.iter().map(|byte| u64::from(*byte)).sum::<u64>()
    );
    if header("If-Match").is_some_and(|wanted| wanted != etag) {
        return say("412 Precondition Failed", "", 0);
    }
    let about = format!(
        "ETag: {etag}\r\nLast-Modified: Mon, 30 Nov 2026 10:00:00 GMT\r\nAccept-Ranges: bytes\r\n"
    );
    if method == "HEAD" {
        return say("200 OK", &about, file.len());
    }
    let range = header("Range")?;
    let (start, end) = range.strip_prefix("bytes=")?.split_once('-')?;
    let (start, end): (usize, usize) = (start.parse().ok()?, end.parse::<usize>().ok()? + 1);
    let body = &file[start..end.min(file.len())];
    let all = format!(
        "{about}Content-Range: bytes {start}-{}/{}\r\n",
        start + body.len() - 1,
        file.len()
    );
    say("206 Partial Content", &all, body.len())?;
    ways.ranges.fetch_add(1, Relaxed);
    if takes(&ways.cut) {
        stream.write_all(&body[..body.len() / 2]).ok();
        return None;
    }
    ways.sent.fetch_add(body.len() as u64, Relaxed);
    stream.write_all(body).ok()?;
    let mut replace = ways.replace_after.lock().unwrap();
    if replace
        .as_ref()
        .is_some_and(|(after, _)| ways.ranges.load(Relaxed) >= *after)
        && let Some((_, bytes)) = replace.take()
    {
        ways.files
            .lock()
            .unwrap()
            .insert(path.to_owned(), Arc::new(bytes));
    }
    Some(())
}
