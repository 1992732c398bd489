//! Laws of the objective, over random rows.

use super::{super::seeded::Seeded, *};

fn state_of(rows: &[(f32, Option<f32>)]) -> ObjectiveState {
    let mut state = ObjectiveState::default();
    for &(sas, sds) in rows {
        state.push(sas, sds).unwrap();
    }
    state
}

fn rows(seed: u64, count: usize) -> Vec<(f32, Option<f32>)> {
    let mut random = Seeded::new(seed);
    (0..count)
        .map(|_| {
            let sas = super::narrow(0.25 + 0.05 * random.normal());
            let sds = super::narrow(0.8 + 0.1 * random.normal());
            (sas, (random.below(10) > 0).then_some(sds))
        })
        .collect()
}

#[test]
fn equals_the_formula_in_plain_arithmetic() {
    let rows = rows(3, 5000);
    let objective = state_of(&rows).finish(0.1);
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let sas: Vec<f64> = rows.iter().map(|row| f64::from(row.0)).collect();
    let sds: Vec<f64> = rows.iter().flat_map(|row| row.1).map(f64::from).collect();
    let mut sorted = sas.clone();
    sorted.sort_by(f64::total_cmp);
    // The fifth lowest of 5,000 is the quantile, its bin starts at most a 128th below.
    let low = objective.low_sas();
    assert!(
        low <= sorted[4] && low > sorted[4] * (1.0 - 1.0 / 128.0),
        "{low}"
    );
    for &(sas_of_row, sds_of_row) in &rows {
        let alignment = (f64::from(sas_of_row) - low) / (mean(&sas) - low);
        let diversity = sds_of_row.map_or(1.0, |sds_of_row| f64::from(sds_of_row) / mean(&sds));
        let expected = alignment + f64::from(0.1f32) * diversity;
        let score = objective.score(sas_of_row, sds_of_row);
        assert!(
            (f64::from(score) - expected).abs() < 1e-6,
            "{score} {expected}"
        );
        let terms = objective.terms(sas_of_row, sds_of_row);
        assert!((terms.0 + 0.1 * terms.1 - score).abs() < 1e-6);
    }
}

#[test]
fn the_low_end_is_an_edge_below_negative_scores_too() {
    let sas: Vec<_> = (0..2000u16)
        .map(|row| (-0.5 + f32::from(row) * 1e-4, None))
        .collect();
    let low = state_of(&sas).finish(0.1).low_sas();
    // The second lowest is -0.4999, in the bin that ends at -0.5 + 1/512.
    assert!(low < -0.4999 && low > -0.504, "{low}");
    let below: Vec<_> = (0..10u16)
        .map(|row| (-0.3 - f32::from(row), None))
        .collect();
    assert!(state_of(&below).finish(0.1).low_sas() <= -9.3);
}

#[test]
fn one_outlier_does_not_rescale_the_others() {
    let mut many = rows(5, 20_000);
    let before = state_of(&many).finish(0.1);
    many.push((-1.0, Some(0.8)));
    let after = state_of(&many).finish(0.1);
    let (sas, sds) = many[0];
    assert!((before.score(sas, sds) - after.score(sas, sds)).abs() < 0.01);
}

#[test]
fn columns_that_tell_nothing_give_the_term_one() {
    // 0.25 is the edge of a bin, so the mean is at the low end.
    let constant = state_of(&[(0.25, Some(0.0)), (0.25, None)]).finish(0.5);
    assert_eq!(constant.score(0.25, Some(0.0)), 1.5);
    assert_eq!(constant.score(0.7, None), 1.5);
    let nothing = ObjectiveState::default().finish(0.5);
    assert_eq!(nothing.score(0.3, Some(0.4)), 1.5);
    let no_sds = state_of(&[(0.1, None), (0.3, None)]).finish(0.5);
    assert_eq!(no_sds.terms(0.3, None).1, 1.0);
    assert!(no_sds.score(0.3, None) > no_sds.score(0.1, None));
}

#[test]
fn a_row_that_is_refused_changes_nothing() {
    let mut state = state_of(&[(0.1, Some(0.2))]);
    for (sas, sds) in [
        (f32::NAN, Some(0.5)),
        (0.3, Some(f32::NAN)),
        (f32::INFINITY, None),
    ] {
        assert!(state.push(sas, sds).is_err());
    }
    assert_eq!(state, state_of(&[(0.1, Some(0.2))]));
}

#[test]
fn reads_what_it_wrote_and_refuses_contradictions() {
    let state = state_of(&rows(9, 3000));
    let text = serde_json::to_string(&state).unwrap();
    assert!(text.len() < 8000, "{} bytes", text.len());
    assert_eq!(
        serde_json::from_str::<ObjectiveState>(&text).unwrap(),
        state
    );
    let other = text.replace("\"count\":3000", "\"count\":2999");
    assert!(serde_json::from_str::<ObjectiveState>(&other).is_err());
}
