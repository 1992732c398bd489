//! The registry of columns that this program adds: one entry says all that rooms must know of a column.
//!
//! To add one, put an entry here and make its values where [`Made`] says: `score/row_scores` for one that looks at a row
//! alone, `score/cell_scores` for one among the rows of a cell, `score/contrast` for one against a pool of pairs,
//! `score/ordering` for one from other columns; there is one of each of the last two, which `score/deriving` calls by
//! name. What a row is compared with is made ready in `score/reference`. Scores from embeddings are numbers in single precision; `cell` alone is a whole
//! number (a test says so: `score/scratch` keeps no other). Types, inputs, files, SQL and the long help follow from the entry; names stand by
//! hand in the short help (`cli/args`, `cli/score_args`) and in `docs/select.md`. `sql/columns.md` has its formula.
//! Entries stand in the order of their columns.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};

use super::{CLIP_SCORE, HEIGHT, IMAGE_EMBEDDING, REASON, STATUS, TEXT_EMBEDDING, WIDTH};

/// A column that this program can put beside those of a shard: what the encode operator tells of a pair, or a score
/// that is computed from stored embeddings.
///
/// Ordered as columns stand in outputs and stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScoreColumn(Ordinal);

/// What is known of a [`ScoreColumn`] without computing it.
#[derive(Debug)]
struct Entry {
    name: &'static str,
    values: Values,
    made: Made,
    /// Columns that it is computed from.
    needs: &'static [ScoreColumn],
    /// Rows are compared with a target set.
    of_target: bool,
    /// Where its formula was published; empty for a fact, or for one of this program.
    source: &'static str,
    /// What it is, in one line for `--help`; empty for what the encode operator tells.
    help: &'static str,
}

/// What the values of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// Single-precision numbers.
    F32,
    /// Whole numbers from 0 on.
    U32,
    /// Text.
    Text,
    /// Unit vectors, as lists of single-precision numbers.
    Vector,
}

/// What a column is made from, and so in which pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// By the encode operator, of one pair.
    Encoded,
    /// From the embeddings of a row, and what all rows are compared with.
    Row,
    /// From the embeddings of the rows of a cell.
    Cell,
    /// From the embeddings of a row, and a pool of pairs.
    Pool,
    /// From other columns.
    Columns,
}

/// Entries in the order of their columns, and a constant for each.
macro_rules! registry {
    ($($(#[doc = $doc:literal])* $column:ident: $entry:expr;)*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[expect(non_camel_case_types, clippy::upper_case_acronyms, reason = "named as the constants are")]
        enum Ordinal { $($column),* }

        impl ScoreColumn {
            $($(#[doc = $doc])* pub const $column: Self = Self(Ordinal::$column);)*

            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$column),*];
        }

        static REGISTRY: &[Entry] = &[$($entry),*];
    };
}

/// What most columns from embeddings have in common.
const SCORE: Entry = Entry {
    name: "",
    values: Values::F32,
    made: Made::Row,
    needs: &[],
    of_target: false,
    source: "",
    help: "",
};

const fn encoded(name: &'static str, values: Values) -> Entry {
    Entry {
        name,
        values,
        made: Made::Encoded,
        ..SCORE
    }
}

registry! {
    /// [`CLIP_SCORE`].
    CLIP_SCORE: encoded(CLIP_SCORE, Values::F32);
    /// [`STATUS`].
    STATUS: encoded(STATUS, Values::Text);
    /// [`REASON`].
    REASON: encoded(REASON, Values::Text);
    /// [`WIDTH`].
    WIDTH: encoded(WIDTH, Values::U32);
    /// [`HEIGHT`].
    HEIGHT: encoded(HEIGHT, Values::U32);
    /// [`IMAGE_EMBEDDING`].
    IMAGE_EMBEDDING: encoded(IMAGE_EMBEDDING, Values::Vector);
    /// [`TEXT_EMBEDDING`].
    TEXT_EMBEDDING: encoded(TEXT_EMBEDDING, Values::Vector);
    /// Class or cluster within which neighbours are sought.
    CELL: Entry {
        name: "cell",
        values: Values::U32,
        help: "class of the pair, or cluster of similar images",
        ..SCORE
    };
    /// Semantic alignment: cosine of adapted image and adapted text, in [-1, 1].
    SAS: Entry {
        name: "sas",
        source: "arXiv 2410.11215",
        help: "cosine of image and caption, or prompt of the class; after --adapt",
        ..SCORE
    };
    /// `sas` minus that of the best other class, or of the best other caption of a pool.
    SAS_MARGIN: Entry {
        name: "sas_margin",
        help: "sas minus that of the best other class, or of the best other caption of 256",
        ..SCORE
    };
    /// Sample diversity: mean Euclidean distance to the nearest rows of the cell.
    SDS: Entry {
        name: "sds",
        made: Made::Cell,
        needs: &[ScoreColumn::CELL],
        source: "arXiv 2410.11215",
        help: "mean distance to the nearest images of the cell: diversity; after --adapt",
        ..SCORE
    };
    /// Score relative to other captions and images.
    S_CLIPLOSS: Entry {
        name: "s_cliploss",
        made: Made::Pool,
        source: "arXiv 2405.19547",
        help: "cosine of image and caption against those with others; after --adapt",
        ..SCORE
    };
    /// Largest cosine to a row of the cell that is closer to its centroid, -1 for the closest.
    DUP_MAX_SIM: Entry {
        name: "dup_max_sim",
        made: Made::Cell,
        needs: &[ScoreColumn::CELL],
        source: "arXiv 2303.09540",
        help: "cosine to the most similar image of the cell nearer to its centre",
        ..SCORE
    };
    /// 1 - cosine to the nearest centroid.
    PROTO_DIST: Entry {
        name: "proto_dist",
        needs: &[ScoreColumn::CELL],
        source: "arXiv 2206.14486",
        help: "distance to the nearest centre of a cell: how untypical an image is",
        ..SCORE
    };
    /// How far the distance to the mean of the cell is from the median one.
    MODERATE: Entry {
        name: "moderate",
        made: Made::Cell,
        needs: &[ScoreColumn::CELL],
        source: "Moderate coreset, ICLR 2023",
        help: "how far from the usual distance to the centre of its cell",
        ..SCORE
    };
    /// Largest cosine to a row of the target set.
    NORMSIM_INF: Entry {
        name: "normsim_inf",
        of_target: true,
        source: "arXiv 2405.19547",
        help: "cosine to the most similar image of --target",
        ..SCORE
    };
    /// Euclidean norm of the cosines to the rows of the target set.
    NORMSIM_2: Entry {
        name: "normsim_2",
        of_target: true,
        source: "arXiv 2405.19547",
        help: "similarity to all images of --target",
        ..SCORE
    };
    /// Variance alignment to the target set.
    VAS: Entry {
        name: "vas",
        of_target: true,
        source: "arXiv 2402.02055",
        help: "similarity to all images of --target, by their variance",
        ..SCORE
    };
    /// What `--select align-diverse` orders rows by.
    SELECTION_SCORE: Entry {
        name: "selection_score",
        made: Made::Columns,
        needs: &[ScoreColumn::SAS, ScoreColumn::SDS],
        source: "arXiv 2410.11215",
        help: "sas and sds in one: what align-diverse orders rows by",
        ..SCORE
    };
}

impl ScoreColumn {
    fn entry(self) -> &'static Entry {
        &REGISTRY[self.0 as usize]
    }

    /// Its usual name.
    pub const fn name(self) -> &'static str {
        REGISTRY[self.0 as usize].name
    }

    /// The column of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|column| column.name() == name)
    }

    /// Every one that is computed from the embeddings of all rows; only a score store has them.
    pub fn derived() -> impl Iterator<Item = Self> + Clone {
        Self::ALL
            .iter()
            .copied()
            .filter(|column| column.is_derived())
    }

    /// The one of this name that is computed from the embeddings of all rows.
    pub fn derived_from_name(name: &str) -> Option<Self> {
        Self::from_name(name).filter(|column| column.is_derived())
    }

    /// Whether it is computed from the embeddings of all rows.
    pub fn is_derived(self) -> bool {
        self.made() != Made::Encoded
    }

    /// What it is made from.
    pub fn made(self) -> Made {
        self.entry().made
    }

    /// What its values are.
    pub fn values(self) -> Values {
        self.entry().values
    }

    /// The columns that it is computed from.
    pub fn needs(self) -> &'static [Self] {
        self.entry().needs
    }

    /// Whether rows are compared with a target set.
    pub fn is_of_target(self) -> bool {
        self.entry().of_target
    }

    /// Where its formula was published; `None` for a fact, or for one of this program.
    pub fn source(self) -> Option<&'static str> {
        Some(self.entry().source).filter(|source| !source.is_empty())
    }

    /// What it is, in one line; empty for what the encode operator tells.
    pub fn help(self) -> &'static str {
        self.entry().help
    }

    /// The Arrow type of its values.
    pub fn data_type(self) -> DataType {
        match self.values() {
            Values::F32 => DataType::Float32,
            Values::U32 => DataType::UInt32,
            Values::Text => DataType::Utf8,
            // A fixed-size list with null rows cannot be read by common readers.
            Values::Vector => {
                DataType::List(Arc::new(Field::new("element", DataType::Float32, true)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_and_find_their_column() {
        for &column in ScoreColumn::ALL {
            assert_eq!(ScoreColumn::from_name(column.name()), Some(column));
        }
    }

    #[test]
    fn cells_are_the_only_whole_numbers_among_scores_from_embeddings() {
        let whole = ScoreColumn::derived().filter(|column| column.values() != Values::F32);
        assert_eq!(whole.collect::<Vec<_>>(), [ScoreColumn::CELL]);
    }

    #[test]
    fn every_derived_column_is_explained_and_needs_others_of_its_kind() {
        for column in ScoreColumn::derived() {
            assert!(!column.help().is_empty(), "{}", column.name());
            for needed in column.needs() {
                assert!(
                    needed.is_derived() && *needed != column,
                    "{}",
                    column.name()
                );
            }
        }
    }
}
