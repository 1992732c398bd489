use std::{
    cmp::Ordering,
    collections::HashSet,
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use arrow::datatypes::{DataType, Field};
use datafusion::{
    common::{Column, DFSchema, DFSchemaRef, Result, internal_err},
    logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore},
};

use super::EncodeRuntime;
use crate::schema;

/// A column that the encode operator can add.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Added {
    /// [`schema::CLIP_SCORE`].
    Score,
    /// [`schema::STATUS`].
    Status,
    /// [`schema::REASON`].
    Reason,
    /// [`schema::WIDTH`].
    Width,
    /// [`schema::HEIGHT`].
    Height,
    /// [`schema::IMAGE_EMBEDDING`].
    ImageEmbedding,
    /// [`schema::TEXT_EMBEDDING`].
    TextEmbedding,
}

impl Added {
    /// Its usual name.
    pub fn name(self) -> &'static str {
        match self {
            Added::Score => schema::CLIP_SCORE,
            Added::Status => schema::STATUS,
            Added::Reason => schema::REASON,
            Added::Width => schema::WIDTH,
            Added::Height => schema::HEIGHT,
            Added::ImageEmbedding => schema::IMAGE_EMBEDDING,
            Added::TextEmbedding => schema::TEXT_EMBEDDING,
        }
    }

    /// The Arrow type of its values.
    pub fn data_type(self) -> DataType {
        match self {
            Added::Score => DataType::Float32,
            Added::Status | Added::Reason => DataType::Utf8,
            Added::Width | Added::Height => DataType::UInt32,
            // A fixed-size list with null rows cannot be read by common readers.
            Added::ImageEmbedding | Added::TextEmbedding => {
                DataType::List(Arc::new(Field::new("element", DataType::Float32, true)))
            }
        }
    }
}

/// An added column under the name it gets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddedColumn {
    /// What it holds.
    pub added: Added,
    /// What it is called.
    pub name: String,
}

/// Adds what a model says of each pair to its input's columns.
#[derive(Clone)]
pub struct ClipEncodeNode {
    pub(super) input: LogicalPlan,
    pub(super) image: Column,
    pub(super) text: Column,
    pub(super) added: Vec<AddedColumn>,
    pub(super) runtime: Arc<EncodeRuntime>,
    schema: DFSchemaRef,
}

impl ClipEncodeNode {
    /// Encodes the columns `image` and `text` of `input`.
    ///
    /// # Errors
    /// When an added name is one of the input's.
    pub fn try_new(
        input: LogicalPlan,
        (image, text): (Column, Column),
        added: Vec<AddedColumn>,
        runtime: Arc<EncodeRuntime>,
    ) -> Result<Self> {
        let mut fields: Vec<_> = input
            .schema()
            .iter()
            .map(|(qualifier, field)| (qualifier.cloned(), Arc::clone(field)))
            .collect();
        for column in &added {
            fields.push((
                None,
                Arc::new(Field::new(&column.name, column.added.data_type(), true)),
            ));
        }
        let schema = DFSchema::new_with_metadata(fields, input.schema().metadata().clone())?;
        Ok(Self {
            input,
            image,
            text,
            added,
            runtime,
            schema: Arc::new(schema),
        })
    }

    fn identity(&self) -> (&LogicalPlan, &Column, &Column, &[AddedColumn], usize) {
        let runtime = Arc::as_ptr(&self.runtime).cast::<()>() as usize;
        (&self.input, &self.image, &self.text, &self.added, runtime)
    }
}

impl UserDefinedLogicalNodeCore for ClipEncodeNode {
    fn name(&self) -> &str {
        "ClipEncode"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![
            Expr::Column(self.image.clone()),
            Expr::Column(self.text.clone()),
        ]
    }

    /// Only the added columns: conditions on the others reach the scan, before the model.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        self.added
            .iter()
            .map(|column| column.name.clone())
            .collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let added: Vec<&str> = self
            .added
            .iter()
            .map(|column| column.name.as_str())
            .collect();
        write!(
            f,
            "ClipEncode: image={}, text={}, added=[{}]",
            self.image,
            self.text,
            added.join(", ")
        )
    }

    fn with_exprs_and_inputs(
        &self,
        exprs: Vec<Expr>,
        mut inputs: Vec<LogicalPlan>,
    ) -> Result<Self> {
        let (Some(input), [Expr::Column(image), Expr::Column(text)]) =
            (inputs.pop(), exprs.as_slice())
        else {
            return internal_err!("ClipEncode takes one input and two columns");
        };
        Self::try_new(
            input,
            (image.clone(), text.clone()),
            self.added.clone(),
            Arc::clone(&self.runtime),
        )
    }

    /// The input columns that are asked for, and always image, caption and shard.
    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let input = self.input.schema();
        let mut needed: Vec<usize> = output_columns
            .iter()
            .copied()
            .filter(|&column| column < input.fields().len())
            .collect();
        for name in [
            self.image.name.as_str(),
            self.text.name.as_str(),
            schema::SHARD,
        ] {
            needed.extend(input.fields().iter().position(|field| field.name() == name));
        }
        needed.sort_unstable();
        needed.dedup();
        Some(vec![needed])
    }
}

impl fmt::Debug for ClipEncodeNode {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.fmt_for_explain(f)
    }
}

impl PartialEq for ClipEncodeNode {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for ClipEncodeNode {}

impl Hash for ClipEncodeNode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

impl PartialOrd for ClipEncodeNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.identity().partial_cmp(&other.identity())
    }
}
