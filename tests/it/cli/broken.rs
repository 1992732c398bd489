//! Inputs that cannot be read: a clear error each, and no output.

use std::os::unix::fs::PermissionsExt;

use parquet::{basic::Compression, file::properties::WriterProperties};

use crate::{
    program::{Place, is_root},
    shards,
};

/// 60 sound pairs in row groups of 20, compressed, as `in.parquet`.
fn place() -> Place {
    let place = Place::new();
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(20))
        .set_compression(Compression::ZSTD(Default::default()));
    shards::write_with(
        &place.path("in.parquet"),
        &shards::hf_batch(&shards::good_pairs(60)),
        properties.build(),
    );
    place
}

/// Both ways to write, from `in.parquet`: exit code 1, these words, and nothing left behind.
#[track_caller]
fn fails(place: &Place, says: &[&str]) {
    for output in ["out.parquet", "kept"] {
        let ran = place
            .mock(&format!(
                "in.parquet {output} --keep 1 --rejects bad.parquet"
            ))
            .exits(1)
            .says(says);
        assert!(
            ran.stderr.contains("error: failed to ") && !ran.stderr.contains("defect"),
            "{}",
            ran.stderr
        );
        assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
        assert!(!place.path("out.parquet").exists());
    }
}

fn rewrite(place: &Place, change: impl Fn(&mut Vec<u8>)) {
    let path = place.path("in.parquet");
    let mut bytes = std::fs::read(&path).unwrap();
    change(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_truncated_file_is_named() {
    for part in [1, 2, 3] {
        let place = place();
        rewrite(&place, |bytes| bytes.truncate(bytes.len() * part / 4));
        fails(
            &place,
            &["in.parquet", "Parquet footer", "not written to its end"],
        );
    }
}

#[test]
fn an_empty_file_and_a_text_file_are_named() {
    let place = place();
    for content in [
        &b""[..],
        b"PAR1",
        b"uid,image,text\n1,x,y\n",
        b"PAR1PAR1",
        b"PAR1\xff\xff\xff\x7fPAR1",
    ] {
        rewrite(&place, |bytes| *bytes = content.to_vec());
        fails(
            &place,
            &[
                "in.parquet",
                "Parquet footer",
                &format!("{} bytes", content.len()),
            ],
        );
    }
}

#[test]
fn a_damaged_footer_never_panics() {
    for step in 0..40 {
        let place = place();
        rewrite(&place, |bytes| {
            let footer =
                u32::from_le_bytes(bytes[bytes.len() - 8..][..4].try_into().unwrap()) as usize;
            let start = bytes.len() - 8 - footer;
            bytes[start + step * footer / 40] ^= 0x55;
        });
        let ran = place.mock("in.parquet out.parquet");
        assert!(matches!(ran.code, Some(0..=2)), "{ran:?}");
        assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
        assert_eq!(ran.code == Some(0), place.path("out.parquet").exists());
    }
}

/// Bytes of the image column in row group 1.
fn image_pages(place: &Place) -> std::ops::Range<usize> {
    let footer = shards::footer(&place.path("in.parquet"));
    let column = footer
        .row_group(1)
        .columns()
        .iter()
        .find(|column| column.column_path().string() == "image.bytes")
        .unwrap();
    let (start, length) = column.byte_range();
    let start = usize::try_from(start).unwrap();
    start..start + usize::try_from(length).unwrap()
}

#[test]
fn a_damaged_page_is_named_by_shard_and_row_group() {
    let place = place();
    let pages = image_pages(&place);
    rewrite(&place, |bytes| {
        bytes[pages.clone()]
            .iter_mut()
            .for_each(|byte| *byte ^= 0xff)
    });
    fails(
        &place,
        &["read a row group", "in.parquet", "row_group: 1", "damaged"],
    );
}

#[test]
fn a_damaged_page_never_panics_wherever_it_is_damaged() {
    for step in 0..20 {
        let place = place();
        let pages = image_pages(&place);
        rewrite(&place, |bytes| {
            bytes[pages.start + step * pages.len() / 20] ^= 0x21
        });
        let ran = place.mock("in.parquet out.parquet --json");
        assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
        assert_eq!(ran.code == Some(0), place.path("out.parquet").exists());
        if ran.code == Some(0) {
            assert_eq!(ran.json()["rows_in"], 60);
        } else {
            ran.exits(1).says(&["in.parquet", "row_group: 1"]);
        }
    }
}

#[test]
fn a_damaged_second_shard_is_the_one_that_is_named() {
    let place = place();
    std::fs::copy(place.path("in.parquet"), place.path("a-sound-one.parquet")).unwrap();
    let pages = image_pages(&place);
    rewrite(&place, |bytes| {
        bytes[pages.clone()]
            .iter_mut()
            .for_each(|byte| *byte ^= 0xff)
    });
    let ran = place
        .mock("a-sound-one.parquet in.parquet out.parquet")
        .exits(1);
    assert!(ran.stderr.contains("shard: in.parquet"), "{}", ran.stderr);
    assert!(!place.path("out.parquet").exists());
}

#[test]
fn no_rows_are_a_success_with_columns() {
    let place = Place::new();
    shards::write_pairs(&place.path("in.parquet"), &[], 10);
    for output in ["out.parquet", "kept"] {
        let report = place
            .mock(&format!(
                "in.parquet {output} --json --add width --min-score 0"
            ))
            .exits(0)
            .json();
        for name in [
            "rows_in",
            "rows_kept",
            "rows_cut",
            "rows_bad",
            "rows_written",
        ] {
            assert_eq!(report[name], 0, "{name}");
        }
    }
    for path in ["out.parquet", "kept/part-00000.parquet"] {
        let written = shards::read(&place.path(path));
        assert_eq!(
            shards::names(&written),
            ["uid", "image", "text", "rank", "clip_score", "width"]
        );
        assert_eq!(written.num_rows(), 0);
        assert!(
            shards::file_value(&place.path(path), "huggingface")
                .unwrap()
                .contains("clip_score")
        );
    }
}

#[test]
fn an_empty_row_group_between_others_is_no_obstacle() {
    let place = Place::new();
    shards::write_pairs(&place.path("a.parquet"), &shards::good_pairs(3), 10);
    shards::write_pairs(&place.path("b.parquet"), &[], 10);
    shards::write_pairs(&place.path("c.parquet"), &shards::good_pairs(2), 10);
    place
        .mock("a.parquet b.parquet c.parquet out.parquet --keep 1")
        .exits(0);
    assert_eq!(
        shards::row_numbers(&shards::read(&place.path("out.parquet"))),
        [0, 1, 2, 0, 1]
    );
}

#[test]
fn a_file_without_permission_is_named() {
    if is_root() {
        eprintln!("skipped: permissions do not bind root");
        return;
    }
    let place = place();
    std::fs::set_permissions(place.path("in.parquet"), PermissionsExt::from_mode(0o000)).unwrap();
    fails(&place, &["in.parquet", "Permission denied"]);
}

#[test]
fn a_file_that_vanishes_or_is_a_directory_is_named() {
    let place = Place::new();
    std::fs::create_dir(place.path("in.parquet")).unwrap();
    place
        .mock("in.parquet out.parquet")
        .exits(1)
        .says(&["in.parquet", "*.parquet"]);
    std::os::unix::fs::symlink("gone", place.path("dangling.parquet")).unwrap();
    place
        .mock("dangling.parquet out.parquet")
        .exits(1)
        .says(&["dangling.parquet"]);
    place
        .mock("/dev/null out.parquet")
        .exits(2)
        .says(&["/dev/null"]);
}

#[test]
fn a_model_that_is_not_there_is_an_error_of_the_model() {
    let place = place();
    for model in ["no/such/model", "in.parquet"] {
        let ran = place
            .mock(&format!("in.parquet out.parquet --model {model}"))
            .exits(1);
        assert!(
            ran.stderr.contains(model) && !ran.stderr.contains("defect"),
            "{}",
            ran.stderr
        );
        assert_eq!(place.names(), ["in.parquet"]);
    }
}

#[test]
fn a_condition_that_fails_on_the_data_blames_the_condition() {
    let place = place();
    for condition in [
        "CAST(text AS BIGINT) > 3",
        "CAST(text AS BIGINT) > 3 AND clip_score > 0",
        "1 / (rank - rank) > clip_score",
    ] {
        let ran = place.mock_with("in.parquet out.parquet", &["--where", condition]);
        assert_ne!(ran.code, Some(0), "{condition}: {}", ran.stderr);
        assert!(
            !ran.stderr.contains("damaged") && !ran.stderr.contains("defect"),
            "{condition}: {}",
            ran.stderr
        );
        assert!(!place.path("out.parquet").exists());
    }
}
