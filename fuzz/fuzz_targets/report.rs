//! What is reported on: an output, or a score store whose shards are gone. Begins with `PAR1`: an output.
#![no_main]

use std::cell::LazyCell;
use std::path::Path;
use std::sync::Arc;

use clip_filter::inspect::Inspection;
use clip_filter::model::{Model, ModelOptions};
use clip_filter::pipeline::{ReportOptions, RunContext, ScoreOptions, report};
use clip_filter::select::{SavedSelection, SelectOptions};
use clip_filter::source::{Found, Location};
use clip_filter_fuzz::{Folder, store, tolerate_others};
use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};

thread_local! {
    static FOLDER: LazyCell<Folder> = LazyCell::new(Folder::new);
    static RUNTIME: LazyCell<Runtime> = LazyCell::new(|| {
        Builder::new_current_thread().enable_all().build().expect("a runtime")
    });
}

/// Once as the input was left, once with a selection made anew.
fn reported(path: &Path) {
    let model = Arc::new(Model::named("mock", ModelOptions::new()));
    let scoring = ScoreOptions::new([path.to_string_lossy()]).with_threads(1);
    let plain = ReportOptions::new(scoring);
    let selected = SelectOptions::new("0.5".parse().expect("a share"));
    for options in [plain.clone(), plain.with_select(selected)] {
        let context = RunContext::new(Arc::clone(&model) as _);
        let _ = RUNTIME.with(|runtime| runtime.block_on(report(&options, context)));
    }
}

fuzz_target!(init: tolerate_others(), |bytes: &[u8]| {
    let _ = SavedSelection::read(bytes);
    FOLDER.with(|folder| {
        if bytes.starts_with(b"PAR1") {
            let output = folder
                .with(&[("output.parquet", bytes)])
                .join("output.parquet");
            let _ = Inspection::of_shards(&Found {
                files: vec![Location::local(&output)],
                notes: Vec::new(),
            });
            reported(&output);
        } else {
            reported(folder.with(&store(bytes)));
        }
    });
});
