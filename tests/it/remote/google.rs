//! What goes wrong at `gs://`: before a server is asked, and what a server refuses. None is known here that takes what
//! is asked of Google's.

use std::{io::Write, net::TcpListener};

use super::web::heads;
use crate::program::{Place, Ran, program};

const REMEDIES: [&str; 3] = [
    "gs://bucket",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_SKIP_SIGNATURE",
];

/// The program over `gs://bucket/in.parquet`, with a file of credentials under the name of a variable.
fn run(place: &Place, variable: &str, key: Option<&str>) -> Ran {
    let file = place.path("key.json");
    match key {
        Some(key) => std::fs::write(&file, key).unwrap(),
        None => assert!(!file.exists()),
    }
    let mut command = program();
    for name in [
        "GOOGLE_APPLICATION_CREDENTIALS",
        "GOOGLE_SERVICE_ACCOUNT",
        "GOOGLE_SERVICE_ACCOUNT_PATH",
        "GOOGLE_SERVICE_ACCOUNT_KEY",
        "SERVICE_ACCOUNT",
        "GOOGLE_SKIP_SIGNATURE",
    ] {
        command.env_remove(name);
    }
    let ran: Ran = command
        .current_dir(place.dir())
        .env("CLIP_FILTER_MODEL", "mock")
        .env("HOME", place.dir())
        .env(variable, &file)
        .args(["gs://bucket/in.parquet", "out.parquet"])
        .output()
        .unwrap()
        .into();
    assert!(!place.path("out.parquet").exists());
    ran
}

/// A server that has one answer for all.
fn answering(status: &'static str, body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            heads(&stream, |head| {
                let body = if head.starts_with("HEAD") { "" } else { body };
                let length = body.len();
                let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}");
                (&stream).write_all(answer.as_bytes()).ok()
            });
        }
    });
    address
}

#[test]
fn credentials_that_are_none_are_told_before_anybody_is_asked() {
    let place = Place::new();
    run(&place, "GOOGLE_APPLICATION_CREDENTIALS", None)
        .exits(2)
        .says(&REMEDIES)
        .says(&["key.json"]);
    let secret = "PRIVATE-OF-MINE";
    let account = format!(
        r#"{{"type":"service_account","private_key":"{secret}","private_key_id":"k","client_email":"a@b"}}"#
    );
    for variable in ["GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_SERVICE_ACCOUNT"] {
        for key in ["", "{}", "no JSON", &account] {
            let ran = run(&place, variable, Some(key)).exits(2).says(&REMEDIES);
            assert!(!ran.stderr.contains(secret), "{}", ran.stderr);
        }
    }
}

#[test]
fn what_the_server_refuses_is_told_with_what_to_do() {
    let place = Place::new();
    let asked = |status, body| {
        let account = format!(
            r#"{{"gcs_base_url":"{}","disable_oauth":true,"client_email":"","private_key":"","private_key_id":""}}"#,
            answering(status, body)
        );
        run(&place, "GOOGLE_SERVICE_ACCOUNT", Some(&account)).exits(1)
    };
    for status in ["401 Unauthorized", "403 Forbidden"] {
        asked(status, "<Error><Code>AccessDenied</Code></Error>").says(&REMEDIES);
    }
    asked("404 Not Found", "<Error><Code>NoSuchBucket</Code></Error>")
        .says(&["there is no such bucket", "gs://bucket/in.parquet"]);
}
