//! The command line over the mock encoder.

mod added;
mod bad_rows;
mod broken;
mod columns;
mod config;
mod explain;
mod folders;
mod hive;
mod inputs;
mod inspect;
mod layouts;
mod limits;
mod online;
mod outputs;
mod paths;
mod reading;
pub(crate) mod report;
mod scores;
mod selection;
mod sql;
mod summary;
mod tars;
mod texts;
mod trace;
mod weights;
