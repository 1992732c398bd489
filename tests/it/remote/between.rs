//! Stands between the program and a server: looks at each request before it is passed on.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::Arc,
};

/// What becomes of a request.
pub(super) enum Passed {
    On,
    /// The server does as it is asked, and nobody hears of it.
    AnswerLost,
    /// The server never sees it.
    Lost,
}

/// The address that stands for that of `server`; `look` is given the first line of each request.
pub(super) fn between(
    server: &str,
    look: impl Fn(&str) -> Passed + Send + Sync + 'static,
) -> String {
    let server = server.trim_start_matches("http://").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let look = Arc::new(look);
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let (server, look) = (server.clone(), look.clone());
            // One that goes away in between is of no interest.
            std::thread::spawn(move || pass(client, &server, look.as_ref()));
        }
    });
    address
}

/// Passes on the one request of a connection.
fn pass(mut client: TcpStream, server: &str, look: &dyn Fn(&str) -> Passed) -> std::io::Result<()> {
    let mut from = BufReader::new(client.try_clone()?);
    let mut first = String::new();
    from.read_line(&mut first)?;
    let (mut head, mut body_bytes) = (format!("{first}Connection: close\r\n"), 0);
    loop {
        let mut line = String::new();
        from.read_line(&mut line)?;
        let lower = line.to_ascii_lowercase();
        if let Some(length) = lower.strip_prefix("content-length:") {
            body_bytes = length.trim().parse().unwrap();
        }
        head.push_str(&line);
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; body_bytes];
    from.read_exact(&mut body)?;
    let passed = look(first.trim());
    if matches!(passed, Passed::Lost) {
        return Ok(());
    }
    let mut upstream = TcpStream::connect(server)?;
    upstream.write_all(head.as_bytes())?;
    upstream.write_all(&body)?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer)?;
    match passed {
        Passed::AnswerLost => Ok(()),
        _ => client.write_all(&answer),
    }
}
