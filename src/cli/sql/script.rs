//! Runs several statements one after the other.

use super::{
    Session,
    results::{Delivered, Results},
    statements::{Statement, split},
};
use crate::error::{Error, Result};

/// Runs the statements of `text` in order; returns how many rows were written.
///
/// # Errors
/// At the first statement that fails, with its number if there are several. When there is none.
pub(super) fn run(session: &Session<'_>, text: &str, results: &mut Results) -> Result<u64> {
    let found = split(text);
    let statements: Vec<Statement<'_>> = found.complete.into_iter().chain(found.rest).collect();
    if statements.is_empty() {
        return Err(Error::usage("find a statement: the text holds none"));
    }
    let mut rows = 0;
    for (position, statement) in statements.iter().enumerate() {
        match run_one(session, statement, results) {
            Ok(Delivered::Rows(more)) => rows += more,
            Ok(Delivered::Nothing) => {}
            Ok(Delivered::Closed) => return Ok(rows),
            Err(error) if statements.len() == 1 => return Err(error),
            Err(error) => {
                let place = format!(
                    "{} of {}, line {}",
                    position + 1,
                    statements.len(),
                    statement.line
                );
                return Err(error.with("statement", place));
            }
        }
    }
    match results.missing_output() {
        Some(path) => Err(Error::usage("write the output: no statement yields rows")
            .with("output", path)
            .hint("end with a SELECT")),
        None => Ok(rows),
    }
}

fn run_one(
    session: &Session<'_>,
    statement: &Statement<'_>,
    results: &mut Results,
) -> Result<Delivered> {
    session.run(async {
        let rows = session.queries.query(statement.sql).await?;
        results.take(rows).await
    })
}
