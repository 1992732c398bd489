//! What the crate promises: the scores of the reference, brute force on random sizes, and results that depend neither
//! on threads nor on memory.
#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test may fail loudly"
)]

mod clusters;
mod contrasts;
mod herding;
mod neighbours;
mod order;
mod scores;
mod shapes;
mod speed;
mod targets;
mod world;
