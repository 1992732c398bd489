//! Shards and score stores with the embeddings of `tests/golden/method.json`.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::Arc,
};

use arrow::{
    array::{
        ArrayRef, Float32Array, Int64Array, ListArray, RecordBatch, StringArray, UInt32Array,
        new_null_array,
    },
    datatypes::{DataType, Field, Float32Type, Schema},
};
use clip_filter::{
    adapt::{Adapters, Method, Mode, Outcome, TrainingRecord},
    config::DEFAULT_MAX_PIXELS,
    encode::{EncoderFactory, MockFactory},
    schema::{CLIP_SCORE, HEIGHT, IMAGE_EMBEDDING, STATUS, STORED_ROW, TEXT_EMBEDDING, WIDTH},
    source::{BoundShards, ColumnChoice, Places},
    store::{EmbeddingType, ScoreStore, ShardIdentity, StoreSpec},
};
use parquet::file::properties::WriterProperties;
use safetensors::{Dtype, SafeTensors, serialize, tensor::TensorView};
use serde_json::{Value, json};

use crate::{
    pictures,
    program::{Place, ROOT},
    shards,
};

/// Rows of the reference.
pub(super) const ROWS: usize = 60;
/// What every run over the labelled pairs says.
pub(super) const LABELLED: &str = "--label-column label --adapters adapters.safetensors --neighbours 3 --target target.parquet --scores scores";
/// What every run over the captioned pairs says.
pub(super) const CAPTIONED: &str =
    "--adapters adapters.safetensors --neighbours 3 --target target.parquet --scores scores";

/// What NumPy says.
pub(super) struct Reference(Value);

impl Reference {
    pub(super) fn read() -> Self {
        let path = Path::new(ROOT).join("tests/golden/method.json");
        Self(serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap())
    }

    pub(super) fn dim(&self) -> usize {
        usize::try_from(self.0["dim"].as_u64().unwrap()).unwrap()
    }

    pub(super) fn names(&self) -> Vec<String> {
        strings(&self.0["names"])
    }

    pub(super) fn prompts(&self) -> Vec<String> {
        strings(&self.0["prompts"])
    }

    pub(super) fn data(&self, path: &str) -> Vec<f32> {
        let values = self.0["data"].pointer(path).unwrap().as_array().unwrap();
        values
            .iter()
            .map(|value| single(value.as_f64().unwrap()))
            .collect()
    }

    pub(super) fn labels(&self) -> Vec<i64> {
        let labels = self.0["data"]["labels"].as_array().unwrap();
        labels.iter().map(|label| label.as_i64().unwrap()).collect()
    }

    /// Rows of equal images and classes, ascending, where there are several.
    pub(super) fn copies(&self) -> Vec<Vec<usize>> {
        let labels = self.labels();
        let mut groups: BTreeMap<(i64, Vec<u32>), Vec<usize>> = BTreeMap::new();
        for (row, label) in labels.into_iter().enumerate() {
            let bits = self
                .embedding("/images", row)
                .iter()
                .map(|x| x.to_bits())
                .collect();
            groups.entry((label, bits)).or_default().push(row);
        }
        groups.into_values().filter(|rows| rows.len() > 1).collect()
    }

    /// A score of every row.
    pub(super) fn score(&self, name: &str) -> Vec<Option<f64>> {
        let values = self.0["scores"][name].as_array();
        let values = values.unwrap_or_else(|| panic!("no score {name}"));
        values.iter().map(Value::as_f64).collect()
    }

    /// Rows that a selection keeps, ascending.
    pub(super) fn kept(&self, name: &str) -> Vec<usize> {
        let rows = self.0["kept"][name].as_array().unwrap().iter();
        rows.map(|row| usize::try_from(row.as_u64().unwrap()).unwrap())
            .collect()
    }

    fn embedding(&self, of: &str, row: usize) -> Vec<f32> {
        let dim = self.dim();
        self.data(of)[row * dim..(row + 1) * dim].to_vec()
    }

    /// A directory with `in.parquet`, `adapters.safetensors` and `target.parquet`, and the store `scores` of it.
    pub(super) fn place(&self) -> Place {
        let place = Place::new();
        self.write_shard(&place, "in.parquet", &(0..ROWS).collect::<Vec<_>>());
        self.write_beside(&place);
        self.fill(&place, "scores", &["in.parquet"]);
        place
    }

    /// `adapters.safetensors` and `target.parquet`.
    pub(super) fn write_beside(&self, place: &Place) {
        let adapters = self.adapters("mock-1");
        std::fs::write(place.path("adapters.safetensors"), adapters).unwrap();
        let target = lists(&self.data("/target"), self.dim());
        let target = shards::batch(vec![(IMAGE_EMBEDDING, target)]);
        shards::write(&place.path("target.parquet"), &target);
    }

    /// A shard of some rows: `uid` is the number of the row, `label` its class, `kind` the name of that.
    pub(super) fn write_shard(&self, place: &Place, name: &str, rows: &[usize]) {
        let labels = self.labels();
        let labels: Vec<Option<i64>> = rows.iter().map(|&row| Some(labels[row])).collect();
        self.write_labelled(place, name, rows, &labels);
    }

    /// As [`Reference::write_shard`], with other labels.
    pub(super) fn write_labelled(
        &self,
        place: &Place,
        name: &str,
        rows: &[usize],
        labels: &[Option<i64>],
    ) {
        let pairs: Vec<shards::Pair> = rows
            .iter()
            .map(|&row| {
                let image = pictures::bmp(u32::try_from(row).unwrap());
                shards::Pair::new(image, &format!("a picture of thing {row}"))
            })
            .collect();
        let names = self.names();
        let kinds = labels
            .iter()
            .map(|label| Some(names[usize::try_from((*label)?).unwrap()].clone()));
        let uids = rows.iter().map(|row| Some(format!("{row:032x}")));
        let ranks: Int64Array = rows.iter().map(|&row| i64::try_from(row).ok()).collect();
        let batch = shards::batch(vec![
            ("uid", Arc::new(uids.collect::<StringArray>())),
            ("image", shards::image_column(&pairs)),
            ("text", shards::text_column(&pairs)),
            ("rank", Arc::new(ranks)),
            ("label", Arc::new(Int64Array::from(labels.to_vec()))),
            ("kind", Arc::new(kinds.collect::<StringArray>())),
        ]);
        let features = json!({"info": {"features": {
            "label": {"_type": "ClassLabel", "names": names},
        }}});
        let facts = HashMap::from([("huggingface".to_owned(), features.to_string())]);
        let schema = batch.schema().as_ref().clone().with_metadata(facts);
        let batch = batch.with_schema(Arc::new(schema)).unwrap();
        let properties = WriterProperties::builder().set_max_row_group_row_count(Some(16));
        shards::write_with(&place.path(name), &batch, properties.build());
    }

    /// Puts the embeddings of the rows of `inputs` in the store `directory`, as `f32`.
    pub(super) fn fill(&self, place: &Place, directory: &str, inputs: &[&str]) {
        let paths = inputs
            .iter()
            .map(|input| place.path(input).to_str().unwrap().to_owned());
        let paths: Vec<String> = paths.collect();
        let files = Places::default().expand(&paths).unwrap();
        let found = BoundShards::open(&files, &ColumnChoice::default()).unwrap();
        let spec = StoreSpec {
            model: MockFactory::try_new().unwrap().card().clone(),
            image_column: "image".to_owned(),
            text_column: "text".to_owned(),
            class_captions: None,
            max_pixels: DEFAULT_MAX_PIXELS,
            reading: Default::default(),
            allow_external_paths: false,
            condition: None,
            embeddings: EmbeddingType::F32,
        };
        let mut store = ScoreStore::open_or_create(place.path(directory), &spec).unwrap();
        store.record(&found.identities).unwrap();
        for shard in &found.identities {
            let rows = shards::row_numbers(&shards::read(Path::new(&shard.path)));
            self.commit(&store, shard, &rows);
        }
    }

    fn commit(&self, store: &ScoreStore, shard: &ShardIdentity, rows: &[usize]) {
        let len = rows.len();
        let side = |of: &str| -> Vec<Vec<f32>> {
            rows.iter().map(|&row| self.embedding(of, row)).collect()
        };
        let (images, texts) = (side("/images"), side("/texts"));
        let cosines = images.iter().zip(&texts).map(|(image, text)| {
            let products = image.iter().zip(text);
            Some(single(
                products.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum(),
            ))
        });
        let cosines: Float32Array = cosines.collect();
        let schema = store.schema();
        let columns = schema.fields().iter().skip(1).map(|field| -> ArrayRef {
            match field.name().as_str() {
                STORED_ROW => {
                    Arc::new(Int64Array::from_iter_values(0..i64::try_from(len).unwrap()))
                }
                STATUS => Arc::new(StringArray::from(vec!["ok"; len])),
                WIDTH => Arc::new(UInt32Array::from(vec![16; len])),
                HEIGHT => Arc::new(UInt32Array::from(vec![12; len])),
                CLIP_SCORE => Arc::new(cosines.clone()),
                IMAGE_EMBEDDING => lists(&images.concat(), self.dim()),
                TEXT_EMBEDDING => lists(&texts.concat(), self.dim()),
                _ => new_null_array(field.data_type(), len),
            }
        });
        let fields: Vec<_> = schema.fields().iter().skip(1).cloned().collect();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.collect()).unwrap();
        store.commit_part(shard, 0..shard.rows, &[batch]).unwrap();
        store.complete(shard).unwrap();
    }

    /// The artifact with the reference's weights, for the model of this fingerprint.
    pub(super) fn adapters(&self, model: &str) -> Vec<u8> {
        let plain = Adapters::identity(self.dim(), model, record())
            .to_bytes()
            .unwrap();
        let (_, header) = SafeTensors::read_metadata(&plain).unwrap();
        let known = SafeTensors::deserialize(&plain).unwrap();
        let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = known
            .iter()
            .map(|(name, tensor)| {
                let data = match name.split_once('.') {
                    Some((side, part)) => self
                        .data(&format!("/{side}_adapter/{part}"))
                        .iter()
                        .flat_map(|number| number.to_le_bytes())
                        .collect(),
                    None => tensor.data().to_vec(),
                };
                (name.to_owned(), tensor.shape().to_vec(), data)
            })
            .collect();
        let views = tensors.iter().map(|(name, shape, data)| {
            let view = TensorView::new(Dtype::F32, shape.clone(), data).unwrap();
            (name.as_str(), view)
        });
        serialize(views, header.metadata().clone()).unwrap()
    }
}

fn strings(value: &Value) -> Vec<String> {
    let texts = value.as_array().unwrap().iter();
    texts
        .map(|text| text.as_str().unwrap().to_owned())
        .collect()
}

/// To the precision of embeddings.
#[expect(
    clippy::cast_possible_truncation,
    reason = "what is lost is meant to be"
)]
pub(super) fn single(value: f64) -> f32 {
    value as f32
}

/// A column of vectors.
pub(super) fn lists(values: &[f32], dim: usize) -> ArrayRef {
    let rows = values
        .chunks_exact(dim)
        .map(|row| Some(row.iter().map(|&value| Some(value)).collect::<Vec<_>>()));
    let list = ListArray::from_iter_primitive::<Float32Type, _, _>(rows);
    let element = Field::new("element", DataType::Float32, true);
    arrow::compute::cast(&list, &DataType::List(Arc::new(element))).unwrap()
}

fn record() -> TrainingRecord {
    TrainingRecord {
        method: Method::Infonce,
        mode: Mode::Labelled,
        prompts: vec!["a photo of a {}".to_owned()],
        classes: Some(5),
        training_rows: 0,
        held_out_rows: 0,
        seed: 0,
        batch_rows: 256,
        learning_rate: 1e-3,
        weight_decay: 1e-2,
        lock_text: false,
        start_logit_scale: 20.0,
        start_held_out_loss: 1.0,
        epochs: Vec::new(),
        best_epoch: 0,
        outcome: Outcome::Accepted,
        reason: "made up".to_owned(),
        closed: None,
        tool_version: "0".to_owned(),
    }
}

/// Every score of `found`, to 1e-5; null where the reference has none.
#[track_caller]
pub(super) fn assert_scores(found: &[Option<f32>], expected: &[Option<f64>], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (row, (found, expected)) in found.iter().zip(expected).enumerate() {
        let close = match (found, expected) {
            (Some(found), Some(expected)) => (f64::from(*found) - expected).abs() <= 1e-5,
            (found, expected) => found.is_none() && expected.is_none(),
        };
        assert!(close, "{what}, row {row}: {found:?}, expected {expected:?}");
    }
}
