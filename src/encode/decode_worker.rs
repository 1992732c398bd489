//! The thread that makes pixels and tokens of rows.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, atomic::Ordering},
};

use arrow::array::{Array, StringViewArray};
use async_channel::{Receiver, Sender};

use super::{
    assembly::Assembly,
    pool::{Bond, DecodeJob, DecodeWork, EncodeJob, EncodeWork, PairBatch, Shared, stopped},
};
use crate::{
    config::ByteSize,
    error::{Error, Result},
    preprocess::{ImageKernel, Padding, PathPolicy, RowFault},
    schema::{Side, Status},
    summary::Stage,
};

/// Width and height of a stored image.
type Size = (u32, u32);

/// Why a row has no pixels.
enum Undecoded {
    /// The row is bad; the size of its image, where the header was readable.
    Bad(RowFault, Option<Size>),
    /// The run has to end.
    Refused(Error),
}

/// Makes pixels and tokens, on a thread of its own.
pub(super) struct DecodeWorker {
    pub(super) kernel: ImageKernel,
    pub(super) encode_queue: Sender<EncodeJob>,
    pub(super) shared: Arc<Shared>,
}

impl DecodeWorker {
    /// Works until the queue is closed.
    pub(super) fn run(mut self, jobs: &Receiver<DecodeJob>) {
        let shared = Arc::clone(&self.shared);
        let counters = &shared.counters;
        while let Ok(job) = counters.starved(Stage::Decode, || jobs.recv_blocking()) {
            counters.queue("decode jobs waiting", || jobs.len());
            if job.assembly.is_abandoned() {
                continue;
            }
            let span = counters.span(Stage::Decode).of(job.what());
            let mut span = span.also(&job.assembly.effort().decode_nanos);
            span.rows(job.rows());
            span.bytes(|| job.bytes());
            let ready = match &job.work {
                DecodeWork::Captions => self.tokenize(&job),
                DecodeWork::Images(rows) => self.decode(&job, rows.clone()),
            };
            drop(span);
            match ready {
                Err(error) => job.assembly.fail(error),
                Ok(ready) => self.pass_on(&job.assembly, ready),
            }
        }
    }

    /// Sends what is to be encoded; the job is done when all of it is.
    fn pass_on(&self, assembly: &Arc<Assembly>, ready: Vec<(Vec<Vec<usize>>, EncodeWork)>) {
        assembly.add_jobs(ready.len());
        for (targets, work) in ready {
            let job = EncodeJob {
                assembly: Arc::clone(assembly),
                targets,
                work,
            };
            let counters = &self.shared.counters;
            let sent = counters.blocked(Stage::Decode, || self.encode_queue.send_blocking(job));
            if sent.is_err() {
                assembly.fail(stopped());
            }
        }
        assembly.finish_job();
    }

    fn decode(
        &mut self,
        job: &DecodeJob,
        rows: Range<usize>,
    ) -> Result<Vec<(Vec<Vec<usize>>, EncodeWork)>> {
        let image_len = self.kernel.output_len();
        let mut rgb = self.shared.take_buffer(rows.len() * image_len);
        let mut good = Vec::with_capacity(rows.len());
        for row in rows {
            let slot = &mut rgb[good.len() * image_len..][..image_len];
            match self.decode_row(job, row, slot) {
                Ok(size) => {
                    job.assembly.set_size(row, size);
                    good.push(vec![row]);
                }
                Err(Undecoded::Refused(error)) => return Err(error),
                Err(Undecoded::Bad(fault, size)) => {
                    job.assembly.set_size(row, size.unwrap_or((0, 0)));
                    job.assembly.set_fault(Side::Image, row, fault);
                }
            }
        }
        if good.is_empty() {
            self.shared.return_buffer(rgb);
            return Ok(Vec::new());
        }
        rgb.truncate(good.len() * image_len);
        Ok(vec![(good, EncodeWork::Images { rgb, image_len })])
    }

    /// Width and height on success.
    fn decode_row(
        &mut self,
        job: &DecodeJob,
        row: usize,
        slot: &mut [u8],
    ) -> Result<Size, Undecoded> {
        let batch = &*job.batch;
        let loaded;
        let stored = batch.images.as_ref().filter(|images| images.is_valid(row));
        let bytes = if let Some(images) = stored {
            images.value(row)
        } else {
            loaded = load_path(batch, row, &self.shared.options.paths)
                .map_err(|fault| Undecoded::Bad(fault, None))?;
            &loaded
        };
        let facts = self
            .kernel
            .probe(bytes)
            .map_err(|fault| Undecoded::Bad(fault, None))?;
        let size = (facts.width, facts.height);
        let captions = batch.captions.as_ref();
        let bound = captions.filter(|_| batch.bond == Bond::Pair);
        if let Some(fault) = bound.and_then(|captions| caption_fault(captions, row)) {
            return Err(Undecoded::Bad(fault, Some(size)));
        }
        let needed = facts.working_bytes();
        let Some(_permit) = self.shared.gate.acquire(needed, &self.shared.counters) else {
            return Err(Undecoded::Refused(self.too_large(size, needed)));
        };
        let effort = job.assembly.effort();
        for images in [&self.shared.counters.images_decoded, &effort.images_decoded] {
            images.fetch_add(1, Ordering::Relaxed);
        }
        self.kernel
            .run(bytes, slot)
            .map_err(|fault| Undecoded::Bad(fault, Some(size)))?;
        Ok(size)
    }

    /// Whether a row is good must not depend on the memory of a machine: such a run ends.
    fn too_large(&self, (width, height): Size, needed: u64) -> Error {
        Error::resources("decode an image within the memory limit")
            .with("image", format!("{width} x {height} pixels"))
            .with("needs", ByteSize(needed))
            .with("left for images", ByteSize(self.shared.options.decode_bytes))
            .hint(format!(
                "a larger --memory-limit, or --max-pixels {}, by which such images are bad rows on every machine",
                u64::from(width) * u64::from(height) - 1
            ))
    }

    fn tokenize(&self, job: &DecodeJob) -> Result<Vec<(Vec<Vec<usize>>, EncodeWork)>> {
        let Some(captions) = &job.batch.captions else {
            return Ok(Vec::new());
        };
        for row in 0..captions.len() {
            if let Some(fault) = caption_fault(captions, row) {
                job.assembly.set_fault(Side::Text, row, fault);
            }
        }
        let Captions {
            texts: captions,
            rows,
        } = self.unknown_captions(&job.assembly, distinct_captions(captions));
        let tokens = &self.shared.preprocessing.tokens;
        let ids = tokens.encode(&captions)?;
        let mut order: Vec<usize> = (0..ids.len()).collect();
        order.sort_by_key(|&caption| ids[caption].len());
        let counted = u64::try_from(ids.len()).unwrap_or(u64::MAX);
        self.shared
            .counters
            .captions_encoded
            .fetch_add(counted, Ordering::Relaxed);
        // Captions of one length share a model batch, so that little or nothing of it is padding.
        let together = |a: &usize, b: &usize| match tokens.padding() {
            Padding::None => ids[*a].len() == ids[*b].len(),
            Padding::Longest | Padding::Fixed(_) => true,
        };
        let chunks = order
            .chunk_by(together)
            .flat_map(|group| group.chunks(self.shared.options.batch_rows.max(1)));
        Ok(chunks
            .map(|chunk| {
                let members: Vec<&[i64]> = chunk
                    .iter()
                    .map(|&caption| ids[caption].as_slice())
                    .collect();
                let targets = chunk.iter().map(|&caption| rows[caption].clone()).collect();
                let remembered = self.shared.known.iter().flat_map(|_| chunk);
                let work = EncodeWork::Texts {
                    tokens: tokens.batch(&members),
                    captions: remembered
                        .map(|&caption| captions[caption].to_owned())
                        .collect(),
                };
                (targets, work)
            })
            .collect())
    }

    /// Those of `captions` whose vectors are not known; rows of the others get theirs.
    fn unknown_captions<'c>(&self, assembly: &Assembly, captions: Captions<'c>) -> Captions<'c> {
        let Some(known) = &self.shared.known else {
            return captions;
        };
        let mut unknown = Captions::default();
        for (caption, rows) in captions.texts.into_iter().zip(captions.rows) {
            if let Some(vector) = known.get(caption) {
                assembly.put_texts(&[rows], &vector);
            } else {
                unknown.texts.push(caption);
                unknown.rows.push(rows);
            }
        }
        unknown
    }
}

fn load_path(batch: &PairBatch, row: usize, policy: &PathPolicy) -> Result<Vec<u8>, RowFault> {
    match batch.paths.as_ref().filter(|paths| paths.is_valid(row)) {
        None => Err(RowFault::new(Status::NullImage, "the image is null")),
        Some(paths) => {
            let shard = batch.shards.as_ref().map_or(0, |shards| shards.value(row));
            policy.read(shard, paths.value(row))
        }
    }
}

fn caption_fault(captions: &StringViewArray, row: usize) -> Option<RowFault> {
    if captions.is_null(row) {
        Some(RowFault::new(Status::NullCaption, "the caption is null"))
    } else if captions.value(row).trim().is_empty() {
        Some(RowFault::new(Status::EmptyCaption, "the caption is empty"))
    } else {
        None
    }
}

/// Different captions, and the rows of each.
#[derive(Default)]
struct Captions<'c> {
    texts: Vec<&'c str>,
    rows: Vec<Vec<usize>>,
}

/// The different captions that can be encoded.
fn distinct_captions(captions: &StringViewArray) -> Captions<'_> {
    let mut position = HashMap::new();
    let mut found = Captions::default();
    for row in (0..captions.len()).filter(|&row| caption_fault(captions, row).is_none()) {
        let text = captions.value(row);
        let index = *position.entry(text).or_insert_with(|| {
            found.texts.push(text);
            found.rows.push(Vec::new());
            found.texts.len() - 1
        });
        found.rows[index].push(row);
    }
    found
}
