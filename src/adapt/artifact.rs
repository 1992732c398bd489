//! Adapters as a safetensors file: written, read, and refused where it is none.

use std::{collections::HashMap, path::Path};

use safetensors::{Dtype, SafeTensors, serialize, tensor::TensorView};
use serde::{Deserialize, Serialize};

use super::{
    TrainingRecord,
    adapters::{Adapters, ClassScores, Closed, Linear},
};
use crate::{
    error::{Error, Result},
    schema::Side,
};

/// The format of two linear maps, and that of what is fitted in closed form.
const LINEAR: u32 = 1;
const CLOSED: u32 = 2;
/// The key of [`Card`] in the file's metadata. One key for all: the order of several is not fixed.
const CARD: &str = "clip_filter_adapters";
const LOGIT_SCALE: &str = "logit_scale";
const CLASS_WEIGHT: &str = "class.weight";
const CLASS_BIAS: &str = "class.bias";

/// What the file says about its tensors, as JSON.
#[derive(Serialize, Deserialize)]
struct Card {
    format: u32,
    model: String,
    record: TrainingRecord,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    closed: Option<ClosedCard>,
}

/// What the tensors of a fit in closed form are.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ClosedCard {
    /// `class.weight` and `class.bias` are of these classes.
    Classes(Vec<String>),
    /// What the map makes of an image is added to it in this share.
    Share(f32),
}

/// The part of [`Card`] that every format has.
#[derive(Deserialize)]
struct Version {
    format: u32,
}

impl Adapters {
    /// The artifact: safetensors with `image.weight`, `image.bias`, `text.weight`, `text.bias` (out x in, and out)
    /// and `logit_scale`, all `f32`; format, model and record as JSON in the metadata. In closed form there is no map of
    /// texts, but for classes `class.weight` and `class.bias` (classes x in, and classes). Equal adapters have equal bytes.
    ///
    /// # Errors
    /// When the record is no JSON, as with a loss that is not finite.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let failed = || Error::internal("write adapters as safetensors");
        let (format, closed) = match &self.closed {
            Closed::No => (LINEAR, None),
            Closed::Classes(scores) => (CLOSED, Some(ClosedCard::Classes(scores.names.clone()))),
            Closed::Share(share) => (CLOSED, Some(ClosedCard::Share(*share))),
        };
        let card = Card {
            format,
            closed,
            model: self.model.clone(),
            record: self.record.clone(),
        };
        let card = serde_json::to_string(&card).map_err(|error| failed().source(error))?;
        let mut tensors = Vec::new();
        let sides: &[Side] = match self.closed {
            Closed::No => &Side::BOTH,
            _ => &[Side::Image],
        };
        for &side in sides {
            let (weight, bias) = self.weights(side);
            tensors.push((
                name(side, "weight"),
                vec![self.dim, self.dim],
                bytes(weight),
            ));
            tensors.push((name(side, "bias"), vec![self.dim], bytes(bias)));
        }
        if let Closed::Classes(scores) = &self.closed {
            let count = scores.offsets.len();
            let directions = bytes(&scores.directions);
            tensors.push((CLASS_WEIGHT.to_owned(), vec![count, self.dim], directions));
            tensors.push((CLASS_BIAS.to_owned(), vec![count], bytes(&scores.offsets)));
        }
        tensors.push((LOGIT_SCALE.to_owned(), vec![1], bytes(&[self.logit_scale])));
        let views = tensors
            .iter()
            .map(|(name, shape, data)| {
                let view = TensorView::new(Dtype::F32, shape.clone(), data)?;
                Ok((name, view))
            })
            .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
            .map_err(|error| failed().source(error))?;
        serialize(views, Some(HashMap::from([(CARD.to_owned(), card)])))
            .map_err(|error| failed().source(error))
    }

    /// Reads the artifact at `path`.
    ///
    /// # Errors
    /// When the file cannot be read, and as [`Adapters::from_bytes`].
    pub fn read(path: &Path) -> Result<Self> {
        std::fs::read(path)
            .map_err(|error| Error::input("read adapters").source(error))
            .and_then(|bytes| Self::from_bytes(&bytes))
            .map_err(|error| error.with("file", path.display()))
    }

    /// Reads the artifact.
    ///
    /// # Errors
    /// When it is no safetensors or none of this program, of another format, lacks a tensor or has one of another
    /// shape, or a weight is not finite.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let foreign = || {
            Error::input("read adapters").hint("give a file that `clip-filter adapt` has written")
        };
        let (_, header) = SafeTensors::read_metadata(bytes)
            .map_err(|error| foreign().with("expected", "safetensors").source(error))?;
        let card = header
            .metadata()
            .as_ref()
            .and_then(|metadata| metadata.get(CARD))
            .ok_or_else(|| foreign().with("missing in the metadata", CARD))?;
        let Version { format } =
            serde_json::from_str(card).map_err(|error| foreign().source(error))?;
        if ![LINEAR, CLOSED].contains(&format) {
            return Err(Error::input("read adapters of another format")
                .with("format", format)
                .with("expected", format!("{LINEAR} or {CLOSED}"))
                .hint(
                    "fit them again with this version, or read them with the one that wrote them",
                ));
        }
        let card: Card = serde_json::from_str(card).map_err(|error| foreign().source(error))?;
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| foreign().source(error))?;
        let dim = dim_of(&tensors)?;
        let linear = |side| -> Result<Linear> {
            Ok(Linear {
                weight: numbers(&tensors, &name(side, "weight"), &[dim, dim])?,
                bias: numbers(&tensors, &name(side, "bias"), &[dim])?,
            })
        };
        let closed = match card.closed {
            _ if format == LINEAR => Closed::No,
            Some(ClosedCard::Classes(names)) if !names.is_empty() => Closed::Classes(ClassScores {
                directions: numbers(&tensors, CLASS_WEIGHT, &[names.len(), dim])?,
                offsets: numbers(&tensors, CLASS_BIAS, &[names.len()])?,
                names,
            }),
            Some(ClosedCard::Share(share)) if share.is_finite() => Closed::Share(share),
            _ => return Err(foreign().with("missing in the metadata", "closed")),
        };
        Ok(Self {
            dim,
            image: linear(Side::Image)?,
            text: match closed {
                Closed::No => linear(Side::Text)?,
                _ => Linear::identity(dim),
            },
            closed,
            logit_scale: numbers(&tensors, LOGIT_SCALE, &[1])?[0],
            model: card.model,
            record: card.record,
        })
    }
}

fn name(side: Side, part: &str) -> String {
    format!("{}.{part}", side.as_str())
}

fn bytes(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|x| x.to_le_bytes()).collect()
}

fn damaged(tensor: &str) -> Error {
    Error::input("read a tensor of the adapters")
        .with("tensor", tensor)
        .hint("the file is damaged or another program's; fit the adapters again")
}

fn dim_of(tensors: &SafeTensors<'_>) -> Result<usize> {
    let name = name(Side::Image, "bias");
    let tensor = tensors
        .tensor(&name)
        .map_err(|error| damaged(&name).source(error))?;
    match tensor.shape() {
        [dim] if *dim > 0 => Ok(*dim),
        shape => Err(damaged(&name)
            .with("shape", format!("{shape:?}"))
            .with("expected", "one dimension, not empty")),
    }
}

fn numbers(tensors: &SafeTensors<'_>, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
    let tensor = tensors
        .tensor(name)
        .map_err(|error| damaged(name).source(error))?;
    if tensor.dtype() != Dtype::F32 || tensor.shape() != shape {
        return Err(damaged(name)
            .with(
                "found",
                format!("{:?} {:?}", tensor.dtype(), tensor.shape()),
            )
            .with("expected", format!("F32 {shape:?}")));
    }
    let (words, _) = tensor.data().as_chunks::<4>();
    let numbers: Vec<f32> = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
    match numbers.iter().position(|x| !x.is_finite()) {
        Some(position) => Err(damaged(name)
            .with("position", position)
            .with("not finite", numbers[position])),
        None => Ok(numbers),
    }
}

#[cfg(test)]
mod tests;
