//! Which input and output of a graph is which: by name first, by shape where the name says nothing.

use super::graph::{Element, Graph, Port};
use crate::error::{Error, Result};

/// Names that exporters give to the embedding of an image, best first.
const IMAGE_OUTPUTS: [&str; 9] = [
    "image_embeds",
    "image_embedding",
    "image_embeddings",
    "image_features",
    "embedding",
    "embeddings",
    "features",
    "pooler_output",
    "output",
];
/// Names that exporters give to the embedding of a text, best first.
const TEXT_OUTPUTS: [&str; 10] = [
    "text_embeds",
    "text_embedding",
    "text_embeddings",
    "text_features",
    "embedding",
    "embeddings",
    "features",
    "sentence_embedding",
    "pooler_output",
    "output",
];

/// The ports of an image tower.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ImagePorts {
    /// Takes the pixels, rows x 3 x height x width.
    pub(crate) pixels: String,
    /// True when the pixels are 16-bit floats.
    pub(crate) half: bool,
    /// Rows of a batch, where the export fixed them.
    pub(crate) rows: Option<usize>,
    /// Height and width, where the export fixed them.
    pub(crate) size: (Option<u64>, Option<u64>),
    /// What it takes beside pixels, where those are patches.
    pub(crate) patches: Option<PatchPorts>,
    /// Gives the embeddings, rows x dim.
    pub(crate) output: String,
    /// Length of an embedding, where the file says it.
    pub(crate) dim: Option<usize>,
}

/// The further inputs of an image tower that takes patches, rows x patches x values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PatchPorts {
    /// Takes 1 for a patch and 0 for padding, rows x patches.
    pub(crate) mask: IntegerPort,
    /// Takes rows and columns of patches, rows x 2.
    pub(crate) shapes: IntegerPort,
    /// Patches of a picture, where the export fixed them.
    pub(crate) most: Option<u64>,
    /// Numbers of a patch, where the export fixed them.
    pub(crate) values: Option<u64>,
}

/// An input that takes whole numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IntegerPort {
    /// Its name.
    pub(crate) name: String,
    /// True when it takes 32-bit integers, false for 64-bit ones.
    pub(crate) narrow: bool,
}

/// The ports of a text tower.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TextPorts {
    /// Every input, in the order of the file.
    pub(crate) inputs: Vec<TextInput>,
    /// Rows of a batch, where the export fixed them.
    pub(crate) rows: Option<usize>,
    /// Tokens of a row, where the export fixed them.
    pub(crate) length: Option<usize>,
    /// Gives the embeddings, rows x dim.
    pub(crate) output: String,
    /// Length of an embedding, where the file says it.
    pub(crate) dim: Option<usize>,
}

impl TextPorts {
    /// True when the graph is told which tokens are padding.
    pub(crate) fn masked(&self) -> bool {
        self.inputs.iter().any(|input| input.role == TextRole::Mask)
    }
}

/// One input of a text tower.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TextInput {
    /// Its name.
    pub(crate) name: String,
    /// True when it takes 32-bit integers, false for 64-bit ones.
    pub(crate) narrow: bool,
    /// What it takes.
    pub(crate) role: TextRole,
}

/// What an input of a text tower takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextRole {
    /// Token ids.
    Ids,
    /// 1 for tokens, 0 for padding.
    Mask,
    /// 0, 1, 2, … along each row.
    Positions,
    /// Zeros: the segment of the token, of which there is one.
    Segments,
}

/// Finds the ports of an image tower.
///
/// # Errors
/// When no input takes pixels or no output is an embedding; the error lists what there is.
pub(crate) fn image_ports(graph: &Graph) -> Result<ImagePorts> {
    let pixels = by_name_or_shape(&graph.inputs, "pixel_values", |port| {
        matches!(port.element, Element::F32 | Element::F16)
            && port.rank().is_none_or(|rank| rank == 4)
    })
    .ok_or_else(|| listed("find the input that takes pixels", "inputs", &graph.inputs))?;
    let half = match pixels.element {
        Element::F32 => false,
        Element::F16 => true,
        _ => {
            return Err(listed(
                "use an input for pixels that takes no floats",
                "inputs",
                &graph.inputs,
            ));
        }
    };
    let patches = patch_ports(graph, pixels)?;
    if patches.is_none()
        && (pixels.fixed(1).is_some_and(|channels| channels != 3)
            || pixels.rank().is_some_and(|rank| rank != 4))
    {
        return Err(listed(
            "use an input for pixels that is not rows x 3 x height x width",
            "inputs",
            &graph.inputs,
        ));
    }
    let output = embedding(&graph.outputs, &IMAGE_OUTPUTS)?;
    Ok(ImagePorts {
        pixels: pixels.name.clone(),
        half,
        rows: size(pixels, 0),
        size: (pixels.fixed(2), pixels.fixed(3)),
        patches,
        output: output.name.clone(),
        dim: size(output, 1),
    })
}

/// The inputs that a tower of patches has beside those, by the names that transformers gives them.
fn patch_ports(graph: &Graph, pixels: &Port) -> Result<Option<PatchPorts>> {
    let named = |name: &str| graph.inputs.iter().find(|port| port.name == name);
    let (mask, shapes) = (named("pixel_attention_mask"), named("spatial_shapes"));
    let (Some(mask), Some(shapes)) = (mask, shapes) else {
        return Ok(None);
    };
    let integers = |port: &Port| match port.element {
        Element::I64 | Element::I32 => Some(IntegerPort {
            name: port.name.clone(),
            narrow: port.element == Element::I32,
        }),
        _ => None,
    };
    let flat = pixels.rank().is_none_or(|rank| rank == 3);
    match (integers(mask), integers(shapes)) {
        (Some(mask), Some(shapes)) if flat => Ok(Some(PatchPorts {
            mask,
            shapes,
            most: pixels.fixed(1),
            values: pixels.fixed(2),
        })),
        _ => Err(listed(
            "use inputs for patches of another type",
            "inputs",
            &graph.inputs,
        )),
    }
}

/// Finds the ports of a text tower; `combined` says that other inputs belong to another tower.
///
/// # Errors
/// When no input takes token ids, an input is unknown, or no output is an embedding.
pub(crate) fn text_ports(graph: &Graph, combined: bool) -> Result<TextPorts> {
    let ids = by_name_or_shape(&graph.inputs, "input_ids", |port| {
        matches!(port.element, Element::I64 | Element::I32)
            && text_role(&port.name).is_none()
            && port.rank().is_none_or(|rank| rank == 2)
    })
    .ok_or_else(|| {
        listed(
            "find the input that takes token ids",
            "inputs",
            &graph.inputs,
        )
    })?;
    let mut inputs = Vec::new();
    for port in &graph.inputs {
        let role = if port.name == ids.name {
            Some(TextRole::Ids)
        } else {
            text_role(&port.name)
        };
        match (role, port.element) {
            (Some(role), Element::I64 | Element::I32) => {
                inputs.push(TextInput {
                    name: port.name.clone(),
                    narrow: port.element == Element::I32,
                    role,
                });
            }
            (None, _) if combined => {}
            _ => {
                return Err(
                    listed("fill an input of the text tower", "inputs", &graph.inputs)
                        .with("input", &port.name),
                );
            }
        }
    }
    let output = embedding(&graph.outputs, &TEXT_OUTPUTS)?;
    Ok(TextPorts {
        inputs,
        rows: size(ids, 0),
        length: size(ids, 1),
        output: output.name.clone(),
        dim: size(output, 1),
    })
}

fn text_role(name: &str) -> Option<TextRole> {
    match name {
        "attention_mask" => Some(TextRole::Mask),
        "position_ids" => Some(TextRole::Positions),
        "token_type_ids" => Some(TextRole::Segments),
        _ => None,
    }
}

/// The port called `name`, else the only one that fits.
fn by_name_or_shape<'a>(
    ports: &'a [Port],
    name: &str,
    fits: impl Fn(&Port) -> bool,
) -> Option<&'a Port> {
    if let Some(port) = ports.iter().find(|port| port.name == name) {
        return Some(port);
    }
    let mut fitting = ports.iter().filter(|port| fits(port));
    let first = fitting.next()?;
    fitting.next().is_none().then_some(first)
}

/// The output that holds embeddings: by name, else the only one with two dimensions.
///
/// Some community exports call a 3-D hidden state an embedding; pooling it here would be a guess.
fn embedding<'a>(outputs: &'a [Port], names: &[&str]) -> Result<&'a Port> {
    let named = names
        .iter()
        .find_map(|name| outputs.iter().find(|port| port.name == *name));
    let chosen = match named {
        Some(port) => Some(port),
        None => {
            let mut flat = outputs.iter().filter(|port| port.rank() == Some(2));
            flat.next().filter(|_| flat.next().is_none())
        }
    };
    let Some(port) = chosen else {
        return Err(
            listed("find an output that holds embeddings", "outputs", outputs)
                .hint("export the tower with its projection, so that it gives one vector per row"),
        );
    };
    if port.rank().is_some_and(|rank| rank != 2)
        || !matches!(port.element, Element::F32 | Element::F16)
    {
        return Err(listed("use an output that is not one vector per row", "outputs", outputs)
            .with("output", &port.name)
            .hint("this export gives hidden states, not embeddings; use one with a projection or pooler output"));
    }
    Ok(port)
}

fn size(port: &Port, axis: usize) -> Option<usize> {
    port.fixed(axis).and_then(|size| usize::try_from(size).ok())
}

/// An error that lists `ports` with their types and shapes.
fn listed(message: &str, what: &'static str, ports: &[Port]) -> Error {
    let list: Vec<String> = ports.iter().map(describe).collect();
    Error::model(message).with(what, list.join(", "))
}

fn describe(port: &Port) -> String {
    let element = match port.element {
        Element::F32 => "f32".to_owned(),
        Element::F16 => "f16".to_owned(),
        Element::I32 => "i32".to_owned(),
        Element::I64 => "i64".to_owned(),
        Element::Other(number) => format!("type {number}"),
    };
    let dims = port
        .dims
        .as_ref()
        .map_or("unknown shape".to_owned(), |dims| {
            let dims: Vec<String> = dims
                .iter()
                .map(|dim| dim.map_or("?".to_owned(), |dim| dim.to_string()))
                .collect();
            dims.join("x")
        });
    format!("{} ({element}, {dims})", port.name)
}

#[cfg(test)]
mod tests;
