//! Shards that come later: the answer is that of all shards at once, and what was learned is kept where that is asked
//! for.

use std::path::PathBuf;

use super::{
    pairs,
    reference::{LABELLED, ROWS, Reference},
};
use crate::{program::Place, shards};

const COLUMNS: &str = "cell,sas,sas_margin,sds,s_cliploss,dup_max_sim,proto_dist,moderate,normsim_inf,normsim_2,vas,selection_score";

/// The finished files of the derived columns, by name.
fn derived(place: &Place) -> Vec<PathBuf> {
    let generation = generation(place, "derived");
    let files = std::fs::read_dir(generation).unwrap();
    let mut files: Vec<PathBuf> = files.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// The one generation of derived columns, or of the state beside them.
fn generation(place: &Place, of: &str) -> PathBuf {
    let model = place.only_directory(&format!("scores/{of}"));
    place.only_directory(model.to_str().unwrap())
}

fn artifact(place: &Place, name: &str) -> Vec<u8> {
    std::fs::read(generation(place, "state").join(name)).unwrap()
}

#[test]
fn scores_and_selections_over_added_shards_are_those_of_all_at_once() {
    let reference = Reference::read();
    let place = || {
        let place = Place::new();
        reference.write_beside(&place);
        reference.write_shard(&place, "a.parquet", &(0..25).collect::<Vec<_>>());
        reference.write_shard(&place, "b.parquet", &(25..ROWS).collect::<Vec<_>>());
        place
    };
    let plain = LABELLED.replace(" --adapters adapters.safetensors", "");
    let adapted = format!("{plain} --adapt");
    for args in [LABELLED, plain.as_str(), adapted.as_str()] {
        let grown = place();
        reference.fill(&grown, "scores", &["a.parquet"]);
        let first = format!("score a.parquet --only-new --add {COLUMNS} {args}");
        grown.mock(&first).exits(0);
        reference.fill(&grown, "scores", &["b.parquet"]);
        let fresh = place();
        reference.fill(&fresh, "scores", &["a.parquet", "b.parquet"]);
        for (name, select) in [
            ("all", "--keep 1"),
            ("best", "--keep 0.3"),
            ("balanced", "--keep 0.5 --balance label:min=3"),
            ("cover", "--keep 0.4 --solver cover"),
        ] {
            let run = |place: &Place, more: &str| {
                let args = format!(
                    "a.parquet b.parquet {name}.parquet {select} --add {COLUMNS} {args} {more}"
                );
                place.mock(&args).exits(0);
                shards::read(&place.path(&format!("{name}.parquet")))
            };
            let (grown, fresh) = (run(&grown, "--only-new"), run(&fresh, ""));
            assert_eq!(grown.columns(), fresh.columns(), "{name} {args}");
        }
        let [one, other] = [&grown, &fresh].map(|place| {
            let files = derived(place).into_iter();
            files
                .map(|file| std::fs::read(file).unwrap())
                .collect::<Vec<_>>()
        });
        assert!(one == other, "{args}: the stores differ");
    }
}

#[test]
fn adapters_in_closed_form_do_not_depend_on_the_order_or_the_division_of_shards() {
    let reference = Reference::read();
    let rows: Vec<usize> = (0..4 * ROWS).map(|row| row % ROWS).collect();
    let scores = |parts: &[(&str, std::ops::Range<usize>)], labels: &str| {
        let place = Place::new();
        let names: Vec<&str> = parts.iter().map(|(name, _)| *name).collect();
        // Prompts that fit no class, so that there is something to learn.
        let of_rows = reference.labels();
        for (name, part) in parts {
            let rows = &rows[part.clone()];
            let next = |&row: &usize| Some((of_rows[row] + 1) % 5);
            let labels: Vec<Option<i64>> = rows.iter().map(next).collect();
            reference.write_labelled(&place, name, rows, &labels);
        }
        reference.fill(&place, "scores", &names);
        let inputs = names.join(" ");
        let args = format!(
            "{inputs} out.parquet --scores scores --adapt --keep 1 --add sas,sas_margin {labels}"
        );
        place.mock(&args).exits(0);
        let out = shards::read(&place.path("out.parquet"));
        let uids = shards::strings(&out, "uid").into_iter();
        let values = shards::floats(&out, "sas")
            .into_iter()
            .zip(shards::floats(&out, "sas_margin"));
        let mut all: Vec<_> = uids
            .zip(values)
            .map(|(uid, (a, b))| (uid, a.map(f32::to_bits), b.map(f32::to_bits)))
            .collect();
        all.sort();
        (all, artifact(&place, "adapters.safetensors"))
    };
    for labels in ["--label-column kind", ""] {
        let whole = scores(&[("a.parquet", 0..240)], labels);
        let parts = [
            ("c.parquet", 100..240),
            ("b.parquet", 0..7),
            ("a.parquet", 7..100),
        ];
        assert!(scores(&parts, labels) == whole, "{labels}");
        let accepted = whole.1.windows(12).any(|bytes| bytes == b"class.weight");
        assert_eq!(accepted, !labels.is_empty(), "{labels}");
    }
}

/// `a.parquet` and `b.parquet`, encoded by the mock.
fn two_shards() -> Place {
    let place = Place::new();
    let pairs = shards::good_pairs(700);
    for (name, pairs) in [("a.parquet", &pairs[..400]), ("b.parquet", &pairs[400..])] {
        shards::write(&place.path(name), &pairs::labelled(pairs));
    }
    place
}

/// What was learned from the first shard is kept with `--only-new` alone.
fn is_kept_when_asked_for(args: &str, artifact_name: &str) {
    let place = two_shards();
    place
        .mock(&format!("score a.parquet --scores scores {args}"))
        .exits(0);
    let of_first = artifact(&place, artifact_name);
    let both = format!("score a.parquet b.parquet --scores scores {args}");
    place.mock(&format!("{both} --only-new")).exits(0);
    assert!(
        artifact(&place, artifact_name) == of_first,
        "not kept: {args}"
    );
    assert_eq!(
        derived(&place)
            .iter()
            .filter(|path| path.extension().is_some_and(|end| end == "parquet"))
            .count(),
        2
    );
    // The same shards again: nothing is learned anew either.
    place.mock(&both).exits(0);
    assert!(
        artifact(&place, artifact_name) == of_first,
        "not kept: {args}"
    );
    let anew = two_shards();
    anew.mock(&format!("score a.parquet --scores scores {args}"))
        .exits(0);
    assert!(
        artifact(&anew, artifact_name) == of_first,
        "not the same again: {args}"
    );
    anew.mock(&both).exits(0);
    assert!(
        artifact(&anew, artifact_name) != of_first,
        "not learned anew: {args}"
    );
}

#[test]
fn adapters_of_classes_are_kept_or_fitted_anew() {
    is_kept_when_asked_for(
        "--adapt=infonce --label-column kind --add sas",
        "adapters.safetensors",
    );
}

#[test]
fn adapters_of_captions_are_kept_or_fitted_anew() {
    is_kept_when_asked_for("--adapt=infonce --add sas", "adapters.safetensors");
}

#[test]
fn centres_of_cells_are_kept_or_found_anew() {
    is_kept_when_asked_for("--cells 4 --add cell,proto_dist", "centres.json");
}

#[test]
fn rows_keep_their_cells_when_shards_come() {
    let reference = Reference::read();
    for adapters in [
        "",
        "--adapters adapters.safetensors",
        "--adapt",
        "--adapt=infonce",
    ] {
        let place = two_shards();
        reference.write_beside(&place);
        let run = |inputs: &str, columns: &str| {
            let args =
                format!("{inputs} out.parquet --overwrite --keep 1 --cells 4 --add {columns}");
            place
                .mock(&format!("{args} --scores scores --only-new {adapters}"))
                .exits(0);
            shards::read(&place.path("out.parquet"))
        };
        let before = shards::strings(&run("a.parquet", "cell"), "cell");
        let after = shards::strings(&run("a.parquet b.parquet", "cell"), "cell");
        assert_eq!(before, after[..before.len()], "{adapters}");
        // Columns that need no centres do not lose them.
        let centres = artifact(&place, "centres.json");
        run("a.parquet b.parquet", "cell,sas");
        assert!(artifact(&place, "centres.json") == centres, "{adapters}");
        run("a.parquet b.parquet", "cell,sas,proto_dist");
        assert!(artifact(&place, "centres.json") == centres, "{adapters}");
    }
}
