//! The towers of a model as their graphs describe them.

use std::collections::BTreeSet;

use clip_filter_pixels::{Patches, PixelSpec, Resize};

use super::{Files, ModelLayout, images, layout};
use crate::encode::graph::{Graph, Versions};
use crate::encode::ports::{ImagePorts, PatchPorts, TextPorts, image_ports, text_ports};
use crate::error::{Error, Result};
use crate::{config::model_files::TowerFiles, schema::Side};

/// A tower: the file it is in and the ports it has.
#[derive(Debug, Clone)]
pub(crate) struct Tower<P> {
    /// The ONNX file, relative to the model directory.
    pub(crate) file: String,
    /// Its inputs and its output.
    pub(crate) ports: P,
    /// What it was written for.
    pub(crate) versions: Versions,
    /// Files beside it in which some of its weights lie, relative to the model directory.
    pub(crate) external: BTreeSet<String>,
}

/// Both towers and what they have in common.
pub(super) struct Towers {
    /// The image tower.
    pub(super) image: Tower<ImagePorts>,
    /// The text tower.
    pub(super) text: Tower<TextPorts>,
    /// Files with their weights.
    pub(super) weights: BTreeSet<String>,
    /// Length of an embedding, where a file says it.
    pub(super) dim: Option<usize>,
    /// A vector depends on the rows beside it.
    pub(super) batch_dependent: bool,
}

/// The graphs of a model as their files describe them, before anything else is known.
pub(super) struct Graphs {
    image: Graph,
    /// None where one graph holds both towers.
    text: Option<Graph>,
    image_file: String,
    text_file: String,
    image_ports: ImagePorts,
    text_ports: TextPorts,
}

impl Towers {
    /// Reads the graphs of `found`.
    ///
    /// # Errors
    /// When a file is damaged, a tower has other ports than one, or a directory holds one tower alone.
    pub(super) fn read(files: &Files, found: &TowerFiles) -> Result<Graphs> {
        let combined = layout::kind(found) == ModelLayout::Combined;
        let image = files.graph(&found.image)?;
        let text = match combined {
            true => None,
            false => Some(files.graph(&found.text)?),
        };
        let text_graph = text.as_ref().unwrap_or(&image);
        let (image_ports, text_ports) = (image_ports(&image), text_ports(text_graph, combined));
        let half = match (&image_ports, &text_ports) {
            (Ok(_), Err(_)) => Some(Side::Image),
            (Err(_), Ok(_)) => Some(Side::Text),
            _ => None,
        };
        if let Some(part) = half.filter(|_| combined) {
            return Err(layout::half(part).with("file", &found.image));
        }
        Ok(Graphs {
            image_ports: image_ports.map_err(|error| error.with("file", &found.image))?,
            text_ports: text_ports.map_err(|error| error.with("file", &found.text))?,
            image,
            text,
            image_file: found.image.clone(),
            text_file: found.text.clone(),
        })
    }
}

impl Graphs {
    /// The towers, if they fit each other.
    ///
    /// # Errors
    /// When they do not, or external weights lie elsewhere.
    pub(super) fn checked(self, model_type: &str) -> Result<Towers> {
        let (image, text) = (self.image_ports, self.text_ports);
        let text_graph = self.text.as_ref().unwrap_or(&self.image);
        check_projected(model_type, &[&image.output, &text.output])?;
        if let (Some(image), Some(text)) = (image.dim, text.dim)
            && image != text
        {
            return Err(different(image, text));
        }
        let image_external = Files::external(&self.image_file, &self.image)?;
        let text_external = Files::external(&self.text_file, text_graph)?;
        let mut weights = BTreeSet::from([self.image_file.clone(), self.text_file.clone()]);
        weights.extend(image_external.iter().chain(&text_external).cloned());
        Ok(Towers {
            dim: image.dim.or(text.dim),
            batch_dependent: self.image.batch_dependent() || text_graph.batch_dependent(),
            image: Tower {
                file: self.image_file,
                versions: self.image.versions.clone(),
                ports: image,
                external: image_external,
            },
            text: Tower {
                file: self.text_file,
                versions: text_graph.versions.clone(),
                ports: text,
                external: text_external,
            },
            weights,
        })
    }
}

/// The towers of CLIP have a pooler output too, but it comes before the projection into the shared space.
fn check_projected(model_type: &str, outputs: &[&str]) -> Result<()> {
    if (model_type == "clip" || model_type.starts_with("clip_"))
        && outputs.contains(&"pooler_output")
    {
        return Err(Error::model("use a CLIP export without its projections")
            .with("outputs", outputs.join(", "))
            .hint("export CLIPVisionModelWithProjection and CLIPTextModelWithProjection"));
    }
    Ok(())
}

/// An error for towers whose embeddings cannot be compared.
pub(crate) fn different(image: usize, text: usize) -> Error {
    Error::model("compare embeddings of different lengths")
        .with("image", image)
        .with("text", text)
        .hint("both towers must be exported with their projection into the shared space")
}

fn check_patches(ports: &PatchPorts, patches: Patches) -> Result<()> {
    let values = 3 * u64::from(patches.edge) * u64::from(patches.edge);
    let most = u64::from(patches.most);
    if ports.values.is_none_or(|fixed| fixed == values)
        && ports.most.is_none_or(|fixed| fixed == most)
    {
        return Ok(());
    }
    let side = |fixed: Option<u64>| fixed.map_or("?".to_owned(), |fixed| fixed.to_string());
    Err(Error::model("match the preprocessing with the image tower")
        .with(
            "preprocessing makes",
            format!("{most} patches of {values} values"),
        )
        .with(
            "the graph takes",
            format!(
                "{} patches of {} values",
                side(ports.most),
                side(ports.values)
            ),
        ))
}

/// Fails where the preprocessing makes other pictures than the tower takes.
pub(super) fn check_size(ports: &ImagePorts, pixels: &PixelSpec) -> Result<()> {
    match (&ports.patches, pixels.resize) {
        (Some(ports), Some(Resize::Patches(patches))) => return check_patches(ports, patches),
        (None, Some(Resize::Patches(_))) | (Some(_), _) => {
            return Err(Error::model("match the preprocessing with the image tower")
                .with("preprocessing makes patches", ports.patches.is_none())
                .with("the graph takes patches", ports.patches.is_some()));
        }
        _ => {}
    }
    let Some((height, width)) = images::output_size(pixels) else {
        return Err(Error::internal("check images without a size"));
    };
    let fits = |fixed: Option<u64>, side: u32| fixed.is_none_or(|fixed| fixed == u64::from(side));
    if fits(ports.size.0, height) && fits(ports.size.1, width) {
        return Ok(());
    }
    let side = |fixed: Option<u64>| fixed.map_or("?".to_owned(), |fixed| fixed.to_string());
    Err(Error::model("match the preprocessing with the image tower")
        .with("preprocessing makes", format!("{height}x{width}"))
        .with(
            "the graph takes",
            format!("{}x{}", side(ports.size.0), side(ports.size.1)),
        ))
}
