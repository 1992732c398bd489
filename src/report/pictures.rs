//! Keys, captions and thumbnails of a few rows, from their shards.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, StringViewArray},
    compute::cast,
    datatypes::DataType,
};

use super::case::Case;
use crate::{
    config::ByteSize,
    error::{Error, Result},
    preprocess::{PathPolicy, Thumbnail, ThumbnailLimits, largest_file},
    secrets,
    selection::Selection,
    source::{ImageLayout, ReadPlan, ShardReader},
};

/// Longer edge of a thumbnail.
const EDGE_PX: u32 = 128;
/// Rows of a batch: their images are in memory.
const BATCH_ROWS: usize = 16;
const BATCH_BYTES: u64 = 32 << 20;
/// Of a caption no more is kept.
const MOST_CAPTION_CHARS: usize = 12_000;

/// What a shard says of a row.
#[derive(Default)]
pub(super) struct PairFacts {
    pub(super) key: Option<String>,
    pub(super) caption: Option<String>,
    pub(super) thumbnail: Option<Arc<Thumbnail>>,
    pub(super) no_image: Option<String>,
}

/// Whether images are read too.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wants {
    Texts,
    Pictures,
}

/// Reads some rows of one shard, in row order; only the pages that hold them.
pub(super) fn read(
    case: &Case<'_>,
    number: usize,
    rows: &Selection,
    wants: Wants,
) -> Result<Vec<PairFacts>> {
    let shards = &case.shards;
    let wanted = rows.rows_of(number);
    if case.shards_gone.is_some() || wanted.is_empty() {
        return Ok(wanted.iter().map(|_| PairFacts::default()).collect());
    }
    let shard = &shards.set.shards[number];
    let reader = ShardReader::open(shard, plan(case, wants))?;
    let reading = Reading {
        case,
        number,
        policy: PathPolicy {
            directories: shards.set.directories(),
            allow_external: case.limits.allow_external_paths,
            max_bytes: largest_file(case.limits.max_pixels),
        },
        limits: ThumbnailLimits {
            edge_px: EDGE_PX,
            max_pixels: case.limits.max_pixels,
            reading: case.limits.reading,
            max_bytes: case.limits.memory_limit.0 / 2,
        },
        wants,
    };
    let (mut facts, mut first) = (Vec::with_capacity(wanted.len()), 0);
    for (group, &len) in shard.row_groups.iter().enumerate() {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let runs = rows.runs(number, first..first + len);
        first += len;
        if runs.is_empty() {
            continue;
        }
        let runs = runs.into_iter().map(|(start, len)| start..start + len);
        for batch in reader.row_group(group, Some(runs.collect()))? {
            (case.cancelled)()?;
            reading.push(&batch?, &mut facts)?;
        }
    }
    Ok(facts)
}

fn plan(case: &Case<'_>, wants: Wants) -> ReadPlan {
    let shards = &case.shards;
    let binding = &shards.binding;
    let image = (wants == Wants::Pictures).then_some(&binding.image);
    let names = [Some(&binding.text), binding.key.as_ref(), image];
    let names = names.into_iter().flatten();
    let mut columns: Vec<usize> = names
        .filter_map(|name| shards.set.schema.index_of(name).ok())
        .collect();
    columns.sort_unstable();
    columns.dedup();
    let captions = shards.set.schema.index_of(&binding.text).ok();
    ReadPlan {
        columns,
        lenient: captions.into_iter().collect(),
        batch_rows: BATCH_ROWS,
        batch_bytes: BATCH_BYTES,
        ..ReadPlan::default()
    }
}

struct Reading<'a> {
    case: &'a Case<'a>,
    number: usize,
    policy: PathPolicy,
    limits: ThumbnailLimits,
    wants: Wants,
}

impl Reading<'_> {
    fn push(&self, batch: &RecordBatch, facts: &mut Vec<PairFacts>) -> Result<()> {
        let binding = &self.case.shards.binding;
        let captions = batch.column_by_name(&binding.text);
        let captions = match (captions, binding.class_captions()) {
            // Prompts are options; what they make of a label is no data.
            (Some(labels), Some(classes)) => {
                let captions = classes.captions_of(labels)?;
                let captions = captions.iter().map(|caption| caption.map(secrets::in_text));
                Some(captions.collect())
            }
            (Some(captions), None) => Some(texts(captions)?),
            (None, _) => None,
        };
        let keys = binding.key.as_ref();
        let keys = keys.and_then(|key| batch.column_by_name(key));
        let keys = keys.map(texts).transpose()?;
        let images = batch.column_by_name(&binding.image);
        let images = images.filter(|_| self.wants == Wants::Pictures);
        for row in 0..batch.num_rows() {
            let text = |column: &Option<StringViewArray>| {
                let column = column.as_ref().filter(|column| column.is_valid(row))?;
                Some(shortened(column.value(row)))
            };
            let (thumbnail, no_image) = match images.map(|images| self.thumbnail(images, row)) {
                None => (None, None),
                Some(Ok(thumbnail)) => (Some(Arc::new(thumbnail)), None),
                Some(Err(reason)) => (None, Some(reason)),
            };
            facts.push(PairFacts {
                key: text(&keys),
                caption: text(&captions),
                thumbnail,
                no_image,
            });
        }
        Ok(())
    }

    /// A picture encoded anew, or the reason why there is none.
    fn thumbnail(&self, images: &ArrayRef, row: usize) -> std::result::Result<Thumbnail, String> {
        let (bytes, path) = match self.case.shards.binding.layout {
            ImageLayout::Bytes => (Some(images), None),
            ImageLayout::Struct => {
                let fields = images.as_struct();
                let there = fields.is_valid(row);
                let field = |name: &str| fields.column_by_name(name).filter(|_| there);
                (field("bytes"), field("path"))
            }
        };
        let bytes = bytes.and_then(|bytes| bytes.as_binary_view_opt());
        let bytes = bytes.filter(|bytes| bytes.is_valid(row));
        let loaded;
        let bytes = match bytes {
            Some(bytes) => bytes.value(row),
            None => {
                let paths = path.and_then(|paths| paths.as_string_view_opt());
                let Some(paths) = paths.filter(|paths| paths.is_valid(row)) else {
                    return Err("the image is null".to_owned());
                };
                let shard = u32::try_from(self.number).unwrap_or(u32::MAX);
                let found = self.policy.find(shard, paths.value(row));
                let found = found.map_err(|fault| fault.reason)?;
                if found.bytes > self.limits.max_bytes / 4 {
                    return Err(format!("no room for {}", ByteSize(found.bytes)));
                }
                loaded = found.read().map_err(|fault| fault.reason)?;
                &loaded
            }
        };
        Thumbnail::of(bytes, &self.limits).map_err(|fault| fault.reason)
    }
}

fn texts(column: &ArrayRef) -> Result<StringViewArray> {
    let texts = cast(column, &DataType::Utf8View)
        .map_err(|error| Error::input("read a column as text").source(error))?;
    Ok(texts.as_string_view().clone())
}

/// A text with an end that says how much is missing.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(MOST_CAPTION_CHARS) {
        None => text.to_owned(),
        Some((end, _)) => {
            let all = text.chars().count();
            format!("{}… ({all} characters)", &text[..end])
        }
    }
}
