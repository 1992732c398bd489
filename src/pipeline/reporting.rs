//! What a selection has decided, as the room `report` looks at it.

use super::context::Narrow;
use crate::{
    error::Result,
    report::{self, Case, Limits, Report, Subject, SubjectKind},
    select::Chosen,
};

/// Looks at what a run has decided, before it is written.
pub(super) fn of_run(narrow: &Narrow<'_>, chosen: &Chosen) -> Result<Report> {
    let counters = &narrow.context.counters;
    counters.set_step("making the report");
    let subject = Subject {
        kind: SubjectKind::Run,
        name: narrow.options.scoring.inputs.join(" "),
    };
    let cancelled = narrow.context.stopping();
    let report = report::of_case(&case_of(narrow, chosen, subject, &cancelled));
    counters.set_step("");
    report
}

/// What was decided about shards that are there.
pub(super) fn case_of<'a>(
    narrow: &Narrow<'a>,
    chosen: &'a Chosen,
    subject: Subject,
    cancelled: &'a dyn Fn() -> Result<()>,
) -> Case<'a> {
    let options = narrow.options;
    Case {
        shards: &narrow.prepared.shards,
        store: &narrow.scored.store,
        select: &options.select,
        method: &options.scoring.method,
        chosen,
        limits: Limits {
            memory_limit: options.scoring.memory_limit,
            threads: options.scoring.threads,
            max_pixels: options.scoring.max_pixels,
            reading: options.scoring.reading,
            allow_external_paths: options.scoring.allow_external_paths,
        },
        selection: options.describe_selection(),
        command: options.command.clone(),
        subject,
        shards_gone: None,
        cancelled,
    }
}
