//! Inputs and outputs of graphs, told by their names and shapes.

use super::*;

fn port(name: &str, element: Element, dims: &[u64]) -> Port {
    let dims = dims.iter().map(|dim| (*dim > 0).then_some(*dim)).collect();
    Port {
        name: name.to_owned(),
        element,
        dims: Some(dims),
    }
}

fn graph(inputs: Vec<Port>, outputs: Vec<Port>) -> Graph {
    Graph {
        inputs,
        outputs,
        ..Graph::default()
    }
}

#[test]
fn ports_of_an_optimum_pair_are_found_by_name() {
    let image = graph(
        vec![port("pixel_values", Element::F32, &[0, 3, 224, 224])],
        vec![
            port("last_hidden_state", Element::F32, &[0, 50, 768]),
            port("image_embeds", Element::F32, &[0, 512]),
        ],
    );
    let ports = image_ports(&image).unwrap();
    assert_eq!(
        (ports.output.as_str(), ports.dim, ports.rows),
        ("image_embeds", Some(512), None)
    );
    assert_eq!(ports.size, (Some(224), Some(224)));
    let text = graph(
        vec![
            port("input_ids", Element::I64, &[0, 0]),
            port("attention_mask", Element::I64, &[0, 0]),
        ],
        vec![
            port("text_embeds", Element::F32, &[0, 512]),
            port("last_hidden_state", Element::F32, &[0, 0, 512]),
        ],
    );
    let ports = text_ports(&text, false).unwrap();
    assert!(ports.masked());
    assert_eq!((ports.output.as_str(), ports.length), ("text_embeds", None));
}

#[test]
fn ports_of_other_exports_are_found_by_shape() {
    let image = graph(
        vec![port("x", Element::F16, &[1, 3, 0, 0])],
        vec![port("1234", Element::F16, &[1, 640])],
    );
    let ports = image_ports(&image).unwrap();
    assert_eq!(
        (ports.pixels.as_str(), ports.half, ports.rows),
        ("x", true, Some(1))
    );
    let text = graph(
        vec![port("text", Element::I32, &[0, 77])],
        vec![port("y", Element::F32, &[0, 640])],
    );
    let ports = text_ports(&text, false).unwrap();
    assert_eq!(
        ports.inputs,
        [TextInput {
            name: "text".to_owned(),
            narrow: true,
            role: TextRole::Ids
        }]
    );
    assert_eq!(ports.length, Some(77));
}

#[test]
fn siglip_towers_give_their_pooler_output() {
    let outputs = vec![
        port("last_hidden_state", Element::F32, &[0, 196, 768]),
        port("pooler_output", Element::F32, &[0, 768]),
    ];
    let ports = image_ports(&graph(
        vec![port("pixel_values", Element::F32, &[0, 0, 0, 0])],
        outputs,
    ))
    .unwrap();
    assert_eq!(ports.output, "pooler_output");
}

#[test]
fn a_hidden_state_called_an_embedding_is_refused() {
    let inputs = vec![port("pixel_values", Element::F32, &[0, 3, 224, 224])];
    let error = image_ports(&graph(
        inputs.clone(),
        vec![port("image_embeds", Element::F32, &[0, 50, 768])],
    ))
    .unwrap_err();
    assert!(
        error.report().contains("image_embeds (f32, ?x50x768)"),
        "{}",
        error.report()
    );
    assert!(
        image_ports(&graph(
            inputs,
            vec![port("last_hidden_state", Element::F32, &[0, 50, 768])]
        ))
        .is_err()
    );
}

#[test]
fn unknown_inputs_and_other_channel_orders_are_refused() {
    let output = vec![port("text_embeds", Element::F32, &[0, 512])];
    let inputs = vec![
        port("input_ids", Element::I64, &[0, 0]),
        port("past_key", Element::F32, &[0, 8, 0, 64]),
    ];
    assert!(text_ports(&graph(inputs.clone(), output.clone()), false).is_err());
    assert!(text_ports(&graph(inputs, output), true).is_ok());
    let last = vec![port("pixel_values", Element::F32, &[0, 224, 224, 3])];
    assert!(
        image_ports(&graph(
            last,
            vec![port("image_embeds", Element::F32, &[0, 512])]
        ))
        .is_err()
    );
}
