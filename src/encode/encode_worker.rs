//! The thread that owns an encoder.

use std::{
    ops::Range,
    sync::{Arc, atomic::Ordering},
};

use async_channel::Receiver;

use super::{
    Encoder, TokenBatch,
    pool::{EncodeJob, EncodeWork, Shared},
};
use crate::{
    error::{ErrorKind, Result},
    preprocess::RowFault,
    schema::{Side, Status},
    summary::{Counters, Stage},
};

/// Runs one encoder until the queue is closed.
pub(super) fn encode_loop(
    mut encoder: Box<dyn Encoder>,
    jobs: &Receiver<EncodeJob>,
    shared: &Arc<Shared>,
) {
    let mut most_rows = usize::MAX;
    let counters = &shared.counters;
    while let Ok(job) = counters.starved(Stage::Encode, || jobs.recv_blocking()) {
        counters.queue("model batches waiting", || jobs.len());
        let effort = job.assembly.effort();
        let span = counters.span(Stage::Encode).also(&effort.encode_nanos);
        let mut span = span.of(match job.side() {
            Side::Image => "images",
            Side::Text => "captions",
        });
        span.rows(job.targets.len());
        if !job.assembly.is_abandoned() {
            encode(encoder.as_mut(), &job, &mut most_rows, shared);
        }
        drop(span);
        let EncodeJob { assembly, work, .. } = job;
        if let EncodeWork::Images { rgb, .. } = work {
            shared.return_buffer(rgb);
        }
        assembly.finish_job();
    }
}

/// A model batch at once, or in parts of `most_rows`, which is halved whenever memory is too small for a part; only
/// where it is too small for one row is that an error.
fn encode(encoder: &mut dyn Encoder, job: &EncodeJob, most_rows: &mut usize, shared: &Shared) {
    let (rows, mut first) = (job.targets.len(), 0);
    while first < rows {
        let part = (rows - first).min(*most_rows);
        match encode_rows(encoder, &job.work, first, part) {
            Ok(vectors) => finish(job, first..first + part, &vectors, shared),
            Err(error) if error.kind() == ErrorKind::Resources && part > 1 => {
                *most_rows = part / 2;
                shared.counters.lower_model_batch(part / 2);
                continue;
            }
            Err(error) if error.kind() != ErrorKind::Model => return job.assembly.fail(error),
            Err(_) => encode_one_by_one(encoder, job, first..first + part, shared),
        }
        count_batch(job, &shared.counters);
        first += part;
    }
}

/// Where the model has no answer for a batch, so that only the rows it has none for are bad.
fn encode_one_by_one(
    encoder: &mut dyn Encoder,
    job: &EncodeJob,
    rows: Range<usize>,
    shared: &Shared,
) {
    for row in rows {
        match encode_rows(encoder, &job.work, row, 1) {
            Ok(vector) => finish(job, row..row + 1, &vector, shared),
            Err(error) if error.kind() != ErrorKind::Model => job.assembly.fail(error),
            Err(error) => {
                for &target in &job.targets[row] {
                    let fault = RowFault::new(Status::NotEncoded, error.to_string());
                    job.assembly.set_fault(job.side(), target, fault);
                }
            }
        }
    }
}

/// Hands the vectors of some rows of the model batch to whoever waits for them.
fn finish(job: &EncodeJob, rows: Range<usize>, vectors: &[f32], shared: &Shared) {
    job.put(rows.start, rows.len(), vectors);
    if let (Some(known), EncodeWork::Texts { captions, .. }) = (&shared.known, &job.work) {
        let vectors = vectors.chunks_exact((vectors.len() / rows.len()).max(1));
        for (caption, vector) in captions[rows].iter().zip(vectors) {
            known.put(caption, vector);
        }
    }
}

fn count_batch(job: &EncodeJob, counters: &Counters) {
    let of_batch = &job.assembly.effort().model_batches;
    for count in [&counters.model_batches, of_batch] {
        count.fetch_add(1, Ordering::Relaxed);
    }
}

fn encode_rows(
    encoder: &mut dyn Encoder,
    work: &EncodeWork,
    first: usize,
    rows: usize,
) -> Result<Vec<f32>> {
    match work {
        EncodeWork::Images { rgb, image_len } => {
            encoder.encode_images(&rgb[first * image_len..(first + rows) * image_len], rows)
        }
        EncodeWork::Texts { tokens, .. } if rows == tokens.rows => encoder.encode_texts(tokens),
        EncodeWork::Texts { tokens, .. } => {
            let part = first * tokens.length..(first + rows) * tokens.length;
            let (ids, mask) = (
                tokens.ids[part.clone()].to_vec(),
                tokens.mask[part].to_vec(),
            );
            encoder.encode_texts(&TokenBatch {
                rows,
                length: tokens.length,
                ids,
                mask,
            })
        }
    }
}
