//! Columns of one value in a shard: what the folders of a table say of all rows of a file.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, UInt32Array, new_null_array},
    compute::{cast, take},
    datatypes::{Field, FieldRef},
    error::ArrowError,
};

use super::{views::view_type, widen::fitted};
use crate::error::{Error, Result};

/// A column that has one value in all rows of a shard.
#[derive(Debug, Clone)]
pub struct Constant {
    field: FieldRef,
    /// Of one row, as it is read: text and bytes as views.
    value: ArrayRef,
    /// As the name of a folder has it, without escapes.
    said: Option<Arc<str>>,
    speaker: Speaker,
}

/// Who says what the value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaker {
    /// A table.
    Table,
    /// The name of a folder.
    Folder,
    /// A list of files.
    List,
}

impl PartialEq for Constant {
    fn eq(&self, other: &Self) -> bool {
        self.field == other.field
            && *self.value == *other.value
            && self.said == other.said
            && self.speaker == other.speaker
    }
}

impl Constant {
    /// The column `name` with the one value that `value` holds, which may be null.
    ///
    /// # Errors
    /// When that is not one.
    pub fn try_new(name: &str, value: &ArrayRef) -> Result<Self> {
        let failed = |error| Error::internal("make a column of one value").source(error);
        if value.len() != 1 {
            return Err(Error::internal("make a column of one value").with("values", value.len()));
        }
        Ok(Self {
            field: Arc::new(Field::new(name, value.data_type().clone(), true)),
            value: cast(value, &view_type(value.data_type())).map_err(failed)?,
            said: None,
            speaker: Speaker::Table,
        })
    }

    /// As [`Constant::try_new`], of a folder that is named so.
    pub(super) fn of_folder(name: &str, value: &ArrayRef, said: Option<Arc<str>>) -> Result<Self> {
        Ok(Self {
            said,
            speaker: Speaker::Folder,
            ..Self::try_new(name, value)?
        })
    }

    /// As [`Constant::try_new`], of a list of files.
    pub(super) fn of_list(name: &str, value: &ArrayRef) -> Result<Self> {
        Ok(Self {
            speaker: Speaker::List,
            ..Self::try_new(name, value)?
        })
    }

    pub(super) fn speaker(&self) -> Speaker {
        self.speaker
    }

    /// Its name and its type.
    pub fn field(&self) -> &FieldRef {
        &self.field
    }

    /// Its value.
    pub fn value(&self) -> &ArrayRef {
        &self.value
    }

    /// As the name of a folder has it.
    pub(super) fn said(&self) -> Option<&Arc<str>> {
        self.said.as_ref()
    }

    /// The column `field` without a value.
    pub(super) fn null(field: &Field) -> Result<Self> {
        Self::try_new(field.name(), &new_null_array(field.data_type(), 1))
    }

    /// The same as `field` has it.
    pub(super) fn fitted(&self, field: &Field) -> Result<Self> {
        let value = fitted(&self.value, &view_type(field.data_type()));
        Ok(Self {
            field: Arc::clone(&self.field),
            said: self.said.clone(),
            speaker: self.speaker,
            value: value
                .map_err(|error| Error::internal("widen a column of one value").source(error))?,
        })
    }

    pub(super) fn rows(&self, rows: usize) -> Result<ArrayRef, ArrowError> {
        take(&self.value, &UInt32Array::from(vec![0; rows]), None)
    }
}
