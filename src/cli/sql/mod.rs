//! `clip-filter sql`: one query, a script or a shell, and its results in six formats.

mod args;
mod cell;
mod editor;
mod format;
mod plan;
mod results;
mod script;
mod shell;
mod statements;
mod table;

use std::{
    io::{IsTerminal, Read},
    process::ExitCode,
    sync::Arc,
    time::Instant,
};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use futures::{future::BoxFuture, stream::StreamExt};
use serde::Serialize;
use tokio::runtime::Runtime;

pub(super) use args::SqlArgs;
use args::{Param, ResultArgs};
use editor::Editor;
use results::Results;
use shell::Shell;

use super::{
    call::RowSender,
    host::Host,
    loading,
    pipe::Pipe,
    print, say, say_error,
    tracing::{Others, TraceFile},
};
use crate::{
    engine::{Described, QueryRows, Recipe, SqlSession},
    error::{Error, ErrorKind, Result},
    model,
    pipeline::{DEFAULT_TABLE, RunContext, SqlOptions, open_sql},
    sink::{Destination, OutputPath},
    source::{ColumnChoice, input_that_reads},
    store::StoreAt,
};

/// Lists recipes rather than naming one.
const LIST: &str = "list";

/// Rows that are there already.
fn rows_of(batch: RecordBatch) -> QueryRows {
    QueryRows {
        schema: batch.schema(),
        stored: Vec::new(),
        row_group_bytes: u64::MAX,
        batches: futures::stream::iter([Ok(batch)]).boxed(),
    }
}

/// What answers queries.
#[async_trait]
pub(super) trait Queries: Send + Sync {
    /// Plans one statement; it runs as its rows are read, and stops when they are dropped.
    async fn query(&self, sql: &str) -> Result<QueryRows>;
    /// Names of tables.
    fn tables(&self) -> Vec<String>;
    /// Columns of `table`.
    async fn describe(&self, table: &str) -> Result<Vec<Described>>;
    /// The statement of a recipe with its parameters filled in.
    fn recipe(&self, name: &str, params: &[Param]) -> Result<String>;
}

#[async_trait]
impl Queries for SqlSession {
    async fn query(&self, sql: &str) -> Result<QueryRows> {
        SqlSession::query(self, sql).await
    }

    fn tables(&self) -> Vec<String> {
        SqlSession::tables(self)
    }

    async fn describe(&self, table: &str) -> Result<Vec<Described>> {
        SqlSession::describe(self, table).await
    }

    fn recipe(&self, name: &str, params: &[Param]) -> Result<String> {
        let recipe = Recipe::named(name)?;
        let values: Vec<_> = params
            .iter()
            .map(|param| (param.name.clone(), param.value.clone()))
            .collect();
        let pairs = self.pair_names(DEFAULT_TABLE).ok_or_else(|| {
            Error::usage("run a recipe: there is no table of pairs")
                .hint("--input FILE, or --scores DIR")
        })?;
        recipe.sql(&values, &pairs)
    }
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
    /// Text of statements on the command line.
    Query(String),
    /// Name of a recipe.
    Recipe(String),
    /// Text of statements from standard input.
    Script(String),
    Shell,
}

/// `clip-filter sql`.
pub(super) fn run(args: &SqlArgs) -> Result<ExitCode> {
    if args.tables.recipe.as_deref() == Some(LIST) {
        for recipe in Recipe::all() {
            print(&recipe_text(&recipe));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let work = work(args)?;
    if matches!(work, Work::Shell) {
        check_shell(&args.result)?;
    }
    let host = &Host::Terminal;
    with_results(args, host, |session, results| {
        answer(session, work, results, args)
    })
}

/// What a query has written.
#[derive(Debug, Serialize)]
pub(super) struct WrittenRows {
    rows: u64,
    output: String,
}

/// Writes the rows of a query, a script or a recipe to the output that was named.
pub(super) fn written(args: &SqlArgs, host: &Host) -> Result<WrittenRows> {
    let rows = with_results(args, host, |session, mut results| {
        let text = text(session.queries, args)?;
        script::run(session, &text, &mut results)
    })?;
    let output = args.result.output.as_deref();
    Ok(WrittenRows {
        rows,
        output: output.map_or(String::new(), |output| output.display().to_string()),
    })
}

/// Gives the rows of one query, or of a recipe, to a program that reads them.
pub(super) fn given(args: &SqlArgs, host: &Host, rows: &RowSender) -> Result<()> {
    with_session(args, host, |session| {
        let text = text(session.queries, args)?;
        session.run(async {
            let mut found = session.queries.query(&text).await?;
            let mut takes_more = rows.begin(Arc::clone(&found.schema));
            while takes_more && let Some(batch) = found.batches.next().await {
                takes_more = rows.give(batch?);
            }
            Ok(())
        })
    })
}

/// The statements that a program gives; it has no standard input to be read.
fn text(queries: &dyn Queries, args: &SqlArgs) -> Result<String> {
    match (&args.tables.recipe, &args.query) {
        (Some(name), _) => queries.recipe(name, &args.tables.params),
        (None, Some(query)) => Ok(query.clone()),
        (None, None) => Err(Error::usage(
            "find a statement: neither a query nor a recipe was given",
        )),
    }
}

/// Opens a session whose results go where `args` say.
fn with_results<T>(
    args: &SqlArgs,
    host: &Host,
    work: impl FnOnce(&Session<'_>, Results) -> Result<T>,
) -> Result<T> {
    check_unread(&args.result, &paths(args))?;
    let inputs = protected(args);
    let is_terminal = matches!(host, Host::Terminal) && std::io::stdout().is_terminal();
    let results = Results::try_new(&args.result, stdout(), is_terminal, &inputs)?;
    with_session(args, host, |session| work(session, results))
}

fn with_session<T>(
    args: &SqlArgs,
    host: &Host,
    work: impl FnOnce(&Session<'_>) -> Result<T>,
) -> Result<T> {
    let trace = args.trace.start(Others {
        overwrite: args.result.overwrite,
        inputs: &paths(args),
        outputs: &[args.result.output.as_deref(), args.tables.scores.as_deref()],
    })?;
    let runtime = runtime(args)?;
    let queries = open(args, trace.as_ref(), host)?;
    let session = Session {
        queries: queries.as_ref(),
        runtime: &runtime,
        interrupted: &|| {
            let host = host.clone();
            Box::pin(async move { host.stopped().await })
        },
    };
    let done = work(&session);
    // What still works is joined, so that the trace has all of it.
    drop((queries, runtime));
    if let Some(trace) = trace {
        trace.finish();
    }
    done
}

fn paths(args: &SqlArgs) -> Vec<String> {
    args.tables.inputs.iter().map(|i| i.path.clone()).collect()
}

/// Does what was asked for.
fn answer(session: &Session<'_>, work: Work, results: Results, args: &SqlArgs) -> Result<ExitCode> {
    match work {
        Work::Query(text) => {
            run_text(session, &text, results, args)?;
            Ok(ExitCode::SUCCESS)
        }
        Work::Recipe(name) => {
            let text = session.queries.recipe(&name, &args.tables.params)?;
            run_text(session, &text, results, args).map_err(|error| error.with("recipe", name))?;
            Ok(ExitCode::SUCCESS)
        }
        Work::Script(text) => match run_text(session, &text, results, args) {
            Err(error) if error.kind() != ErrorKind::Interrupted => {
                // A statement that is wrong is no wrong use of the program.
                say_error(&error, args.verbosity.quiet);
                Ok(ExitCode::FAILURE)
            }
            result => result.map(|()| ExitCode::SUCCESS),
        },
        Work::Shell => {
            let cache = model::surroundings().cache.unwrap_or_default();
            let mut editor = Editor::open(&cache.join("sql_history"))?;
            let mut tell = say;
            let mut shell = Shell::new(session, stdout(), args.result.format(), &mut tell);
            shell.run(&mut editor).map(|()| ExitCode::SUCCESS)
        }
    }
}

/// Opens what answers: the tables of `args.tables`, the model, the limits.
fn open(args: &SqlArgs, trace: Option<&TraceFile>, host: &Host) -> Result<Box<dyn Queries>> {
    let mut tables: Vec<(String, Vec<String>)> = Vec::new();
    for input in &args.tables.inputs {
        match tables.iter_mut().find(|(name, _)| *name == input.table) {
            Some((_, paths)) => paths.push(input.path.clone()),
            None => tables.push((input.table.clone(), vec![input.path.clone()])),
        }
    }
    let columns = ColumnChoice {
        image: args.columns.image_column.clone(),
        text: args.columns.text_column.clone(),
        ..ColumnChoice::default()
    };
    let mut options = SqlOptions::new()
        .with_places(args.reads.places())
        .with_on_bad_shard(args.reads.on_bad_shard())
        .with_columns(columns)
        .with_threads(args.resources.threads())
        .with_memory_limit(args.resources.memory_limit())
        .with_images(args.images.choice());
    options.tables = tables;
    options.scores = args.tables.scores.as_deref().map(StoreAt::from);
    options.model_batch_rows = args.model.batch_size.map(|rows| rows as usize);
    options.allow_external_paths = args.images.allow_external_paths;
    let model = loading::model(&args.model, &args.verbosity, host);
    let mut context = RunContext::new(Arc::new(model)).with_counters(host.counters());
    if let Some(tell) = host.tell(&args.verbosity) {
        context = context.with_say(move |line| tell(line));
    }
    let session = open_sql(&options, context)?;
    if let Some(trace) = trace {
        trace.watch(session.counters());
    }
    Ok(Box::new(session))
}

fn recipe_text(recipe: &Recipe) -> String {
    let mut text = format!("{}\n    {}\n", recipe.name, recipe.about);
    for param in &recipe.params {
        let (name, default, about) = (&param.name, &param.default, &param.about);
        text.push_str(&format!("    --param {name}={default}   {about}\n"));
    }
    text.push_str(&format!("    source: {}\n", recipe.source));
    text
}

fn work(args: &SqlArgs) -> Result<Work> {
    if let Some(name) = &args.tables.recipe {
        return Ok(Work::Recipe(name.clone()));
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

/// Refuses Parquet that the next query over `inputs` would read as a shard.
fn check_unread(result: &ResultArgs, inputs: &[String]) -> Result<()> {
    let output = result.output.as_deref().map(OutputPath::from);
    let output = output.filter(|_| result.format() == format::Format::Parquet);
    let destination = output.map(Destination::of);
    let file = destination.as_ref();
    let file = file.and_then(|destination| destination.first_file("parquet"));
    match file
        .and_then(|file| input_that_reads(inputs, &file))
        .zip(destination)
    {
        Some((input, output)) => Err(Error::usage(
            "write the output within an input: the next query would read it as a shard",
        )
        .with("input", input)
        .with("output", output)
        .hint("name a place outside, or one within that begins with _, which is not read")),
        None => Ok(()),
    }
}

/// Files that an output must not replace.
fn protected(args: &SqlArgs) -> Vec<OutputPath> {
    let inputs = args.tables.inputs.iter().map(|input| input.path.clone());
    // What cannot be expanded is refused when the table is made.
    let expanded = |path| args.reads.places().expand(&[path]).unwrap_or_default();
    let files = inputs.flat_map(expanded).map(|file| (&file).into());
    let scores = args.tables.scores.as_deref().map(OutputPath::from);
    files.chain(scores).collect()
}

fn runtime(args: &SqlArgs) -> Result<Runtime> {
    let options = SqlOptions::new()
        .with_threads(args.resources.threads())
        .with_memory_limit(args.resources.memory_limit());
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(options.worker_threads())
        .enable_all()
        .build()
        .map_err(|error| Error::resources("start the runtime").source(error))
}

fn stdout() -> Pipe {
    Pipe::new(Box::new(std::io::stdout()))
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
