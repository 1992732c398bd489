//! The encode operator, as it is planned, and the columns that it adds.

use std::{
    cmp::Ordering,
    collections::HashSet,
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use arrow::datatypes::Field;
use datafusion::{
    common::{Column, DFSchema, DFSchemaRef, Result, internal_err},
    logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore},
};

use super::{EncodeRuntime, ReadColumns};
use crate::{
    encode::Bond,
    schema::{SHARD, ScoreColumn},
};

/// Whether a column says something of the image.
pub(super) fn reads_image(column: ScoreColumn) -> bool {
    column != ScoreColumn::TEXT_EMBEDDING
}

/// Whether a column says something of the caption.
pub(super) fn reads_text(column: ScoreColumn) -> bool {
    !matches!(
        column,
        ScoreColumn::WIDTH | ScoreColumn::HEIGHT | ScoreColumn::IMAGE_EMBEDDING
    )
}

/// An added column under the name it gets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddedColumn {
    /// What it holds.
    pub added: ScoreColumn,
    /// What it is called.
    pub name: String,
}

/// The columns that the encode operator reads; one of a pair may be absent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PairColumns<C> {
    /// Images.
    pub image: Option<C>,
    /// Captions.
    pub text: Option<C>,
    /// What a fault on one side means for the other.
    pub bond: Bond,
}

impl<C> PairColumns<C> {
    /// Image and caption of a pair that is bad as a whole.
    pub fn pair(image: C, text: C) -> Self {
        Self {
            image: Some(image),
            text: Some(text),
            bond: Bond::Pair,
        }
    }

    /// The same with other names for the columns.
    pub(super) fn try_map<'a, D>(
        &'a self,
        rename: impl Fn(&'a C) -> Result<D>,
    ) -> Result<PairColumns<D>> {
        Ok(PairColumns {
            image: self.image.as_ref().map(&rename).transpose()?,
            text: self.text.as_ref().map(&rename).transpose()?,
            bond: self.bond,
        })
    }

    /// Whether a column can be added: what says something of a side needs that side.
    fn allows(&self, added: ScoreColumn) -> bool {
        let of_what_there_is = matches!(added, ScoreColumn::STATUS | ScoreColumn::REASON);
        of_what_there_is
            || (self.image.is_some() || !reads_image(added))
                && (self.text.is_some() || !reads_text(added))
    }
}

/// Adds what a model says of each pair to its input's columns.
#[derive(Clone)]
pub struct ClipEncodeNode {
    pub(super) input: LogicalPlan,
    pub(super) columns: PairColumns<Column>,
    pub(super) added: Vec<AddedColumn>,
    pub(super) runtime: Arc<EncodeRuntime>,
    schema: DFSchemaRef,
}

impl ClipEncodeNode {
    /// Encodes `columns` of `input`.
    ///
    /// # Errors
    /// When an added name is one of the input's, or the column it is made from is absent.
    pub fn try_new(
        input: LogicalPlan,
        columns: PairColumns<Column>,
        added: Vec<AddedColumn>,
        runtime: Arc<EncodeRuntime>,
    ) -> Result<Self> {
        if let Some(column) = added.iter().find(|column| !columns.allows(column.added)) {
            return internal_err!("ClipEncode has no column to make {} from", column.name);
        }
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
            columns,
            added,
            runtime,
            schema: Arc::new(schema),
        })
    }

    /// Positions in the input of what is read, and of the shard column that belongs to the image.
    pub(super) fn positions(&self) -> Result<ReadColumns> {
        let input = self.input.schema();
        let columns = self
            .columns
            .try_map(|column| input.index_of_column(column))?;
        let shard = columns.image.and_then(|image| {
            let (qualifier, _) = input.qualified_field(image);
            input.index_of_column_by_name(qualifier, SHARD)
        });
        Ok(ReadColumns { columns, shard })
    }

    fn identity(&self) -> (&LogicalPlan, &PairColumns<Column>, &[AddedColumn], usize) {
        let runtime = Arc::as_ptr(&self.runtime).cast::<()>() as usize;
        (&self.input, &self.columns, &self.added, runtime)
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
        let columns = self.columns.image.iter().chain(&self.columns.text);
        columns.cloned().map(Expr::Column).collect()
    }

    /// Every row of the input is one of the output.
    fn supports_limit_pushdown(&self) -> bool {
        true
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
        f.write_str("ClipEncode: ")?;
        if let Some(image) = &self.columns.image {
            write!(f, "image={image}, ")?;
        }
        if let Some(text) = &self.columns.text {
            write!(f, "text={text}, ")?;
        }
        write!(f, "added=[{}]", added.join(", "))
    }

    fn with_exprs_and_inputs(
        &self,
        exprs: Vec<Expr>,
        mut inputs: Vec<LogicalPlan>,
    ) -> Result<Self> {
        let Some(input) = inputs.pop() else {
            return internal_err!("ClipEncode takes one input");
        };
        let mut exprs = exprs.into_iter();
        let mut next = |column: &Option<Column>| match column.as_ref().map(|_| exprs.next()) {
            None => Ok(None),
            Some(Some(Expr::Column(column))) => Ok(Some(column)),
            Some(_) => internal_err!("ClipEncode reads plain columns"),
        };
        let columns = PairColumns {
            image: next(&self.columns.image)?,
            text: next(&self.columns.text)?,
            bond: self.columns.bond,
        };
        Self::try_new(
            input,
            columns,
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
        let ReadColumns { columns, shard } = self.positions().ok()?;
        needed.extend(columns.image.iter().chain(&columns.text).chain(&shard));
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
