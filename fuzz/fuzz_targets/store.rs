//! A score store: manifest, record, places of shards, and one file of scores, read to the end in both ways there are.
#![no_main]

use std::cell::LazyCell;
use std::path::Path;

use clip_filter::error::Result;
use clip_filter::inspect::Inspection;
use clip_filter::source::Places;
use clip_filter::store::ScoreStore;
use clip_filter_fuzz::{Folder, store, tolerate_others};
use libfuzzer_sys::fuzz_target;

thread_local! {
    static FOLDER: LazyCell<Folder> = LazyCell::new(Folder::new);
}

/// All columns of all rows, as they come, and those of some rows.
fn read(directory: &Path) -> Result<()> {
    let store = ScoreStore::open(directory)?;
    let schema = store.schema().clone();
    let columns: Vec<&str> = schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    for shard in store.shards() {
        store.coverage(shard)?;
        let scores = store.scores(shard)?;
        let mut cursor = scores.cursor(&columns, 0)?;
        while let Some(rows) = cursor.advance()? {
            assert!(rows.columns.iter().all(|column| column.len() == rows.len()));
        }
        let taken = scores.cursor(&columns, 0)?.take(&[0, 2, 3, 900])?;
        assert!(taken.iter().all(|column| column.len() == 4));
    }
    Ok(())
}

fuzz_target!(init: tolerate_others(), |bytes: &[u8]| {
    FOLDER.with(|folder| {
        let directory = folder.with(&store(bytes));
        let _ = Inspection::of_store(directory, &Places::default());
        let _ = read(directory);
    });
});
