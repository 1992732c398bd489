//! An image decoded in every way there is: the ways agree, and none takes more memory than the header says.
#![no_main]

use std::cell::RefCell;

use allocation_counter::measure;
use clip_filter_fuzz::tolerate_others;
use clip_filter_pixels::{
    Alpha, Corner, Fault, Filter, ImageKind, Kernel, Orientation, PixelSpec, Reading, Resize, Scaling,
    ThumbnailSpec, Truncated, probe, thumbnail,
};
use libfuzzer_sys::fuzz_target;

/// Larger pictures are refused by their header: they cost time and lead to no other code.
const MAX_PIXELS: u64 = 1 << 17;
/// Edge of the model's input.
const EDGE: u32 = 24;
const VALUES: usize = 3 * (EDGE * EDGE) as usize;

fn spec(alpha: Alpha, resize: Option<Resize>, crop: (u32, u32)) -> PixelSpec {
    PixelSpec {
        alpha,
        resize,
        filter: Filter::Bicubic,
        crop: Some(crop),
        corner: Corner::Floor,
        rescale: 1.0 / 255.0,
        mean: [0.5; 3],
        std: [0.5; 3],
    }
}

fn model() -> PixelSpec {
    let resize = Some(Resize::ShortestEdge(EDGE));
    spec(Alpha::OverWhite, resize, (EDGE, EDGE))
}

/// Kernels that have seen every picture before.
struct Used {
    exact: Kernel,
    reduced: Kernel,
    out: Vec<f32>,
}

impl Used {
    fn new() -> Self {
        Self {
            exact: Kernel::new(model(), MAX_PIXELS),
            reduced: Kernel::new(model(), MAX_PIXELS).with_scaling(Scaling::Dct),
            out: vec![0.0; VALUES],
        }
    }
}

thread_local! {
    static USED: RefCell<Used> = RefCell::new(Used::new());
}

/// The picture as it is, and whether the memory for it was what its header says.
fn decoded(bytes: &[u8]) -> Result<Vec<u8>, Fault> {
    let facts = probe(bytes)?;
    // A picture that is turned as a whole is held twice.
    let turned = 3 * facts.pixels().min(MAX_PIXELS);
    let bound = facts.working_bytes() + turned * u64::from(facts.format == ImageKind::Tiff);
    let mut kernel = Kernel::new(model(), MAX_PIXELS);
    let mut whole = Ok(0);
    let memory = measure(|| whole = kernel.decode_rgb(bytes).map(|(_, rgb)| rgb.len()));
    assert!(
        memory.bytes_max <= bound,
        "{} of {bound} bytes",
        memory.bytes_max
    );
    let length = whole?;
    let again = kernel.decode_rgb(bytes).map(|(_, rgb)| rgb.to_vec())?;
    assert_eq!(again.len(), length);
    Ok(again)
}

/// A crop of the whole picture is the picture, also where a JPEG is not decoded as a whole.
fn cropped(bytes: &[u8]) -> Result<Vec<u8>, Fault> {
    let facts = probe(bytes)?;
    let spec = spec(Alpha::OverWhite, None, (facts.height, facts.width));
    let pixels = usize::try_from(facts.pixels().min(MAX_PIXELS)).unwrap_or_default();
    let mut out = vec![0; 3 * pixels];
    Kernel::new(spec, MAX_PIXELS).run_rgb(bytes, &mut out)?;
    Ok(out)
}

fn look(bytes: &[u8]) {
    let whole = decoded(bytes);
    let is_picture = whole.is_ok();
    USED.with_borrow_mut(
        |Used {
             exact,
             reduced,
             out,
         }| {
            let again = exact.decode_rgb(bytes).map(|(_, rgb)| rgb.to_vec());
            assert!(again == whole, "a used kernel decodes otherwise");
            assert_eq!(exact.run(bytes, out).is_ok(), is_picture);
            let mut fresh = vec![0.0; VALUES];
            let _ = Kernel::new(model(), MAX_PIXELS).run(bytes, &mut fresh);
            assert!(
                !is_picture || *out == fresh,
                "a used kernel resizes otherwise"
            );
            let _ = reduced.run(bytes, out);
        },
    );
    let facts = probe(bytes);
    if facts.is_ok_and(|facts| facts.pixels() <= MAX_PIXELS) {
        assert!(
            cropped(bytes).ok() == whole.ok(),
            "a crop of all is another picture"
        );
    }
    let wanted = ThumbnailSpec {
        edge: EDGE,
        max_pixels: MAX_PIXELS,
        reading: Reading::default(),
    };
    assert_eq!(thumbnail(bytes, &wanted).is_ok(), is_picture);
    let reading = Reading {
        orientation: Orientation::Apply,
        truncated: Truncated::Fill,
    };
    let mut filling = Kernel::new(model(), MAX_PIXELS).with_reading(reading);
    let filled = filling.run(bytes, &mut vec![0.0; VALUES]).is_ok();
    assert!(filled || !is_picture, "what is read is not read to be filled");
}

fuzz_target!(init: tolerate_others(), |bytes: &[u8]| look(bytes));
