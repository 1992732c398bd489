//! `clip-filter IN OUT`.

fn main() -> std::process::ExitCode {
    clip_filter::cli::main()
}
