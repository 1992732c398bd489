//! Filters the sample as `clip-filter assets/sample.parquet kept.parquet --keep 0.3` does:
//! `cargo run --release --example filter`.

#![expect(clippy::print_stdout, reason = "it prints what it has done")]

use std::{error::Error, sync::Arc};

use clip_filter::{
    model::{Model, ModelOptions},
    pipeline::{RunContext, RunOptions, prepare, run},
    select::SelectOptions,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let output = std::env::args().nth(1);
    let output = output.unwrap_or_else(|| "kept.parquet".to_owned());
    let model = Model::open("bundled", ModelOptions::from_environment())?;
    let options = RunOptions::new(["assets/sample.parquet"], output)
        .with_select(SelectOptions::new("0.3".parse()?));
    let prepared = prepare(&options)?;
    let context = RunContext::new(Arc::new(model)).with_say(|line| println!("{line}"));
    let summary = run(&options, prepared, context).await?;
    println!(
        "kept {} of {} pairs, {} were bad; scored by {}",
        summary.rows_kept, summary.rows_in, summary.rows_bad, summary.model.name
    );
    Ok(())
}
