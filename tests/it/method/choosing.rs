//! Which rows a selection by the method keeps.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    pairs::{self, assert_accounted},
    reference::{CAPTIONED, LABELLED, ROWS, Reference},
};
use crate::{
    program::{Place, Ran},
    shards,
};

/// Rows kept by a run over `in.parquet`, and what it said.
fn run(place: &Place, args: &str) -> (Vec<usize>, Ran) {
    run_with(place, args, &[])
}

/// The same with words that hold spaces.
fn run_with(place: &Place, args: &str, words: &[&str]) -> (Vec<usize>, Ran) {
    let args = format!("in.parquet out.parquet --overwrite --json {args}");
    let ran = place.mock_with(&args, words).exits(0);
    assert_accounted(&ran.json());
    let rows = shards::row_numbers(&shards::read(&place.path("out.parquet")));
    assert_eq!(ran.json()["rows_kept"], rows.len());
    (rows, ran)
}

fn kept(place: &Place, args: &str) -> Vec<usize> {
    run(place, args).0
}

/// Rows by descending score, equal ones in row order; those without a score are left out.
fn ranked(scores: &[Option<f64>]) -> Vec<usize> {
    let mut rows: Vec<usize> = (0..scores.len())
        .filter(|&row| scores[row].is_some())
        .collect();
    rows.sort_by(|&a, &b| scores[b].partial_cmp(&scores[a]).unwrap());
    rows
}

#[test]
fn the_rows_kept_are_those_of_the_reference() {
    let reference = Reference::read();
    let place = reference.place();
    for (args, name) in [
        (LABELLED, "align_diverse"),
        (CAPTIONED, "align_diverse_captioned"),
    ] {
        for keep in ["--keep 0.3", "--keep-rows 18"] {
            let rows = kept(&place, &format!("{args} {keep} --select align-diverse"));
            assert_eq!(rows, reference.kept(name), "{args} {keep}");
        }
    }
    let rows = kept(&place, &format!("{CAPTIONED} --keep 0.3 --solver cover"));
    assert_eq!(rows, reference.kept("cover_captioned"));
    let rows = cover_of_both(&reference, &place, "--keep 0.3").0;
    assert_eq!(rows, reference.kept("cover_of_both"));
}

/// With both prompts most rows of one class are far off; of the others few are.
fn cover_of_both(reference: &Reference, place: &Place, args: &str) -> (Vec<usize>, Ran) {
    let prompts = reference.prompts();
    let words: Vec<&str> = prompts
        .iter()
        .flat_map(|prompt| ["--prompt", prompt.as_str()])
        .collect();
    let args = format!("{LABELLED} --solver cover {args}");
    run_with(place, &args, &words)
}

#[test]
fn budgets_are_exact_to_the_row_and_grow_by_the_next_best() {
    let reference = Reference::read();
    let place = reference.place();
    let order = ranked(&reference.score("selection_score"));
    for budget in [0, 1, 2, 29, 30, 31, 59, 60, 100] {
        let rows = kept(&place, &format!("{LABELLED} --keep-rows {budget}"));
        let mut expected = order[..budget.min(ROWS)].to_vec();
        expected.sort_unstable();
        assert_eq!(rows, expected, "{budget}");
    }
}

#[test]
fn equal_scores_go_by_row_order() {
    let reference = Reference::read();
    let place = reference.place();
    // Rows 2, 7 and 8 have one image and one class.
    let copies = [2, 7, 8];
    let order = ranked(&reference.score("selection_score"));
    let first = order.iter().position(|row| *row == copies[0]).unwrap();
    assert_eq!(order[first..first + 3], copies);
    for taken in 0..=3 {
        let rows = kept(&place, &format!("{LABELLED} --keep-rows {}", first + taken));
        let of_copies: Vec<usize> = rows
            .into_iter()
            .filter(|row| copies.contains(row))
            .collect();
        assert_eq!(of_copies, copies[..taken]);
    }
    // The other way round the last of them is the first.
    let backwards: Vec<usize> = (0..ROWS).rev().collect();
    reference.write_shard(&place, "in.parquet", &backwards);
    reference.fill(&place, "backwards", &["in.parquet"]);
    let args = LABELLED.replace("--scores scores", "--scores backwards");
    let rows = kept(&place, &format!("{args} --keep-rows {}", first + 1));
    assert!(rows.contains(&8) && !rows.contains(&2) && !rows.contains(&7));
}

#[test]
fn diversity_weighs_as_much_as_was_asked_for() {
    let reference = Reference::read();
    let place = reference.place();
    // Without weight the order is that of `sas`.
    let mut by_sas = ranked(&reference.score("sas"))[..18].to_vec();
    by_sas.sort_unstable();
    let rows = kept(
        &place,
        &format!("{LABELLED} --keep 0.3 --diversity-weight 0"),
    );
    assert_eq!(rows, by_sas);
    // With much, that of `sds`; the row that is alone in its class counts as one of mean diversity.
    let sds = reference.score("sds_3");
    let known: Vec<f64> = sds.iter().flatten().copied().collect();
    let mean = known.iter().sum::<f64>() / known.len() as f64;
    let filled: Vec<Option<f64>> = sds.iter().map(|sds| Some(sds.unwrap_or(mean))).collect();
    let mut by_sds = ranked(&filled)[..18].to_vec();
    by_sds.sort_unstable();
    let rows = kept(
        &place,
        &format!("{LABELLED} --keep 0.3 --diversity-weight 100000"),
    );
    assert_eq!(rows, by_sds);
    assert_ne!(by_sas, by_sds);
}

/// Rows of each class among `rows`.
fn per_class(reference: &Reference, rows: &[usize]) -> Vec<usize> {
    let labels = reference.labels();
    let mut counts = BTreeMap::new();
    for label in &labels {
        counts.insert(*label, 0);
    }
    for &row in rows {
        *counts.entry(labels[row]).or_default() += 1;
    }
    counts.into_values().collect()
}

/// Even quotas within bounds, worked out one row after another.
fn even(sizes: &[usize], budget: usize, min: usize, max: usize) -> Vec<usize> {
    let most: Vec<usize> = sizes.iter().map(|&size| size.min(max)).collect();
    let mut quotas: Vec<usize> = sizes.iter().map(|&size| size.min(min)).collect();
    while quotas.iter().sum::<usize>() < budget {
        let open = (0..sizes.len()).filter(|&group| quotas[group] < most[group]);
        let next = open.min_by_key(|&group| (quotas[group], std::cmp::Reverse(sizes[group])));
        let Some(next) = next else { break };
        quotas[next] += 1;
    }
    quotas
}

#[test]
fn quotas_are_even_within_their_bounds_and_filled_with_the_best() {
    let reference = Reference::read();
    let place = reference.place();
    let labels = reference.labels();
    let sizes = per_class(&reference, &(0..ROWS).collect::<Vec<_>>());
    let order = ranked(&reference.score("selection_score"));
    for (column, bounds, min, max) in [
        ("label", "", 0, ROWS),
        ("cell", "", 0, ROWS),
        ("kind", "", 0, ROWS),
        ("label", ":min=5", 5, ROWS),
        ("cell", ":max=6", 0, 6),
        ("label", ":min=2,max=7", 2, 7),
        ("cell", ":max=0.25", 0, 5),
    ] {
        for budget in [7, 18, 30] {
            if min * sizes.len() > budget {
                continue;
            }
            let max = if bounds == ":max=0.25" {
                (budget + 2) / 4
            } else {
                max
            };
            let args = format!("{LABELLED} --keep-rows {budget} --balance {column}{bounds}");
            let rows = kept(&place, &args);
            let quotas = even(&sizes, budget, min, max);
            assert_eq!(per_class(&reference, &rows), quotas, "{args}");
            let mut expected: Vec<usize> = (0..sizes.len())
                .flat_map(|class| {
                    let own = order.iter().copied();
                    let own = own.filter(|&row| usize::try_from(labels[row]) == Ok(class));
                    own.take(quotas[class]).collect::<Vec<_>>()
                })
                .collect();
            expected.sort_unstable();
            assert_eq!(rows, expected, "{args}");
        }
    }
}

/// Rows of which no better one of the same cell has a cosine above `1 - distance`.
fn without_duplicates(
    reference: &Reference,
    scores: &[Option<f64>],
    cells: &[i64],
    distance: f64,
) -> Vec<usize> {
    let (images, dim) = (reference.data("/images"), reference.dim());
    let image = |row: usize| &images[row * dim..(row + 1) * dim];
    let cosine = |a: usize, b: usize| -> f64 {
        let products = image(a).iter().zip(image(b));
        products.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let order = ranked(scores);
    let mut kept: Vec<usize> = order
        .iter()
        .enumerate()
        .filter(|&(place, &row)| {
            let better = order[..place]
                .iter()
                .filter(|&&other| cells[other] == cells[row]);
            !better
                .into_iter()
                .any(|&other| cosine(row, other) > 1.0 - distance)
        })
        .map(|(_, &row)| row)
        .collect();
    kept.sort_unstable();
    kept
}

#[test]
fn of_near_duplicates_the_best_stays() {
    let reference = Reference::read();
    let place = reference.place();
    let one_cell = vec![0; ROWS];
    for (args, score, cells) in [
        (LABELLED, "selection_score", &reference.labels()),
        (CAPTIONED, "s_cliploss_captioned", &one_cell),
    ] {
        for distance in [0.0001, 0.05, 0.3] {
            let scores = reference.score(score);
            let expected = without_duplicates(&reference, &scores, cells, distance);
            let (rows, ran) = run(&place, &format!("{args} --keep 1 --dedup {distance}"));
            assert_eq!(rows, expected, "{args} {distance}");
            let taken = ROWS - expected.len();
            ran.says(&[&format!("dedup: {taken} near-duplicates")]);
            if distance < 0.001 {
                assert_eq!(taken, 4, "the copies of the reference");
            }
            // The budget counts what is left.
            let rows = kept(&place, &format!("{args} --keep 0.5 --dedup {distance}"));
            assert_eq!(rows.len(), expected.len().div_ceil(2));
            assert!(rows.iter().all(|row| expected.contains(row)));
        }
    }
}

/// The margin above which rows of a class are trusted.
fn gates(reference: &Reference, margins: &[f64]) -> BTreeMap<i64, f64> {
    let mut of_class: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
    for (label, margin) in reference.labels().into_iter().zip(margins) {
        of_class.entry(label).or_default().push(*margin);
    }
    let gate = |margins: Vec<f64>| {
        let (above, others): (Vec<f64>, Vec<f64>) =
            margins.into_iter().partition(|&margin| margin > 0.0);
        let reach = above.iter().sum::<f64>() / above.len() as f64;
        let far = others.iter().filter(|&&margin| margin <= -reach).count();
        if 2 * far < others.len() - far {
            -reach
        } else {
            0.0
        }
    };
    let gates = of_class.into_iter();
    gates
        .map(|(label, margins)| (label, gate(margins)))
        .collect()
}

#[test]
fn cover_keeps_trusted_rows_and_says_where_they_are_too_few() {
    let reference = Reference::read();
    let place = reference.place();
    let margins: Vec<f64> = reference
        .score("sas_margin_of_both")
        .into_iter()
        .flatten()
        .collect();
    let all: Vec<usize> = (0..ROWS).collect();
    let gates = gates(&reference, &margins);
    let open = gates.values().filter(|&&gate| gate < 0.0).count();
    assert!((1..gates.len()).contains(&open), "{gates:?}");
    let labels = reference.labels();
    let trusted = |row: usize| margins[row] > gates[&labels[row]];
    let enough = all.iter().filter(|&&row| trusted(row)).count();
    assert!((40..58).contains(&enough), "{enough}");
    for budget in [5, 18, 30, enough, enough + 1, enough + 3] {
        let (rows, ran) = cover_of_both(&reference, &place, &format!("--keep-rows {budget}"));
        assert_eq!(rows.len(), budget);
        let others: Vec<usize> = rows.into_iter().filter(|&row| !trusted(row)).collect();
        let short = budget.saturating_sub(enough);
        assert_eq!(others.len(), short);
        let ran = ran.says(&[&format!(
            "cover: few rows are far off in {open} of {} cells",
            gates.len()
        )]);
        let says = ran.stderr.contains("cover: too few trusted rows: ");
        assert_eq!(says, short > 0, "{}", ran.stderr);
        if short > 0 {
            ran.says(&[&format!("too few trusted rows: {short} of the rows kept")]);
        }
    }
    // Quotas within bounds; classes in proportion where there are none.
    let sizes = per_class(&reference, &all);
    let rows = kept(
        &place,
        &format!("{LABELLED} --solver cover --keep 0.5 --balance cell:max=8"),
    );
    assert!(per_class(&reference, &rows).iter().all(|&rows| rows <= 8));
    assert_eq!(rows.len(), even(&sizes, 30, 0, 8).iter().sum::<usize>());
    let rows = kept(&place, &format!("{LABELLED} --solver cover --keep 0.5"));
    for (kept, size) in per_class(&reference, &rows).iter().zip(&sizes) {
        assert!(kept.abs_diff(size / 2) <= 2, "{kept} of {size}");
    }
}

#[test]
fn the_published_iteration_says_how_it_went() {
    let reference = Reference::read();
    let place = reference.place();
    let (rows, ran) = run(&place, &format!("{LABELLED} --solver paper --keep 0.3"));
    let says = format!("published iteration: {} rows of 18 asked for, ", rows.len());
    let ran = ran.says(&[&says, " steps, converged"]);
    assert_eq!(rows, reference.kept("align_diverse"));
    assert!(
        ran.json()["selection"]
            .as_str()
            .unwrap()
            .contains("published iteration")
    );
}

#[test]
fn rows_without_a_class_are_cut_and_bad_rows_stay_bad() {
    let place = pairs::place(120);
    let plain = place
        .mock("in.parquet --dry-run --keep 1 --json")
        .exits(0)
        .json();
    let bad = plain["rows_bad"].as_u64().unwrap();
    assert!(bad > 10);
    let without_class = |row: usize| row % 11 == 5;
    for args in [
        "--keep 1",
        "--keep 0.5",
        "--keep 1 --solver cover",
        "--keep 0.4 --balance kind",
        "--keep 1 --dedup 0.0001",
        "--keep 1 --scores scores",
    ] {
        let args = format!("{args} --label-column kind");
        let (rows, ran) = run(&place, &args);
        let report: Value = ran.json();
        assert_eq!(report["rows_bad"], bad, "{args}");
        assert_eq!(report["bad"], plain["bad"], "{args}");
        assert!(!rows.iter().any(|&row| without_class(row)), "{args}");
    }
    // Bad rows are written where that is asked for, without scores.
    let args =
        "in.parquet all.parquet --label-column kind --keep 1 --on-error keep --add sas,sds,cell";
    let report = place.mock(&format!("{args} --json")).exits(0).json();
    assert_accounted(&report);
    let written = shards::read(&place.path("all.parquet"));
    let scores = shards::floats(&written, "clip_score");
    let bad_rows = scores.iter().filter(|score| score.is_none()).count();
    assert_eq!(bad_rows as u64, bad);
    for column in ["sas", "sds"] {
        let found = shards::floats(&written, column);
        for (score, found) in scores.iter().zip(found) {
            assert_eq!(score.is_some(), found.is_some(), "{column}");
        }
    }
}
