//! The command line over the mock encoder.

mod added;
mod bad_rows;
mod broken;
mod inputs;
mod layouts;
mod outputs;
mod paths;
mod selection;
mod sql;
mod summary;
mod texts;
