//! What a memory limit has no room for ends a run, and says so; it never makes a row bad.

use std::{fs::File, process::Stdio, sync::Arc, time::Duration};

use arrow::{
    array::{ArrayRef, AsArray, Float64Array, UInt32Array},
    datatypes::UInt32Type,
};
use parquet::{
    arrow::ArrowWriter, basic::Encoding, file::properties::WriterProperties,
    schema::types::ColumnPath,
};

use crate::{
    pictures,
    program::{Place, Ran, program},
    shards::{self, Pair},
};

/// Pairs with a column `weight` whose one page of 24 MB is of an encoding that is read as a whole.
fn place_with_a_large_page() -> Place {
    const ROWS: u32 = 3_000_000;
    let place = Place::new();
    let weights: ArrayRef = Arc::new(Float64Array::from_iter_values((0..ROWS).map(f64::from)));
    let pair = Pair::new(pictures::bmp(0), "a picture");
    let pairs = vec![pair; 1];
    let one = |column: ArrayRef| {
        let rows = arrow::array::UInt32Array::from_iter_values((0..ROWS).map(|_| 0));
        arrow::compute::take(&column, &rows, None).unwrap()
    };
    let batch = shards::batch(vec![
        ("image", one(shards::bytes_column(&pairs))),
        ("text", one(shards::text_column(&pairs))),
        ("weight", weights),
    ]);
    let weight = ColumnPath::from("weight");
    let properties = WriterProperties::builder()
        .set_column_dictionary_enabled(weight.clone(), false)
        .set_column_encoding(weight, Encoding::BYTE_STREAM_SPLIT)
        .set_data_page_size_limit(1 << 30)
        .set_data_page_row_count_limit(usize::MAX)
        .set_write_batch_size(ROWS as usize)
        .set_max_row_group_row_count(Some(ROWS as usize))
        .build();
    let file = File::create(place.path("in.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    place
}

#[test]
fn a_page_that_is_read_as_a_whole_is_counted_before_anything_starts() {
    let place = place_with_a_large_page();
    let count = "select count(*) n, max(weight) most from pairs";
    let narrow = "select count(*) n from pairs where text = 'a picture'";
    let sql = |limit: &str, query: &str| {
        let sql = "sql --input in.parquet --format csv --memory-limit";
        place.mock_with(&format!("{sql} {limit}"), &[query])
    };
    let refused = sql("192MiB", count)
        .exits(1)
        .says(&["in.parquet", "22.9 MiB"]);
    assert_eq!(
        sql(&named(&refused), count).exits(0).stdout.trim(),
        "n,most\n3000000,2999999.0"
    );
    // Columns that are not read take no room.
    assert_eq!(sql("192MiB", narrow).exits(0).stdout.trim(), "n\n3000000");
    // The model is refused first, with a limit that has room for the page, too.
    let run = |limit: &str| {
        let words = "in.parquet out.parquet --keep-rows 10 --memory-limit";
        place.mock(&format!("{words} {limit}"))
    };
    let refused = run("192MiB").exits(1);
    assert!(!place.path("out.parquet").exists());
    run(&named(&refused)).exits(0);
}

/// The limit that a refusal names.
fn named(refused: &Ran) -> String {
    let hint = refused.stderr.rsplit("--memory-limit ").next().unwrap();
    let end = hint.find([',', ' ', '\n']).unwrap_or(hint.len());
    hint[..end].to_owned()
}

#[test]
fn a_limit_that_is_refused_is_told_one_that_is_accepted() {
    let place = Place::new();
    let pairs: Vec<Pair> = (0..30)
        .map(|row| {
            let mut picture = pictures::bmp(row);
            picture.resize(1_000_000, 0);
            Pair::new(picture, "a picture")
        })
        .collect();
    shards::write_pairs(&place.path("in.parquet"), &pairs, 30);
    place.mock("score in.parquet --scores whole").exits(0);
    let ordered = "SELECT clip_score, image FROM pairs ORDER BY clip_score";
    let joined = "SELECT a.image, b.image AS other FROM pairs_shards a JOIN pairs_shards b ON a.text = b.text \
                  LIMIT 5";
    let runs: [(&str, Option<&str>); 10] = [
        ("score in.parquet --scores scores", None),
        ("in.parquet out.parquet --keep 0.5", None),
        ("in.parquet out.parquet --keep 0.5 --scores whole", None),
        ("in.parquet - --online --keep 0.5", None),
        ("report whole --keep 0.5 --output page.html", None),
        ("sql", Some("SELECT 1 AS one")),
        (
            "sql --input in.parquet",
            Some("SELECT avg(clip_score) FROM pairs"),
        ),
        ("sql --input in.parquet --output out.parquet", Some(ordered)),
        (
            "sql --input in.parquet --scores whole --output out.parquet",
            Some(ordered),
        ),
        ("sql --input in.parquet --output out.parquet", Some(joined)),
    ];
    for (words, query) in runs {
        for limit in ["1MiB", "190MiB"] {
            let under = |limit: &str| {
                let mut command = program();
                command
                    .current_dir(place.dir())
                    .env("CLIP_FILTER_MODEL", "mock")
                    .args(words.split_whitespace())
                    .args(["--memory-limit", limit])
                    .args(query)
                    .stdout(Stdio::null());
                Ran::from(command.output().unwrap())
            };
            let refused = under(limit).exits(1);
            for new in ["out.parquet", "scores", "page.html"] {
                assert!(!place.path(new).exists(), "{words}: {new}");
            }
            let least = named(&refused);
            let accepted = under(&least);
            assert_eq!(
                accepted.code,
                Some(0),
                "{words} {query:?}: {limit}, then {least}: {}",
                accepted.stderr
            );
            for file in ["out.parquet", "page.html"] {
                let _ = std::fs::remove_file(place.path(file));
            }
            let _ = std::fs::remove_dir_all(place.path("scores"));
        }
    }
}

#[test]
fn a_file_that_is_too_large_for_the_limit_ends_the_run() {
    let place = Place::new();
    let file = File::create(place.path("large.jpg")).unwrap();
    file.set_len(72 << 20).unwrap();
    let pairs = [
        Pair::new(pictures::bmp(1), "a picture"),
        Pair::at("large.jpg"),
    ];
    shards::write_pairs(&place.path("in.parquet"), &pairs, 4);
    let run = |flags: &str| place.mock(&format!("in.parquet --dry-run --json --threads 2 {flags}"));
    run("--memory-limit 300MiB").exits(1).says(&[
        "decode an image within the memory limit",
        "72.0 MiB",
        "large.jpg",
    ]);
    let bad = |flags: &str| run(flags).exits(0).json()["bad"].clone();
    assert_eq!(
        bad("--memory-limit 1GiB"),
        serde_json::json!({"unsupported_image": 1})
    );
    // That no image of so many pixels has so many bytes is true under any limit.
    for limit in ["300MiB", "1GiB"] {
        assert_eq!(
            bad(&format!("--memory-limit {limit} --max-pixels 1000000")),
            serde_json::json!({"unreadable_path": 1})
        );
    }
}

#[test]
fn decoders_that_hold_files_do_not_wait_for_each_other() {
    let place = Place::new();
    // The file has 11 MiB and takes twice that to decode, of 57 MiB for all decoders.
    std::fs::write(place.path("wide.bmp"), pictures::bmp_of(2000, 2000, 1)).unwrap();
    shards::write_pairs(
        &place.path("in.parquet"),
        &vec![Pair::at("wide.bmp"); 12],
        4,
    );
    let report = place
        .mock("in.parquet --dry-run --json --threads 4 --memory-limit 300MiB")
        .exits(0)
        .json();
    assert_eq!(
        (&report["rows_in"], &report["rows_bad"]),
        (&12.into(), &0.into())
    );
}

const MIB: u64 = 1 << 20;

/// `rows` pairs with pictures of `bytes` that no codec shortens, their number `n` in another order.
#[cfg(target_os = "linux")]
fn place_with_large_pictures(rows: u32, bytes: usize) -> Place {
    let place = Place::new();
    let mut state = 1u64;
    let pairs: Vec<Pair> = (0..rows)
        .map(|row| {
            let mut picture = pictures::bmp(row);
            while picture.len() < bytes {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                picture.extend_from_slice(&state.to_be_bytes()[..4]);
            }
            Pair::new(picture, &format!("picture {row}"))
        })
        .collect();
    let numbers = (0..rows).map(|row| row * 7 % rows);
    let batch = shards::batch(vec![
        ("image", shards::bytes_column(&pairs)),
        ("text", shards::text_column(&pairs)),
        ("n", Arc::new(UInt32Array::from_iter_values(numbers))),
    ]);
    shards::write(&place.path("in.parquet"), &batch);
    place
}

/// Runs a query with two threads; the most bytes that were resident while it ran, as the kernel counts them.
#[cfg(target_os = "linux")]
fn peak_of(place: &Place, limit: &str, query: &str) -> u64 {
    let mut running = program()
        .current_dir(place.dir())
        .env("CLIP_FILTER_MODEL", "mock")
        .env("CLIP_FILTER_THREADS", "2")
        .args(["sql", "--input", "in.parquet", "--memory-limit", limit])
        .args(["--output", "out.parquet", "--overwrite", query])
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", running.id());
    let mut peak = 0;
    while running.try_wait().unwrap().is_none() {
        let status = std::fs::read_to_string(&status).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        peak = kibibytes.map_or(peak, |kibibytes: u64| peak.max(kibibytes << 10));
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(running.wait().unwrap().success(), "{query}");
    assert!(peak > 0);
    peak
}

#[cfg(target_os = "linux")]
#[test]
fn pictures_are_sorted_grouped_and_joined_within_the_limit() {
    const ROWS: u32 = 240;
    let place = place_with_large_pictures(ROWS, 1_000_000);
    let bound = 300 * MIB + 30 * MIB;
    let by_number = |query: &str| {
        let peak = peak_of(&place, "300MiB", query);
        assert!(peak <= bound, "{} MiB: {query}", peak / MIB);
        let out = shards::read(&place.path("out.parquet"));
        assert_eq!(out.num_rows(), ROWS as usize, "{query}");
        let numbers = out
            .column_by_name("n")
            .unwrap()
            .as_primitive::<UInt32Type>();
        let texts = shards::strings(&out, "text");
        for (number, text) in numbers.values().iter().zip(&texts) {
            let row: u32 = text.as_ref().unwrap()["picture ".len()..].parse().unwrap();
            assert_eq!(row * 7 % ROWS, *number, "{query}");
        }
        numbers.values().to_vec()
    };
    let sorted: Vec<u32> = (0..ROWS).rev().collect();
    assert_eq!(
        by_number("SELECT * FROM pairs_shards ORDER BY n DESC"),
        sorted
    );
    assert_eq!(
        by_number("SELECT * FROM pairs_shards ORDER BY n DESC LIMIT 1000"),
        sorted
    );
    by_number("SELECT DISTINCT * FROM pairs_shards");
    by_number("SELECT n, text, max(image) AS image FROM pairs_shards GROUP BY n, text");
    by_number("SELECT a.*, b.image AS again FROM pairs_shards a JOIN pairs_shards b ON a.n = b.n");
    by_number("SELECT a.* FROM pairs_shards a JOIN pairs_shards b ON a.n = b.n");
    // A window over numbers alone, and the pictures of its rows.
    let numbered =
        "(SELECT __shard AS s, __row AS r, row_number() OVER (ORDER BY n) AS k FROM pairs)";
    by_number(&format!(
        "SELECT p.image, p.text, p.n, k FROM {numbered} w JOIN pairs p ON p.__shard = s AND p.__row = r"
    ));
}

#[cfg(target_os = "linux")]
#[test]
fn what_a_query_cannot_hold_is_refused_with_a_remedy() {
    let place = place_with_large_pictures(240, 1_000_000);
    let sql = "sql --input in.parquet --output out.parquet --memory-limit";
    let windows = "SELECT *, sum(n) OVER () AS s FROM pairs_shards";
    place
        .mock_with(&format!("{sql} 300MiB"), &[windows])
        .exits(1)
        .says(&["rows of a window", "--memory-limit", "__shard and __row"]);
    let place = place_with_large_pictures(2, 20_000_000);
    let sorts = "SELECT * FROM pairs_shards ORDER BY n DESC";
    let refused = place
        .mock_with(&format!("{sql} 300MiB"), &[sorts])
        .exits(1)
        .says(&["sort, group or join a row", "row: 19.1 MiB"]);
    assert!(!place.path("out.parquet").exists());
    let least = named(&refused);
    place
        .mock_with(&format!("{sql} {least}"), &[sorts])
        .exits(0);
}
