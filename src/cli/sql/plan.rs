//! A query plan for a person: whole, each step on its own line.

use std::io::Write;

use arrow::{
    array::{AsArray, RecordBatch},
    compute::cast,
    datatypes::{DataType, Schema},
};

use super::format::{RowWriter, failed};
use crate::error::Result;

/// Whether `schema` is that of what EXPLAIN yields.
pub(super) fn is_plan(schema: &Schema) -> bool {
    let names = schema.fields().iter().map(|field| field.name().as_str());
    names.eq(["plan_type", "plan"])
}

/// Writes what EXPLAIN yields: the name of a plan, then the plan.
pub(super) struct Plan<'a> {
    out: &'a mut dyn Write,
}

impl<'a> Plan<'a> {
    pub(super) fn new(out: &'a mut dyn Write) -> Self {
        Self { out }
    }
}

impl RowWriter for Plan<'_> {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let text = |column: usize| cast(batch.column(column), &DataType::Utf8).map_err(failed);
        let (names, plans) = (text(0)?, text(1)?);
        let rows = names.as_string::<i32>().iter();
        for (name, plan) in rows.zip(plans.as_string::<i32>()) {
            let (name, plan) = (name.unwrap_or_default(), plan.unwrap_or_default());
            writeln!(self.out, "{name}\n{}", plan.trim_end()).map_err(failed)?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, StringArray};

    use super::*;

    fn batch(names: [&str; 2]) -> RecordBatch {
        let plan = format!("Filter: {}\n  TableScan: pairs\n", "x".repeat(100));
        let columns: [ArrayRef; 2] = [
            Arc::new(StringArray::from(vec!["logical_plan", "physical_plan"])),
            Arc::new(StringArray::from(vec![plan.as_str(), "ShardScanExec"])),
        ];
        RecordBatch::try_from_iter(names.into_iter().zip(columns)).unwrap()
    }

    #[test]
    fn a_plan_is_shown_whole() {
        let batch = batch(["plan_type", "plan"]);
        assert!(is_plan(&batch.schema()));
        let mut out = Vec::new();
        Plan::new(&mut out).write(&batch).unwrap();
        let long = "x".repeat(100);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            format!(
                "logical_plan\nFilter: {long}\n  TableScan: pairs\nphysical_plan\nShardScanExec\n"
            )
        );
    }

    #[test]
    fn other_columns_are_no_plan() {
        assert!(!is_plan(&batch(["plan", "plan_type"]).schema()));
        assert!(!is_plan(&Schema::empty()));
    }
}
