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
    image_file::{LoadedFile, room},
    pool::{Bond, DecodeJob, DecodeWork, EncodeJob, EncodeWork, PairBatch, Shared, stopped},
};
use crate::{
    error::{Error, Result},
    preprocess::{ImageFacts, ImageFile, ImageKernel, Padding, RowFault, is_legible},
    schema::{Side, Status},
    summary::Stage,
};

/// Width and height of a stored image.
type Size = (u32, u32);

/// Why a row has no pixels.
pub(super) enum Undecoded {
    /// The row is bad; the size of its image, where the header was readable.
    Bad(RowFault, Option<Size>),
    /// The run has to end.
    Refused(Error),
}

impl Undecoded {
    /// Adds a fact to what ends the run.
    pub(super) fn with(self, name: &'static str, value: &str) -> Self {
        match self {
            Self::Refused(error) => Self::Refused(error.with(name, value)),
            bad => bad,
        }
    }
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
        let shared = Arc::clone(&self.shared);
        let images = job.batch.images.as_ref();
        if let Some(images) = images.filter(|images| images.is_valid(row)) {
            let bytes = images.value(row);
            let facts = self.facts(job, row, bytes)?;
            let _room = room(&shared, facts.working_bytes(), Some(&facts))?;
            return self.pixels(job, bytes, &facts, slot);
        }
        let mut file = LoadedFile::read(&shared, named_file(&job.batch, row, &shared)?)?;
        let facts = self.facts(job, row, file.bytes())?;
        file.make_room(&facts)?;
        self.pixels(job, file.bytes(), &facts, slot)
    }

    /// What the header of the row's image says, if the row is worth decoding.
    fn facts(&self, job: &DecodeJob, row: usize, bytes: &[u8]) -> Result<ImageFacts, Undecoded> {
        let bad = |fault, size| Undecoded::Bad(fault, size);
        let facts = self.kernel.probe(bytes).map_err(|fault| bad(fault, None))?;
        let captions = job.batch.captions.as_ref();
        let bound = captions.filter(|_| job.batch.bond == Bond::Pair);
        match bound.and_then(|captions| caption_fault(captions, row)) {
            Some(fault) => Err(bad(fault, Some((facts.width, facts.height)))),
            None => Ok(facts),
        }
    }

    fn pixels(
        &mut self,
        job: &DecodeJob,
        bytes: &[u8],
        facts: &ImageFacts,
        slot: &mut [u8],
    ) -> Result<Size, Undecoded> {
        let size = (facts.width, facts.height);
        let effort = job.assembly.effort();
        for images in [&self.shared.counters.images_decoded, &effort.images_decoded] {
            images.fetch_add(1, Ordering::Relaxed);
        }
        let made = self.kernel.run(bytes, slot);
        let facts = made.map_err(|fault| Undecoded::Bad(fault, Some(size)))?;
        let counters = &self.shared.counters;
        if facts.is_left_unturned() {
            counters.images_unturned.fetch_add(1, Ordering::Relaxed);
        }
        if facts.is_filled() {
            counters.images_filled.fetch_add(1, Ordering::Relaxed);
        }
        Ok(size)
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

/// The file that a row names instead of holding an image.
fn named_file<'a>(
    batch: &'a PairBatch,
    row: usize,
    shared: &Shared,
) -> Result<ImageFile<'a>, Undecoded> {
    let found = match batch.paths.as_ref().filter(|paths| paths.is_valid(row)) {
        None => Err(RowFault::new(Status::NullImage, "the image is null")),
        Some(paths) => {
            let shard = batch.shards.as_ref().map_or(0, |shards| shards.value(row));
            shared.options.paths.find(shard, paths.value(row))
        }
    };
    found.map_err(|fault| Undecoded::Bad(fault, None))
}

fn caption_fault(captions: &StringViewArray, row: usize) -> Option<RowFault> {
    if captions.is_null(row) {
        let reason = "the caption is null, or no UTF-8";
        Some(RowFault::new(Status::NullCaption, reason))
    } else if is_legible(captions.value(row)) {
        None
    } else {
        let why = match captions.value(row).trim() {
            "" => "the caption is empty",
            _ => "the caption holds only control and invisible characters",
        };
        Some(RowFault::new(Status::EmptyCaption, why))
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
