//! Webdatasets in and out: what goes in comes out, in one format or the other.

use std::{collections::BTreeMap, path::Path};

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::{Float32Type, Float64Type},
};
use serde_json::Value;

use crate::{
    program::Place,
    shards::{self, Pair},
};

/// The members of a tar, in their order.
fn members(path: &Path) -> Vec<(String, Vec<u8>)> {
    let bytes = std::fs::read(path).unwrap();
    assert_eq!(bytes.len() % 512, 0);
    let (mut members, mut at) = (Vec::new(), 0);
    while bytes[at] != 0 {
        let text = |range: std::ops::Range<usize>| {
            let field = &bytes[at + range.start..at + range.end];
            let end = field.iter().position(|&byte| byte == 0);
            String::from_utf8(field[..end.unwrap_or(field.len())].to_vec()).unwrap()
        };
        let size = usize::from_str_radix(text(124..136).trim(), 8).unwrap();
        let data = bytes[at + 512..at + 512 + size].to_vec();
        members.push((text(0..100), data));
        at += 512 + size.next_multiple_of(512);
    }
    assert!(bytes.len() - at >= 1024);
    members
}

/// The samples of a tar: the members of each key by their fields.
fn samples(path: &Path) -> Vec<(String, BTreeMap<String, Vec<u8>>)> {
    let mut samples: Vec<(String, BTreeMap<String, Vec<u8>>)> = Vec::new();
    for (name, bytes) in members(path) {
        let (key, field) = name.split_once('.').unwrap();
        if samples.last().is_none_or(|(last, _)| last != key) {
            samples.push((key.to_owned(), BTreeMap::new()));
        }
        let known = samples
            .last_mut()
            .unwrap()
            .1
            .insert(field.to_owned(), bytes);
        assert_eq!(known, None, "{name} stands twice");
    }
    samples
}

fn tars(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".tar"))
        .collect();
    names.sort();
    names
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

fn images(batch: &RecordBatch) -> Vec<Vec<u8>> {
    let images = batch.column_by_name("image").unwrap().as_struct();
    let bytes = images.column_by_name("bytes").unwrap();
    bytes
        .as_binary::<i32>()
        .iter()
        .map(|bytes| bytes.unwrap().to_vec())
        .collect()
}

fn texts(batch: &RecordBatch, name: &str) -> Vec<Option<String>> {
    let column = batch.column_by_name(name).unwrap().as_string::<i32>();
    column.iter().map(|text| text.map(str::to_owned)).collect()
}

fn place(rows: u32) -> Place {
    let place = Place::new();
    shards::write_pairs(&place.path("in.parquet"), &shards::mixed_pairs(rows), 16);
    place
}

#[test]
fn parquet_becomes_tars_and_they_become_parquet_again() {
    let place = place(50);
    place.mock("in.parquet kept.parquet --keep 1.0").exits(0);
    let kept = shards::read(&place.path("kept.parquet"));
    let summary = place
        .mock("in.parquet tars/ --format webdataset --shard-rows 20 --keep 1.0 --json")
        .exits(0)
        .json();
    assert_eq!(summary["rows_kept"], kept.num_rows());
    assert_eq!(
        tars(&place.path("tars")),
        ["part-00000.tar", "part-00001.tar", "part-00002.tar"]
    );
    assert!(place.path("tars/_SUCCESS").exists());
    let all: Vec<_> = tars(&place.path("tars"))
        .iter()
        .map(|name| samples(&place.path("tars").join(name)))
        .collect();
    assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>()[..2], [20, 20]);
    let all: Vec<_> = all.into_iter().flatten().collect();
    let keys: Vec<_> = all.iter().map(|(key, _)| Some(key.clone())).collect();
    assert_eq!(keys, texts(&kept, "uid"));
    let scores = kept.column_by_name("clip_score").unwrap();
    let scores = scores.as_primitive::<Float32Type>().values().to_vec();
    for (row, (_, members)) in all.iter().enumerate() {
        assert_eq!(members.keys().collect::<Vec<_>>(), ["bmp", "json", "txt"]);
        assert_eq!(members["bmp"], images(&kept)[row]);
        let caption = texts(&kept, "text")[row].clone().unwrap();
        assert_eq!(members["txt"], caption.as_bytes());
        let facts = json(&members["json"]);
        assert_eq!(facts["text"], caption.as_str());
        let score: f32 = facts["clip_score"].to_string().parse().unwrap();
        assert_eq!(score, scores[row]);
    }
    place
        .mock("tars back.parquet --keep 1.0 --prefix new_")
        .exits(0);
    let back = shards::read(&place.path("back.parquet"));
    assert_eq!(images(&back), images(&kept));
    for name in ["uid", "text"] {
        assert_eq!(texts(&back, name), texts(&kept, name), "{name}");
    }
    assert_eq!(texts(&back, "txt"), texts(&kept, "text"));
    let ranks = back.column_by_name("rank").unwrap();
    assert_eq!(ranks, kept.column_by_name("rank").unwrap());
    let old = back
        .column_by_name("clip_score")
        .unwrap()
        .as_primitive::<Float64Type>();
    let new = back
        .column_by_name("new_clip_score")
        .unwrap()
        .as_primitive::<Float32Type>();
    assert_eq!(new.values().to_vec(), scores);
    for (old, score) in old.values().iter().zip(&scores) {
        assert_eq!(old.to_string(), score.to_string());
    }
}

#[test]
fn a_tar_becomes_a_tar_with_the_same_members_and_scores_behind_its_json() {
    let place = place(40);
    place
        .mock("in.parquet first.tar --keep 1.0 --prefix a_")
        .exits(0);
    place
        .mock("first.tar second.tar --keep 1.0 --prefix b_")
        .exits(0);
    let first = members(&place.path("first.tar"));
    let second = members(&place.path("second.tar"));
    assert_eq!(first.len(), second.len());
    for ((name, bytes), (same, again)) in first.iter().zip(&second) {
        assert_eq!(name, same);
        if name.ends_with(".json") {
            let (before, after) = (std::str::from_utf8(bytes), std::str::from_utf8(again));
            let open = before.unwrap().strip_suffix('}').unwrap();
            let added = after.unwrap().strip_prefix(open).unwrap();
            let score = &json(bytes)["a_clip_score"];
            assert_eq!(added, format!(", \"b_clip_score\": {score}}}"));
        } else {
            assert_eq!(bytes, again, "{name}");
        }
    }
    // By way of Parquet it is the same.
    place
        .mock("first.tar between.parquet --keep 1.0 --prefix c_")
        .exits(0);
    place
        .mock("between.parquet third.tar --keep 1.0 --prefix b_")
        .exits(0);
    let third = members(&place.path("third.tar"));
    for ((name, bytes), (same, again)) in first.iter().zip(&third) {
        assert_eq!(name, same);
        if !name.ends_with(".json") {
            assert_eq!(bytes, again, "{name}");
        } else {
            let (mut all, before) = (json(again), json(bytes));
            let all = all.as_object_mut().unwrap();
            assert!(all.remove("b_clip_score").is_some() && all.remove("c_clip_score").is_some());
            assert_eq!(Value::from(all.clone()), before);
        }
    }
    place
        .mock("first.tar out.tar --prefix a_")
        .exits(2)
        .says(&["add the column 'a_clip_score'", "--prefix"]);
}

#[test]
fn conditions_on_json_and_a_store_are_as_for_parquet() {
    let place = place(60);
    place
        .mock("in.parquet in.tar --keep 1.0 --on-error keep --prefix a_")
        .exits(0);
    let condition = &["--where", "rank % 3 = 1 AND clip_score > 0"][..];
    let args = "in.parquet a.parquet --json --keep 0.5";
    let of_parquet = place.mock_with(args, condition).exits(0).json();
    let of_tar = place
        .mock_with("in.tar a.tar --json --keep 0.5", condition)
        .exits(0)
        .json();
    for name in [
        "rows_in",
        "rows_kept",
        "rows_bad",
        "rows_cut",
        "rows_scored",
        "lowest_kept_score",
    ] {
        assert_eq!(of_tar[name], of_parquet[name], "{name}");
    }
    assert!(of_tar["rows_scored"].as_u64() < of_tar["rows_in"].as_u64());
    let all = place.mock("in.parquet --dry-run --json").exits(0).json();
    let again = place
        .mock("in.tar --dry-run --json --scores store")
        .exits(0)
        .json();
    // The image and the caption that are null, and those that are none, are bad as they were.
    assert_eq!(
        (&again["bad"], &again["rows_bad"]),
        (&all["bad"], &all["rows_bad"])
    );
    let stored = place
        .mock("in.tar kept.tar --json --scores store --keep-rows 5")
        .exits(0)
        .json();
    assert_eq!(
        (&stored["rows_scored"], &stored["rows_kept"]),
        (&0.into(), &5.into())
    );
    assert_eq!(samples(&place.path("kept.tar")).len(), 5);
}

#[test]
fn a_shuffle_has_every_sample_once_in_the_order_of_its_seed() {
    let place = place(90);
    std::fs::create_dir(place.path("in")).unwrap();
    for part in 0..5 {
        let rows = &shards::good_pairs(100)[part * 20..part * 20 + 20];
        shards::write_pairs(&place.path(&format!("in/{part}.parquet")), rows, 8);
    }
    let shuffled = |seed: u32, output: &str| {
        let args =
            format!("in {output}/ --format webdataset --shard-rows 30 --shuffle {seed} --keep 1.0");
        place.mock(&args).exits(0);
        let tars = tars(&place.path(output));
        let samples = tars
            .iter()
            .map(|name| samples(&place.path(output).join(name)));
        let samples: Vec<_> = samples.collect();
        assert_eq!(
            samples.iter().map(Vec::len).collect::<Vec<_>>(),
            [30, 30, 30, 10]
        );
        samples.concat()
    };
    let one = shuffled(1, "a");
    assert!(one == shuffled(1, "b"));
    let two = shuffled(2, "c");
    let texts = |samples: &[(String, BTreeMap<String, Vec<u8>>)]| {
        let texts = samples.iter().map(|(_, members)| members["txt"].clone());
        texts.collect::<Vec<_>>()
    };
    assert_ne!(texts(&one), texts(&two));
    let sorted = |mut texts: Vec<Vec<u8>>| {
        texts.sort();
        texts
    };
    place.mock("in d/ --format webdataset --keep 1.0").exits(0);
    let in_order = texts(&samples(&place.path("d/part-00000.tar")));
    assert_eq!(sorted(texts(&one)), sorted(in_order.clone()));
    assert_ne!(texts(&one), in_order);
}

#[test]
fn keys_never_lead_out_and_stay_apart() {
    let place = Place::new();
    let pairs = shards::good_pairs(6);
    let keys = ["../../../x", "/abs/y", "a.b", "a_b", "../../../x", ""];
    let batch = shards::hf_batch(&pairs);
    let mut columns = batch.columns().to_vec();
    let uid = batch.schema().index_of("uid").unwrap();
    columns[uid] = std::sync::Arc::new(arrow::array::StringArray::from(keys.to_vec()));
    let batch = RecordBatch::try_new(batch.schema(), columns).unwrap();
    shards::write_with(&place.path("in.parquet"), &batch, Default::default());
    let summary = place
        .mock("in.parquet out.tar --keep 1.0 --json")
        .exits(0)
        .json();
    let samples = samples(&place.path("out.tar"));
    let names: Vec<&str> = samples.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(names, ["x", "abs/y", "a_b", "a_b-3", "x-4", "000000005"]);
    for ((_, members), key) in samples.iter().zip(keys) {
        assert_eq!(json(&members["json"])["uid"], key);
    }
    let warnings = summary["warnings"].to_string();
    assert!(
        warnings.contains("2 samples got a number behind their key"),
        "{warnings}"
    );
}

#[test]
fn names_that_do_not_fit_are_refused_before_any_work() {
    let place = place(10);
    for (args, said) in [
        (
            "in.parquet out.parquet --format webdataset",
            "tars to a name of another kind",
        ),
        (
            "in.parquet out.tgz --format webdataset",
            "tars to a name of another kind",
        ),
        (
            "in.parquet out.tar --format parquet",
            "Parquet to a name that ends in .tar",
        ),
        ("in.parquet out.tgz", "Parquet to a name that ends in .tgz"),
        ("in.parquet out.tar --shard-rows 5", "cut one tar"),
        ("in.parquet out/ --shard-rows 5", "--format webdataset"),
        ("in.parquet out.parquet --shuffle 5", "--format webdataset"),
        (
            "in.parquet out/ --format webdataset --partition-by text",
            "cut tars by the values",
        ),
        (
            "in.parquet - --online --keep 0.5 --format webdataset",
            "--format",
        ),
    ] {
        place.mock(args).exits(2).says(&[said]);
        assert_eq!(place.names(), ["in.parquet"], "{args}");
    }
    place.mock("in.parquet out/ --format webdataset").exits(0);
    place
        .mock("in.parquet out/ --format webdataset")
        .exits(1)
        .says(&["it exists"]);
    place
        .mock("in.parquet out/ --format webdataset --overwrite --shard-rows 2")
        .exits(0);
    assert!(tars(&place.path("out")).len() > 1);
    std::fs::write(place.path("out/mine.tar"), b"").unwrap();
    place
        .mock("in.parquet out/ --overwrite")
        .exits(1)
        .says(&["other files", "mine.tar"]);
}

#[test]
fn parquet_beside_tars_of_the_same_name_is_left_out() {
    let place = place(20);
    std::fs::create_dir(place.path("data")).unwrap();
    place
        .mock("in.parquet data/00000.tar --keep 1.0 --prefix a_")
        .exits(0);
    std::fs::copy(place.path("in.parquet"), place.path("data/00000.parquet")).unwrap();
    let summary = place.mock("data --dry-run --json").exits(0).json();
    assert_eq!(
        summary["rows_in"],
        samples(&place.path("data/00000.tar")).len()
    );
    let warnings = summary["warnings"].to_string();
    assert!(
        warnings.contains("lie beside a tar of the same name"),
        "{warnings}"
    );
}

#[test]
fn a_damaged_tar_is_a_bad_shard_and_a_picture_elsewhere_is_no_sample() {
    let place = place(20);
    place
        .mock("in.parquet a.tar --keep 1.0 --prefix a_")
        .exits(0);
    let bytes = std::fs::read(place.path("a.tar")).unwrap();
    // Within the first member.
    std::fs::write(place.path("b.tar"), &bytes[..520]).unwrap();
    place
        .mock("{a,b}.tar --dry-run")
        .exits(1)
        .says(&["b.tar", "--on-bad-shard skip"]);
    place
        .mock("{a,b}.tar --dry-run --on-bad-shard skip")
        .exits(0)
        .says(&["left out   b.tar"]);
    std::fs::write(
        place.path("far.bmp"),
        shards::good_pairs(1)[0].bytes.clone().unwrap(),
    )
    .unwrap();
    shards::write_pairs(&place.path("far.parquet"), &[Pair::at("far.bmp")], 8);
    place
        .mock("far.parquet out.tar --keep 1.0")
        .exits(1)
        .says(&["far.bmp", "put its bytes into the shard first"]);
    assert!(!place.path("out.tar").exists());
}

fn uids(path: &Path) -> Vec<u128> {
    let bytes = std::fs::read(path).unwrap();
    let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let half = |bytes: &[u8]| u128::from(u64::from_le_bytes(bytes.try_into().unwrap()));
    let uids = bytes[10 + length..].chunks(16);
    uids.map(|uid| half(&uid[..8]) << 64 | half(&uid[8..]))
        .collect()
}

#[test]
fn uids_of_one_run_are_the_rows_of_another() {
    let place = place(60);
    place
        .mock("in.parquet kept.parquet --keep 0.5 --uids-out kept.npy")
        .exits(0);
    let kept = texts(&shards::read(&place.path("kept.parquet")), "uid");
    let mut numbers: Vec<u128> = kept
        .iter()
        .map(|uid| u128::from_str_radix(uid.as_ref().unwrap(), 16).unwrap())
        .collect();
    numbers.sort_unstable();
    assert_eq!(uids(&place.path("kept.npy")), numbers);
    let args = "in.parquet again.parquet --uids kept.npy --keep 1.0 --json --uids-out again.npy";
    let again = place.mock(args).exits(0).json();
    assert_eq!(
        (&again["rows_in"], &again["rows_scored"]),
        (&numbers.len().into(), &numbers.len().into())
    );
    assert_eq!(
        texts(&shards::read(&place.path("again.parquet")), "uid"),
        kept
    );
    assert_eq!(uids(&place.path("again.npy")), numbers);
    let warnings = again["warnings"].to_string();
    assert!(
        warnings.contains("of 60 rows are in the list of"),
        "{warnings}"
    );
    // Of a tar uids are in the JSON.
    place
        .mock("in.parquet in.tar --keep 1.0 --prefix a_")
        .exits(0);
    let of_tar = place
        .mock("in.tar --dry-run --uids kept.npy --json")
        .exits(0)
        .json();
    assert_eq!(of_tar["rows_in"], numbers.len());
    for (args, said) in [
        ("in.parquet o.parquet --uids-out o.parquet", "ends in .npy"),
        ("in.parquet o.parquet --uids in.parquet", "list of uids"),
        (
            "in.parquet o.parquet --uids kept.npy --scores s",
            "keep scores of listed uids only",
        ),
        ("in.parquet o.parquet --uids-out kept.npy", "it exists"),
    ] {
        let ran = place.mock(args);
        assert!(matches!(ran.code, Some(1 | 2)), "{args}");
        ran.says(&[said]);
        assert!(!place.path("o.parquet").exists());
    }
}

/// Ten gigabytes of which a picture and a caption for each sample are read.
#[test]
#[ignore = "a sparse file of 10 GB, which some file systems do not have"]
fn a_tar_of_ten_gigabytes_is_read_in_bounded_memory() {
    use std::os::unix::fs::FileExt;
    const VIDEO_BYTES: u64 = 170 << 20;
    let place = place(70);
    place
        .mock("in.parquet small.tar --keep 1.0 --prefix a_")
        .exits(0);
    let large = std::fs::File::create(place.path("large.tar")).unwrap();
    let mut at = 0;
    for (key, fields) in samples(&place.path("small.tar")) {
        let video = ("mp4".to_owned(), Vec::new());
        for (field, bytes) in fields.into_iter().chain([video]) {
            let size = if field == "mp4" {
                VIDEO_BYTES
            } else {
                bytes.len() as u64
            };
            let mut header = [0; 512];
            let name = format!("{key}.{field}");
            header[..name.len()].copy_from_slice(name.as_bytes());
            header[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
            header[148..156].fill(b' ');
            header[156] = b'0';
            let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
            header[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
            large.write_all_at(&header, at).unwrap();
            large.write_all_at(&bytes, at + 512).unwrap();
            at += 512 + size.next_multiple_of(512);
        }
    }
    large.set_len(at + 1024).unwrap();
    assert!(at > 10_000_000_000);
    let args = "large.tar --dry-run --json --memory-limit 512MiB";
    let summary = place.mock(args).exits(0).json();
    assert_eq!(summary["rows_in"], samples(&place.path("small.tar")).len());
    assert_eq!(summary["rows_bad"], 0);
    let peak = summary["peak_rss_bytes"].as_u64().unwrap();
    assert!(peak < (512 << 20) / 10 * 11, "{peak}");
    // What has to be held for a row is refused before work begins, or held.
    place
        .mock("large.tar out.tar --keep-rows 2 --memory-limit 512MiB")
        .exits(1)
        .says(&["large.tar", "--memory-limit 638MiB"]);
    let args = "large.tar out.tar --keep-rows 2 --json --memory-limit 2GiB";
    let summary = place.mock(args).exits(0).json();
    let peak = summary["peak_rss_bytes"].as_u64().unwrap();
    assert!(peak < (2 << 30) / 10 * 11, "{peak}");
    let written = samples(&place.path("out.tar"));
    assert_eq!(written.len(), 2);
    assert!(
        written
            .iter()
            .all(|(_, fields)| fields["mp4"].len() as u64 == VIDEO_BYTES)
    );
}
