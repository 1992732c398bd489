//! The facts of shards.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    error::{Error, Result},
    sink::Provenance,
    source::{
        ColumnBinding, ColumnChoice, ColumnFacts, Found, ImageLayout, LabelColumn, Location,
        OddShard, RowGroups, Survey,
    },
};

/// What the footers of shards say.
#[derive(Debug, Serialize)]
pub struct ShardFacts {
    /// Shards that are counted here.
    pub files: u64,
    /// Their rows.
    pub rows: u64,
    /// Their size.
    pub size_bytes: u64,
    /// Their row groups.
    pub row_groups: RowGroups,
    /// Row groups with a page index. Only there can the pages of a wide column be skipped that a selection does
    /// not want; elsewhere they are read and thrown away.
    pub indexed_row_groups: u64,
    /// Compressed bytes by codec.
    pub codecs: BTreeMap<String, u64>,
    /// Which columns are a pair.
    pub pairs: Pairs,
    /// Every column, in order; those of folders last.
    pub columns: Vec<ColumnFacts>,
    /// The metadata that HF `datasets` writes is there.
    pub huggingface: bool,
    /// The run of this program that wrote the first shard.
    pub earlier_run: Option<EarlierRun>,
    /// Shards that cannot be read in one run with the first; not counted.
    pub odd: Vec<OddShard>,
    /// What there is to know of files that are no shards of a run, one line each.
    pub notes: Vec<String>,
}

/// The columns that this program would use.
#[derive(Debug, Serialize)]
pub struct Pairs {
    /// The image.
    pub image: ColumnFinding,
    /// How the image column holds its bytes: `bytes`, or `struct`.
    pub image_layout: Option<&'static str>,
    /// The caption.
    pub caption: ColumnFinding,
    /// The key that the rejects file gets.
    pub key: Option<String>,
    /// Class labels.
    pub label: Option<LabelColumn>,
}

/// A column that is sought.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ColumnFinding {
    /// Its name.
    Column(String),
    /// It cannot be told which.
    Unclear {
        /// Why, in one line.
        problem: String,
        /// The option that names it.
        flag: &'static str,
    },
}

/// What the metadata says of the run that wrote a shard.
#[derive(Debug, Serialize)]
pub struct EarlierRun {
    /// Version of the program.
    pub version: String,
    /// The model that scored.
    pub model: String,
    /// Its fingerprint.
    pub model_sha256: String,
    /// What selected the rows.
    pub selection: String,
    /// The command line.
    pub command: String,
}

impl ShardFacts {
    pub(super) fn read(found: &Found) -> Result<Self> {
        let mut notes = found.notes.clone();
        let shards = match found.clone().table() {
            Ok(table) => table.shards,
            // A run would refuse them.
            Err(error) => {
                notes.push(error.in_one_line());
                let files = found.files.iter();
                let of_table = |file: &Location| found.of_tables.get(file).cloned();
                let known = files.map(|file| of_table(file).unwrap_or_else(|| file.clone().into()));
                known.collect()
            }
        };
        let survey = Survey::open(&shards)?;
        Ok(Self {
            pairs: Pairs::of(&survey),
            huggingface: survey.metadata.contains_key("huggingface"),
            earlier_run: EarlierRun::of(&survey),
            files: survey.files,
            rows: survey.rows,
            size_bytes: survey.size_bytes,
            row_groups: survey.row_groups,
            indexed_row_groups: survey.indexed_row_groups,
            codecs: survey.codecs,
            columns: survey.columns,
            odd: survey.odd,
            notes,
        })
    }
}

impl Pairs {
    fn of(survey: &Survey) -> Self {
        let (schema, any) = (&survey.schema, ColumnChoice::default());
        let (image, image_layout) = match ColumnBinding::image(schema, &any) {
            Ok((name, ImageLayout::Bytes)) => (Ok(name), Some("bytes")),
            Ok((name, ImageLayout::Struct)) => (Ok(name), Some("struct")),
            Err(error) => (Err(error), None),
        };
        Self {
            image: ColumnFinding::of(image, "--image-column"),
            image_layout,
            caption: ColumnFinding::of(ColumnBinding::text(schema, &any), "--text-column"),
            key: ColumnBinding::key(schema),
            label: LabelColumn::detect(schema, &survey.metadata),
        }
    }
}

impl ColumnFinding {
    fn of(found: Result<String, Error>, flag: &'static str) -> Self {
        match found {
            Ok(name) => Self::Column(name),
            Err(error) => {
                let text = error.to_string();
                // The columns follow with their types; a wide shard has hundreds.
                let problem = match text.split_once(", columns: ") {
                    Some((short, _)) => format!("{short})"),
                    None => text,
                };
                Self::Unclear { problem, flag }
            }
        }
    }
}

impl EarlierRun {
    fn of(survey: &Survey) -> Option<Self> {
        let (version, provenance) = Provenance::of_file(&survey.metadata)?;
        Some(Self {
            version,
            model: provenance.model.name,
            model_sha256: provenance.model.fingerprint,
            selection: provenance.selection,
            command: provenance.command,
        })
    }
}
