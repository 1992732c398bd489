//! What must be known of an ONNX file before it is loaded: its ports, its operators, where its weights lie.
//!
//! Weights are stepped over, so looking into a file of gigabytes reads a few of its megabytes. The file may
//! be hostile: every length is checked against its surroundings, depth and counts have limits, and nothing
//! is believed that was not read.
//!
//! # Source
//! Field numbers: `onnx.proto` of <https://github.com/onnx/onnx>.

#[cfg(feature = "onnx")]
pub(crate) mod prelude;
mod prune;
mod wire;

use std::collections::BTreeSet;
use std::io::{BufRead, Seek};

use wire::{Field, Value, Wire, damaged};

use crate::error::Result;

/// Graphs within graphs; exporters nest two or three deep.
const MAX_DEPTH: usize = 16;
/// Nodes, weights and ports together; the largest CLIP exports have some ten thousand.
const MAX_ITEMS: usize = 1 << 20;
/// Dimensions of a tensor.
const MAX_RANK: usize = 64;

/// Operators that take the range of their activations from the batch at hand.
const BATCH_DEPENDENT: [&str; 6] = [
    "ConvInteger",
    "DynamicQuantizeLSTM",
    "DynamicQuantizeLinear",
    "DynamicQuantizeMatMul",
    "MatMulInteger",
    "MatMulIntegerToFloat",
];

/// Element type of a tensor, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Element {
    /// 32-bit float.
    F32,
    /// 16-bit float.
    F16,
    /// 32-bit integer.
    I32,
    /// 64-bit integer.
    I64,
    /// Anything else, by its number in `onnx.proto`.
    Other(u64),
}

/// An input or output of a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Port {
    /// Its name.
    pub(crate) name: String,
    /// Its element type.
    pub(crate) element: Element,
    /// Its dimensions, none where one is not fixed; none at all where the file does not say.
    pub(crate) dims: Option<Vec<Option<u64>>>,
}

impl Port {
    /// Number of dimensions, if known.
    pub(crate) fn rank(&self) -> Option<usize> {
        self.dims.as_ref().map(Vec::len)
    }

    /// The fixed size of dimension `axis`.
    pub(crate) fn fixed(&self, axis: usize) -> Option<u64> {
        self.dims.as_ref()?.get(axis).copied().flatten()
    }
}

/// What a file was written for: an older runtime refuses it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Versions {
    /// Version of the format, `ir_version`.
    pub(crate) ir: u64,
    /// Version of the standard operators.
    pub(crate) opset: u64,
}

/// What was read of an ONNX file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Graph {
    /// What a caller has to give: the graph's inputs less those that are weights.
    pub(crate) inputs: Vec<Port>,
    /// What a caller can ask for.
    pub(crate) outputs: Vec<Port>,
    /// Every operator, also within subgraphs and functions.
    pub(crate) operators: BTreeSet<String>,
    /// Files beside the ONNX file that hold weights, relative to it.
    pub(crate) external: BTreeSet<String>,
    /// What it was written for.
    pub(crate) versions: Versions,
    /// Bytes of the ONNX file itself.
    pub(crate) file_bytes: u64,
}

impl Graph {
    /// Reads the ONNX file in `source`.
    ///
    /// # Errors
    /// When it is no ONNX file, is damaged or exceeds a limit.
    pub(crate) fn read(source: impl BufRead + Seek) -> Result<Self> {
        let mut reader = Reader {
            wire: Wire::try_new(source)?,
            items: 0,
            graph: Graph::default(),
            weights: BTreeSet::new(),
        };
        let length = reader.wire.length();
        let mut found = false;
        while let Some(field) = reader.wire.field(length)? {
            match (field.number, field.value) {
                (7, Value::Length(length)) => {
                    reader.graph(length, 0)?;
                    found = true;
                }
                (25, Value::Length(length)) => reader.function(length)?,
                (1, Value::Varint(version)) => reader.graph.versions.ir = version,
                (8, Value::Length(length)) => reader.opset(length)?,
                (_, value) => reader.wire.skip_value(value)?,
            }
        }
        if !found {
            return Err(damaged("no graph", length));
        }
        let Reader {
            mut graph, weights, ..
        } = reader;
        // Files before IR version 4 list every weight as an input too.
        graph.inputs.retain(|port| !weights.contains(&port.name));
        graph.file_bytes = length;
        Ok(graph)
    }

    /// True when a vector depends on the other rows of its batch.
    pub(crate) fn batch_dependent(&self) -> bool {
        BATCH_DEPENDENT
            .iter()
            .any(|operator| self.operators.contains(*operator))
    }

    /// The ONNX file in `source`, cut down to what `outputs` need.
    ///
    /// Only the ranges that are kept are read. Weights in external files stay there: the session must be told
    /// their folder.
    ///
    /// # Errors
    /// As [`Graph::read`], and when an output is not in the graph.
    pub(crate) fn prune(source: impl BufRead + Seek, outputs: &[&str]) -> Result<Vec<u8>> {
        prune::prune(source, outputs)
    }
}

/// Walks a file once and collects a [`Graph`].
struct Reader<R> {
    wire: Wire<R>,
    items: usize,
    graph: Graph,
    weights: BTreeSet<String>,
}

impl<R: BufRead + Seek> Reader<R> {
    fn graph(&mut self, length: u64, depth: usize) -> Result<()> {
        let end = self.wire.position() + length;
        while let Some(field) = self.wire.field(end)? {
            let Value::Length(length) = field.value else {
                continue;
            };
            match field.number {
                1 => self.node(length, depth)?,
                5 => self.tensor(length, depth)?,
                11 if depth == 0 => {
                    let port = self.port(length)?;
                    self.graph.inputs.push(port);
                }
                12 if depth == 0 => {
                    let port = self.port(length)?;
                    self.graph.outputs.push(port);
                }
                _ => self.wire.skip(length)?,
            }
        }
        Ok(())
    }

    /// A set of operators by its domain, empty for the standard ones, and its version.
    fn opset(&mut self, length: u64) -> Result<()> {
        let (mut domain, mut version) = (String::new(), 0);
        self.within(length, |reader, field| match (field.number, field.value) {
            (1, Value::Length(length)) => {
                domain = reader.wire.string(length)?;
                Ok(())
            }
            (2, Value::Varint(found)) => {
                version = found;
                Ok(())
            }
            (_, value) => reader.wire.skip_value(value),
        })?;
        if domain.is_empty() || domain == "ai.onnx" {
            self.graph.versions.opset = version;
        }
        Ok(())
    }

    fn function(&mut self, length: u64) -> Result<()> {
        let end = self.wire.position() + length;
        while let Some(field) = self.wire.field(end)? {
            match (field.number, field.value) {
                (7, Value::Length(length)) => self.node(length, 1)?,
                (_, value) => self.wire.skip_value(value)?,
            }
        }
        Ok(())
    }

    fn node(&mut self, length: u64, depth: usize) -> Result<()> {
        self.count()?;
        let end = self.wire.position() + length;
        while let Some(field) = self.wire.field(end)? {
            match (field.number, field.value) {
                (4, Value::Length(length)) => {
                    let operator = self.wire.string(length)?;
                    self.graph.operators.insert(operator);
                }
                (5, Value::Length(length)) => self.attribute(length, depth)?,
                (_, value) => self.wire.skip_value(value)?,
            }
        }
        Ok(())
    }

    fn attribute(&mut self, length: u64, depth: usize) -> Result<()> {
        if depth >= MAX_DEPTH {
            return Err(damaged("graphs nested too deep", self.wire.position()));
        }
        let end = self.wire.position() + length;
        while let Some(field) = self.wire.field(end)? {
            match (field.number, field.value) {
                (5 | 10, Value::Length(length)) => self.tensor(length, depth + 1)?,
                (6 | 11, Value::Length(length)) => self.graph(length, depth + 1)?,
                (_, value) => self.wire.skip_value(value)?,
            }
        }
        Ok(())
    }

    fn tensor(&mut self, length: u64, depth: usize) -> Result<()> {
        self.count()?;
        let end = self.wire.position() + length;
        while let Some(field) = self.wire.field(end)? {
            match (field.number, field.value) {
                (8, Value::Length(length)) if depth == 0 => {
                    let name = self.wire.string(length)?;
                    self.weights.insert(name);
                }
                (13, Value::Length(length)) => self.external(length)?,
                (_, value) => self.wire.skip_value(value)?,
            }
        }
        Ok(())
    }

    /// A key and a value; only the key `location` matters.
    fn external(&mut self, length: u64) -> Result<()> {
        let end = self.wire.position() + length;
        let (mut key, mut value) = (String::new(), String::new());
        while let Some(field) = self.wire.field(end)? {
            match (field.number, field.value) {
                (1, Value::Length(length)) => key = self.wire.string(length)?,
                (2, Value::Length(length)) => value = self.wire.string(length)?,
                (_, value) => self.wire.skip_value(value)?,
            }
        }
        if key == "location" {
            self.graph.external.insert(value);
        }
        Ok(())
    }

    fn port(&mut self, length: u64) -> Result<Port> {
        self.count()?;
        let end = self.wire.position() + length;
        let mut port = Port {
            name: String::new(),
            element: Element::Other(0),
            dims: None,
        };
        while let Some(field) = self.wire.field(end)? {
            match (field.number, field.value) {
                (1, Value::Length(length)) => port.name = self.wire.string(length)?,
                // TypeProto, of which only tensor_type = 1 is a port that this program can serve.
                (2, Value::Length(length)) => {
                    self.within(length, |reader, field| match (field.number, field.value) {
                        (1, Value::Length(length)) => reader.tensor_type(length, &mut port),
                        (_, value) => reader.wire.skip_value(value),
                    })?
                }
                (_, value) => self.wire.skip_value(value)?,
            }
        }
        Ok(port)
    }

    fn tensor_type(&mut self, length: u64, port: &mut Port) -> Result<()> {
        self.within(length, |reader, field| match (field.number, field.value) {
            (1, Value::Varint(element)) => {
                port.element = match element {
                    1 => Element::F32,
                    10 => Element::F16,
                    6 => Element::I32,
                    7 => Element::I64,
                    other => Element::Other(other),
                };
                Ok(())
            }
            (2, Value::Length(length)) => {
                port.dims = Some(reader.shape(length)?);
                Ok(())
            }
            (_, value) => reader.wire.skip_value(value),
        })
    }

    fn shape(&mut self, length: u64) -> Result<Vec<Option<u64>>> {
        let mut dims = Vec::new();
        self.within(length, |reader, field| match (field.number, field.value) {
            (1, Value::Length(length)) => {
                if dims.len() == MAX_RANK {
                    return Err(damaged("too many dimensions", field.start));
                }
                dims.push(None);
                reader.within(length, |reader, field| match (field.number, field.value) {
                    (1, Value::Varint(size)) => {
                        // Some exporters write -1 or 0 where they mean "not fixed".
                        let fixed = (1..=i64::MAX as u64).contains(&size).then_some(size);
                        if let Some(last) = dims.last_mut() {
                            *last = fixed;
                        }
                        Ok(())
                    }
                    (_, value) => reader.wire.skip_value(value),
                })
            }
            (_, value) => reader.wire.skip_value(value),
        })?;
        Ok(dims)
    }

    fn within(
        &mut self,
        length: u64,
        mut each: impl FnMut(&mut Self, Field) -> Result<()>,
    ) -> Result<()> {
        let end = self.wire.position() + length;
        while let Some(field) = self.wire.field(end)? {
            each(self, field)?;
        }
        Ok(())
    }

    fn count(&mut self) -> Result<()> {
        self.items += 1;
        if self.items > MAX_ITEMS {
            return Err(damaged("too many nodes", self.wire.position()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
