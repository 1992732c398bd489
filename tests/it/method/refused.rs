//! What the method refuses, word for word, with its exit code.

use std::sync::Arc;

use arrow::array::Float32Array;

use super::reference::{Reference, lists};
use crate::{program::Place, shards};

fn place() -> Place {
    let reference = Reference::read();
    let place = reference.place();
    let other = reference.adapters("another-model");
    std::fs::write(place.path("other.safetensors"), &other).unwrap();
    let whole = reference.adapters("mock-1");
    std::fs::write(place.path("cut.safetensors"), &whole[..whole.len() - 7]).unwrap();
    std::fs::write(place.path("text.safetensors"), b"no adapters at all").unwrap();
    let wide = shards::batch(vec![("image_embedding", lists(&[0.25; 32], 16))]);
    shards::write(&place.path("wide.parquet"), &wide);
    let none = shards::batch(vec![("embedding", lists(&[0.25; 32], 8))]);
    shards::write(&place.path("none.parquet"), &none);
    let numbers: Float32Array = (0u8..4).map(f32::from).collect::<Vec<_>>().into();
    let numbers = shards::batch(vec![("image_embedding", Arc::new(numbers) as _)]);
    shards::write(&place.path("numbers.parquet"), &numbers);
    shards::write_pairs(&place.path("plain.parquet"), &shards::good_pairs(8), 8);
    place
        .mock("score in.parquet --scores bare --embeddings none")
        .exits(0);
    place
}

/// What the program says to each of these, and its exit code.
fn said(place: &Place, calls: &[(&str, &[&str])]) -> String {
    let mut all = String::new();
    for (args, more) in calls {
        let ran = place.mock_with(args, more);
        let stderr = place.without_path(&ran.stderr);
        assert!(!stderr.contains("defect"), "{stderr}");
        assert!(!place.path("out.parquet").exists(), "{args}");
        let more: Vec<String> = more.iter().map(|text| format!(" '{text}'")).collect();
        all.push_str(&format!(
            "$ clip-filter {args}{}\n{stderr}-> {}\n\n",
            more.concat(),
            ran.code.unwrap()
        ));
    }
    all
}

#[test]
fn stores_adapters_and_targets_that_do_not_fit() {
    let place = place();
    insta::assert_snapshot!(said(
        &place,
        &[
            ("score in.parquet --scores bare --add sas", &[]),
            ("in.parquet out.parquet --scores bare --solver cover", &[]),
            (
                "score in.parquet --scores scores --add sas --adapters other.safetensors",
                &[]
            ),
            (
                "score in.parquet --scores scores --add sas --adapters cut.safetensors",
                &[]
            ),
            (
                "score in.parquet --scores scores --add sas --adapters text.safetensors",
                &[]
            ),
            (
                "in.parquet out.parquet --scores scores --adapters missing.safetensors",
                &[]
            ),
            (
                "score in.parquet --scores scores --add sas --adapt --adapters other.safetensors",
                &[]
            ),
            ("score in.parquet --scores scores --add normsim_inf", &[]),
            ("in.parquet out.parquet --add vas", &[]),
            (
                "score in.parquet --scores scores --add vas --target none.parquet",
                &[]
            ),
            (
                "score in.parquet --scores scores --add vas --target wide.parquet",
                &[]
            ),
            (
                "score in.parquet --scores scores --add vas --target numbers.parquet",
                &[]
            ),
            (
                "score in.parquet --scores scores --add vas --target missing.parquet",
                &[]
            ),
        ],
    ));
}

#[test]
fn nothing_is_encoded_before_it_is_refused() {
    let place = place();
    for args in [
        "score in.parquet --scores new --add vas",
        "score in.parquet --scores new --add vas --target none.parquet",
        "score in.parquet --scores new --add sas --adapters cut.safetensors",
        "in.parquet out.parquet --scores new --add normsim_2",
        "in.parquet out.parquet --scores new --adapters missing.safetensors",
        "in.parquet out.parquet --scores new --balance kinds",
        "in.parquet out.parquet --scores new --balance image",
        "in.parquet out.parquet --scores new --solver cover --balance rank",
        "in.parquet out.parquet --scores new --solver paper --balance cell",
    ] {
        let ran = place.mock(args);
        assert!(matches!(ran.code, Some(1 | 2)), "{args}: {}", ran.stderr);
        assert!(!place.path("new").exists(), "{args}");
    }
}

#[test]
fn labels_that_do_not_fit() {
    let place = place();
    insta::assert_snapshot!(said(
        &place,
        &[
            (
                "score in.parquet --scores scores --add sas --label-column lable",
                &[]
            ),
            (
                "score in.parquet --scores scores --add sas --label-column image",
                &[]
            ),
            (
                "score plain.parquet --scores plain --add sas --label-column rank",
                &[]
            ),
            (
                "in.parquet out.parquet --scores scores --label-column label --prompt",
                &["a photo"]
            ),
            (
                "in.parquet out.parquet --scores scores --label-column label --class-names names.txt",
                &[]
            ),
            ("score in.parquet --scores scores --add similarity", &[]),
        ],
    ));
}

#[test]
fn selections_that_cannot_be_made() {
    let place = place();
    insta::assert_snapshot!(said(
        &place,
        &[
            (
                "in.parquet out.parquet --scores scores --label-column label --balance kinds",
                &[]
            ),
            (
                "in.parquet out.parquet --scores scores --label-column label --balance image",
                &[]
            ),
            (
                "in.parquet out.parquet --scores scores --label-column label --balance label:min=9 --keep-rows 20",
                &[]
            ),
            (
                "in.parquet out.parquet --scores scores --label-column label --balance label:min=9,max=3",
                &[]
            ),
            (
                "in.parquet out.parquet --scores scores --label-column label --balance label:least=9",
                &[]
            ),
            (
                "in.parquet out.parquet --scores scores --label-column label --solver paper --balance label",
                &[]
            ),
            (
                "in.parquet out.parquet --scores scores --select clip-score --solver paper",
                &[]
            ),
            (
                "in.parquet out.parquet --scores scores --solver cover --balance rank",
                &[]
            ),
            ("in.parquet out.parquet --scores scores --dedup 0", &[]),
            (
                "in.parquet out.parquet --scores scores --label-column label --where",
                &["sas > 'high'"]
            ),
        ],
    ));
}
