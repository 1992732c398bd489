//! A model beside its own Python stack: the same pairs, prepared by both and encoded here.

mod pairs;

use std::{fs, path::Path};

use serde::{Deserialize, Serialize};

use super::{Model, runtime};
use crate::{
    encode::{Encoder, ModelSpec},
    error::{Error, Result},
    preprocess::{ImageKernel, Patches, PixelSpec, Preprocessing, Resize},
    provision::run_python,
    schema::Side,
};
use pairs::{CAPTIONS, SIZES, picture};

const SCRIPT: &str = include_str!("check.py");
/// A crop that is off by one pixel is tens of grey levels, another library's resize a hundredth.
const MOST_LEVELS: f64 = 0.5;
/// Least cosine of what both stacks make.
const LEAST_COSINE: f64 = 0.999;

/// What both made of a handful of pairs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelCheck {
    /// The Python packages that prepared the pairs, with their versions.
    pub stack: String,
    /// The pairs.
    pub pairs: Vec<CheckedPair>,
}

/// One pair, prepared by both.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckedPair {
    /// Width and height of the picture.
    pub picture: (u32, u32),
    /// The caption.
    pub caption: String,
    /// Cosine between the picture's two vectors.
    pub image_cosine: f64,
    /// Grey levels between the two pictures that the tower was given, on average.
    pub levels: f64,
    /// Cosine between the caption's two vectors.
    pub text_cosine: f64,
    /// Both made the same tokens.
    pub same_tokens: bool,
}

impl CheckedPair {
    /// Both prepared it alike.
    pub fn agrees(&self) -> bool {
        self.levels <= MOST_LEVELS
            && self.image_cosine >= LEAST_COSINE
            && self.same_tokens
            && self.text_cosine >= LEAST_COSINE
    }
}

impl ModelCheck {
    /// Nothing, or the error that says where the two stacks part.
    ///
    /// # Errors
    /// When they prepared a picture or a caption differently.
    pub fn verdict(&self) -> Result<()> {
        let Some(worst) = self.pairs.iter().find(|pair| !pair.agrees()) else {
            return Ok(());
        };
        let (width, height) = worst.picture;
        let error = Error::model("agree with the model's own Python stack")
            .with("stack", &self.stack)
            .with("picture", format!("{width} x {height}"))
            .with(
                "image cosine",
                format!(
                    "{:.4}, pixels {:.2} grey levels apart",
                    worst.image_cosine, worst.levels
                ),
            )
            .with("caption", format!("{:?}", worst.caption))
            .with(
                "text cosine",
                format!("{:.4}, {}", worst.text_cosine, tokens(worst.same_tokens)),
            );
        Err(error.hint("scores of this model are not those of its authors: compare its configuration with theirs (resize, crop, lower case, padding)"))
    }
}

/// Whether tokens are the same, in words.
pub fn tokens(same: bool) -> &'static str {
    match same {
        true => "same tokens",
        false => "other tokens",
    }
}

#[derive(Deserialize)]
struct Answer {
    stack: String,
    ids: Vec<Vec<i64>>,
}

impl Model {
    /// Prepares a handful of pairs here and by the model's own Python stack, and encodes what both made.
    ///
    /// # Errors
    /// When Python or the stack is not installed, or the model cannot be loaded.
    pub fn check(&self) -> Result<ModelCheck> {
        let spec = self.spec()?;
        let place = tempfile::tempdir()
            .map_err(|error| Error::resources("make a temporary directory").source(error))?;
        prepare(place.path(), &spec)?;
        let length = spec.tokens.max_length.to_string();
        let directory = place.path().to_string_lossy();
        run_python(&self.options.surroundings, SCRIPT, &[&*directory, &length])?;
        let answer: Answer = serde_json::from_slice(&read(&place.path().join("answer.json"))?)
            .map_err(|error| Error::model("read what Python answered").source(error))?;
        if answer.ids.len() != CAPTIONS.len() {
            return Err(Error::model(
                "read what Python answered: captions are missing",
            ));
        }
        let factory = runtime::load(spec, &self.options)?;
        let mut both = Both {
            preprocessing: factory.preprocessing(),
            encoder: factory.make(1)?,
        };
        let mut pairs = Vec::new();
        for (number, ((size, caption), ids)) in
            SIZES.into_iter().zip(CAPTIONS).zip(&answer.ids).enumerate()
        {
            let theirs = read(&place.path().join(format!("{number}.f32")))?;
            let (image_cosine, levels) = both.picture(&picture(size), &theirs)?;
            let (text_cosine, same_tokens) = both.caption(caption, ids)?;
            pairs.push(CheckedPair {
                picture: (size.width, size.height),
                caption: caption.to_owned(),
                image_cosine,
                levels,
                text_cosine,
                same_tokens,
            });
        }
        Ok(ModelCheck {
            stack: answer.stack,
            pairs,
        })
    }
}

/// Puts pairs and descriptions where the script looks for them.
fn prepare(place: &Path, spec: &ModelSpec) -> Result<()> {
    for (part, folder) in [(Side::Image, "image"), (Side::Text, "text")] {
        let folder = place.join(folder);
        fs::create_dir(&folder).map_err(|error| written(&folder, error))?;
        for (name, bytes) in spec.descriptions(part)? {
            write(&folder.join(name), &bytes)?;
        }
    }
    for (number, size) in SIZES.into_iter().enumerate() {
        write(&place.join(format!("{number}.bmp")), &picture(size))?;
    }
    let captions = serde_json::to_vec(&CAPTIONS)
        .map_err(|error| Error::internal("write captions").source(error))?;
    write(&place.join("captions.json"), &captions)
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).map_err(|error| written(path, error))
}

fn written(path: &Path, error: std::io::Error) -> Error {
    Error::resources("write a temporary file")
        .with("path", path.display())
        .source(error)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| Error::model("read what Python answered").source(error))
}

/// One encoder for what both stacks prepare.
struct Both<'a> {
    preprocessing: &'a Preprocessing,
    encoder: Box<dyn Encoder>,
}

impl Both<'_> {
    /// The cosine between the vectors of a picture, and how many grey levels its two versions are apart.
    fn picture(&mut self, bytes: &[u8], theirs: &[u8]) -> Result<(f64, f64)> {
        let mut kernel = ImageKernel::new(self.preprocessing, u64::from(u32::MAX));
        let mut ours = vec![0; kernel.output_len()];
        let made = kernel.run(bytes, &mut ours);
        made.map_err(|fault| Error::internal(format!("decode a picture: {}", fault.reason)))?;
        let spec = &self.preprocessing.pixels;
        let beside = match spec.resize {
            Some(Resize::Patches(patches)) => 3 * patches.edge as usize,
            _ => 0,
        };
        if theirs.len() != 4 * (ours.len() - beside) {
            return Err(Error::model("compare pictures: Python makes another size")
                .with("values here", ours.len() - beside)
                .with("values there", theirs.len() / 4));
        }
        let theirs = match spec.resize {
            Some(Resize::Patches(patches)) => patch_levels(theirs, spec, &ours, patches),
            _ => levels(theirs, spec),
        };
        let apart = ours
            .iter()
            .zip(&theirs)
            .map(|(a, b)| f64::from(a.abs_diff(*b)));
        #[expect(clippy::cast_precision_loss, reason = "a count of pixels")]
        let apart = apart.sum::<f64>() / ours.len() as f64;
        let mut encode = |rgb: &[u8]| self.encoder.encode_images(rgb, 1);
        Ok((cosine(&encode(&ours)?, &encode(&theirs)?), apart))
    }

    /// The cosine between the vectors of a caption, and whether its tokens are the same.
    fn caption(&mut self, caption: &str, theirs: &[i64]) -> Result<(f64, bool)> {
        let tokens = &self.preprocessing.tokens;
        let ours = tokens.encode(&[caption])?.swap_remove(0);
        let same = same_tokens(&ours, theirs);
        let mut encode = |ids: &[i64]| self.encoder.encode_texts(&tokens.batch(&[ids]));
        let vector = encode(&ours)?;
        let other = encode(theirs)?;
        Ok((cosine(&vector, &other), same))
    }
}

/// Whether both are the same tokens: some tokenizers pad to the context at once, and each with its own token.
fn same_tokens(ours: &[i64], theirs: &[i64]) -> bool {
    let rest = theirs.strip_prefix(ours);
    rest.is_some_and(|padding| padding.windows(2).all(|pair| pair[0] == pair[1]))
}

/// Planes of normalised floats back to bytes, row by row.
fn levels(floats: &[u8], spec: &PixelSpec) -> Vec<u8> {
    let values: Vec<f32> = floats_of(floats).collect();
    let plane = values.len() / 3;
    let of = |channel: usize, at: usize| level(values[channel * plane + at], channel, spec);
    let pixels = (0..plane).flat_map(|at| [of(0, at), of(1, at), of(2, at)]);
    pixels.collect()
}

/// The same of patches; what is padding, and the grid, is as it is in `ours`.
fn patch_levels(floats: &[u8], spec: &PixelSpec, ours: &[u8], patches: Patches) -> Vec<u8> {
    let grid = patches.grid(ours);
    let count = usize::from(grid.rows) * usize::from(grid.columns);
    let filled = count * 3 * (patches.edge * patches.edge) as usize;
    let mut bytes = ours.to_vec();
    for (at, (byte, value)) in bytes[..filled]
        .iter_mut()
        .zip(floats_of(floats))
        .enumerate()
    {
        *byte = level(value, at % 3, spec);
    }
    bytes
}

fn floats_of(bytes: &[u8]) -> impl Iterator<Item = f32> + '_ {
    let fours = bytes.chunks_exact(4);
    fours.map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]))
}

fn level(value: f32, channel: usize, spec: &PixelSpec) -> u8 {
    let value = value * spec.std[channel] + spec.mean[channel];
    let level = (value / spec.rescale).round().clamp(0.0, 255.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "within 0..=255"
    )]
    {
        level as u8
    }
}

/// Of vectors that have length one.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    a.iter()
        .zip(b)
        .map(|(a, b)| f64::from(*a) * f64::from(*b))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::same_tokens;

    #[test]
    fn padding_is_no_difference_and_all_else_is() {
        let ours = [1, 7, 8, 2];
        for same in [
            &[1, 7, 8, 2][..],
            &[1, 7, 8, 2, 0, 0],
            &[1, 7, 8, 2, 2, 2, 2],
        ] {
            assert!(same_tokens(&ours, same), "{same:?}");
        }
        for other in [&[1, 7, 8][..], &[1, 7, 9, 2], &[1, 7, 8, 2, 5, 2], &[]] {
            assert!(!same_tokens(&ours, other), "{other:?}");
        }
    }
}
