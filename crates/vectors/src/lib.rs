//! Kernels over rows of embeddings: products, neighbours, clusters, herding, adapters in closed form.
//!
//! Concrete functions only, nothing generic in what is hot, so that the kernels are compiled here and stay optimised
//! when the crate that calls them is not.
//!
//! Rows are `f32`, one embedding after the other. Results depend neither on the number of threads nor on the memory a
//! kernel may use: an element of a product is the same in a block of any size, and a sum has an order of its own.
//!
//! # Why are neighbours found by products but measured by differences?
//! `sqrt(2 - 2 cos)` has no correct digit left where two rows are nearly the same, which is where diversity is decided.
//! The product only gives bounds; what may be a neighbour within them is measured again.

#![forbid(unsafe_code)]

mod alignment;
mod better;
mod budget;
mod centre;
mod centroids;
mod cholesky;
mod closed_form;
mod closest;
mod contrast;
mod exponential;
mod herding;
mod infonce;
mod integer_products;
mod judge;
mod kmeans;
mod linear;
mod moment;
mod nearest;
mod pair_sums;
mod parallel;
mod pool;
mod product;
mod random;
mod rows;
mod target;

pub use alignment::{ClassMatch, class_matches, linear_matches, paired_products};
pub use better::{descending_ranks, nearest_better};
pub use budget::Budget;
pub use centre::{distances_to, mean, mean_of_cell, median, moderate};
pub use centroids::Centroids;
pub use closed_form::{Discriminant, LinearMap, Ridge};
pub use closest::Closest;
pub use contrast::SoftPool;
pub use herding::herd;
pub use infonce::{Corrections, Descent, MOST_LOGIT_SCALE, PairBatch, Sought, Trained};
pub use judge::{Classes, blend, class_losses, log_ranks, row_hash};
pub use kmeans::KMeans;
pub use linear::{apply_linear, normalise};
pub use moment::{Moment, MomentSum};
pub use nearest::nearest_distances;
pub use pair_sums::{MOST_SUMMED_ROWS, PairSums, Partner, Totals, Workspace};
pub use pool::best_others;
pub use product::dot;
pub use rows::{RowSource, Rows};
pub use target::TargetRows;
