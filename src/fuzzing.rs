//! What a fuzzer calls and a host does not see. Behind the feature `fuzzing`, which is in no build of the program; all
//! other targets of `fuzz/` call what is public.

use std::io::Cursor;

use crate::{encode::Graph, error::Result};

/// Outputs to which a graph is cut.
const MOST_CUTS: usize = 4;

/// Reads an ONNX file as every model is read, and cuts its graph down to each of its first outputs.
///
/// # Errors
/// As a model that is damaged.
///
/// # Panics
/// When what was cut is not read again, or lacks the output that it was cut for.
pub fn graph(bytes: &[u8]) -> Result<()> {
    let graph = Graph::read(Cursor::new(bytes))?;
    for output in graph.outputs.iter().take(MOST_CUTS) {
        let cut = Graph::prune(Cursor::new(bytes), &[&output.name])?;
        let again = Graph::read(Cursor::new(&cut))?;
        assert!(again.outputs.iter().any(|found| found.name == output.name));
        assert!(again.operators.is_subset(&graph.operators));
    }
    Ok(())
}
