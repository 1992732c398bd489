//! Rows as cards: a picture, a caption, what became of it, scores and reference.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Serialize;

use super::page::score;
use crate::report::{Exhibit, Report};

/// Bytes of all images together; what comes after has none.
const MOST_IMAGE_BYTES: usize = 3 << 20;
/// Characters of all captions together; what comes after is cut at [`SHORT_CAPTION`].
const MOST_CAPTION_CHARS: usize = 600_000;
/// Longer captions are folded.
pub(super) const SHORT_CAPTION: usize = 140;
/// Smaller pictures are shown with their pixels.
const TINY_PX: u32 = 64;

/// A row in a gallery.
#[derive(Serialize)]
pub(super) struct Card<'a> {
    reference: &'a str,
    place: &'a str,
    key: Option<&'a str>,
    short: Option<String>,
    long: Option<&'a str>,
    fate: &'static str,
    fate_kind: &'static str,
    kept: bool,
    scores: Vec<Score<'a>>,
    image: Option<Image>,
    no_image: &'a str,
}

#[derive(Serialize)]
struct Score<'a> {
    name: &'a str,
    value: String,
}

#[derive(Serialize)]
struct Image {
    src: String,
    width: u32,
    height: u32,
    tiny: bool,
}

/// Makes cards while there is room for their images and captions.
pub(super) struct Cards<'a> {
    rows: &'a [Exhibit],
    image_bytes: usize,
    caption_chars: usize,
}

impl<'a> Cards<'a> {
    pub(super) fn new(report: &'a Report) -> Self {
        Self {
            rows: &report.rows,
            image_bytes: 0,
            caption_chars: 0,
        }
    }

    pub(super) fn of(&mut self, rows: &[usize]) -> Vec<Card<'a>> {
        let rows: Vec<&'a Exhibit> = rows.iter().filter_map(|&row| self.rows.get(row)).collect();
        rows.into_iter().map(|row| self.card(row)).collect()
    }

    fn card(&mut self, row: &'a Exhibit) -> Card<'a> {
        let image = row.thumbnail.as_ref().filter(|thumbnail| {
            self.image_bytes += thumbnail.jpeg.len() * 4 / 3;
            self.image_bytes <= MOST_IMAGE_BYTES
        });
        let no_image = match (&row.no_image, &row.thumbnail) {
            (Some(reason), _) => reason,
            (None, Some(_)) => "left out to keep the page small",
            (None, None) => "no image",
        };
        let caption = row.caption.as_deref();
        let long = caption.filter(|caption| {
            let chars = caption.chars().count();
            self.caption_chars += chars;
            chars > SHORT_CAPTION && self.caption_chars <= MOST_CAPTION_CHARS
        });
        Card {
            reference: &row.reference,
            place: &row.place,
            key: row.key.as_deref(),
            short: caption.map(|caption| start_of(caption, SHORT_CAPTION)),
            long,
            fate: row.removed_by.map_or("kept", |rule| rule.title()),
            fate_kind: if row.kept { "kept" } else { "cut" },
            kept: row.kept,
            scores: row
                .scores
                .iter()
                .map(|(name, value)| Score {
                    name,
                    value: score(f64::from(*value)),
                })
                .collect(),
            image: image.map(|thumbnail| Image {
                src: format!(
                    "data:image/jpeg;base64,{}",
                    STANDARD.encode(&thumbnail.jpeg)
                ),
                width: thumbnail.width,
                height: thumbnail.height,
                tiny: thumbnail.width.max(thumbnail.height) <= TINY_PX,
            }),
            no_image,
        }
    }
}

pub(super) fn start_of(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
