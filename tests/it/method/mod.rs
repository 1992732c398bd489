//! The method through the program: scores from stored embeddings, and selections by them.
//!
//! `reference` puts embeddings of `tests/golden/method.json` in a score store, so that every number is known.

mod adapt;
mod changes;
mod reference;
mod scores;
mod stored;
