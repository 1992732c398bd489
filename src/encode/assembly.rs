//! What threads found out of the rows of a batch, put together again.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use futures::channel::oneshot;

use super::{
    Effort,
    pool::{Bond, PairBatch},
};
use crate::{
    error::{Error, Result},
    preprocess::RowFault,
    schema::{Side, Status},
};

/// What became of a [`super::PairBatch`], row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct EncodedBatch {
    /// Length of an embedding.
    pub dim: usize,
    /// Rows x `dim`, L2-normalised; zeros on a bad row.
    pub images: Vec<f32>,
    /// Rows x `dim`, L2-normalised; zeros on a bad row.
    pub texts: Vec<f32>,
    /// Width and height of the stored image, 0 x 0 where its header cannot be read.
    pub sizes: Vec<(u32, u32)>,
    /// Why a row has no image embedding; `None` where it has one or none was asked for.
    pub image_faults: Vec<Option<RowFault>>,
    /// Why a row has no text embedding; `None` where it has one or none was asked for.
    pub text_faults: Vec<Option<RowFault>>,
}

impl EncodedBatch {
    /// No rows.
    pub fn empty(dim: usize) -> Self {
        Self::with_rows(0, dim)
    }

    fn with_rows(rows: usize, dim: usize) -> Self {
        Self {
            dim,
            images: vec![0.0; rows * dim],
            texts: vec![0.0; rows * dim],
            sizes: vec![(0, 0); rows],
            image_faults: vec![None; rows],
            text_faults: vec![None; rows],
        }
    }

    /// Rows in the batch.
    pub fn rows(&self) -> usize {
        self.image_faults.len()
    }

    /// Why the pair is bad: of two faults the one whose status comes first; `None` on a good pair.
    pub fn fault(&self, row: usize) -> Option<&RowFault> {
        let (image, text) = (&self.image_faults[row], &self.text_faults[row]);
        match (image, text) {
            (Some(image), Some(text)) if rank(text) < rank(image) => Some(text),
            (None, text) => text.as_ref(),
            (image, _) => image.as_ref(),
        }
    }
}

/// The order in which one of several faults of a row is chosen, whichever thread is first.
fn rank(fault: &RowFault) -> (Status, &str) {
    (fault.status, fault.reason.as_str())
}

/// Collects the parts of one batch and answers when the last has come.
pub(super) struct Assembly {
    batch: Mutex<Parts>,
    open_jobs: AtomicUsize,
    effort: Arc<Effort>,
}

struct Parts {
    batch: EncodedBatch,
    bond: Bond,
    answer: Option<oneshot::Sender<Result<EncodedBatch>>>,
}

impl Assembly {
    pub(super) fn start(
        batch: &PairBatch,
        dim: usize,
        jobs: usize,
        effort: &Arc<Effort>,
    ) -> (Arc<Self>, oneshot::Receiver<Result<EncodedBatch>>) {
        let (answer, receiver) = oneshot::channel();
        let parts = Parts {
            batch: EncodedBatch::with_rows(batch.rows(), dim),
            bond: batch.bond,
            answer: Some(answer),
        };
        (
            Arc::new(Self {
                batch: Mutex::new(parts),
                open_jobs: AtomicUsize::new(jobs),
                effort: Arc::clone(effort),
            }),
            receiver,
        )
    }

    /// What is done for whoever waits for the batch.
    pub(super) fn effort(&self) -> &Effort {
        &self.effort
    }

    /// True when nobody waits for the batch any more.
    pub(super) fn is_abandoned(&self) -> bool {
        self.parts()
            .answer
            .as_ref()
            .is_none_or(oneshot::Sender::is_canceled)
    }

    pub(super) fn set_size(&self, row: usize, size: (u32, u32)) {
        self.parts().batch.sizes[row] = size;
    }

    /// Of several faults of one side one stays, whichever thread is first.
    pub(super) fn set_fault(&self, side: Side, row: usize, fault: RowFault) {
        let mut parts = self.parts();
        let kept = match side {
            Side::Image => &mut parts.batch.image_faults[row],
            Side::Text => &mut parts.batch.text_faults[row],
        };
        if kept.as_ref().is_none_or(|kept| rank(&fault) < rank(kept)) {
            *kept = Some(fault);
        }
    }

    pub(super) fn put_images(&self, targets: &[Vec<usize>], vectors: &[f32]) {
        let mut parts = self.parts();
        let dim = parts.batch.dim;
        scatter(&mut parts.batch.images, targets, vectors, dim);
    }

    pub(super) fn put_texts(&self, targets: &[Vec<usize>], vectors: &[f32]) {
        let mut parts = self.parts();
        let dim = parts.batch.dim;
        scatter(&mut parts.batch.texts, targets, vectors, dim);
    }

    pub(super) fn add_jobs(&self, jobs: usize) {
        self.open_jobs.fetch_add(jobs, Ordering::AcqRel);
    }

    /// The last job to finish sends the answer.
    pub(super) fn finish_job(&self) {
        if self.open_jobs.fetch_sub(1, Ordering::AcqRel) != 1 {
            return;
        }
        let mut parts = self.parts();
        let mut batch = std::mem::replace(&mut parts.batch, EncodedBatch::empty(0));
        if parts.bond == Bond::Pair {
            spread_faults(&mut batch);
        }
        clear_bad_rows(&mut batch);
        if let Some(answer) = parts.answer.take() {
            // Nobody may be waiting any more.
            let _ = answer.send(Ok(batch));
        }
    }

    /// Answers with the first error; later parts are dropped.
    pub(super) fn fail(&self, error: Error) {
        if let Some(answer) = self.parts().answer.take() {
            let _ = answer.send(Err(error));
        }
    }

    fn parts(&self) -> std::sync::MutexGuard<'_, Parts> {
        self.batch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn scatter(into: &mut [f32], targets: &[Vec<usize>], vectors: &[f32], dim: usize) {
    for (rows, vector) in targets.iter().zip(vectors.chunks_exact(dim.max(1))) {
        for &row in rows {
            into[row * dim..(row + 1) * dim].copy_from_slice(vector);
        }
    }
}

/// A pair is bad as a whole.
fn spread_faults(batch: &mut EncodedBatch) {
    for row in 0..batch.rows() {
        let fault = batch.fault(row).cloned();
        batch.image_faults[row].clone_from(&fault);
        batch.text_faults[row] = fault;
    }
}

/// A bad pair's caption may have been encoded; it must not look as if the row were good.
fn clear_bad_rows(batch: &mut EncodedBatch) {
    fn clear(vectors: &mut [f32], faults: &[Option<RowFault>], dim: usize) {
        for (row, _) in faults
            .iter()
            .enumerate()
            .filter(|(_, fault)| fault.is_some())
        {
            vectors[row * dim..(row + 1) * dim].fill(0.0);
        }
    }
    clear(&mut batch.images, &batch.image_faults, batch.dim);
    clear(&mut batch.texts, &batch.text_faults, batch.dim);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finished(bond: Bond) -> EncodedBatch {
        let batch = PairBatch {
            images: Some(arrow::array::BinaryViewArray::new_null(3)),
            paths: None,
            captions: Some(arrow::array::StringViewArray::new_null(3)),
            shards: None,
            bond,
        };
        let (assembly, answer) = Assembly::start(&batch, 1, 1, &Arc::default());
        let fault = |status: Status| RowFault::new(status, "");
        assembly.put_images(&[vec![0], vec![1], vec![2]], &[1.0, 1.0, 1.0]);
        assembly.put_texts(&[vec![0], vec![1], vec![2]], &[1.0, 1.0, 1.0]);
        assembly.set_fault(Side::Text, 0, fault(Status::NullCaption));
        assembly.set_fault(Side::Image, 1, fault(Status::CorruptImage));
        assembly.set_fault(Side::Text, 1, fault(Status::EmptyCaption));
        assembly.finish_job();
        futures::executor::block_on(answer).unwrap().unwrap()
    }

    #[test]
    fn a_pair_is_bad_as_a_whole_and_its_image_is_blamed_first() {
        let batch = finished(Bond::Pair);
        let status = |row| batch.fault(row).map(|fault| fault.status);
        assert_eq!(status(0), Some(Status::NullCaption));
        assert_eq!(status(1), Some(Status::CorruptImage));
        assert_eq!(status(2), None);
        assert_eq!(batch.image_faults, batch.text_faults);
        assert_eq!(
            (batch.images, batch.texts),
            (vec![0.0, 0.0, 1.0], vec![0.0, 0.0, 1.0])
        );
    }

    #[test]
    fn sides_apart_are_bad_for_themselves() {
        let batch = finished(Bond::Apart);
        assert_eq!(
            (batch.images, batch.texts),
            (vec![1.0, 0.0, 1.0], vec![0.0, 0.0, 1.0])
        );
        assert_eq!(batch.image_faults[0], None);
    }
}
