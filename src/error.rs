//! One error type, sorted by who has to act.
//!
//! A message is a lowercase fragment that reads after "failed to". Facts (shard, row group, column, …)
//! are context pairs, a known remedy is a hint, and the cause is kept as the source. Secrets are hidden in all of them;
//! a cause stays as it is, and they are hidden where [`Error::report`] tells it.

use std::{
    any::Any,
    cell::Cell,
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::secrets;

/// Who has to act on an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The call: a flag, an expression or a combination of them.
    Usage,
    /// The data: a shard, a column or a row that cannot be read as asked.
    Input,
    /// The model directory or its files.
    Model,
    /// ONNX Runtime or its execution providers.
    Runtime,
    /// Where the result goes: it exists, is read-only or is full.
    Output,
    /// A limit that was set: memory, bad rows.
    Resources,
    /// The user stopped the run.
    Interrupted,
    /// A defect of this program.
    Internal,
}

/// An error with its facts, its remedy and its cause.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    context: Vec<(&'static str, String)>,
    hint: Option<String>,
    /// The shard that is damaged, where the error says so.
    bad_shard: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of `kind`; `message` reads after "failed to".
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: secrets::in_message(&message.into()),
            context: Vec::new(),
            hint: None,
            bad_shard: None,
            source: None,
        }))
    }

    /// An error in the call.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// An error in the input data.
    pub fn input(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Input, message)
    }

    /// An error in a model directory.
    pub fn model(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Model, message)
    }

    /// An error of ONNX Runtime.
    pub fn runtime(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Runtime, message)
    }

    /// An error where the result is written.
    pub fn output(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Output, message)
    }

    /// A limit was reached.
    pub fn resources(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Resources, message)
    }

    /// A defect of this program.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// Adds a fact; shown as `name: value` on a line of its own.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        let value = secrets::in_message(&value.to_string());
        self.0.context.push((name, value));
        self
    }

    /// Says what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(secrets::in_message(&hint.into()));
        self
    }

    /// Keeps the cause.
    #[must_use]
    pub fn source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Says that the content of this shard is at fault: a run without the shard would get further.
    #[must_use]
    pub(crate) fn of_bad_shard(mut self, shard: &str) -> Self {
        self.0.bad_shard = Some(shard.to_owned());
        self
    }

    /// The name of the shard whose content is at fault, where that is known; not of one that cannot be reached.
    pub fn bad_shard(&self) -> Option<&str> {
        let shard = self.0.bad_shard.as_deref()?;
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let wrapped = error
                .downcast_ref::<io::Error>()
                .and_then(io::Error::get_ref);
            if wrapped.is_some_and(|inner| inner.is::<Unreached>()) {
                return None;
            }
            cause = error.source();
        }
        Some(shard)
    }

    /// The same error, for one of several who are told; the cause is text alone.
    #[must_use]
    pub(crate) fn copied(&self) -> Self {
        let Inner {
            kind,
            message,
            context,
            hint,
            bad_shard: _,
            source,
        } = &*self.0;
        Self(Box::new(Inner {
            kind: *kind,
            message: message.clone(),
            context: context.clone(),
            hint: hint.clone(),
            bad_shard: self.bad_shard().map(str::to_owned),
            source: source.as_ref().map(|source| source.to_string().into()),
        }))
    }

    /// Who has to act.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What to do next, where that is known.
    pub fn remedy(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// What failed and its first cause, in one line.
    pub fn in_one_line(&self) -> String {
        let cause = std::error::Error::source(self).map(|cause| format!(": {cause}"));
        let text = format!("failed to {}{}", self.0.message, cause.unwrap_or_default());
        secrets::in_message(&text.replace('\n', " "))
    }

    /// The whole report, several lines: what failed, the facts, the causes, the remedy.
    pub fn report(&self) -> String {
        let mut text = format!("failed to {}", self.0.message);
        for (name, value) in &self.0.context {
            text.push_str(&format!("\n  {name}: {value}"));
        }
        let mut cause = std::error::Error::source(self);
        let mut last = String::new();
        while let Some(error) = cause {
            let line = secrets::in_message(&error.to_string());
            // A wrapper often repeats its cause word for word; one line is enough then.
            if !last.contains(&line) {
                text.push_str(&format!("\n  cause: {}", line.replace('\n', "\n    ")));
                last = line;
            }
            cause = error.source();
        }
        if let Some(hint) = &self.0.hint {
            text.push_str(&format!("\n  try: {hint}"));
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        for (position, (name, value)) in self.0.context.iter().enumerate() {
            let open = if position == 0 { " (" } else { ", " };
            write!(f, "{open}{name}: {value}")?;
        }
        if !self.0.context.is_empty() {
            f.write_str(")")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

/// Marks an error of reading: what it kept from being read may be sound.
pub(crate) fn unreached(error: io::Error) -> io::Error {
    match error.kind() {
        // The file is shorter than it says.
        io::ErrorKind::UnexpectedEof => error,
        kind => io::Error::new(kind, Unreached(error)),
    }
}

/// Whether an error is one of [`unreached`].
pub(crate) fn is_unreached(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|cause| cause.is::<Unreached>())
}

/// See [`unreached`].
#[derive(Debug)]
struct Unreached(io::Error);

impl fmt::Display for Unreached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Unreached {}

/// What `work` gives, which calls a library with data of strangers; an error where the library panics at it.
///
/// What `work` has changed by then must not be used again.
pub(crate) fn contained<T>(library: &'static str, work: impl FnOnce() -> T) -> Result<T, GaveUp> {
    CONTAINED.set(CONTAINED.get() + 1);
    let done = catch_unwind(AssertUnwindSafe(work));
    CONTAINED.set(CONTAINED.get() - 1);
    done.map_err(|panic| GaveUp {
        library,
        words: words_of(panic.as_ref()),
    })
}

thread_local! {
    /// How many [`contained`] pieces of work this thread is in.
    static CONTAINED: Cell<usize> = const { Cell::new(0) };
}

/// Whether this thread is in [`contained`] work: a panic there is told by its error.
#[cfg(feature = "cli")]
pub(crate) fn is_contained() -> bool {
    CONTAINED.get() > 0
}

/// What a panic said, in one line.
fn words_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let line = text
        .and_then(|text| text.lines().next())
        .unwrap_or_default();
    line.chars().take(200).collect()
}

/// A library panicked at data that it was to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GaveUp {
    library: &'static str,
    words: String,
}

impl fmt::Display for GaveUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the library {} gave up at it", self.library)?;
        match self.words.as_str() {
            "" => Ok(()),
            words => write!(f, ": {words}"),
        }
    }
}

impl std::error::Error for GaveUp {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_names_facts_cause_and_remedy() {
        let error = Error::input("read the Parquet footer")
            .with("shard", "a.parquet")
            .source(std::io::Error::other("early end"))
            .hint("check that the download finished");
        assert_eq!(
            error.report(),
            "failed to read the Parquet footer\n  shard: a.parquet\n  cause: early end\n  try: check that the download finished"
        );
        assert_eq!(
            error.to_string(),
            "read the Parquet footer (shard: a.parquet)"
        );
        assert_eq!(error.remedy(), Some("check that the download finished"));
    }

    #[test]
    fn an_error_tells_no_secret() {
        let error = Error::usage("read 'https://u:p-a@h/x'")
            .with("option", "account_key=p-b")
            .with("input", "https://h/x?sig=p-c")
            .source(std::io::Error::other("GET https://h/x?X-Amz-Signature=p-d"))
            .hint("try https://u:p-e@h");
        let told = format!("{}{error}", error.report());
        assert!(!told.contains("p-"), "{told}");
        assert!(told.contains("option: account_key=***"), "{told}");
    }

    #[test]
    fn a_shard_that_cannot_be_reached_is_no_bad_one() {
        let bad = |cause: io::Error| {
            let error = Error::input("read a row group").of_bad_shard("a.parquet");
            let error = error.source(cause);
            let copied = error.copied().bad_shard().map(str::to_owned);
            assert_eq!(copied.as_deref(), error.bad_shard());
            copied
        };
        let damaged = Some("a.parquet".to_owned());
        assert_eq!(bad(io::Error::other("corrupt block")), damaged);
        assert_eq!(bad(unreached(io::ErrorKind::UnexpectedEof.into())), damaged);
        assert_eq!(bad(unreached(io::Error::other("connection reset"))), None);
        assert_eq!(Error::input("read a row group").bad_shard(), None);
    }
}
