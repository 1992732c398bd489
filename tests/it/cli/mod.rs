//! The command line over the mock encoder.

mod added;
mod bad_rows;
mod broken;
mod inputs;
mod inspect;
mod layouts;
mod online;
mod outputs;
mod paths;
mod scores;
mod selection;
mod sql;
mod summary;
mod texts;
mod trace;
