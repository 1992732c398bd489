//! The nodes above one plan.

use std::sync::Arc;

use datafusion::{
    common::{Column, Result},
    logical_expr::{Expr, Extension, LogicalPlan, Projection},
};

use super::{
    Answered, Hoist,
    call::{Call, CallKind},
    provided,
};
use crate::{
    encode::Bond,
    engine::{AddedColumn, ClipEncodeNode, PairColumns, udf},
    schema::ScoreColumn,
};

impl Hoist<'_> {
    /// Columns for `needed` above `plan`: every image column and every text column is encoded once.
    pub(super) fn place(&mut self, plan: LogicalPlan, needed: &[Call]) -> Result<Answered> {
        if needed.is_empty() {
            return Ok((plan, Vec::new()));
        }
        let (mut plan, calls) = self.with_arguments(plan, needed)?;
        let mut layout = Layout::new(self, &plan);
        let mut answers: Vec<Option<Answer>> = calls.iter().map(|_| None).collect();
        // Pairs first, so that an embedding joins the node of its pair.
        for pairs in [true, false] {
            for (call, answer) in calls.iter().zip(&mut answers) {
                if answer.is_none() && call.pair().is_some() == pairs {
                    *answer = Some(layout.answer(call));
                }
            }
        }
        let Layout { nodes, used, .. } = layout;
        if let LogicalPlan::TableScan(mut scan) = plan {
            for column in &used {
                scan = provided::showing(scan, column)?;
            }
            plan = LogicalPlan::TableScan(scan);
        }
        for node in merged(nodes) {
            plan = self.encode(plan, node)?;
        }
        self.with_cosines(plan, answers.into_iter().flatten().collect())
    }

    /// `plan` with a column for every argument that is none.
    fn with_arguments(
        &mut self,
        plan: LogicalPlan,
        needed: &[Call],
    ) -> Result<(LogicalPlan, Vec<Call>)> {
        let mut computed: Vec<(Expr, Column)> = Vec::new();
        for call in needed {
            // Only a score of a constant can do without a column of texts.
            let constant_text = call.kind == CallKind::Score;
            let texts = call.text.iter();
            let texts = texts.filter(|text| !(constant_text && udf::is_constant(text)));
            for argument in call.image.iter().chain(texts) {
                let known = computed.iter().any(|(expr, _)| expr == argument);
                if argument.try_as_col().is_none() && !known {
                    let name = self.fresh("arg");
                    computed.push((argument.clone(), Column::new_unqualified(name)));
                }
            }
        }
        let named = |argument: &Expr| {
            let found = computed.iter().find(|(expr, _)| expr == argument);
            Ok(found.map_or(argument.clone(), |(_, column)| Expr::Column(column.clone())))
        };
        let calls = needed
            .iter()
            .map(|call| call.map(named))
            .collect::<Result<_>>()?;
        Ok((with_more(plan, computed)?, calls))
    }

    fn encode(&self, plan: LogicalPlan, node: Node) -> Result<LogicalPlan> {
        let of_pair = |added| {
            matches!(
                added,
                ScoreColumn::CLIP_SCORE | ScoreColumn::STATUS | ScoreColumn::REASON
            )
        };
        let whole = node.added.iter().all(|column| of_pair(column.added));
        let columns = PairColumns {
            image: node.image,
            text: node.text,
            bond: if whole { Bond::Pair } else { Bond::Apart },
        };
        let node = ClipEncodeNode::try_new(plan, columns, node.added, Arc::clone(self.runtime))?;
        Ok(LogicalPlan::Extension(Extension {
            node: Arc::new(node),
        }))
    }

    /// A column for each answer; scores of two embeddings are computed in a projection.
    pub(super) fn with_cosines(
        &mut self,
        plan: LogicalPlan,
        answers: Vec<Answer>,
    ) -> Result<Answered> {
        let mut computed = Vec::new();
        let mut columns = Vec::with_capacity(answers.len());
        for answer in answers {
            columns.push(match answer {
                Answer::Column(column) => column,
                Answer::Cosine(image, text) => {
                    let score = Column::new_unqualified(self.fresh("score"));
                    let expr = udf::cosine_of(self.runtime, Expr::Column(image), text);
                    computed.push((expr, score.clone()));
                    score
                }
            });
        }
        Ok((with_more(plan, computed)?, columns))
    }
}

/// What stands for a call.
pub(super) enum Answer {
    /// A column.
    Column(Column),
    /// The score of an image embedding and of a text embedding or constant text.
    Cosine(Column, Expr),
}

/// A `ClipEncodeNode` that is being planned.
struct Node {
    image: Option<Column>,
    text: Option<Column>,
    added: Vec<AddedColumn>,
}

impl Node {
    /// The added column, under its name if it is there already.
    fn add(&mut self, added: ScoreColumn, name: impl FnOnce() -> String) -> Column {
        if let Some(known) = self.added.iter().find(|column| column.added == added) {
            return Column::new_unqualified(&known.name);
        }
        let name = name();
        self.added.push(AddedColumn {
            added,
            name: name.clone(),
        });
        Column::new_unqualified(name)
    }
}

/// The nodes above one plan, and the columns of its table that make others needless.
struct Layout<'a, 'b> {
    hoist: &'a mut Hoist<'b>,
    scan: Option<datafusion::logical_expr::TableScan>,
    nodes: Vec<Node>,
    used: Vec<Column>,
}

impl<'a, 'b> Layout<'a, 'b> {
    fn new(hoist: &'a mut Hoist<'b>, plan: &LogicalPlan) -> Self {
        let scan = match plan {
            LogicalPlan::TableScan(scan) => Some(scan.clone()),
            _ => None,
        };
        Self {
            hoist,
            scan,
            nodes: Vec::new(),
            used: Vec::new(),
        }
    }

    fn answer(&mut self, call: &Call) -> Answer {
        if let Some(column) = self.provided(call) {
            return Answer::Column(column);
        }
        let image = call.image.as_ref().and_then(Expr::try_as_col);
        let text = call.text.as_ref().and_then(Expr::try_as_col);
        if let (CallKind::Status | CallKind::Reason, Some(image), Some(text)) =
            (call.kind, image, text)
        {
            return Answer::Column(self.judge(call.kind.added(), image, text));
        }
        match (image, text, &call.text) {
            (Some(image), Some(text), _) if self.is_pair(image, text) => {
                Answer::Column(self.judge(ScoreColumn::CLIP_SCORE, image, text))
            }
            (Some(image), Some(text), _) if self.is_new(image, text) => {
                let mut node = Node {
                    image: Some(image.clone()),
                    text: Some(text.clone()),
                    added: Vec::new(),
                };
                let score = node.add(ScoreColumn::CLIP_SCORE, || self.hoist.fresh("score"));
                self.nodes.push(node);
                Answer::Column(score)
            }
            (Some(image), Some(text), _) => {
                let (image, text) = (self.embed_image(image), self.embed_text(text));
                Answer::Cosine(image, Expr::Column(text))
            }
            (Some(image), None, Some(constant)) => {
                Answer::Cosine(self.embed_image(image), constant.clone())
            }
            (Some(image), None, None) => Answer::Column(self.embed_image(image)),
            (None, Some(text), _) => Answer::Column(self.embed_text(text)),
            // Every image is a column by now, and a text without one stands in a score.
            (None, None, _) => Answer::Column(Column::new_unqualified("")),
        }
    }

    /// Whether one node encodes both sides.
    fn is_pair(&self, image: &Column, text: &Column) -> bool {
        self.nodes
            .iter()
            .any(|node| node.image.as_ref() == Some(image) && node.text.as_ref() == Some(text))
    }

    /// What the operator says of a pair beside its score.
    fn judge(&mut self, added: ScoreColumn, image: &Column, text: &Column) -> Column {
        let both =
            |node: &Node| node.image.as_ref() == Some(image) && node.text.as_ref() == Some(text);
        let position = self.nodes.iter().position(both).unwrap_or_else(|| {
            self.nodes.push(Node {
                image: Some(image.clone()),
                text: Some(text.clone()),
                added: Vec::new(),
            });
            self.nodes.len() - 1
        });
        let hoist = &mut *self.hoist;
        self.nodes[position].add(added, || hoist.fresh(added.name()))
    }

    /// Whether neither side of a pair is encoded by another node or known to the table.
    fn is_new(&mut self, image: &Column, text: &Column) -> bool {
        let by_node = self
            .nodes
            .iter()
            .any(|node| node.image.as_ref() == Some(image) || node.text.as_ref() == Some(text));
        let by_table = [
            Call::image(Expr::Column(image.clone())),
            Call::text(Expr::Column(text.clone())),
        ];
        !by_node
            && by_table
                .iter()
                .all(|call| self.find_provided(call).is_none())
    }

    fn embed_image(&mut self, image: &Column) -> Column {
        if let Some(column) = self.provided(&Call::image(Expr::Column(image.clone()))) {
            return column;
        }
        let known = self
            .nodes
            .iter()
            .position(|node| node.image.as_ref() == Some(image));
        let position = known.unwrap_or_else(|| {
            self.nodes.push(Node {
                image: Some(image.clone()),
                text: None,
                added: Vec::new(),
            });
            self.nodes.len() - 1
        });
        let hoist = &mut *self.hoist;
        self.nodes[position].add(ScoreColumn::IMAGE_EMBEDDING, || hoist.fresh("image"))
    }

    fn embed_text(&mut self, text: &Column) -> Column {
        if let Some(column) = self.provided(&Call::text(Expr::Column(text.clone()))) {
            return column;
        }
        let known = self
            .nodes
            .iter()
            .position(|node| node.text.as_ref() == Some(text));
        let position = known.unwrap_or_else(|| {
            self.nodes.push(Node {
                image: None,
                text: Some(text.clone()),
                added: Vec::new(),
            });
            self.nodes.len() - 1
        });
        let hoist = &mut *self.hoist;
        self.nodes[position].add(ScoreColumn::TEXT_EMBEDDING, || hoist.fresh("text"))
    }

    fn find_provided(&self, call: &Call) -> Option<Column> {
        provided::column_of(self.scan.as_ref()?, call)
    }

    fn provided(&mut self, call: &Call) -> Option<Column> {
        let column = self.find_provided(call)?;
        self.used.push(column.clone());
        Some(column)
    }
}

/// Nodes of one side each go together: one operator reads both columns in one pass.
fn merged(nodes: Vec<Node>) -> Vec<Node> {
    let (mut texts, mut others): (Vec<Node>, Vec<Node>) =
        nodes.into_iter().partition(|node| node.image.is_none());
    for node in others.iter_mut().filter(|node| node.text.is_none()) {
        if let Some(text) = (!texts.is_empty()).then(|| texts.remove(0)) {
            node.text = text.text;
            node.added.extend(text.added);
        }
    }
    others.extend(texts);
    others
}

/// `plan` with computed columns after its own.
fn with_more(plan: LogicalPlan, computed: Vec<(Expr, Column)>) -> Result<LogicalPlan> {
    if computed.is_empty() {
        return Ok(plan);
    }
    let own = plan.schema().columns().into_iter().map(Expr::Column);
    let more = computed
        .into_iter()
        .map(|(expr, column)| expr.alias(column.name));
    let exprs = own.chain(more).collect();
    Projection::try_new(exprs, Arc::new(plan)).map(LogicalPlan::Projection)
}
