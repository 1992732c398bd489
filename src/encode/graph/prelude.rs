//! A graph that turns resized bytes into the numbers an image tower takes, to run where the tower runs.
//!
//! A byte is a quarter of a float: where a model runs on another device, bytes are what should travel.

use clip_filter_pixels::PixelSpec;

use super::wire::put_varint;

/// The input: `rows` x height x width x 3 bytes.
pub(crate) const RGB: &str = "rgb";
/// The output: `rows` x 3 x height x width floats.
pub(crate) const PIXELS: &str = "pixels";

const IR_VERSION: u64 = 8;
const OPSET: u64 = 13;
/// Element types of `onnx.proto`.
const FLOAT: u64 = 1;
const UINT8: u64 = 2;
const FLOAT16: u64 = 10;

/// An ONNX file that computes `(byte * rescale - mean) / std` in the order and the precision in which it is computed
/// on a CPU, so that both give the same bits; 16-bit floats are rounded from these if `half`.
pub(crate) fn prelude(spec: &PixelSpec, half: bool) -> Vec<u8> {
    let (height, width) = spec.output_size();
    let (height, width) = (u64::from(height), u64::from(width));
    let last = if half { "planes" } else { PIXELS };
    let cast = |to: u64| message(5, &[text(1, "to"), integer(3, to), integer(20, 2)]);
    let planes = [0, 3, 1, 2].map(|axis| integer(8, axis));
    let planes = [text(1, "perm"), planes.concat(), integer(20, 7)];
    let mut graph = vec![
        node("Cast", &[RGB], "floats", &cast(FLOAT)),
        node("Mul", &["floats", "rescale"], "scaled", &[]),
        node("Sub", &["scaled", "mean"], "centred", &[]),
        node("Div", &["centred", "std"], "normal", &[]),
        node("Transpose", &["normal"], last, &message(5, &planes)),
        text(2, "prelude"),
        weight("rescale", &[spec.rescale]),
        weight("mean", &spec.mean),
        weight("std", &spec.std),
        port(11, RGB, UINT8, [height, width, 3]),
    ];
    if half {
        graph.push(node("Cast", &[last], PIXELS, &cast(FLOAT16)));
    }
    let element = if half { FLOAT16 } else { FLOAT };
    graph.push(port(12, PIXELS, element, [3, height, width]));
    [
        integer(1, IR_VERSION),
        message(7, &graph),
        message(8, &[integer(2, OPSET)]),
    ]
    .concat()
}

fn node(operator: &str, reads: &[&str], makes: &str, attributes: &[u8]) -> Vec<u8> {
    let mut parts: Vec<Vec<u8>> = reads.iter().map(|name| text(1, name)).collect();
    parts.extend([text(2, makes), text(4, operator), attributes.to_vec()]);
    message(1, &parts)
}

/// A list of floats, or one that stands for all.
fn weight(name: &str, values: &[f32]) -> Vec<u8> {
    let dims = if values.len() == 1 {
        Vec::new()
    } else {
        integer(1, values.len() as u64)
    };
    let bytes: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    message(
        5,
        &[dims, integer(2, FLOAT), text(8, name), field(9, &bytes)],
    )
}

/// An input or output whose number of rows is open.
fn port(number: u64, name: &str, element: u64, dims: [u64; 3]) -> Vec<u8> {
    let fixed = dims.map(|size| message(1, &[integer(1, size)]));
    let shape = message(2, &[message(1, &[text(2, "rows")]), fixed.concat()]);
    let tensor = message(1, &[integer(1, element), shape]);
    message(number, &[text(1, name), message(2, &[tensor])])
}

fn message(number: u64, parts: &[Vec<u8>]) -> Vec<u8> {
    field(number, &parts.concat())
}

fn text(number: u64, content: &str) -> Vec<u8> {
    field(number, content.as_bytes())
}

/// A field of so many bytes.
fn field(number: u64, content: &[u8]) -> Vec<u8> {
    let mut field = Vec::new();
    put_varint(&mut field, number << 3 | 2);
    put_varint(&mut field, content.len() as u64);
    field.extend_from_slice(content);
    field
}

fn integer(number: u64, value: u64) -> Vec<u8> {
    let mut field = Vec::new();
    put_varint(&mut field, number << 3);
    put_varint(&mut field, value);
    field
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use clip_filter_pixels::{Alpha, Corner, Filter};

    use super::*;
    use crate::encode::graph::{Element, Graph};

    #[test]
    fn it_takes_bytes_and_gives_planes() {
        let spec = PixelSpec {
            alpha: Alpha::Drop,
            resize: None,
            filter: Filter::Bicubic,
            crop: Some((224, 336)),
            corner: Corner::Floor,
            rescale: 1.0 / 255.0,
            mean: [0.5; 3],
            std: [0.5; 3],
        };
        for (half, element) in [(false, Element::F32), (true, Element::F16)] {
            let graph = Graph::read(Cursor::new(prelude(&spec, half))).unwrap();
            assert_eq!(graph.inputs.len(), 1);
            assert_eq!(graph.inputs[0].name, RGB);
            assert_eq!(
                graph.inputs[0].dims,
                Some(vec![None, Some(224), Some(336), Some(3)])
            );
            assert_eq!(graph.outputs[0].name, PIXELS);
            assert_eq!(graph.outputs[0].element, element);
            assert_eq!(
                graph.outputs[0].dims,
                Some(vec![None, Some(3), Some(224), Some(336)])
            );
            assert!(graph.operators.contains("Transpose"));
        }
    }
}
