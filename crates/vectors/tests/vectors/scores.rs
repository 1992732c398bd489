//! Every score of `tests/golden/scores.json`, to 1e-5.

use clip_filter_vectors::{
    Centroids, MomentSum, Rows, SoftPool, TargetRows, apply_linear, class_matches,
    descending_ranks, herd, mean, moderate, nearest_better, nearest_distances, normalise,
    paired_products,
};
use serde_json::Value;

use crate::world::{assert_close, budget, rows};

struct Golden(Value);

impl Golden {
    fn read() -> Self {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/golden/scores.json"
        );
        Self(serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap())
    }

    fn dim(&self) -> usize {
        usize::try_from(self.0["dim"].as_u64().unwrap()).unwrap()
    }

    /// Numbers of the data, by a path of names.
    fn data(&self, path: &str) -> Vec<f32> {
        numbers(self.0["data"].pointer(path).unwrap())
            .iter()
            .map(|number| number.unwrap() as f32)
            .collect()
    }

    fn labels(&self) -> Vec<u32> {
        self.data("/labels")
            .iter()
            .map(|label| *label as u32)
            .collect()
    }

    fn adapted(&self, of: &str, adapter: &str) -> Vec<f32> {
        let weight = self.data(&format!("/{adapter}/weight"));
        let bias = self.data(&format!("/{adapter}/bias"));
        apply_linear(rows(&self.data(of), self.dim()), &weight, &bias, 2)
    }

    fn score(&self, name: &str) -> Vec<Option<f64>> {
        numbers(&self.0["scores"][name])
    }

    /// Compares a score that every row has.
    #[track_caller]
    fn assert(&self, name: &str, found: &[f32]) {
        let expected: Vec<f64> = self.score(name).iter().map(|v| v.unwrap()).collect();
        assert_close(found, &expected, name);
    }
}

fn numbers(value: &Value) -> Vec<Option<f64>> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(Value::as_f64)
        .collect()
}

/// Calls `score` with the rows of each class and puts the answers where the rows stand.
fn by_class<T: Copy>(
    values: &[f32],
    dim: usize,
    labels: &[u32],
    nothing: T,
    score: impl Fn(Rows<'_>) -> Vec<T>,
) -> Vec<T> {
    let mut result = vec![nothing; labels.len()];
    for label in 0..=*labels.iter().max().unwrap() {
        let members: Vec<usize> = (0..labels.len())
            .filter(|row| labels[*row] == label)
            .collect();
        let cell: Vec<f32> = members
            .iter()
            .flat_map(|row| rows(values, dim).row(*row).to_vec())
            .collect();
        let answers = score(rows(&cell, dim));
        assert_eq!(answers.len(), members.len());
        for (row, answer) in members.into_iter().zip(answers) {
            result[row] = answer;
        }
    }
    result
}

#[test]
fn alignment_with_classes_and_captions() {
    let golden = Golden::read();
    let dim = golden.dim();
    let images = golden.adapted("/images", "image_adapter");
    let classes = golden.adapted("/class_texts", "text_adapter");
    let texts = golden.adapted("/texts", "text_adapter");
    let matches = class_matches(rows(&images, dim), rows(&classes, dim), &golden.labels(), 2);
    golden.assert("sas", &matches.iter().map(|m| m.own).collect::<Vec<_>>());
    golden.assert(
        "sas_margin",
        &matches.iter().map(|m| m.margin()).collect::<Vec<_>>(),
    );
    let captioned = paired_products(rows(&images, dim), rows(&texts, dim));
    golden.assert("sas_captioned", &captioned);
}

#[test]
fn diversity_within_classes() {
    let golden = Golden::read();
    let images = golden.adapted("/images", "image_adapter");
    for neighbours in [3, 100] {
        let name = format!("sds_{neighbours}");
        let found = by_class(&images, golden.dim(), &golden.labels(), None, |cell| {
            nearest_distances(&cell, neighbours, budget(1 << 20, 2)).unwrap()
        });
        let expected = golden.score(&name);
        assert_eq!(expected.iter().filter(|v| v.is_none()).count(), 1);
        for (row, (found, expected)) in found.iter().zip(expected).enumerate() {
            assert_eq!(found.is_some(), expected.is_some(), "{name}, row {row}");
            if let (Some(found), Some(expected)) = (found, expected) {
                assert_close(&[*found], &[expected], &name);
            }
        }
    }
}

#[test]
fn near_duplicates_in_the_order_of_the_centroid() {
    let golden = Golden::read();
    let dim = golden.dim();
    let found = by_class(
        &golden.data("/images"),
        dim,
        &golden.labels(),
        0.0,
        |cell| {
            let mut centroid = mean(cell);
            normalise(&mut centroid, dim);
            let centroid = Centroids::from_values(centroid, dim).unwrap();
            let cosines: Vec<f32> = centroid.nearest(cell, 1).iter().map(|n| n.1).collect();
            nearest_better(&cell, &descending_ranks(&cosines), budget(1 << 20, 2)).unwrap()
        },
    );
    golden.assert("dup_max_sim", &found);
}

#[test]
fn distance_from_the_median_and_to_the_nearest_prototype() {
    let golden = Golden::read();
    let (dim, images, labels) = (golden.dim(), golden.data("/images"), golden.labels());
    let found = by_class(&images, dim, &labels, 0.0, |cell| {
        moderate(&cell, budget(1 << 20, 2)).unwrap()
    });
    golden.assert("moderate", &found);
    // The mean of each class, in the order of the classes.
    let means = by_class(&images, dim, &labels, [0.0; 16], |cell| {
        vec![mean(cell).try_into().unwrap(); cell.len()]
    });
    let mut means: Vec<f32> = (0..5)
        .flat_map(|label| means[labels.iter().position(|l| *l == label).unwrap()])
        .collect();
    normalise(&mut means, dim);
    let nearest = Centroids::from_values(means, dim)
        .unwrap()
        .nearest(rows(&images, dim), 2);
    golden.assert(
        "proto_dist",
        &nearest.iter().map(|n| 1.0 - n.1).collect::<Vec<_>>(),
    );
}

#[test]
fn similarity_to_a_target_set() {
    let golden = Golden::read();
    let (dim, images, target) = (golden.dim(), golden.data("/images"), golden.data("/target"));
    let images = rows(&images, dim);
    let (mut kept, mut sum) = (TargetRows::new(dim), MomentSum::new(dim));
    kept.push(rows(&target, dim));
    sum.push(rows(&target, dim));
    let moment = sum.finish();
    golden.assert("normsim_inf", &kept.largest(images, 2));
    golden.assert("normsim_2", &moment.norm2(images, 2));
    golden.assert("vas", &moment.variance_alignment(images, 2));
}

#[test]
fn contrast_of_whole_and_half_batches() {
    let golden = Golden::read();
    let dim = golden.dim();
    let (images, texts) = (golden.data("/images"), golden.data("/texts"));
    let temperature = golden.0["temperature"].as_f64().unwrap() as f32;
    let own = paired_products(rows(&images, dim), rows(&texts, dim));
    // Half the sum of both soft maxima of each row, within its batch.
    let contrast_of = |batches: &[Vec<usize>]| {
        let mut halves = vec![0.0; own.len()];
        for batch in batches {
            let pick = |values: &[f32]| -> Vec<f32> {
                batch
                    .iter()
                    .flat_map(|row| rows(values, dim).row(*row).to_vec())
                    .collect()
            };
            let (images, texts) = (pick(&images), pick(&texts));
            let none = vec![None; batch.len()];
            let maxima = |values: &[f32], others: &[f32]| {
                let pool = SoftPool {
                    rows: rows(others, dim),
                    temperature,
                };
                pool.soft_maxima(rows(values, dim), &none, 2)
            };
            let (of_images, of_texts) = (maxima(&images, &texts), maxima(&texts, &images));
            for (place, row) in batch.iter().enumerate() {
                halves[*row] = (of_images[place] + of_texts[place]) / 2.0;
            }
        }
        halves
    };
    let halves: Vec<Vec<usize>> = serde_json::from_value(golden.0["batches"].clone()).unwrap();
    let (whole, halves) = (
        contrast_of(&[(0..own.len()).collect()]),
        contrast_of(&halves),
    );
    let less = |of: &dyn Fn(usize) -> f32| {
        (0..own.len())
            .map(|row| own[row] - of(row))
            .collect::<Vec<_>>()
    };
    golden.assert("s_cliploss", &less(&|row| whole[row]));
    golden.assert("s_cliploss_halves", &less(&|row| halves[row]));
    golden.assert(
        "s_cliploss_both",
        &less(&|row| (whole[row] + halves[row]) / 2.0),
    );
}

#[test]
fn herding_picks_the_same_rows() {
    let golden = Golden::read();
    let images = golden.data("/images");
    let images = rows(&images, golden.dim());
    let expected: Vec<usize> = golden
        .score("herding")
        .iter()
        .map(|v| v.unwrap() as usize)
        .collect();
    assert_eq!(
        herd(images, &mean(images), expected.len(), budget(1 << 20, 1)),
        expected
    );
    assert_eq!(
        herd(images, &mean(images), expected.len(), budget(0, 1)),
        expected
    );
}
