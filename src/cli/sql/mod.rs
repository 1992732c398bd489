//! `clip-filter sql`: one query, a script or a shell, and its results in six formats.

mod args;
mod cell;
mod editor;
mod format;
mod results;
mod script;
mod shell;
mod statements;
mod table;

use std::{
    io::{IsTerminal, Read},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use async_trait::async_trait;
use futures::{
    future::BoxFuture,
    stream::{BoxStream, StreamExt},
};
use tokio::runtime::Runtime;

pub(super) use args::SqlArgs;
use args::{Param, ResultArgs};
use editor::Editor;
use results::{Pipe, Results};
use shell::Shell;

use super::{machine, print, say, say_error, surroundings};
use crate::{
    error::{Error, ErrorKind, Result},
    source::expand,
};

/// Lists recipes rather than naming one.
const LIST: &str = "list";

/// Schema and rows of one statement.
pub(super) struct Rows {
    pub(super) schema: SchemaRef,
    pub(super) batches: BoxStream<'static, Result<RecordBatch>>,
}

impl Rows {
    /// Rows that are there already.
    fn of(batch: RecordBatch) -> Self {
        Self {
            schema: batch.schema(),
            batches: futures::stream::iter([Ok(batch)]).boxed(),
        }
    }
}

/// A column of a table.
pub(super) struct Described {
    pub(super) column: String,
    pub(super) data_type: String,
    /// Where it comes from.
    pub(super) origin: String,
}

/// What answers queries.
#[async_trait]
pub(super) trait Queries: Send + Sync {
    /// Plans one statement; it runs as its rows are read, and stops when they are dropped.
    async fn query(&self, sql: &str) -> Result<Rows>;
    /// Names of tables.
    fn tables(&self) -> Vec<String>;
    /// Columns of `table`.
    async fn describe(&self, table: &str) -> Result<Vec<Described>>;
}

/// What every way to ask has: someone who answers, a place to run, and a way to be stopped.
pub(super) struct Session<'a> {
    queries: &'a dyn Queries,
    runtime: &'a Runtime,
    /// Waits for Ctrl-C.
    interrupted: &'a dyn Fn() -> BoxFuture<'static, ()>,
}

impl Session<'_> {
    /// Runs `work` to its end, or drops it at Ctrl-C.
    fn run<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let interrupted = (self.interrupted)();
        self.runtime.block_on(async {
            tokio::select! {
                // The signal is looked at first, so that it is listened to before any work.
                biased;
                () = interrupted => Err(Error::new(ErrorKind::Interrupted, "finish: it was interrupted")),
                result = work => result,
            }
        })
    }
}

/// What is to be run.
enum Work {
    /// Text of statements on the command line or of a recipe.
    Query(String),
    /// Text of statements from standard input.
    Script(String),
    Shell,
}

/// `clip-filter sql`.
pub(super) fn run(args: &SqlArgs) -> Result<ExitCode> {
    if args.tables.recipe.as_deref() == Some(LIST) {
        for name in recipe_names() {
            print(&format!("{name}\n"));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let work = work(args)?;
    if matches!(work, Work::Shell) {
        check_shell(&args.result)?;
    }
    let inputs = protected(args);
    let inputs: Vec<&Path> = inputs.iter().map(PathBuf::as_path).collect();
    let is_terminal = std::io::stdout().is_terminal();
    let results = Results::try_new(&args.result, stdout(), is_terminal, &inputs)?;
    let runtime = runtime(args)?;
    let queries = open(args, &runtime)?;
    let session = Session {
        queries: queries.as_ref(),
        runtime: &runtime,
        interrupted: &|| Box::pin(interrupted()),
    };
    match work {
        Work::Query(text) => {
            run_text(&session, &text, results, args)?;
            Ok(ExitCode::SUCCESS)
        }
        Work::Script(text) => match run_text(&session, &text, results, args) {
            Err(error) if error.kind() != ErrorKind::Interrupted => {
                // A statement that is wrong is no wrong use of the program.
                say_error(&error, args.verbosity.quiet);
                Ok(ExitCode::FAILURE)
            }
            result => result.map(|()| ExitCode::SUCCESS),
        },
        Work::Shell => {
            let mut editor = Editor::open(&surroundings::cache().join("sql_history"))?;
            let mut tell = say;
            let mut shell = Shell::new(&session, stdout(), args.result.format(), &mut tell);
            shell.run(&mut editor).map(|()| ExitCode::SUCCESS)
        }
    }
}

// WIRE HERE ------------------------------------------------------------------------------------------

/// Opens what answers: the tables of `args.tables`, the model, the limits.
fn open(_args: &SqlArgs, _runtime: &Runtime) -> Result<Box<dyn Queries>> {
    Err(Error::internal("open a session: it is not wired"))
}

/// Names for `--recipe list`.
fn recipe_names() -> Vec<String> {
    Vec::new()
}

/// The statements of a recipe with its parameters filled in.
fn recipe(name: &str, _params: &[Param]) -> Result<String> {
    Err(Error::usage("find the recipe")
        .with("recipe", name)
        .hint("--recipe list shows their names"))
}

// ----------------------------------------------------------------------------------------------------

fn work(args: &SqlArgs) -> Result<Work> {
    if let Some(name) = &args.tables.recipe {
        return recipe(name, &args.tables.params).map(Work::Query);
    }
    if !args.tables.params.is_empty() {
        return Err(Error::usage("use --param: there is no recipe").hint("--recipe NAME"));
    }
    match args.query.as_deref() {
        Some("-") => read_script(),
        Some(query) => Ok(Work::Query(query.to_owned())),
        None if std::io::stdin().is_terminal() => Ok(Work::Shell),
        None => read_script(),
    }
}

fn read_script() -> Result<Work> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|error| Error::input("read statements from standard input").source(error))?;
    Ok(Work::Script(text))
}

fn check_shell(result: &ResultArgs) -> Result<()> {
    if result.output.is_some() {
        return Err(Error::usage("use --output: there is no query")
            .hint("clip-filter sql 'SELECT ...' --output FILE"));
    }
    if result.format().is_binary() {
        return Err(Error::usage("show rows in a binary format")
            .hint("--format table, csv, json or ndjson"));
    }
    Ok(())
}

/// Files that an output must not replace.
fn protected(args: &SqlArgs) -> Vec<PathBuf> {
    let inputs = args.tables.inputs.iter().map(|input| input.path.clone());
    // What cannot be expanded is refused when the table is made.
    let files = inputs.flat_map(|path| expand(&[path]).unwrap_or_default());
    files.chain(args.tables.scores.clone()).collect()
}

fn runtime(args: &SqlArgs) -> Result<Runtime> {
    let threads = args.resources.threads;
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads.map_or_else(machine::threads, usize::from))
        .enable_all()
        .build()
        .map_err(|error| Error::resources("start the runtime").source(error))
}

fn stdout() -> Pipe {
    Pipe::new(Box::new(std::io::stdout()))
}

async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        // Where there is no such signal, none will come.
        std::future::pending::<()>().await;
    }
}

/// Runs the statements of `text` and says what was written.
fn run_text(session: &Session<'_>, text: &str, mut results: Results, args: &SqlArgs) -> Result<()> {
    let start = Instant::now();
    let rows = script::run(session, text, &mut results)?;
    if let (Some(output), false) = (&args.result.output, args.verbosity.quiet) {
        let rows = table::rows_text(rows);
        let seconds = start.elapsed().as_secs_f64();
        say(&format!(
            "wrote {rows} to {} in {seconds:.1} s",
            output.display()
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
