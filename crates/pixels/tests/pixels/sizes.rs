//! Sizes, crops and padding as transformers' `CLIPImageProcessor` computes them.

use clip_filter_pixels::{Alpha, Corner, Filter, Kernel, PixelSpec, Resize};

fn spec(resize: Option<Resize>, crop: Option<(u32, u32)>) -> PixelSpec {
    PixelSpec {
        alpha: Alpha::Drop,
        resize,
        filter: Filter::Bicubic,
        crop,
        corner: Corner::Floor,
        rescale: 1.0,
        mean: [0.0; 3],
        std: [1.0; 3],
    }
}

/// A 24-bit bitmap whose red is the column and green the row.
fn coordinates(width: u8, height: u8) -> Vec<u8> {
    let mut file = b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
    file.extend_from_slice(&u32::from(width).to_le_bytes());
    file.extend_from_slice(&u32::from(height).to_le_bytes());
    file.extend_from_slice(&[1, 0, 24, 0]);
    file.resize(54, 0);
    for row in (0..height).rev() {
        (0..width).for_each(|column| file.extend_from_slice(&[0, row, column]));
        while !(file.len() - 54).is_multiple_of(4) {
            file.push(0);
        }
    }
    file
}

#[test]
fn the_longer_edge_is_truncated_as_in_transformers() {
    for edge in [32u32, 224, 336] {
        let spec = spec(Some(Resize::ShortestEdge(edge)), None);
        for (width, height) in [
            (365, 685),
            (685, 365),
            (6000, 2),
            (3, 5000),
            (1, 1),
            (224, 224),
            (640, 427),
            (333, 999),
        ] {
            let (short, long) = (f64::from(width.min(height)), f64::from(width.max(height)));
            let long = (f64::from(edge) * long / short).trunc() as u64;
            let expected = if width <= height {
                (long, u64::from(edge))
            } else {
                (u64::from(edge), long)
            };
            assert_eq!(
                spec.resized_size(width, height),
                expected,
                "{width} x {height} to {edge}"
            );
        }
    }
}

#[test]
fn the_output_is_the_crop_or_the_exact_size() {
    let edge = Some(Resize::ShortestEdge(256));
    assert_eq!(spec(edge, Some((224, 200))).output_size(), (224, 200));
    assert_eq!(
        spec(
            Some(Resize::Exact {
                height: 384,
                width: 378
            }),
            None
        )
        .output_size(),
        (384, 378)
    );
    assert_eq!(spec(edge, None).output_size(), (256, 256));
}

#[test]
fn a_crop_without_resize_takes_the_middle_rounding_down() {
    let mut kernel = Kernel::new(spec(None, Some((4, 5))), 1 << 20);
    let mut out = vec![0.0; 3 * 20];
    kernel.run(&coordinates(12, 9), &mut out).unwrap();
    assert_eq!(out[..5], [3.0, 4.0, 5.0, 6.0, 7.0]);
    assert_eq!(
        out[20..40].chunks(5).map(|row| row[0]).collect::<Vec<_>>(),
        [2.0, 3.0, 4.0, 5.0]
    );
}

#[test]
fn a_smaller_image_is_padded_with_zeros_more_on_the_left_and_top() {
    let mut kernel = Kernel::new(spec(None, Some((4, 6))), 1 << 20);
    let mut out = vec![9.0; 3 * 24];
    kernel.run(&coordinates(3, 2), &mut out).unwrap();
    let red: Vec<_> = out[..24].chunks(6).map(<[f32]>::to_vec).collect();
    assert_eq!(
        red,
        [
            vec![0.0; 6],
            vec![0.0, 0.0, 0.0, 1.0, 2.0, 0.0],
            vec![0.0, 0.0, 0.0, 1.0, 2.0, 0.0],
            vec![0.0; 6]
        ]
    );
    let green: Vec<_> = out[24..48].chunks(6).map(|row| row[3]).collect();
    assert_eq!(green, [0.0, 0.0, 1.0, 0.0]);
}

#[test]
fn an_extreme_aspect_ratio_costs_no_more_than_its_crop() {
    let mut kernel = Kernel::new(
        spec(Some(Resize::ShortestEdge(224)), Some((224, 224))),
        1 << 20,
    );
    let mut out = vec![0.0; 3 * 224 * 224];
    for size in [(1, 255), (255, 1), (1, 1)] {
        kernel.run(&coordinates(size.0, size.1), &mut out).unwrap();
    }
}

/// A 24-bit bitmap with a value of its own for every channel.
fn varied(width: u32, height: u32) -> Vec<u8> {
    let mut file = b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
    file.extend_from_slice(&width.to_le_bytes());
    file.extend_from_slice(&height.to_le_bytes());
    file.extend_from_slice(&[1, 0, 24, 0]);
    file.resize(54, 0);
    for row in (0..height).rev() {
        for column in 0..width {
            let value = |channel: u32| (column * 7 + row * 13 + channel * 29 + column * row) & 255;
            file.extend([2, 1, 0].map(|channel| u8::try_from(value(channel)).unwrap()));
        }
        while !(file.len() - 54).is_multiple_of(4) {
            file.push(0);
        }
    }
    file
}

#[test]
fn tall_pictures_lose_rows_first_as_in_pillow_13() {
    // Sums of place times value over `Image.resize(size, BICUBIC)` of Pillow 13.0.0, modulo 2^32.
    let cases = [
        ((30, 90), (24, 72), 1_714_576_444),
        ((90, 30), (72, 24), 1_719_167_963),
        ((30, 90), (24, 24), 190_643_119),
    ];
    for ((width, height), (columns, rows), expected) in cases {
        let exact = Resize::Exact {
            height: rows,
            width: columns,
        };
        let mut out = vec![0; 3 * (columns * rows) as usize];
        let mut kernel = Kernel::new(spec(Some(exact), None), 1 << 20);
        kernel.run_rgb(&varied(width, height), &mut out).unwrap();
        let sum = (1u32..).zip(&out).fold(0u32, |sum, (place, value)| {
            sum.wrapping_add(place.wrapping_mul(u32::from(*value)))
        });
        assert_eq!(sum, expected, "{width} x {height}");
    }
}
