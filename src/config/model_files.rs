//! Which files of a directory or a repository are a model: the one table of layouts.
//!
//! Directories, repositories of the hub and `inspect` ask the same table, so that what is fetched is what is loaded.

use std::collections::BTreeSet;

use crate::schema::Side;

/// Stems of the files that hold the image and the text tower, below the model's folder.
struct Layout {
    image: &'static str,
    text: &'static str,
}

const fn layout(image: &'static str, text: &'static str) -> Layout {
    Layout { image, text }
}

/// The layouts, best first: a pair runs each tower on its own batch, a combined graph has to be cut.
const LAYOUTS: [Layout; 6] = [
    // Optimum and the exports made with it.
    layout("vision_model", "text_model"),
    // open_clip exports.
    layout("visual", "textual"),
    // A folder for each tower: immich, then what people make by hand.
    layout("visual/model", "textual/model"),
    layout("image/model", "text/model"),
    layout("vision/model", "text/model"),
    // One graph for both.
    layout("model", "model"),
];
/// Folders of the model in which each layout may lie.
const FOLDERS: [&str; 2] = ["onnx/", ""];

/// Files beside the graphs that say how pixels and tokens are made.
pub const DESCRIPTIONS: [&str; 10] = [
    "config.json",
    "merges.txt",
    "open_clip_config.json",
    "preprocess_cfg.json",
    "preprocessor_config.json",
    "processor_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
];

/// Where the image tower of a model in two directories is shown among the names of both, and where the text tower.
pub const IMAGE_ROOT: &str = "image/";
/// See [`IMAGE_ROOT`].
pub const TEXT_ROOT: &str = "text/";

/// The variant without a suffix.
pub const FP32: &str = "fp32";
/// What is taken where none is asked for, best first; anything else comes after these by name.
const PREFERENCE: [&str; 8] = [
    FP32,
    "fp16",
    "quantized",
    "int8",
    "uint8",
    "q4f16",
    "q4",
    "bnb4",
];

/// The graphs of one model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TowerFiles {
    /// The file with the image tower.
    pub image: String,
    /// The file with the text tower; the same for a combined graph.
    pub text: String,
    /// The variant, `fp32` where the file names say none.
    pub precision: String,
    /// Every variant in which both towers are there.
    pub precisions: BTreeSet<String>,
}

/// Why no graphs were found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoTowers {
    /// There is no graph of a known name.
    NoGraphs,
    /// One tower is there, and not the other.
    Only(Side),
    /// Both are there, in these precisions.
    OtherPrecisions(Vec<String>),
    /// There are several models, in these folders.
    Several(Vec<String>),
}

/// Finds both towers among `names`, in `folder` (empty or ending in `/`); `precision` of `None` takes the best.
///
/// Where the folder itself holds none, one below it may; several are not chosen from.
///
/// # Errors
/// When there is no model, or not in this precision, or several.
pub fn find(
    names: &BTreeSet<String>,
    folder: &str,
    precision: Option<&str>,
) -> Result<TowerFiles, NoTowers> {
    match find_in(names, folder, precision) {
        Err(NoTowers::NoGraphs) => {}
        found => return found,
    }
    let below: Vec<String> = folders(names)
        .into_iter()
        .filter(|below| below.len() > folder.len() && below.starts_with(folder))
        .filter(|below| is_in(names, below))
        .collect();
    match below.as_slice() {
        [one] => find_in(names, one, precision),
        [] => Err(NoTowers::NoGraphs),
        _ => Err(NoTowers::Several(below)),
    }
}

/// Finds one tower among `names`, whatever is there of the other: the half of a model in two directories.
///
/// # Errors
/// As [`find`].
pub fn find_part(
    names: &BTreeSet<String>,
    folder: &str,
    part: Side,
    precision: Option<&str>,
) -> Result<TowerFiles, NoTowers> {
    let mut others = BTreeSet::new();
    for stem in stems(folder, part) {
        let there = variants(names, &stem);
        if let Some(precision) = choose(&there, precision) {
            return Ok(TowerFiles {
                image: file(&stem, &precision),
                text: file(&stem, &precision),
                precision,
                precisions: there,
            });
        }
        others.extend(there);
    }
    Err(match others.is_empty() {
        true => NoTowers::NoGraphs,
        false => NoTowers::OtherPrecisions(others.into_iter().collect()),
    })
}

/// Finds the towers of a model in two directories among names that begin with [`IMAGE_ROOT`] and [`TEXT_ROOT`].
///
/// # Errors
/// As [`find`]; the towers must be there in one precision.
pub fn find_apart(
    names: &BTreeSet<String>,
    precision: Option<&str>,
) -> Result<TowerFiles, NoTowers> {
    let of = |folder, part, precision: Option<&str>| find_part(names, folder, part, precision);
    let missing = |other: Side| {
        move |none| match none {
            NoTowers::NoGraphs => NoTowers::Only(other),
            none => none,
        }
    };
    let image = of(IMAGE_ROOT, Side::Image, precision).map_err(missing(Side::Text))?;
    let text = of(TEXT_ROOT, Side::Text, precision).map_err(missing(Side::Image))?;
    let both = &image.precisions & &text.precisions;
    let Some(precision) = choose(&both, precision) else {
        return Err(NoTowers::OtherPrecisions(
            (&image.precisions | &text.precisions).into_iter().collect(),
        ));
    };
    Ok(TowerFiles {
        image: of(IMAGE_ROOT, Side::Image, Some(&precision))?.image,
        text: of(TEXT_ROOT, Side::Text, Some(&precision))?.text,
        precision,
        precisions: both,
    })
}

/// The name of `file` that describes `graph`: beside it, else in the nearest folder above.
pub fn beside(names: &BTreeSet<String>, graph: &str, file: &str) -> Option<String> {
    let folders = graph.rmatch_indices('/').map(|(end, _)| &graph[..=end]);
    folders
        .chain([""])
        .map(|folder| format!("{folder}{file}"))
        .find(|name| names.contains(name))
}

/// True for the name of a graph or of a file that describes one.
pub fn is_of_a_model(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or(name);
    file.ends_with(".onnx") || DESCRIPTIONS.contains(&file)
}

/// Whether a path is a graph or holds its weights: `x.onnx_data`, `x.onnx_data_1`, `x.onnx.data`, `x.data`; where the
/// tower has a folder of its own, also any file in it that is of no other program.
pub fn belongs(path: &str, graph: &str) -> bool {
    let stem = graph.strip_suffix(".onnx").unwrap_or(graph);
    if path.strip_prefix(stem) == Some(".data") {
        return true;
    }
    if let Some(rest) = path.strip_prefix(graph) {
        return rest.is_empty() || rest.starts_with("_data") || rest == ".data";
    }
    let own = LAYOUTS
        .iter()
        .flat_map(|layout| [layout.image, layout.text]);
    let own = own.filter(|stem| stem.contains('/'));
    let in_own_folder = own.into_iter().any(|own| stem.ends_with(own));
    let beside = || {
        let (folder, _) = graph.rsplit_once('/')?;
        let name = path.strip_prefix(folder)?.strip_prefix('/')?;
        Some(!name.contains(['/', '.']) || name.ends_with(".weight") || name.ends_with(".bias"))
    };
    in_own_folder && beside().unwrap_or(false)
}

/// Layouts as a person would name them, for hints.
pub fn known() -> String {
    let pairs = LAYOUTS
        .iter()
        .map(|layout| match layout.image == layout.text {
            true => format!("{}.onnx with both towers", layout.image),
            false => format!("{}.onnx and {}.onnx", layout.image, layout.text),
        });
    pairs.collect::<Vec<String>>().join("; ")
}

/// Both towers, in this folder.
fn find_in(
    names: &BTreeSet<String>,
    folder: &str,
    precision: Option<&str>,
) -> Result<TowerFiles, NoTowers> {
    let mut others = BTreeSet::new();
    for (image, text) in pairs(folder) {
        let both = &variants(names, &image) & &variants(names, &text);
        if let Some(precision) = choose(&both, precision) {
            return Ok(TowerFiles {
                image: file(&image, &precision),
                text: file(&text, &precision),
                precision,
                precisions: both,
            });
        }
        others.extend(both);
    }
    if !others.is_empty() {
        return Err(NoTowers::OtherPrecisions(others.into_iter().collect()));
    }
    let alone = |part: Side| {
        let there = stems(folder, part).any(|stem| !variants(names, &stem).is_empty());
        there.then_some(NoTowers::Only(part))
    };
    Err(alone(Side::Image)
        .or_else(|| alone(Side::Text))
        .unwrap_or(NoTowers::NoGraphs))
}

fn is_in(names: &BTreeSet<String>, folder: &str) -> bool {
    pairs(folder)
        .any(|(image, text)| !(&variants(names, &image) & &variants(names, &text)).is_empty())
}

/// Folders in which a file of a layout lies, each with a trailing `/`; none within another that is a model's.
fn folders(names: &BTreeSet<String>) -> BTreeSet<String> {
    let mut found: BTreeSet<String> = BTreeSet::new();
    for name in names.iter().filter(|name| name.ends_with(".onnx")) {
        for (end, _) in name.match_indices('/') {
            let folder = &name[..=end];
            if is_in(names, folder) {
                found.insert(folder.to_owned());
                break;
            }
        }
    }
    found
}

fn pairs(folder: &str) -> impl Iterator<Item = (String, String)> {
    LAYOUTS.iter().flat_map(move |layout| {
        let stem = move |below: &str, stem: &str| format!("{folder}{below}{stem}");
        FOLDERS.map(|below| (stem(below, layout.image), stem(below, layout.text)))
    })
}

fn stems(folder: &str, part: Side) -> impl Iterator<Item = String> {
    pairs(folder).map(move |(image, text)| match part {
        Side::Image => image,
        Side::Text => text,
    })
}

/// The precisions in which `stem` comes.
fn variants(names: &BTreeSet<String>, stem: &str) -> BTreeSet<String> {
    let from = names.range::<str, _>((std::ops::Bound::Included(stem), std::ops::Bound::Unbounded));
    let suffixes = from
        .take_while(|name| name.starts_with(stem))
        .filter_map(|name| name.strip_prefix(stem)?.strip_suffix(".onnx"));
    suffixes
        .filter_map(|suffix| match suffix {
            "" => Some(FP32.to_owned()),
            suffix => suffix
                .strip_prefix('_')
                .filter(|name| !name.is_empty())
                .map(str::to_owned),
        })
        .collect()
}

fn file(stem: &str, precision: &str) -> String {
    match precision {
        FP32 => format!("{stem}.onnx"),
        variant => format!("{stem}_{variant}.onnx"),
    }
}

fn choose(there: &BTreeSet<String>, precision: Option<&str>) -> Option<String> {
    let asked = match precision {
        Some(asked) => Some(asked),
        None => PREFERENCE.into_iter().find(|name| there.contains(*name)),
    };
    match asked {
        Some(asked) => there.get(asked).cloned(),
        None => there.first().cloned(),
    }
}

#[cfg(test)]
mod tests;
