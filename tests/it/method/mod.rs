//! The method through the program: scores from stored embeddings, and selections by them.
//!
//! `reference` puts embeddings of `tests/golden/method.json` in a score store, so that every number is known.

mod adapt;
mod changes;
mod choosing;
mod conditions;
mod kept_state;
mod killed;
mod layout;
mod only_new;
mod pairs;
mod reference;
mod refused;
mod scores;
mod stored;
