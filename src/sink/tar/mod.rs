//! Rows as samples of tars, as the package `webdataset` reads them.
//!
//! | column | becomes |
//! |---|---|
//! | the image | a member, its bytes as they are; its field is that of its path, or what its first bytes say |
//! | the caption | `txt` |
//! | other bytes, and other members of a tar that was read | a member named after the column |
//! | all others, and the added ones | keys of `json`; what a tar has there already stays as it is |
//! | the key | what the members are named after; one that a path may not be is changed, and then kept in `json` |

mod archive;
mod key;
mod sample;
mod shuffle;
mod values;
mod writer;

pub use shuffle::Shuffled;
pub use writer::{TarOptions, TarPolicy, TarWriter};

use std::path::Path;

use super::{Destination, OutputPath};
use crate::{
    error::{Error, Result},
    source::names_parquet,
};

/// What an output is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OutputFormat {
    /// Parquet.
    #[default]
    Parquet,
    /// Tars of samples.
    Webdataset(TarOptions),
}

impl OutputFormat {
    /// Where an output of this name goes: one file if the name ends as such files do, else a directory.
    pub fn destination(&self, path: OutputPath) -> Destination {
        let is_folder = path.local_path().is_some_and(Path::is_dir);
        match self {
            OutputFormat::Parquet => Destination::of(path),
            OutputFormat::Webdataset(_) if !is_folder && path.last_name().ends_with(".tar") => {
                Destination::File(path)
            }
            OutputFormat::Webdataset(_) => Destination::Directory(path),
        }
    }

    /// Refuses a name of another kind of file.
    ///
    /// # Errors
    /// When tars would go to a name that is none of a tar, nor of a directory.
    pub fn check(&self, path: &OutputPath) -> Result<()> {
        let name = path.last_name();
        let ending = path.other_ending();
        let is_other = names_parquet(&name) || ending.is_some_and(|ending| ending != "tar");
        let is_folder = path.local_path().is_some_and(Path::is_dir);
        if *self == OutputFormat::Parquet || !is_other || is_folder {
            return Ok(());
        }
        Err(Error::usage("write tars to a name of another kind of file")
            .with("output", path)
            .hint("name a directory (end its name in /), or one file that ends in .tar"))
    }

    /// How the names of its files end, without the dot.
    pub fn ending(&self) -> &'static str {
        match self {
            OutputFormat::Parquet => "parquet",
            OutputFormat::Webdataset(_) => "tar",
        }
    }
}
