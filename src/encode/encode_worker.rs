use std::sync::{Arc, atomic::Ordering};

use async_channel::Receiver;

use super::{
    Encoder, TokenBatch,
    pool::{EncodeJob, EncodeWork, Shared},
};
use crate::{
    error::{ErrorKind, Result},
    preprocess::RowFault,
    report::Stage,
    schema::Status,
};

/// Runs one encoder until the queue is closed.
pub(super) fn encode_loop(
    mut encoder: Box<dyn Encoder>,
    jobs: &Receiver<EncodeJob>,
    shared: &Arc<Shared>,
) {
    let counters = &shared.counters;
    while let Ok(job) = counters.starved(Stage::Encode, || jobs.recv_blocking()) {
        counters.queue("model batches waiting", || jobs.len());
        let effort = job.assembly.effort();
        let span = counters.span(Stage::Encode).also(&effort.encode_nanos);
        let mut span = span.of(job.side().as_str());
        span.rows(job.targets.len());
        if !job.assembly.is_abandoned() {
            encode(encoder.as_mut(), &job);
        }
        drop(span);
        effort.model_batches.fetch_add(1, Ordering::Relaxed);
        counters.model_batches.fetch_add(1, Ordering::Relaxed);
        let EncodeJob { assembly, work, .. } = job;
        if let EncodeWork::Images { pixels, .. } = work {
            shared.return_buffer(pixels);
        }
        assembly.finish_job();
    }
}

/// A model batch at once; where the model has no answer for it, row by row, so that only the rows it has
/// none for are bad.
fn encode(encoder: &mut dyn Encoder, job: &EncodeJob) {
    let rows = job.targets.len();
    match encode_rows(encoder, &job.work, 0, rows) {
        Ok(vectors) => job.put(0, rows, &vectors),
        Err(error) if error.kind() != ErrorKind::Model => job.assembly.fail(error),
        Err(_) => (0..rows).for_each(|row| match encode_rows(encoder, &job.work, row, 1) {
            Ok(vector) => job.put(row, 1, &vector),
            Err(error) if error.kind() != ErrorKind::Model => job.assembly.fail(error),
            Err(error) => {
                for &target in &job.targets[row] {
                    let fault = RowFault::new(Status::NotEncoded, error.to_string());
                    job.assembly.set_fault(job.side(), target, fault);
                }
            }
        }),
    }
}

fn encode_rows(
    encoder: &mut dyn Encoder,
    work: &EncodeWork,
    first: usize,
    rows: usize,
) -> Result<Vec<f32>> {
    match work {
        EncodeWork::Images { pixels, image_len } => {
            encoder.encode_images(&pixels[first * image_len..(first + rows) * image_len], rows)
        }
        EncodeWork::Texts(tokens) if rows == tokens.rows => encoder.encode_texts(tokens),
        EncodeWork::Texts(tokens) => {
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
