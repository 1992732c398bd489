//! An encoder: one session per tower, and what it takes to feed them.

use std::borrow::Cow;

use half::f16;
use ort::session::{HasSelectedOutputs, OutputSelector, RunOptions, Session, SessionInputValue};
use ort::value::{Tensor, TensorElementType, TensorRef};

use super::failed;
use super::feed::Feed;
use crate::encode::model::different;
use crate::encode::ports::{TextInput, TextRole};
use crate::encode::{Encoder, ModelSpec, normalise_rows};
use crate::error::{Error, ErrorKind, Result};
use crate::preprocess::{Padding, TokenBatch, Tokenize};

/// What the padding test encodes: short, so that padding to the context is most of the row.
const PROBE_CAPTION: &str = "a photo of a dog";
/// Padding may move a vector by rounding, no further; dynamically quantised graphs are coarser.
const SAME_COSINE: f32 = 0.9999;
const SAME_COSINE_BATCH_DEPENDENT: f32 = 0.9;

/// Encodes on one session per tower.
pub(super) struct OnnxEncoder {
    /// The image tower.
    pub(super) image: Loaded,
    /// The text tower.
    pub(super) text: Loaded,
    /// The input that takes pixels.
    pub(super) pixels: String,
    /// Makes pixels of resized bytes.
    pub(super) feed: Feed,
    /// Channels, height, width.
    pub(super) size: [usize; 3],
    /// What the text tower takes.
    pub(super) inputs: Vec<TextInput>,
    /// Rows are encoded one by one and without their padding.
    pub(super) trims: bool,
    /// Fewest captions of a run: one alone goes through another kernel than several, and gets another last bit.
    pub(super) least_captions: usize,
}

impl Encoder for OnnxEncoder {
    fn encode_images(&mut self, rgb: &[u8], rows: usize) -> Result<Vec<f32>> {
        let image: usize = self.size.iter().product();
        if rgb.len() != rows * image {
            return Err(Error::internal("encode images of another size")
                .with("expected", rows * image)
                .with("found", rgb.len()));
        }
        let step = self.image.step.unwrap_or(rows).max(1);
        let mut vectors = Vec::new();
        for chunk in rgb.chunks(step * image) {
            let given = chunk.len() / image;
            let batch = self.image.step.unwrap_or(given);
            let inputs = self.feed.inputs(&self.pixels, chunk, batch, self.size)?;
            self.image.run(inputs, given, &mut vectors)?;
        }
        self.image.finish(vectors, rows)
    }

    fn encode_texts(&mut self, tokens: &TokenBatch) -> Result<Vec<f32>> {
        let whole = tokens.rows * tokens.length;
        if tokens.ids.len() != whole || tokens.mask.len() != whole {
            return Err(Error::internal("encode tokens of another shape")
                .with("expected", whole)
                .with("found", tokens.ids.len()));
        }
        let step = self.text.step.unwrap_or(tokens.rows).max(1);
        let mut vectors = Vec::new();
        for start in (0..tokens.rows).step_by(step) {
            let given = step.min(tokens.rows - start);
            let batch = self.text.step.unwrap_or(given.max(self.least_captions));
            let span = start * tokens.length..(start + given) * tokens.length;
            let (mut ids, mut mask) = (&tokens.ids[span.clone()], &tokens.mask[span]);
            let mut length = tokens.length;
            if self.trims {
                length = mask.iter().take_while(|mask| **mask != 0).count().max(1);
                (ids, mask) = (&ids[..length], &mask[..length]);
            }
            let (ids, mask) = (padded(ids, batch * length), padded(mask, batch * length));
            let mut values = Vec::with_capacity(self.inputs.len());
            for input in &self.inputs {
                let value = text_value(input, &ids, &mask, [batch, length])
                    .map_err(failed("hand tokens to the runtime"))?;
                values.push((Cow::Borrowed(input.name.as_str()), value));
            }
            self.text.run(values, given, &mut vectors)?;
        }
        self.text.finish(vectors, tokens.rows)
    }

    fn warm_up(&mut self, rgb: &[u8]) -> Result<()> {
        self.encode_images(rgb, 1).map(|_| ())
    }
}

/// `values`, with zeros behind them up to `length` where a run has more rows than were given.
fn padded<T: Clone + Default>(values: &[T], length: usize) -> Cow<'_, [T]> {
    if values.len() >= length {
        return Cow::Borrowed(values);
    }
    let mut longer = values.to_vec();
    longer.resize(length, T::default());
    Cow::Owned(longer)
}

fn text_value<'v>(
    input: &TextInput,
    ids: &'v [i64],
    mask: &'v [i64],
    shape: [usize; 2],
) -> ort::Result<SessionInputValue<'v>> {
    let made: Vec<i64>;
    let values = match input.role {
        TextRole::Ids if !input.narrow => {
            return Ok(TensorRef::from_array_view((shape, ids))?.into());
        }
        TextRole::Mask if !input.narrow => {
            return Ok(TensorRef::from_array_view((shape, mask))?.into());
        }
        TextRole::Ids => ids,
        TextRole::Mask => mask,
        TextRole::Segments => {
            made = vec![0; ids.len()];
            &made
        }
        TextRole::Positions => {
            made = (0i64..).take(shape[1]).cycle().take(ids.len()).collect();
            &made
        }
    };
    if input.narrow {
        let narrow: Vec<i32> = values
            .iter()
            .map(|value| i32::try_from(*value).unwrap_or(i32::MAX))
            .collect();
        return Ok(Tensor::from_array((shape, narrow))?.into());
    }
    Ok(Tensor::from_array((shape, values.to_vec()))?.into())
}

/// A tower in memory.
pub(super) struct Loaded {
    session: Session,
    select: RunOptions<HasSelectedOutputs>,
    output: String,
    model: String,
    /// Rows of every run, where the export fixed them or rows are encoded one by one.
    pub(super) step: Option<usize>,
    /// Length of an embedding, once one was made.
    dim: Option<usize>,
}

impl Loaded {
    pub(super) fn try_new(
        session: Session,
        output: &str,
        step: Option<usize>,
        model: &str,
    ) -> Result<Self> {
        let options = RunOptions::new().map_err(failed("set up a run"))?;
        let select = options.with_outputs(OutputSelector::no_default().with(output));
        Ok(Self {
            session,
            select,
            output: output.to_owned(),
            model: model.to_owned(),
            step,
            dim: None,
        })
    }

    /// Runs the tower and appends the first `rows` of its embeddings to `vectors`.
    fn run(
        &mut self,
        inputs: Vec<(Cow<'_, str>, SessionInputValue<'_>)>,
        rows: usize,
        vectors: &mut Vec<f32>,
    ) -> Result<()> {
        let about = |error: Error| {
            error
                .with("model", &self.model)
                .with("output", &self.output)
        };
        let outputs = self
            .session
            .run_with_options(inputs, &self.select)
            .map_err(|error| about(run_failed(&error.to_string())))?;
        let value = outputs
            .get(&self.output)
            .ok_or_else(|| about(Error::model("find the embeddings among the outputs")))?;
        let [batch, dim] = **value.shape() else {
            let error = Error::model("use an output that is not one vector per row")
                .with("shape", value.shape());
            return Err(about(error));
        };
        let (Ok(batch), Ok(dim)) = (usize::try_from(batch), usize::try_from(dim)) else {
            return Err(about(Error::model("use an output of negative size")));
        };
        if batch < rows || dim == 0 || self.dim.is_some_and(|known| known != dim) {
            let error = Error::model("use an output of another shape")
                .with("shape", value.shape())
                .with("rows", rows);
            return Err(about(error));
        }
        self.dim = Some(dim);
        let extract = |error: ort::Error| {
            about(Error::model("read the embeddings").source(error.to_string()))
        };
        match value.data_type() {
            TensorElementType::Float16 => {
                let (_, data) = value.try_extract_tensor::<f16>().map_err(extract)?;
                vectors.extend(data[..rows * dim].iter().map(|value| value.to_f32()));
            }
            _ => vectors.extend_from_slice(
                &value.try_extract_tensor::<f32>().map_err(extract)?.1[..rows * dim],
            ),
        }
        Ok(())
    }

    /// Scales the vectors of all `rows` to length one.
    fn finish(&self, mut vectors: Vec<f32>, rows: usize) -> Result<Vec<f32>> {
        if rows == 0 {
            return Ok(vectors);
        }
        let dim = vectors.len() / rows;
        normalise_rows(&mut vectors, dim).map_err(|error| {
            error
                .with("model", &self.model)
                .with("output", &self.output)
        })?;
        Ok(vectors)
    }
}

impl OnnxEncoder {
    /// The length of an embedding, found by running the image tower; the text tower has run before.
    pub(super) fn test_dim(&mut self, spec: &ModelSpec) -> Result<usize> {
        let image = self.encode_images(&self.test_images(1), 1)?.len();
        match self.text.dim {
            Some(text) if text != image => Err(different(image, text).with("model", &spec.name)),
            _ => Ok(image),
        }
    }

    /// So many images of a ramp of greys.
    pub(super) fn test_images(&self, rows: usize) -> Vec<u8> {
        let image: usize = self.size.iter().product();
        (0..=255u8).cycle().take(rows * image).collect()
    }

    /// Whether the vector of a caption has the same bits whatever captions of its length are beside it.
    pub(super) fn test_captions_alone(&mut self, tokens: &Tokenize) -> Result<bool> {
        let probe = tokens.encode(&[PROBE_CAPTION])?.swap_remove(0);
        let mut other = probe.clone();
        // Another caption of the same length; special tokens at both ends stay where they are.
        if let Some(middle) = other.len().checked_sub(2).filter(|&middle| middle > 1) {
            other[1..=middle].reverse();
        }
        let mut encode = |rows: &[&[i64]]| self.encode_texts(&tokens.batch(rows));
        let alone = encode(&[&probe])?;
        let beside = encode(&[&other, &other, &probe, &other])?;
        Ok(beside[2 * alone.len()..3 * alone.len()] == *alone)
    }

    /// How captions have to be padded: to the longest, if that is asked for and makes no difference.
    pub(super) fn test_padding(&mut self, spec: &ModelSpec, tokens: &Tokenize) -> Result<Padding> {
        let context = Padding::Fixed(spec.text.ports.length.unwrap_or(spec.tokens.max_length));
        let long = self.encode_probe(&tokens.padded(context)?)?;
        if spec.tokens.padding != Padding::Longest {
            return Ok(spec.tokens.padding);
        }
        // Exports that hold positions for the whole context fail on anything shorter.
        let Ok(short) = self.encode_probe(&tokens.padded(Padding::Longest)?) else {
            return Ok(context);
        };
        let cosine: f32 = long
            .iter()
            .zip(&short)
            .map(|(long, short)| long * short)
            .sum();
        let same = if spec.batch_dependent {
            SAME_COSINE_BATCH_DEPENDENT
        } else {
            SAME_COSINE
        };
        Ok(if cosine >= same {
            Padding::Longest
        } else {
            context
        })
    }

    fn encode_probe(&mut self, tokens: &Tokenize) -> Result<Vec<f32>> {
        let rows = tokens.encode(&[PROBE_CAPTION])?;
        let rows: Vec<&[i64]> = rows.iter().map(Vec::as_slice).collect();
        self.encode_texts(&tokens.batch(&rows))
    }
}

/// The error of a run: who has to act depends on whether memory was too small.
fn run_failed(cause: &str) -> Error {
    /// How ONNX Runtime, CUDA and its libraries say so.
    const OUT_OF_MEMORY: [&str; 6] = [
        "failed to allocate memory",
        "out of memory",
        "bad_alloc",
        "bad allocation",
        "alloc_failed",
        "memoryallocation",
    ];
    let lower = cause.to_ascii_lowercase();
    if OUT_OF_MEMORY.iter().any(|words| lower.contains(words)) {
        return Error::new(ErrorKind::Resources, "run the model within the device's memory")
            .source(cause.to_owned())
            .hint("a smaller model or precision, or another --device: batches were halved down to one row already");
    }
    Error::model("run the model").source(cause.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_too_small_is_told_from_a_model_that_fails() {
        for cause in [
            "Non-zero status code returned while running MatMul node. Status Message: Failed to allocate memory for requested buffer of size 123",
            "CUDA failure 2: out of memory ; GPU=0",
            "CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0",
            "std::bad_alloc",
        ] {
            assert_eq!(run_failed(cause).kind(), ErrorKind::Resources, "{cause}");
        }
        let cause = "Invalid rank for input: pixel_values Got: 3 Expected: 4";
        assert_eq!(run_failed(cause).kind(), ErrorKind::Model);
    }
}
