//! What the crate promises, on small images made by Pillow and on damaged ones.
#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test may fail loudly"
)]

mod archive;
mod general;
mod golden;
mod hostile;
mod plain;
mod reading;
mod scaling;
mod sizes;
