//! From `--model`, `--device` and `--onnxruntime` to the model of a run.

use std::{process::ExitCode, sync::Arc};

use super::{
    args::{ModelArgs, SetupArgs},
    host::Host,
    say,
    tell_args::VerbosityArgs,
};
use crate::{
    error::Result,
    model::{Model, ModelOptions, surroundings},
    preprocess::Scaling,
    provision::{self, Flavor},
};

/// `clip-filter setup`.
pub(super) fn setup(args: &SetupArgs) -> Result<ExitCode> {
    let flavor = if args.cuda { Flavor::Cuda } else { Flavor::Cpu };
    let library = provision::setup(&surroundings(), flavor, &mut |line| say(line))?;
    say(&format!("ready: {}", library.path.display()));
    Ok(ExitCode::SUCCESS)
}

/// The model that the command line names, or failing that the one a score store was made with.
pub(super) fn model(args: &ModelArgs, verbosity: &VerbosityArgs, host: &Host) -> Model {
    let Ok(precision) = args.precision.parse();
    let mut options = ModelOptions::from_environment()
        .with_precision(precision)
        .with_devices(args.device.clone());
    if args.fast_decode {
        options = options.with_scaling(Scaling::Dct);
    }
    options.text_model.clone_from(&args.text_model);
    options.reproducible = args.reproducible;
    options.surroundings.offline = args.offline;
    if let Some(path) = &args.onnxruntime {
        options = options.with_onnxruntime(path);
    }
    if let Some(tell) = host.tell(verbosity) {
        options.say = Arc::clone(&tell);
    }
    match &args.model {
        Some(name) => Model::named(name, options),
        None => Model::of_store(options),
    }
}
