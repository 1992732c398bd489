//! Kernels over rows of embeddings: products, neighbours, clusters, herding.
//!
//! Concrete functions only, nothing generic in what is hot, so that the kernels are compiled here and stay optimised
//! when the crate that calls them is not.
