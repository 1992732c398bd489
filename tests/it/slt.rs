//! Runs the examples on the pages of the SQL functions and columns, and the files under `tests/slt/`.
//!
//! Both are in the format of sqllogictest: a query, `----`, and what it gives. A page shows its examples in
//! blocks tagged `slt`; the blocks of one page run in order in one session, and so does a file. Each runs twice,
//! over scores that are encoded on demand and over stored ones; a block that holds for one of them only begins
//! with `onlyif encoded` or `onlyif stored`.
//!
//! Before a query may stand `@over NAME`, the world that it reads, then `@show COLUMN, ...`, those of its columns
//! that are compared. A line `@recipe NAME key=value ...` stands for the SQL of a recipe.

use std::{
    collections::BTreeMap,
    fmt,
    path::Path,
    sync::{Arc, OnceLock},
};

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, Schema},
    util::display::{ArrayFormatter, FormatOptions},
};
use clip_filter::schema::ScoreColumn;
use sqllogictest::{ColumnType, DB, DBOutput, Runner, parse_with_name, strict_column_validator};

use crate::{
    program::ROOT,
    world::{Mock, Opened, Scores, World},
    worlds::WORLDS,
};

/// Types of the columns, one letter each as [`letter`] gives, and the rows as text.
pub(crate) type Output = (Vec<String>, Vec<Vec<String>>);

/// Something that answers SQL.
pub(crate) trait Session: Send {
    /// The answer, or the error as a user reads it.
    fn run(&self, sql: &str) -> Result<Output, String>;
}

/// The worlds of one run, made when they are first named.
#[derive(Default)]
struct Worlds {
    made: BTreeMap<&'static str, OnceLock<World>>,
}

impl Worlds {
    fn new() -> Self {
        let made = WORLDS.map(|(name, _)| (name, OnceLock::new()));
        Self {
            made: made.into_iter().collect(),
        }
    }

    fn named(&self, name: &str) -> Result<&World, String> {
        let known = WORLDS.iter().find(|(known, _)| *known == name);
        let (name, make) = known.ok_or_else(|| format!("there is no world '{name}'"))?;
        Ok(self.made[name].get_or_init(make))
    }
}

/// The session of one file: one in fact for every world that the file names.
struct Sessions<'a> {
    worlds: &'a Worlds,
    scores: Scores,
    opened: BTreeMap<&'static str, OnceLock<Opened<'a>>>,
}

impl<'a> Sessions<'a> {
    fn new(worlds: &'a Worlds, scores: Scores) -> Self {
        Self {
            worlds,
            scores,
            opened: WORLDS.map(|(name, _)| (name, OnceLock::new())).into(),
        }
    }

    fn over(&self, name: &str) -> Result<&Opened<'a>, String> {
        let world = self.worlds.named(name)?;
        let open = || world.open(self.scores, Arc::new(Mock::default()));
        Ok(self.opened[name].get_or_init(open))
    }
}

impl Session for Sessions<'_> {
    fn run(&self, sql: &str) -> Result<Output, String> {
        let (name, sql) = directive(sql, "@over ").unwrap_or(("pairs", sql));
        let (shown, sql) = match directive(sql, "@show ") {
            Some((shown, sql)) => (Some(shown), sql),
            None => (None, sql),
        };
        let session = self.over(name)?;
        let lines = sql.lines().map(|line| match line.strip_prefix("@recipe ") {
            Some(call) => recipe(session, call),
            None => Ok(line.to_owned()),
        });
        let sql = lines.collect::<Result<Vec<_>, _>>()?.join("\n");
        let (schema, batches) = session.query(&sql)?;
        let Some(shown) = shown else {
            return Ok(output(&schema, &batches));
        };
        let names = shown.split(", ").map(|name| schema.index_of(name));
        let names: Vec<usize> = names
            .collect::<Result<_, _>>()
            .map_err(|error| error.to_string())?;
        let batches: Vec<_> = batches
            .iter()
            .map(|batch| batch.project(&names).unwrap())
            .collect();
        Ok(output(&schema.project(&names).unwrap(), &batches))
    }
}

/// The rest of the first line, if it begins with `word`, and the lines after it.
fn directive<'a>(sql: &'a str, word: &str) -> Option<(&'a str, &'a str)> {
    sql.strip_prefix(word)?.split_once('\n')
}

/// The SQL of `NAME key=value ...`; `_` in a value is a space.
fn recipe(session: &Opened<'_>, call: &str) -> Result<String, String> {
    let mut words = call.split_whitespace();
    let name = words.next().ok_or("@recipe names none")?;
    let param = |word: &str| {
        let (name, value) = word.split_once('=').ok_or("a parameter is key=value")?;
        Ok((name.to_owned(), value.replace('_', " ")))
    };
    let params: Vec<_> = words.map(param).collect::<Result<_, String>>()?;
    session.recipe(name, &params)
}

/// What a query gave, as the files write it: null is `NULL`, no text is `(empty)`, a list is `[a, b]`.
pub(crate) fn output(schema: &Schema, batches: &[RecordBatch]) -> Output {
    let fields = schema.fields().iter();
    let types = fields
        .map(|field| letter(field.data_type()).to_owned())
        .collect();
    let options = FormatOptions::new().with_null("NULL");
    let mut rows = Vec::new();
    for batch in batches {
        let columns: Vec<ArrayFormatter<'_>> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap())
            .collect();
        rows.extend((0..batch.num_rows()).map(|row| {
            let values = columns.iter().map(|column| column.value(row).to_string());
            values
                .map(|text| match text.is_empty() {
                    true => "(empty)".to_owned(),
                    false => text,
                })
                .collect()
        }));
    }
    (types, rows)
}

/// The letter of a type in `query TIR`.
fn letter(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Boolean => "B",
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "T",
        other if other.is_integer() => "I",
        other if other.is_floating() || other.is_decimal() => "R",
        _ => "?",
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Letter(char);

impl ColumnType for Letter {
    fn from_char(value: char) -> Option<Self> {
        "BTIR?".contains(value).then_some(Self(value))
    }

    fn to_char(&self) -> char {
        self.0
    }
}

#[derive(Debug)]
struct Failed(String);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failed {}

struct Connection<S>(S);

impl<S: Session> DB for Connection<S> {
    type Error = Failed;
    type ColumnType = Letter;

    fn run(&mut self, sql: &str) -> Result<DBOutput<Letter>, Failed> {
        let (types, rows) = self.0.run(sql).map_err(Failed)?;
        let types = types.iter().flat_map(|letters| letters.chars().map(Letter));
        Ok(DBOutput::Rows {
            types: types.collect(),
            rows,
        })
    }
}

/// Runs `script` in the session that `start` gives; an error says `name:line`.
fn run_script<S: Session>(
    script: &str,
    name: &str,
    label: &str,
    start: impl Fn() -> S,
) -> Result<(), String> {
    let records =
        parse_with_name::<Letter>(script, name).map_err(|error| format!("{name}: {error}"))?;
    let mut runner = Runner::new(|| std::future::ready(Ok(Connection(start()))));
    runner.with_column_validator(strict_column_validator);
    runner.add_label(label);
    let errors: Vec<String> = records
        .into_iter()
        .filter_map(|record| runner.run(record).err())
        .map(|error| format!("{label}: {error}"))
        .collect();
    match errors.is_empty() {
        true => Ok(()),
        false => Err(errors.join("\n\n")),
    }
}

/// The `slt` blocks of a page, everything else blank, so that a line keeps its number.
fn examples(page: &str) -> Result<String, String> {
    let (mut script, mut opened) = (String::new(), None);
    for (index, line) in page.lines().enumerate() {
        match (opened, line.trim_end()) {
            (None, "```slt") => opened = Some(index + 1),
            (Some(_), "```") => opened = None,
            (Some(_), text) => script.push_str(text),
            (None, _) => {}
        }
        script.push('\n');
    }
    match opened {
        None => Ok(script),
        Some(line) => Err(format!("line {line}: the block is never closed")),
    }
}

/// Paths below the repository that match, in order, with their text.
fn files(pattern: &str) -> Vec<(String, String)> {
    let found = glob::glob(&format!("{ROOT}/{pattern}")).unwrap();
    let read = |path: std::path::PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.strip_prefix(ROOT).unwrap().display().to_string();
        (name, text)
    };
    let files: Vec<_> = found.map(|path| read(path.unwrap())).collect();
    assert!(!files.is_empty(), "nothing matches {pattern}");
    files
}

/// The pages of the functions; the index is none.
fn pages() -> Vec<(String, String)> {
    let mut pages = files("sql/functions/*.md");
    pages.retain(|(name, _)| !name.ends_with("README.md"));
    pages
}

/// Runs every script with scores from both sides.
#[track_caller]
fn all_hold(scripts: &[(String, String)]) {
    let worlds = Worlds::new();
    let sides = [(Scores::Encoded, "encoded"), (Scores::Stored, "stored")];
    let runs = sides
        .iter()
        .flat_map(|side| scripts.iter().map(move |script| (side, script)));
    let errors = runs.filter_map(|((scores, label), (name, script))| {
        let start = || Sessions::new(&worlds, *scores);
        run_script(script, name, label, start).err()
    });
    let errors: Vec<String> = errors.collect();
    assert!(errors.is_empty(), "{}", errors.join("\n\n"));
}

#[test]
fn examples_of_the_pages_hold() {
    let pages = pages().into_iter().chain(files("sql/*.md"));
    let scripts = pages.map(|(name, page)| {
        let script = examples(&page).unwrap_or_else(|error| panic!("{name}: {error}"));
        (name, script)
    });
    all_hold(&scripts.collect::<Vec<_>>());
}

#[test]
fn slt_files_hold() {
    all_hold(&files("tests/slt/**/*.slt"));
}

#[test]
fn every_page_has_an_example_and_a_line_in_the_index() {
    let index = std::fs::read_to_string(Path::new(ROOT).join("sql/functions/README.md")).unwrap();
    for (name, page) in pages() {
        let file = name.rsplit('/').next().unwrap();
        let function = file.strip_suffix(".md").unwrap();
        assert!(
            page.starts_with(&format!("# {function}\n")),
            "{name}: the title is not the function"
        );
        assert!(page.contains("```slt\n"), "{name} has no example");
        let line = format!("| [`{function}(");
        assert!(index.contains(&line), "{name} is not in the index");
        assert!(
            index.contains(&format!("]({file})")),
            "{name} is not linked"
        );
    }
    let lines = index.lines().filter(|line| line.starts_with("| [`"));
    assert_eq!(
        lines.count(),
        pages().len(),
        "the index names what is not there"
    );
}

mod harness {
    use std::sync::Arc;

    use arrow::{
        array::{ArrayRef, Float32Array, Int64Array, ListArray, StringArray},
        datatypes::Float32Type,
    };

    use super::*;
    use crate::shards::batch;

    /// Answers `one` with 1 and everything else with an error.
    struct OneOnly;

    impl Session for OneOnly {
        fn run(&self, sql: &str) -> Result<Output, String> {
            match sql {
                "one" => Ok((vec!["I".to_owned()], vec![vec!["1".to_owned()]])),
                other => Err(format!("'{other}' is not one")),
            }
        }
    }

    fn run(page: &str) -> Result<(), String> {
        run_script(&examples(page)?, "page.md", "encoded", || OneOnly)
    }

    #[test]
    fn a_page_whose_examples_hold_passes() {
        let page = "# one\n\n```slt\nquery I\none\n----\n1\n```\n\n```sql\ntwo\n```\n\n\
                    ```slt\nquery error is not one\ntwo\n```\n";
        assert_eq!(run(page), Ok(()));
    }

    #[test]
    fn a_mismatch_names_its_file_and_line() {
        for (block, line) in [
            ("query I\none\n----\n2", 3),
            ("query R\none\n----\n1", 3),
            ("query I\ntwo\n----\n1", 3),
            ("statement ok\none\n\nstatement error is not two\nthree", 6),
        ] {
            let error = run(&format!("text\n```slt\n{block}\n```\n")).unwrap_err();
            assert!(error.contains(&format!("page.md:{line}")), "{error}");
        }
    }

    #[test]
    fn a_block_that_is_not_closed_is_an_error() {
        assert!(
            run("```slt\nquery I\none\n----\n1\n")
                .unwrap_err()
                .contains("line 1")
        );
    }

    #[test]
    fn values_are_written_as_the_files_write_them() {
        let lists = ListArray::from_iter_primitive::<Float32Type, _, _>([
            Some(vec![Some(0.6), None]),
            None,
        ]);
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("text", Arc::new(StringArray::from(vec![Some(""), None]))),
            ("score", Arc::new(Float32Array::from(vec![0.96, 1.0]))),
            ("rank", Arc::new(Int64Array::from(vec![Some(7), None]))),
            ("embedding", Arc::new(lists)),
        ];
        let batch = batch(columns);
        let (types, rows) = output(&batch.schema(), &[batch]);
        assert_eq!(types.concat(), "TRI?");
        assert_eq!(rows[0], ["(empty)", "0.96", "7", "[0.6, NULL]"]);
        assert_eq!(rows[1], ["NULL", "1.0", "NULL", "NULL"]);
    }
}

#[test]
fn every_computed_column_has_a_line_on_its_page() {
    let page = std::fs::read_to_string(Path::new(ROOT).join("sql/columns.md")).unwrap();
    let (_, table) = page.split_once("## Computed from embeddings").unwrap();
    let names: Vec<&str> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    let columns: Vec<&str> = ScoreColumn::derived().map(ScoreColumn::name).collect();
    assert_eq!(names, columns);
}
