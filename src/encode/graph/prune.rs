//! Cuts a graph down to what some of its outputs need.
//!
//! ONNX Runtime runs every node of a graph, whatever outputs are asked for, so a combined CLIP graph would run
//! its text tower for every image. Pruned copies are made in memory: a model directory is never written to.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, Seek};

use super::wire::{Field, Value, Wire, damaged, put_varint};
use super::{MAX_DEPTH, MAX_ITEMS};
use crate::error::{Error, Result};

/// Tag of `ModelProto.graph`: field 7, length-delimited.
const GRAPH_TAG: u8 = 7 << 3 | 2;

/// One field of the graph: where it lies and what it is.
struct Item {
    start: u64,
    end: u64,
    kind: Kind,
}

enum Kind {
    /// What it reads, also within its subgraphs, and what it makes.
    Node {
        reads: Vec<String>,
        makes: Vec<String>,
    },
    /// A weight, an input or a value description: kept when its name is needed.
    Named(String),
    /// Kept when it is asked for.
    Output(String),
    /// Kept.
    Other,
}

/// See [`super::Graph::prune`].
pub(super) fn prune(source: impl BufRead + Seek, outputs: &[&str]) -> Result<Vec<u8>> {
    let mut scan = Scan {
        wire: Wire::try_new(source)?,
        items: Vec::new(),
    };
    let length = scan.wire.length();
    let mut frame = Vec::new();
    let mut graphs = 0;
    while let Some(field) = scan.wire.field(length)? {
        match (field.number, field.value) {
            (7, Value::Length(length)) => {
                graphs += 1;
                scan.graph(length)?;
            }
            (_, value) => {
                scan.wire.skip_value(value)?;
                frame.push((field.start, scan.wire.position()));
            }
        }
    }
    if graphs != 1 {
        return Err(damaged("not exactly one graph", length));
    }
    let kept = kept_ranges(&scan.items, outputs)?;
    let graph_bytes: u64 = kept.iter().map(|(start, end)| end - start).sum();
    let capacity = graph_bytes + frame.iter().map(|(start, end)| end - start).sum::<u64>() + 16;
    let mut pruned = Vec::with_capacity(
        usize::try_from(capacity).map_err(|_| damaged("graph over the address space", 0))?,
    );
    for (start, end) in frame {
        scan.wire.copy(start, end, &mut pruned)?;
    }
    pruned.push(GRAPH_TAG);
    put_varint(&mut pruned, graph_bytes);
    for (start, end) in kept {
        scan.wire.copy(start, end, &mut pruned)?;
    }
    Ok(pruned)
}

/// The ranges of the graph that `outputs` need, in file order, neighbours joined.
fn kept_ranges(items: &[Item], outputs: &[&str]) -> Result<Vec<(u64, u64)>> {
    let mut makers: HashMap<&str, usize> = HashMap::new();
    for (index, item) in items.iter().enumerate() {
        if let Kind::Node { makes, .. } = &item.kind {
            makers.extend(makes.iter().map(|name| (name.as_str(), index)));
        }
    }
    let mut needed: HashSet<&str> = HashSet::new();
    let mut nodes: HashSet<usize> = HashSet::new();
    let mut open: Vec<&str> = outputs.to_vec();
    while let Some(name) = open.pop() {
        if !needed.insert(name) {
            continue;
        }
        let Some(index) = makers.get(name).filter(|index| nodes.insert(**index)) else {
            continue;
        };
        if let Kind::Node { reads, .. } = &items[*index].kind {
            open.extend(reads.iter().map(String::as_str));
        }
    }
    let declared = |name: &str| {
        items
            .iter()
            .any(|item| matches!(&item.kind, Kind::Output(output) if output == name))
    };
    if let Some(missing) = outputs.iter().find(|name| !declared(name)) {
        return Err(Error::model("find an output in the graph").with("output", missing));
    }
    let keep = |index: usize, item: &Item| match &item.kind {
        Kind::Node { .. } => nodes.contains(&index),
        Kind::Named(name) => needed.contains(name.as_str()),
        Kind::Output(name) => outputs.contains(&name.as_str()),
        Kind::Other => true,
    };
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for (_, item) in items
        .iter()
        .enumerate()
        .filter(|(index, item)| keep(*index, item))
    {
        match ranges.last_mut() {
            Some(last) if last.1 == item.start => last.1 = item.end,
            _ => ranges.push((item.start, item.end)),
        }
    }
    Ok(ranges)
}

struct Scan<R> {
    wire: Wire<R>,
    items: Vec<Item>,
}

impl<R: BufRead + Seek> Scan<R> {
    fn graph(&mut self, length: u64) -> Result<()> {
        let end = self.wire.position() + length;
        while let Some(field) = self.wire.field(end)? {
            let kind = self.item(field)?;
            if self.items.len() == MAX_ITEMS {
                return Err(damaged("too many nodes", field.start));
            }
            self.items.push(Item {
                start: field.start,
                end: self.wire.position(),
                kind,
            });
        }
        Ok(())
    }

    fn item(&mut self, field: Field) -> Result<Kind> {
        let Value::Length(length) = field.value else {
            return Ok(Kind::Other);
        };
        Ok(match field.number {
            1 => {
                let (mut reads, mut makes) = (Vec::new(), Vec::new());
                self.node(length, 0, &mut reads, &mut makes)?;
                Kind::Node { reads, makes }
            }
            5 => Kind::Named(self.name(length, 8)?),
            11 | 13 => Kind::Named(self.name(length, 1)?),
            12 => Kind::Output(self.name(length, 1)?),
            // Quantisation notes name their tensor in field 1; sparse weights name it one level deeper.
            14 => Kind::Named(self.name(length, 1)?),
            _ => {
                self.wire.skip(length)?;
                Kind::Other
            }
        })
    }

    /// Names a node reads and makes. A subgraph reads outer names without listing them, so everything its
    /// nodes read counts: too much is kept at worst.
    fn node(
        &mut self,
        length: u64,
        depth: usize,
        reads: &mut Vec<String>,
        makes: &mut Vec<String>,
    ) -> Result<()> {
        if depth > MAX_DEPTH {
            return Err(damaged("graphs nested too deep", self.wire.position()));
        }
        let end = self.wire.position() + length;
        while let Some(field) = self.wire.field(end)? {
            match (field.number, field.value) {
                (1, Value::Length(length)) => reads.push(self.wire.string(length)?),
                (2, Value::Length(length)) => makes.push(self.wire.string(length)?),
                (5, Value::Length(length)) => self.attribute(length, depth, reads)?,
                (_, value) => self.wire.skip_value(value)?,
            }
        }
        reads.retain(|name| !name.is_empty());
        Ok(())
    }

    fn attribute(&mut self, length: u64, depth: usize, reads: &mut Vec<String>) -> Result<()> {
        let end = self.wire.position() + length;
        while let Some(field) = self.wire.field(end)? {
            match (field.number, field.value) {
                (6 | 11, Value::Length(length)) => self.subgraph(length, depth, reads)?,
                (_, value) => self.wire.skip_value(value)?,
            }
        }
        Ok(())
    }

    fn subgraph(&mut self, length: u64, depth: usize, reads: &mut Vec<String>) -> Result<()> {
        let end = self.wire.position() + length;
        while let Some(field) = self.wire.field(end)? {
            match (field.number, field.value) {
                (1, Value::Length(length)) => {
                    self.node(length, depth + 1, reads, &mut Vec::new())?
                }
                // An output of a branch may be an outer name.
                (12, Value::Length(length)) => reads.push(self.name(length, 1)?),
                (_, value) => self.wire.skip_value(value)?,
            }
        }
        Ok(())
    }

    /// The text in field `number` of the message that starts here.
    fn name(&mut self, length: u64, number: u64) -> Result<String> {
        let end = self.wire.position() + length;
        let mut name = String::new();
        while let Some(field) = self.wire.field(end)? {
            match (field.number, field.value) {
                (found, Value::Length(length)) if found == number => {
                    name = self.wire.string(length)?
                }
                (_, value) => self.wire.skip_value(value)?,
            }
        }
        Ok(name)
    }
}
