//! What a store refuses, told with what to do.

use std::sync::atomic::Ordering::Relaxed;

use super::{sample, web::Web};
use crate::program::{Place, Ran};

/// The program over `s3://` of a server that fails as it is told to.
fn run(place: &Place, web: &Web, args: &[&str]) -> Ran {
    let mut command = crate::program::program();
    command
        .current_dir(place.dir())
        .env("CLIP_FILTER_MODEL", "mock")
        .env("AWS_ENDPOINT_URL", &web.address)
        .env("AWS_ACCESS_KEY_ID", "KEY-OF-MINE")
        .env("AWS_SECRET_ACCESS_KEY", "SECRET-OF-MINE")
        .env("AWS_REGION", "us-east-1")
        .args(args);
    command.output().unwrap().into()
}

#[test]
fn wrong_credentials_are_told_with_what_to_export() {
    let (place, web) = (Place::new(), Web::start());
    web.put("/data/in.parquet", sample());
    std::fs::write(place.path("in.parquet"), sample()).unwrap();
    web.ways.expired.store(u64::MAX, Relaxed);
    for args in [
        ["s3://data/in.parquet", "out.parquet"],
        ["in.parquet", "s3://data/out.parquet"],
    ] {
        let ran = run(&place, &web, &args).exits(1);
        let ran = ran.says(&["s3://data/", "export AWS_ACCESS_KEY_ID", "profiles"]);
        assert!(!ran.stderr.contains("SECRET-OF-MINE"), "{}", ran.stderr);
    }
    assert!(!place.path("out.parquet").exists());
}

#[test]
fn a_bucket_that_is_busy_or_cuts_answers_off_is_asked_again() {
    let (place, web) = (Place::new(), Web::start());
    web.put("/data/in.parquet", sample());
    std::fs::write(place.path("in.parquet"), sample()).unwrap();
    let kept = |input: &str, output: &str| {
        let args = [input, output, "--keep", "0.4", "--json"];
        run(&place, &web, &args).exits(0).json()["rows_kept"].as_u64()
    };
    let here = kept("in.parquet", "here.parquet");
    web.ways.busy.store(3, Relaxed);
    web.ways.cut.store(2, Relaxed);
    assert_eq!(kept("s3://data/in.parquet", "there.parquet"), here);
    assert_eq!(web.ways.busy.load(Relaxed), 0);
    assert_eq!(web.ways.cut.load(Relaxed), 0);
}
