//! `clip-filter completions SHELL`.

use clap::Args as ClapArgs;
use clap_complete::{Shell, generate};

use super::{print, typed};

const AFTER_HELP: &str = "\
Examples:
  clip-filter completions bash > ~/.local/share/bash-completion/completions/clip-filter
  clip-filter completions zsh > ~/.zfunc/_clip-filter
  clip-filter completions fish > ~/.config/fish/completions/clip-filter.fish";

#[derive(Debug, ClapArgs)]
#[command(after_help = AFTER_HELP)]
pub(super) struct CompletionsArgs {
    /// The shell that is to complete what is typed
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs) {
    let mut script = Vec::new();
    let mut definition = typed::definition();
    let name = definition.get_name().to_owned();
    generate(args.shell, &mut definition, name, &mut script);
    print(&String::from_utf8_lossy(&script));
}
