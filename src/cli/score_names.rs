//! What the scores from embeddings are, for the long help.

use std::fmt::Write;

use crate::schema::ScoreColumn;

/// Every score from embeddings with its line of the registry.
pub(super) fn score_names() -> String {
    let mut text =
        "Scores from embeddings, over all good rows (sql/columns.md has formulas and sources):"
            .to_owned();
    for column in ScoreColumn::derived() {
        // Writing to a string does not fail.
        let _ = write!(text, "\n  {:<15}  {}", column.name(), column.help());
    }
    text
}
