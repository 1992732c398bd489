//! `clip-filter inspect`.

mod store_text;
mod text;

use std::{process::ExitCode, sync::Arc};

use clap::Args as ClapArgs;

use super::{input_args::LooseTableArgs, print, running::print_json, say};
use crate::{
    config::Tell,
    error::{Error, Result},
    inspect::{Inspection, Subject, subject},
    model::{Model, ModelOptions},
};

const AFTER_HELP: &str = "\
Reads footers and manifests, and of a score store its scores and the columns computed from its embeddings; no image is decoded and, but for --check-model, no model is run, so neither \
ONNX Runtime nor the model of a store is needed. A store can be inspected while it is written to.

Examples:
  clip-filter inspect in.parquet
  clip-filter inspect 'shards/{00000..00127}.parquet'
  clip-filter inspect scores/ --json
  clip-filter inspect bundled
  clip-filter inspect hf:Xenova/clip-vit-base-patch32 --offline
  clip-filter inspect model/ --check-model";

#[derive(Debug, ClapArgs)]
#[command(after_help = AFTER_HELP)]
pub(super) struct InspectArgs {
    /// Parquet files, directories, globs or brace ranges; or one directory of scores; or one model: bundled, a
    /// directory with ONNX files, or hf:org/name[@revision]
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<String>,
    /// Where the text tower of a model is, if PATH has its image tower alone: a directory or hf:org/name[@revision]
    #[arg(long, value_name = "MODEL", env = "CLIP_FILTER_TEXT_MODEL")]
    text_model: Option<String>,
    /// Variant of a model's weights: fp32, fp16, quantized, ...; auto takes fp32 if it is there
    #[arg(long, env = "CLIP_FILTER_PRECISION", default_value = "auto")]
    precision: String,
    /// Compare a handful of pairs with the model's own Python stack (transformers or open_clip, where that is installed),
    /// print the cosines, and fail if a picture or a caption is prepared in another way
    #[arg(long, env = "CLIP_FILTER_CHECK_MODEL")]
    check_model: bool,
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
    let inspected = inspected(args, Arc::new(say))?;
    if args.json {
        print_json(&inspected.facts)?;
    } else {
        print(&text::text(&inspected.facts));
    }
    inspected.verdict.map(|()| ExitCode::SUCCESS)
}

/// What was found.
pub(super) struct Inspected {
    pub(super) facts: Inspection,
    /// Whether a model is prepared for as its own stack does, where that was asked.
    pub(super) verdict: Result<()>,
}

/// Looks at what the paths name; `say` gets what a person should know at once.
pub(super) fn inspected(args: &InspectArgs, say: Tell) -> Result<Inspected> {
    let mut verdict = Ok(());
    let subject = subject(&args.paths, &args.tables.places())?;
    if (args.check_model || args.text_model.is_some()) && !matches!(subject, Subject::Model(_)) {
        return Err(
            Error::usage("take --check-model or --text-model: PATH is no model")
                .with("path", args.paths.join(", ")),
        );
    }
    let facts = match subject {
        Subject::Shards(found) => Inspection::of_shards(&found)?,
        Subject::Store(at) => Inspection::of_store(&at, &args.tables.places())?,
        Subject::Model(name) => {
            let Ok(precision) = args.precision.parse();
            let mut options = ModelOptions::from_environment().with_precision(precision);
            options.surroundings.offline = args.offline;
            options.text_model.clone_from(&args.text_model);
            if !args.quiet {
                options.say = say;
            }
            let model = Model::named(name, options);
            let facts = Inspection::of_model(&model.spec()?)?;
            if args.check_model {
                let check = model.check()?;
                verdict = check.verdict();
                facts.with_check(check)
            } else {
                facts
            }
        }
    };
    Ok(Inspected { facts, verdict })
}
