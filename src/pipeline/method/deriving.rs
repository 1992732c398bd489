//! What is missing of the wanted columns, step by step.

use std::{
    collections::{BTreeMap, BinaryHeap, HashMap},
    path::PathBuf,
};

use arrow::{array::AsArray, datatypes::Float32Type};
use clip_filter_vectors::{Budget, Centroids};
use sha2::{Digest, Sha256};

use super::{
    Adaptation, Groups, MethodOptions, adapting,
    cell_file::CellSpill,
    cell_scores::CellScorer,
    centres, check,
    class_texts::{EmbedText, class_texts},
    contrast::Contrast,
    pairs::{StoredPairs, caption_id},
    publish::{Columns, publish},
    random::hash,
    row_scores::{Pool, RowScorer, Target, Texts, adapted},
    scratch::{NO_CELL, ScratchColumn},
    stored_rows::{Block, Sides, StoredRows},
    target, with_inputs,
};
use crate::{
    adapt::{Adapters, Side},
    error::{Error, Result},
    pipeline::Shards,
    schema::{Derived, IMAGE_EMBEDDING},
    select::{ObjectiveState, Selection},
    store::{DerivedSpec, ScoreStore},
};

/// Other captions that a pair's own must beat.
const POOL_CAPTIONS: usize = 256;
/// Files beside the columns.
const ADAPTERS: &str = "adapters.safetensors";
const CENTRES: &str = "centres.json";
const OBJECTIVE: &str = "objective.json";

/// Derived columns of a store, over some shards.
pub(in crate::pipeline) struct Deriving<'a> {
    /// Open for writing.
    pub(in crate::pipeline) store: &'a ScoreStore,
    pub(in crate::pipeline) shards: &'a Shards,
    pub(in crate::pipeline) options: &'a MethodOptions,
    /// Rows that count, and what decided it.
    pub(in crate::pipeline) considered: Option<(&'a Selection, &'a str)>,
    /// Adapters and centres of an earlier run are used again if they were made alike.
    pub(in crate::pipeline) keeps_state: bool,
    pub(in crate::pipeline) budget: Budget,
    pub(in crate::pipeline) embed: EmbedText<'a>,
    pub(in crate::pipeline) say: &'a dyn Fn(&str),
    /// Told what is done now, for whoever looks on.
    pub(in crate::pipeline) step: &'a dyn Fn(String),
    pub(in crate::pipeline) cancelled: &'a dyn Fn() -> Result<()>,
}

/// What rows are compared with.
struct Reference {
    classes: Option<Groups>,
    /// Texts of the classes, before they are adapted.
    class_texts: Vec<f32>,
    adapters: Option<Adapters>,
    centres: Option<Centroids>,
    /// Rows that count.
    counted: u64,
}

impl Deriving<'_> {
    /// Makes `columns` derived columns of the store, unless they are.
    pub(in crate::pipeline) fn run(&self, columns: &[Derived]) -> Result<()> {
        let wanted = with_inputs(columns);
        check(&wanted, self.options)?;
        self.check_embeddings()?;
        let given = match &self.options.adaptation {
            Adaptation::Given(path) => Some(adapting::given(path, &self.store.spec().model)?),
            _ => None,
        };
        let spec = self.spec(&wanted, given.as_ref())?;
        if self
            .store
            .derived()
            .is_some_and(|known| known.serves(&spec))
        {
            return Ok(());
        }
        let rows = self.rows();
        let mut columns = self.known_columns(&spec, &rows)?;
        let missing: Vec<Derived> = wanted
            .iter()
            .copied()
            .filter(|column| !columns.contains_key(column))
            .collect();
        let mut artifacts = Vec::new();
        let only_order = missing == [Derived::SelectionScore];
        if !only_order && !missing.is_empty() {
            let reference = self.reference(&rows, &missing, given)?;
            self.score_rows(&rows, &missing, &reference, &mut columns)?;
            if missing.contains(&Derived::SCliploss) {
                columns.insert(Derived::SCliploss, self.contrast(&rows, reference.counted)?);
            }
            if let Some(adapters) = &reference.adapters {
                artifacts.push((ADAPTERS, adapters.to_bytes()?));
            }
            if let Some(centres) = &reference.centres {
                let text = serde_json::to_vec(centres.values())
                    .map_err(|error| Error::internal("keep the centres of cells").source(error))?;
                artifacts.push((CENTRES, text));
            }
        } else {
            let kept = [ADAPTERS, CENTRES].map(|name| Some((name, self.store.artifact(name)?)));
            artifacts.extend(kept.into_iter().flatten());
        }
        if missing.contains(&Derived::SelectionScore) {
            artifacts.push((OBJECTIVE, self.order(&mut columns, &rows)?));
        }
        let names = columns.keys().map(|column| column.as_str().to_owned());
        let spec = DerivedSpec {
            columns: names.collect(),
            ..spec
        };
        publish(self.store, spec, &rows, &columns, &artifacts)
    }

    fn check_embeddings(&self) -> Result<()> {
        match self.store.schema().index_of(IMAGE_EMBEDDING) {
            Ok(_) => Ok(()),
            Err(_) => Err(
                Error::input("compute scores from embeddings: the store keeps none")
                    .with("store", self.store.directory().display())
                    .hint("score into another directory with --embeddings f16"),
            ),
        }
    }

    fn rows(&self) -> StoredRows<'_> {
        let considered = self.considered.map(|(rows, _)| rows);
        StoredRows::new(self.store, &self.shards.identities, considered)
    }

    fn directory(&self) -> PathBuf {
        self.store.directory().to_path_buf()
    }

    fn dim(&self) -> usize {
        self.store.spec().model.dim
    }

    fn spec(&self, wanted: &[Derived], given: Option<&Adapters>) -> Result<DerivedSpec> {
        let classes = self.shards.binding.classes.as_ref();
        let number =
            |number: Option<u32>| number.map_or_else(|| "auto".to_owned(), |n| n.to_string());
        let mut made_with = BTreeMap::from([
            ("adapters", self.options.adaptation.describe(given)?),
            (
                "pairs",
                classes.map_or_else(|| "captions".to_owned(), |classes| classes.describe()),
            ),
            ("neighbours", number(self.options.neighbours)),
            ("seed", self.options.seed.to_string()),
        ]);
        if classes.is_none() {
            made_with.insert("cells", number(self.options.cells));
        }
        if let Some((_, condition)) = self.considered {
            made_with.insert("where", condition.to_owned());
        }
        if let Some(target) = &self.options.target {
            let bytes = std::fs::read(target).map_err(|error| target::failed(target, error))?;
            let hash = Sha256::digest(bytes);
            let hex = hash.iter().take(16).map(|byte| format!("{byte:02x}"));
            made_with.insert("target", hex.collect());
        }
        let shards = self.rows();
        let shards = shards.shards().iter();
        Ok(DerivedSpec {
            columns: wanted
                .iter()
                .map(|column| column.as_str().to_owned())
                .collect(),
            made_with: made_with
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect(),
            selection: wanted
                .contains(&Derived::SelectionScore)
                .then(|| format!("diversity weight {}", self.options.diversity_weight)),
            shards: shards.map(|(_, shard)| shard.fingerprint.clone()).collect(),
        })
    }

    /// The columns that the store has and that are still right.
    fn known_columns(&self, spec: &DerivedSpec, rows: &StoredRows<'_>) -> Result<Columns> {
        let mut columns = Columns::new();
        let Some(known) = self.store.derived() else {
            return Ok(columns);
        };
        if known.made_with != spec.made_with || known.shards != spec.shards {
            return Ok(columns);
        }
        let names = known
            .columns
            .iter()
            .filter_map(|name| Derived::from_name(name));
        let right = |column: &Derived| {
            *column != Derived::SelectionScore
                || spec.selection.is_none()
                || known.selection == spec.selection
        };
        let names: Vec<Derived> = names.filter(right).collect();
        for name in &names {
            columns.insert(*name, ScratchColumn::create(&self.directory())?);
        }
        let stored: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
        for (_, shard) in rows.shards() {
            let mut cursor = self.store.scores(shard)?.cursor(&stored, 0)?;
            while let Some(found) = cursor.advance()? {
                for (name, values) in names.iter().zip(&found.columns) {
                    let Some(column) = columns.get_mut(name) else {
                        continue;
                    };
                    match values.as_primitive_opt::<Float32Type>() {
                        Some(values) => column.append(
                            &values
                                .iter()
                                .map(|value| value.unwrap_or(f32::NAN))
                                .collect::<Vec<_>>(),
                        )?,
                        None => {
                            let cells = values.as_primitive::<arrow::datatypes::UInt32Type>();
                            let cells = cells.iter().map(|cell| cell.unwrap_or(NO_CELL));
                            column.append_cells(&cells.collect::<Vec<_>>())?;
                        }
                    }
                }
            }
        }
        Ok(columns)
    }

    fn reference(
        &self,
        rows: &StoredRows<'_>,
        missing: &[Derived],
        given: Option<Adapters>,
    ) -> Result<Reference> {
        let mut counted = 0;
        rows.for_each(Sides::None, &mut |block| {
            counted += block.rows.len() as u64;
            Ok(())
        })?;
        let (classes, class_texts) = self.classes(rows)?;
        let frozen = self.frozen_state(missing)?;
        let adapters = match (&self.options.adaptation, frozen.adapters) {
            (Adaptation::None, _) => None,
            (Adaptation::Given(_), _) => given,
            (Adaptation::Fit, Some(kept)) => Some(kept),
            (Adaptation::Fit, None) => {
                let texts = class_texts.as_slice();
                Some(self.fit(
                    rows,
                    classes.as_ref().map(|groups| (&groups.of_rows, texts)),
                )?)
            }
        };
        (self.step)("finding the centres of cells".to_owned());
        let centres = match (&classes, frozen.centres) {
            _ if !centres::are_wanted(missing, classes.is_some()) => None,
            (Some(groups), _) => {
                let classes = (&groups.of_rows, groups.names.len());
                Some(centres::class_means(
                    rows,
                    classes,
                    self.dim(),
                    self.cancelled,
                )?)
            }
            (None, Some(kept)) => Some(kept),
            (None, None) => {
                let cells = self
                    .options
                    .cells
                    .unwrap_or_else(|| centres::cells_for(counted));
                let random = (self.options.seed, self.budget.threads);
                Some(centres::clusters(
                    rows,
                    (cells, self.dim()),
                    random,
                    self.cancelled,
                )?)
            }
        };
        Ok(Reference {
            classes,
            class_texts,
            adapters,
            centres,
            counted,
        })
    }

    /// Fits adapters anew.
    pub(in crate::pipeline) fn adapters(&self) -> Result<Adapters> {
        self.check_embeddings()?;
        let rows = self.rows();
        let (classes, texts) = self.classes(&rows)?;
        let classes = classes
            .as_ref()
            .map(|groups| (&groups.of_rows, texts.as_slice()));
        self.fit(&rows, classes)
    }

    fn fit(
        &self,
        rows: &StoredRows<'_>,
        classes: Option<(&ScratchColumn, &[f32])>,
    ) -> Result<Adapters> {
        (self.step)("fitting adapters".to_owned());
        let pairs = StoredPairs {
            rows,
            dim: self.dim(),
            classes,
            buffer_bytes: self.budget.bytes / 4,
            cancelled: self.cancelled,
        };
        let prompts = self.shards.binding.classes.as_ref();
        let prompts = prompts
            .map(|classes| classes.prompts.clone())
            .unwrap_or_default();
        let about = (&self.store.spec().model, prompts, self.options.seed);
        adapting::fitted(pairs, about, self.say)
    }

    /// The class of each row, and the texts of the classes; nothing where pairs have captions.
    fn classes(&self, rows: &StoredRows<'_>) -> Result<(Option<Groups>, Vec<f32>)> {
        let Some(classes) = &self.shards.binding.classes else {
            return Ok((None, Vec::new()));
        };
        (self.step)("reading class labels".to_owned());
        let known = classes.names.as_deref().unwrap_or_default();
        let names_of = |labels: &_| classes.names_of(labels);
        let source = (known, &names_of as _);
        let set = &self.shards.set;
        let groups = Groups::read(rows, set, &classes.column, source, &self.directory())?;
        let texts = class_texts(classes, &groups.names, self.dim(), self.embed)?;
        Ok((Some(groups), texts))
    }

    /// Adapters and centres of the columns that are there, where they may be used again.
    fn frozen_state(&self, missing: &[Derived]) -> Result<Frozen> {
        let Some(known) = self.store.derived() else {
            return Ok(Frozen::default());
        };
        let spec = self.spec(missing, None);
        let same = spec.is_ok_and(|spec| spec.made_with == known.made_with);
        let same_rows = || {
            let rows = self.rows();
            let shards = rows.shards().iter().map(|(_, shard)| &shard.fingerprint);
            shards.eq(&known.shards)
        };
        if !same || !(self.keeps_state || same_rows()) {
            return Ok(Frozen::default());
        }
        let adapters = self.store.artifact(ADAPTERS);
        let centres = self.store.artifact(CENTRES);
        let centres: Option<Vec<f32>> = centres.and_then(|text| serde_json::from_slice(&text).ok());
        Ok(Frozen {
            adapters: adapters
                .map(|bytes| Adapters::from_bytes(&bytes))
                .transpose()?,
            centres: centres.and_then(|values| Centroids::from_values(values, self.dim())),
        })
    }

    fn score_rows(
        &self,
        rows: &StoredRows<'_>,
        missing: &[Derived],
        reference: &Reference,
        columns: &mut Columns,
    ) -> Result<()> {
        let adapters = reference.adapters.as_ref();
        let threads = self.budget.threads;
        let texts = match &reference.classes {
            Some(_) => {
                let texts = &reference.class_texts;
                let changed = adapted(adapters, Side::Text, texts, self.dim(), threads);
                Texts::Classes(changed.unwrap_or_else(|| texts.clone()))
            }
            None if missing.contains(&Derived::SasMargin) => {
                Texts::Captions(self.caption_pool(rows, adapters)?)
            }
            None => Texts::Captions(Pool::default()),
        };
        let target = match &self.options.target {
            Some(path) => Some(Target::read(path, self.dim())?),
            None => None,
        };
        let knows_cells = columns.contains_key(&Derived::Cell);
        let scorer = RowScorer {
            wanted: missing,
            adapters,
            texts,
            centroids: reference.centres.as_ref(),
            assigns_cells: reference.classes.is_none() && !knows_cells,
            target: target.as_ref(),
            threads,
        };
        let in_rows = |column: &Derived| {
            !matches!(
                column,
                Derived::Sds
                    | Derived::DupMaxSim
                    | Derived::Moderate
                    | Derived::SCliploss
                    | Derived::SelectionScore
            )
        };
        for column in missing.iter().copied().filter(in_rows) {
            columns.insert(column, ScratchColumn::create(&self.directory())?);
        }
        let wants_sds = missing.contains(&Derived::Sds);
        let wants_others = [Derived::DupMaxSim, Derived::Moderate]
            .iter()
            .any(|c| missing.contains(c));
        let spill = || CellSpill::create(&self.directory(), self.dim(), self.budget.bytes / 8);
        let mut diverse = wants_sds.then(spill).transpose()?;
        let mut others = wants_others.then(spill).transpose()?;
        let sides = match reference.classes {
            Some(_) => Sides::Images,
            None => Sides::Both,
        };
        let stored = rows.for_each(sides, &mut |block| {
            (self.cancelled)()?;
            (self.step)(format!("scoring embeddings: row {}", block.first));
            let classes = classes_of(block, reference)?;
            let scored = scorer.score(block, classes.as_deref())?;
            for (name, column) in columns.iter_mut() {
                if let Some(values) = scored.columns.get(name) {
                    column.append(&block.spread(values, f32::NAN))?;
                }
            }
            let stored = block.first..block.first + block.len as u64;
            let cells = match (scored.cells, columns.get_mut(&Derived::Cell)) {
                (Some(cells), Some(column)) if !knows_cells => {
                    column.append_cells(&block.spread(&cells, NO_CELL))?;
                    cells
                }
                (Some(cells), _) => cells,
                (None, Some(column)) => {
                    let all = column.read_cells(stored)?;
                    block.offsets.iter().map(|&offset| all[offset]).collect()
                }
                (None, None) => return Ok(()),
            };
            for (row, (position, &cell)) in block.positions().zip(&cells).enumerate() {
                if cell == NO_CELL {
                    continue;
                }
                if let Some(spill) = &mut diverse {
                    let adapted = scored.adapted.as_ref();
                    let adapted = adapted.map(|all| &all[row * block.dim..(row + 1) * block.dim]);
                    spill.push(cell, position, adapted.unwrap_or_else(|| block.image(row)))?;
                }
                if let Some(spill) = &mut others {
                    spill.push(cell, position, block.image(row))?;
                }
            }
            Ok(())
        })?;
        for column in missing.iter().filter(|column| !in_rows(column)) {
            if matches!(
                column,
                Derived::Sds | Derived::DupMaxSim | Derived::Moderate
            ) {
                columns.insert(*column, self.empty_column(stored)?);
            }
        }
        let scorer = CellScorer {
            wanted: missing,
            neighbours: self.options.neighbours,
            budget: self.budget,
            step: self.step,
            cancelled: self.cancelled,
        };
        let mut give = |name: Derived, positions: &[u64], values: &[f32]| {
            let Some(column) = columns.get(&name) else {
                return Ok(());
            };
            let mut set = positions.iter().zip(values);
            set.try_for_each(|(&position, &value)| column.set(position, value))
        };
        if let Some(spill) = diverse {
            scorer.diversity(&spill.finish()?, &mut give)?;
        }
        if let Some(spill) = others {
            scorer.others(&spill.finish()?, &mut give)?;
        }
        Ok(())
    }

    /// A column of `rows` rows that have no number.
    fn empty_column(&self, rows: u64) -> Result<ScratchColumn> {
        const BLOCK: u64 = 1 << 16;
        let mut column = ScratchColumn::create(&self.directory())?;
        let mut left = rows;
        while left > 0 {
            let some = left.min(BLOCK);
            column.append(&vec![f32::NAN; usize::try_from(some).unwrap_or(0)])?;
            left -= some;
        }
        Ok(column)
    }

    /// The captions whose hash is lowest, each once.
    fn caption_pool(&self, rows: &StoredRows<'_>, adapters: Option<&Adapters>) -> Result<Pool> {
        let mut lowest: BinaryHeap<(u64, u64)> = BinaryHeap::new();
        let mut kept: HashMap<u64, Vec<f32>> = HashMap::new();
        let seed = hash(self.options.seed);
        rows.for_each(Sides::Texts, &mut |block| {
            (self.cancelled)()?;
            for row in 0..block.rows.len() {
                let id = caption_id(block.text(row));
                let place = (hash(seed ^ id), id);
                let full = lowest.len() == POOL_CAPTIONS;
                if kept.contains_key(&id)
                    || (full && lowest.peek().is_some_and(|most| *most < place))
                {
                    continue;
                }
                lowest.push(place);
                kept.insert(id, block.text(row).to_vec());
                if full && let Some((_, out)) = lowest.pop() {
                    kept.remove(&out);
                }
            }
            Ok(())
        })?;
        let mut pool = Pool::default();
        for (at, (_, id)) in lowest.into_sorted_vec().into_iter().enumerate() {
            pool.texts.extend_from_slice(&kept[&id]);
            pool.by_id.insert(id, at);
        }
        let changed = adapted(
            adapters,
            Side::Text,
            &pool.texts,
            self.dim(),
            self.budget.threads,
        );
        pool.texts = changed.unwrap_or(pool.texts);
        Ok(pool)
    }

    fn contrast(&self, rows: &StoredRows<'_>, counted: u64) -> Result<ScratchColumn> {
        (self.step)("comparing pairs in random batches".to_owned());
        let contrast = Contrast {
            rows,
            directory: &self.directory(),
            seed: self.options.seed,
            budget: self.budget,
            cancelled: self.cancelled,
        };
        contrast.score(counted)
    }

    /// Adds what `align-diverse` orders by; what it was computed with, to be kept.
    fn order(&self, columns: &mut Columns, rows: &StoredRows<'_>) -> Result<Vec<u8>> {
        let mut state = ObjectiveState::default();
        let inputs = |columns: &Columns, block: &Block| -> Result<Vec<(f32, Option<f32>)>> {
            let stored = || block.first..block.first + block.len as u64;
            let read = |name: Derived| match columns.get(&name) {
                Some(column) => column.read(stored()),
                None => Err(Error::internal(format!(
                    "find the column {}",
                    name.as_str()
                ))),
            };
            let (alignments, diversities) = (read(Derived::Sas)?, read(Derived::Sds)?);
            let pairs = alignments.into_iter().zip(diversities);
            Ok(pairs
                .map(|(sas, sds)| (sas, (!sds.is_nan()).then_some(sds)))
                .collect())
        };
        rows.for_each(Sides::None, &mut |block| {
            for (sas, sds) in inputs(columns, block)? {
                if !sas.is_nan() {
                    state.push(sas, sds)?;
                }
            }
            Ok(())
        })?;
        let objective = state.finish(self.options.diversity_weight);
        let mut column = ScratchColumn::create(&self.directory())?;
        rows.for_each(Sides::None, &mut |block| {
            let scores = inputs(columns, block)?
                .into_iter()
                .map(|(sas, sds)| match sas.is_nan() {
                    true => f32::NAN,
                    false => objective.score(sas, sds),
                });
            column.append(&scores.collect::<Vec<_>>())
        })?;
        columns.insert(Derived::SelectionScore, column);
        serde_json::to_vec(&state)
            .map_err(|error| Error::internal("keep the state of the objective").source(error))
    }
}

/// What an earlier run has left.
#[derive(Default)]
struct Frozen {
    adapters: Option<Adapters>,
    centres: Option<Centroids>,
}

/// The classes of the rows of a block that count.
fn classes_of(block: &Block, reference: &Reference) -> Result<Option<Vec<u32>>> {
    let Some(groups) = &reference.classes else {
        return Ok(None);
    };
    let all = groups
        .of_rows
        .read_cells(block.first..block.first + block.len as u64)?;
    Ok(Some(
        block.offsets.iter().map(|&offset| all[offset]).collect(),
    ))
}
