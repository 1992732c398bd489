//! `clip-filter inspect`.

mod store_text;
mod text;

use std::process::ExitCode;

use clap::Args as ClapArgs;

use super::{input_args::LooseTableArgs, print, running::print_json, say};
use crate::{
    error::Result,
    inspect::{Inspection, Subject, subject},
    model::{Model, ModelOptions},
};

const AFTER_HELP: &str = "\
Reads footers and manifests, and of a score store its scores and the columns computed from its embeddings; no image is decoded and no model is run, so neither \
ONNX Runtime nor the model of a store is needed. A store can be inspected while it is written to.

Examples:
  clip-filter inspect in.parquet
  clip-filter inspect 'shards/{00000..00127}.parquet'
  clip-filter inspect scores/ --json
  clip-filter inspect bundled
  clip-filter inspect hf:Xenova/clip-vit-base-patch32 --offline";

#[derive(Debug, ClapArgs)]
#[command(after_help = AFTER_HELP)]
pub(super) struct InspectArgs {
    /// Parquet files, directories, globs or brace ranges; or one directory of scores; or one model: bundled, a
    /// directory with ONNX files, or hf:org/name[@revision]
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<String>,
    /// Variant of a model's weights: fp32, fp16, quantized, ...; auto takes fp32 if it is there
    #[arg(long, env = "CLIP_FILTER_PRECISION", default_value = "auto")]
    precision: String,
    /// Fetch nothing: a hf: model must be in the cache
    #[arg(long, env = "CLIP_FILTER_OFFLINE")]
    offline: bool,
    /// Print the facts as one JSON object
    #[arg(long, env = "CLIP_FILTER_JSON")]
    json: bool,
    /// Say nothing but errors on stderr
    #[arg(short, long, env = "CLIP_FILTER_QUIET")]
    pub(super) quiet: bool,
    #[command(flatten)]
    tables: LooseTableArgs,
}

pub(super) fn run(args: &InspectArgs) -> Result<ExitCode> {
    let facts = match subject(&args.paths, &args.tables.places())? {
        Subject::Shards(found) => Inspection::of_shards(&found)?,
        Subject::Store(directory) => Inspection::of_store(&directory)?,
        Subject::Model(name) => {
            let Ok(precision) = args.precision.parse();
            let mut options = ModelOptions::from_environment().with_precision(precision);
            options.surroundings.offline = args.offline;
            if !args.quiet {
                options = options.with_say(say);
            }
            let spec = Model::named(name, options).spec()?;
            Inspection::of_model(&spec)?
        }
    };
    if args.json {
        print_json(&facts)?;
    } else {
        print(&text::text(&facts));
    }
    Ok(ExitCode::SUCCESS)
}
