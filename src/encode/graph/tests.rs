//! Graphs of models as they are read, and what is refused.

use std::io::Cursor;

use super::*;

/// A length-delimited field.
fn bytes(number: u64, content: &[u8]) -> Vec<u8> {
    let mut field = Vec::new();
    wire::put_varint(&mut field, number << 3 | 2);
    wire::put_varint(&mut field, content.len() as u64);
    field.extend_from_slice(content);
    field
}

/// A varint field.
fn integer(number: u64, value: u64) -> Vec<u8> {
    let mut field = Vec::new();
    wire::put_varint(&mut field, number << 3);
    wire::put_varint(&mut field, value);
    field
}

fn node(operator: &str, reads: &[&str], makes: &[&str], attributes: &[u8]) -> Vec<u8> {
    let mut content: Vec<u8> = reads.iter().flat_map(|n| bytes(1, n.as_bytes())).collect();
    content.extend(makes.iter().flat_map(|n| bytes(2, n.as_bytes())));
    content.extend(bytes(4, operator.as_bytes()));
    content.extend_from_slice(attributes);
    bytes(1, &content)
}

fn weight(name: &str, location: Option<&str>) -> Vec<u8> {
    let mut content = [integer(2, 1), bytes(8, name.as_bytes())].concat();
    match location {
        Some(location) => {
            let pair = [bytes(1, b"location"), bytes(2, location.as_bytes())].concat();
            content.extend([bytes(13, &pair), integer(14, 1)].concat());
        }
        None => content.extend(bytes(9, &[0; 4096])),
    }
    bytes(5, &content)
}

fn port(number: u64, name: &str, element: u64, dims: &[Option<u64>]) -> Vec<u8> {
    let dims: Vec<u8> = dims
        .iter()
        .flat_map(|dim| bytes(1, &dim.map_or(bytes(2, b"n"), |size| integer(1, size))))
        .collect();
    let tensor = [integer(1, element), bytes(2, &dims)].concat();
    bytes(
        number,
        &[bytes(1, name.as_bytes()), bytes(2, &bytes(1, &tensor))].concat(),
    )
}

fn model(graph: &[u8]) -> Vec<u8> {
    [integer(1, 8), bytes(7, graph), bytes(8, &integer(2, 17))].concat()
}

/// Two towers in one graph; the text tower has a subgraph that reads a weight of the outer graph.
fn combined() -> Vec<u8> {
    let branch = bytes(6, &node("DynamicQuantizeLinear", &["w_sub"], &["y"], &[]));
    let parts = [
        node("Conv", &["pixel_values", "w_image"], &["a"], &[]),
        node("If", &["input_ids"], &["b"], &bytes(5, &branch)),
        bytes(2, b"main"),
        node("Gemm", &["a", "w_shared"], &["image_embeds"], &[]),
        node("Gemm", &["b", "w_shared", ""], &["text_embeds"], &[]),
        weight("w_image", None),
        weight("w_shared", Some("model.onnx_data")),
        weight("w_sub", None),
        port(
            11,
            "pixel_values",
            1,
            &[None, Some(3), Some(224), Some(224)],
        ),
        port(11, "input_ids", 7, &[None, None]),
        port(11, "w_image", 1, &[Some(4)]),
        port(12, "image_embeds", 1, &[None, Some(512)]),
        port(12, "text_embeds", 10, &[None, Some(512)]),
        port(13, "a", 1, &[]),
        port(13, "b", 1, &[]),
    ];
    model(&parts.concat())
}

fn read(model: &[u8]) -> Result<Graph> {
    Graph::read(Cursor::new(model))
}

fn prune(model: &[u8], output: &str) -> Result<Graph> {
    read(&Graph::prune(Cursor::new(model), &[output])?)
}

fn names(ports: &[Port]) -> Vec<&str> {
    ports.iter().map(|port| port.name.as_str()).collect()
}

#[test]
fn a_graph_is_read_with_its_subgraphs_and_without_its_weights() {
    let graph = read(&combined()).unwrap();
    assert_eq!(names(&graph.inputs), ["pixel_values", "input_ids"]);
    assert_eq!(
        graph.inputs[0].dims,
        Some(vec![None, Some(3), Some(224), Some(224)])
    );
    assert_eq!(graph.outputs[1].element, Element::F16);
    assert_eq!(
        graph
            .operators
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>(),
        ["Conv", "DynamicQuantizeLinear", "Gemm", "If"]
    );
    assert_eq!(
        graph.external,
        BTreeSet::from(["model.onnx_data".to_owned()])
    );
    assert!(graph.batch_dependent());
    assert_eq!(graph.file_bytes, combined().len() as u64);
}

#[test]
fn pruning_keeps_what_an_output_needs_and_nothing_else() {
    let image = prune(&combined(), "image_embeds").unwrap();
    assert_eq!(names(&image.inputs), ["pixel_values"]);
    assert_eq!(names(&image.outputs), ["image_embeds"]);
    assert!(!image.batch_dependent());
    assert_eq!(image.operators.len(), 2);
    assert_eq!(image.external.len(), 1);
    let text = prune(&combined(), "text_embeds").unwrap();
    assert_eq!(names(&text.inputs), ["input_ids"]);
    assert!(text.batch_dependent());
    // Either tower drops a weight of 4 KiB.
    assert!(image.file_bytes < combined().len() as u64 - 4096);
    assert!(text.file_bytes < combined().len() as u64 - 4096);
}

#[test]
fn pruning_for_every_output_changes_nothing_but_the_order_of_the_frame() {
    let model = combined();
    let kept = Graph::prune(Cursor::new(&model), &["image_embeds", "text_embeds"]).unwrap();
    assert_eq!(kept.len(), model.len());
    assert_eq!(read(&kept).unwrap(), read(&model).unwrap());
    assert!(Graph::prune(Cursor::new(&model), &["logits"]).is_err());
}

#[test]
fn damaged_files_are_errors_and_never_panics() {
    let model = combined();
    for length in 0..model.len() {
        let _ = read(&model[..length]);
        let _ = prune(&model[..length], "image_embeds");
    }
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..20_000 {
        let mut damaged = model.clone();
        for _ in 0..1 + round % 4 {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let at = (seed >> 33) as usize % 700;
            damaged[at] = seed.to_le_bytes()[3];
        }
        let _ = read(&damaged);
        let _ = prune(&damaged, "text_embeds");
    }
}

#[test]
fn lengths_depth_and_varints_beyond_their_limits_are_refused() {
    let lfs = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n";
    let mut deep = node("Loop", &[], &["x"], &[]);
    for _ in 0..64 {
        deep = node("Loop", &[], &["x"], &bytes(5, &bytes(6, &deep)));
    }
    let cases: [&[u8]; 7] = [
        b"",
        lfs,
        &model(&deep),
        // A graph of 2^63 bytes.
        &[0x3a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
        // A varint that never ends.
        &[
            0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        ],
        // A group, which ONNX does not have.
        &[0x3b],
        // A name over the limit.
        &model(&node(&"x".repeat(70_000), &[], &[], &[])),
    ];
    for case in cases {
        assert!(read(case).is_err());
        assert!(prune(case, "x").is_err());
    }
}
