//! Nearest centroids and k-means.

use clip_filter_vectors::{Centroids, KMeans, Rows};

use crate::world::{Random, assert_close, dot64, rows};

fn centroids(values: &[f32], dim: usize) -> Centroids {
    Centroids::from_values(values.to_vec(), dim).unwrap()
}

#[test]
fn the_nearest_is_that_of_brute_force_and_the_first_of_equal_ones() {
    let random = Random::new(41);
    for (len, cells, dim) in [(0, 3, 2), (5, 1, 1), (600, 40, 9), (300, 2_100, 17)] {
        let (values, of) = (random.cell(len, dim), random.cell(cells, dim));
        let (cell, all) = (rows(&values, dim), rows(&of, dim));
        let nearest = centroids(&of, dim).nearest(cell, 3);
        assert_eq!(nearest, centroids(&of, dim).nearest(cell, 1));
        for (row, (found, product)) in nearest.into_iter().enumerate() {
            let best = (0..cells)
                .map(|c| dot64(cell.row(row), all.row(c)))
                .fold(f64::NEG_INFINITY, f64::max);
            assert_close(&[product], &[best], "the product");
            let found = found as usize;
            assert!((dot64(cell.row(row), all.row(found)) - best).abs() < 1e-5);
            assert!(
                (0..found).all(|c| all.row(c) != all.row(found)),
                "not the first"
            );
        }
    }
}

#[test]
fn without_centroids_there_is_no_nearest() {
    let none = centroids(&[], 2);
    assert!(none.is_empty());
    assert_eq!(
        none.nearest(rows(&[1.0, 0.0], 2), 1),
        [(0, f32::NEG_INFINITY)]
    );
    assert_eq!(Centroids::from_values(vec![0.0; 3], 2), None);
}

/// Rows around a few directions, in random order, and the direction of each.
fn blobs(random: &Random, len: usize, dim: usize, directions: usize) -> (Vec<f32>, Vec<usize>) {
    let mut centres = random.values(directions * dim);
    clip_filter_vectors::normalise(&mut centres, dim);
    let (mut values, mut of) = (Vec::new(), Vec::new());
    for _ in 0..len {
        let blob = random.below(directions);
        let centre = rows(&centres, dim).row(blob);
        values.extend(centre.iter().map(|v| v + 0.03 * random.normal()));
        of.push(blob);
    }
    clip_filter_vectors::normalise(&mut values, dim);
    (values, of)
}

fn learn(values: Rows<'_>, cells: usize, portion: usize, threads: usize) -> Centroids {
    let mut means = KMeans::new(cells, values.dim(), 7, threads);
    let mut first = 0;
    while first < values.len() {
        let last = values.len().min(first + portion);
        means.push(values.slice(first..last));
        first = last;
    }
    means.finish()
}

#[test]
fn well_separated_clusters_are_found() {
    let random = Random::new(42);
    let (values, of) = blobs(&random, 5_000, 24, 12);
    let cell = rows(&values, 24);
    let found = learn(cell, 12, 700, 2);
    assert_eq!(found.len(), 12);
    let nearest = found.nearest(cell, 2);
    // Rows of one direction share a centroid, rows of two do not.
    let mut centroid_of = vec![None; 12];
    for (blob, (centroid, product)) in of.iter().zip(nearest) {
        assert_eq!(*centroid_of[*blob].get_or_insert(centroid), centroid);
        assert!(product > 0.95, "{product}");
    }
    centroid_of.sort();
    centroid_of.dedup();
    assert_eq!(centroid_of.len(), 12);
}

#[test]
fn portions_and_threads_change_nothing() {
    let random = Random::new(43);
    let (values, _) = blobs(&random, 3_500, 9, 30);
    let cell = rows(&values, 9);
    let expected = learn(cell, 40, 3_500, 1);
    assert_eq!(learn(cell, 40, 1, 1), expected);
    assert_eq!(learn(cell, 40, 1_023, 3), expected);
    assert_ne!(expected, {
        let mut other = KMeans::new(40, 9, 8, 1);
        other.push(cell);
        other.finish()
    });
}

#[test]
fn centroids_have_unit_length_and_few_rows_give_few() {
    let random = Random::new(44);
    for (len, cells) in [(0, 5), (1, 5), (3, 5), (800, 5), (2_000, 1_500)] {
        let mut values = random.values(len * 6);
        clip_filter_vectors::normalise(&mut values, 6);
        let found = learn(rows(&values, 6), cells, 100, 2);
        assert_eq!(found.len(), cells.min(len));
        for centroid in found.values().chunks(6) {
            assert!((dot64(centroid, centroid) - 1.0).abs() < 1e-5);
        }
    }
    let equal = [0.6, 0.8].repeat(50);
    assert_eq!(learn(rows(&equal, 2), 4, 50, 1).len(), 1);
}

/// The first batch lies in one place; what comes later gets centroids that have nothing left to win.
#[test]
fn centroids_without_rows_move_to_where_rows_are() {
    let random = Random::new(45);
    let dim = 16;
    let (first, _) = blobs(&random, 1_024, dim, 1);
    let (later, _) = blobs(&random, 12 * 1_024, dim, 6);
    let mut means = KMeans::new(8, dim, 3, 1);
    assert_eq!(means.batch_rows(), 1_024);
    means.push(rows(&first, dim));
    means.push(rows(&later, dim));
    let nearest = means.finish().nearest(rows(&later, dim), 1);
    let worst = nearest.iter().map(|n| n.1).fold(1.0, f32::min);
    assert!(worst > 0.8, "a row has no centroid nearer than {worst}");
}
