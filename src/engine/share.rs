//! Rows that a query reads in several places are encoded once.
//!
//! ```text
//! ProjectionExec                              ProjectionExec
//!   ClipEncodeExec                              SharedRowsExec: id=1
//!     ShardScanExec                               ProjectionExec: all that is read, no image
//! ProjectionExec                       ──►          ClipEncodeExec
//!   ClipEncodeExec                                    ShardScanExec
//!     ShardScanExec                           ProjectionExec
//!                                               SharedRowsExec: id=1, shown above
//! ```
//!
//! Only scans of the same rows share. A place that reads images does not, since they would be written to
//! the temporary file, and none that a LIMIT may stop early does, since sharing computes every row.

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use arrow::datatypes::SchemaRef;
use datafusion::{
    common::{
        Result,
        config::ConfigOptions,
        internal_err,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    physical_expr::{PhysicalExpr, expressions::Column, utils::collect_columns},
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{
        ExecutionPlan, ExecutionPlanProperties,
        coop::CooperativeExec,
        execution_plan::EmissionType,
        projection::{ProjectionExec, ProjectionExpr},
    },
};

use super::{
    AddedColumn, ClipEncodeExec, PairColumns, ReadColumns,
    scan_exec::ShardScanExec,
    shared_rows_exec::{SharedRows, SharedRowsExec},
};
use crate::encode::Bond;
use crate::schema::ScoreColumn;

/// See the module.
#[derive(Debug)]
pub(super) struct ShareEncodedRows {
    directory: PathBuf,
}

impl ShareEncodedRows {
    /// A rule whose temporary files lie in `directory`.
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory }
    }
}

impl PhysicalOptimizerRule for ShareEncodedRows {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut places = Vec::new();
        find_places(&plan, false, &mut places);
        let mut replaced = HashMap::new();
        let groups = grouped(places)?;
        for (number, group) in groups
            .iter()
            .filter(|group| group.places.len() > 1)
            .enumerate()
        {
            group.share(number + 1, &self.directory, &mut replaced)?;
        }
        let rewritten = plan.transform_down(|plan| {
            Ok(match replaced.get(&address(&plan)) {
                None => Transformed::no(plan),
                Some(new) => Transformed::new(Arc::clone(new), true, TreeNodeRecursion::Jump),
            })
        })?;
        Ok(rewritten.data)
    }

    fn name(&self) -> &str {
        "share_encoded_rows"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

type Replaced = HashMap<usize, Arc<dyn ExecutionPlan>>;

fn address(plan: &Arc<dyn ExecutionPlan>) -> usize {
    Arc::as_ptr(plan).cast::<()>() as usize
}

/// A projection above an encode operator above a scan.
struct Place {
    plan: Arc<dyn ExecutionPlan>,
    encode: Arc<dyn ExecutionPlan>,
    scan: Arc<dyn ExecutionPlan>,
}

impl Place {
    fn of(plan: &Arc<dyn ExecutionPlan>) -> Option<Self> {
        let projection = plan.downcast_ref::<ProjectionExec>()?;
        let encode = projection.input();
        let operator = encode.downcast_ref::<ClipEncodeExec>()?;
        let input = &operator.input;
        let scan = match input.downcast_ref::<CooperativeExec>() {
            Some(wrapper) => wrapper.input(),
            None => input,
        };
        scan.downcast_ref::<ShardScanExec>()?;
        let reads_image = |image: usize| {
            let mut columns = projection.expr().iter();
            columns.any(|column| {
                let read = collect_columns(&column.expr);
                read.iter().any(|column| column.index() == image)
            })
        };
        let columns = &operator.columns;
        let of_a_function = |column: &AddedColumn| {
            matches!(
                column.added,
                ScoreColumn::CLIP_SCORE
                    | ScoreColumn::IMAGE_EMBEDDING
                    | ScoreColumn::TEXT_EMBEDDING
            )
        };
        let one_answer = match columns.bond {
            Bond::Apart => true,
            Bond::Pair => operator
                .added
                .iter()
                .all(|column| column.added == ScoreColumn::CLIP_SCORE),
        };
        let shared = operator.added.iter().all(of_a_function)
            && one_answer
            && !columns.image.is_some_and(reads_image);
        shared.then(|| Self {
            plan: Arc::clone(plan),
            encode: Arc::clone(encode),
            scan: Arc::clone(scan),
        })
    }

    fn parts(&self) -> Result<(&ProjectionExec, &ClipEncodeExec, &ShardScanExec)> {
        match (
            self.plan.downcast_ref(),
            self.encode.downcast_ref(),
            self.scan.downcast_ref(),
        ) {
            (Some(projection), Some(encode), Some(scan)) => Ok((projection, encode, scan)),
            _ => internal_err!("a place that reads encoded rows has another form"),
        }
    }
}

fn find_places(plan: &Arc<dyn ExecutionPlan>, limited: bool, places: &mut Vec<Place>) {
    if let Some(place) = Place::of(plan).filter(|_| !limited) {
        places.push(place);
        return;
    }
    // What needs all rows before it gives any cannot be stopped early.
    let limited =
        plan.pipeline_behavior() != EmissionType::Final && (limited || plan.fetch().is_some());
    for child in plan.children() {
        find_places(child, limited, places);
    }
}

/// Places that read the same rows, and the columns that they encode.
struct Group {
    places: Vec<Place>,
    image: Option<String>,
    text: Option<String>,
}

fn grouped(places: Vec<Place>) -> Result<Vec<Group>> {
    let mut groups: Vec<Group> = Vec::new();
    for place in places {
        let (_, encode, scan) = place.parts()?;
        let schema = scan.schema();
        let name = |position: Option<usize>| {
            position.map(|position| schema.field(position).name().clone())
        };
        let (image, text) = (name(encode.columns.image), name(encode.columns.text));
        let mut home = None;
        for group in &mut groups {
            let Some(first) = group.places.first() else {
                continue;
            };
            let (_, other, other_scan) = first.parts()?;
            let fits = |known: &Option<String>, new: &Option<String>| {
                known.is_none() || new.is_none() || known == new
            };
            if Arc::ptr_eq(&encode.runtime, &other.runtime)
                && scan.gives_rows_of(other_scan)
                && fits(&group.image, &image)
                && fits(&group.text, &text)
            {
                home = Some(group);
                break;
            }
        }
        match home {
            None => groups.push(Group {
                image,
                text,
                places: vec![place],
            }),
            Some(group) => {
                group.image = group.image.take().or(image);
                group.text = group.text.take().or(text);
                group.places.push(place);
            }
        }
    }
    Ok(groups)
}

impl Group {
    /// Puts a plan that reads shared rows at every place.
    fn share(&self, id: usize, directory: &std::path::Path, replaced: &mut Replaced) -> Result<()> {
        let (encode, added) = self.encode()?;
        let plan = self.narrowed(encode, &added)?;
        let schema = plan.schema();
        let shared = Arc::new(SharedRows::new(plan, directory.to_path_buf()));
        for (position, place) in self.places.iter().enumerate() {
            let rows = match position {
                0 => SharedRowsExec::first(id, Arc::clone(&shared)),
                _ => SharedRowsExec::further(id, Arc::clone(&shared)),
            };
            let (projection, encode, _) = place.parts()?;
            let renamed = |column: &Column| shared_name(column, encode, &added);
            let exprs = projection.expr().iter().map(|column| {
                Ok(ProjectionExpr {
                    expr: over(&column.expr, &schema, renamed)?,
                    alias: column.alias.clone(),
                })
            });
            let exprs = exprs.collect::<Result<Vec<_>>>()?;
            let plan = ProjectionExec::try_new(exprs, Arc::new(rows))?;
            replaced.insert(address(&place.plan), Arc::new(plan) as _);
        }
        Ok(())
    }

    /// One operator over one scan with what all places need.
    fn encode(&self) -> Result<(Arc<dyn ExecutionPlan>, Vec<AddedColumn>)> {
        let mut added: Vec<AddedColumn> = Vec::new();
        let mut scan: Option<ShardScanExec> = None;
        let mut runtime = None;
        for place in &self.places {
            let (_, encode, one) = place.parts()?;
            scan = Some(one.with_columns_of(scan.as_ref())?);
            runtime = Some(Arc::clone(&encode.runtime));
            for column in &encode.added {
                if !added.iter().any(|known| known.added == column.added) {
                    added.push(column.clone());
                }
            }
        }
        let (Some(scan), Some(runtime)) = (scan, runtime) else {
            return internal_err!("nobody reads shared rows");
        };
        let schema = scan.schema();
        let position = |name: &Option<String>| -> Result<Option<usize>> {
            Ok(name
                .as_ref()
                .map(|name| schema.index_of(name))
                .transpose()?)
        };
        let whole = added
            .iter()
            .all(|column| column.added == ScoreColumn::CLIP_SCORE);
        let columns = PairColumns {
            image: position(&self.image)?,
            text: position(&self.text)?,
            bond: if whole { Bond::Pair } else { Bond::Apart },
        };
        let shard = schema.index_of(crate::schema::SHARD).ok();
        let scan = Arc::new(CooperativeExec::new(Arc::new(scan)));
        let encode =
            ClipEncodeExec::try_new(scan, ReadColumns { columns, shard }, added.clone(), runtime)?;
        Ok((Arc::new(encode), added))
    }

    /// The columns of `encode` that a place reads.
    fn narrowed(
        &self,
        encode: Arc<dyn ExecutionPlan>,
        added: &[AddedColumn],
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut read = Vec::new();
        for place in &self.places {
            let (projection, operator, _) = place.parts()?;
            for expr in projection.expr() {
                for column in collect_columns(&expr.expr) {
                    let name = shared_name(&column, operator, added);
                    read.push(encode.schema().index_of(&name)?);
                }
            }
        }
        read.sort_unstable();
        read.dedup();
        let schema = encode.schema();
        let exprs = read.into_iter().map(|position| {
            let name = schema.field(position).name();
            let expr: Arc<dyn PhysicalExpr> = Arc::new(Column::new(name, position));
            ProjectionExpr {
                expr,
                alias: name.clone(),
            }
        });
        let exprs: Vec<ProjectionExpr> = exprs.collect();
        Ok(Arc::new(ProjectionExec::try_new(exprs, encode)?))
    }
}

/// What the shared operator calls a column of `encode`.
fn shared_name(column: &Column, encode: &ClipEncodeExec, added: &[AddedColumn]) -> String {
    let first = encode.schema().fields().len() - encode.added.len();
    let own = column.index().checked_sub(first);
    let own = own.and_then(|position| encode.added.get(position));
    let shared = own.and_then(|own| added.iter().find(|known| known.added == own.added));
    shared.map_or_else(|| column.name().to_owned(), |shared| shared.name.clone())
}

/// `expr` over `schema`, where its columns have other names.
fn over(
    expr: &Arc<dyn PhysicalExpr>,
    schema: &SchemaRef,
    renamed: impl Fn(&Column) -> String,
) -> Result<Arc<dyn PhysicalExpr>> {
    let replaced = Arc::clone(expr).transform_down(|part| {
        let Some(column) = part.downcast_ref::<Column>() else {
            return Ok(Transformed::no(part));
        };
        let name = renamed(column);
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(&name, schema.index_of(&name)?));
        Ok(Transformed::new(column, true, TreeNodeRecursion::Jump))
    })?;
    Ok(replaced.data)
}
