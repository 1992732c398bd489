//! Names shared by all rooms: the columns this program adds, and the outcome of a row.

mod score_column;

pub use score_column::{Made, ScoreColumn, Values};

/// Plain cosine of image and text embedding, in [-1, 1], `f32`; null on a bad row.
pub const CLIP_SCORE: &str = "clip_score";
/// L2-normalised image embedding, `list<float>`.
pub const IMAGE_EMBEDDING: &str = "image_embedding";
/// L2-normalised text embedding, `list<float>`.
pub const TEXT_EMBEDDING: &str = "text_embedding";
/// Outcome of a row, one of [`Status::as_str`].
pub const STATUS: &str = "status";
/// Why a row is bad, free text.
pub const REASON: &str = "reason";
/// Width of the stored image in pixels, before any resize.
pub const WIDTH: &str = "width";
/// Height of the stored image in pixels, before any resize.
pub const HEIGHT: &str = "height";
/// How often a row is to be seen where rows are weighed, `u32`.
pub const REPEATS: &str = "repeats";
/// Position of the shard in the order the shards were listed, `u32`.
pub const SHARD: &str = "__shard";
/// Position of the row within its shard, `u64`.
pub const ROW: &str = "__row";

/// In a score store: the shard's path.
pub const STORED_SHARD: &str = "shard";
/// In a score store: position of the row within its shard, `i64`.
pub const STORED_ROW: &str = "row";

/// One side of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The image.
    Image,
    /// The caption.
    Text,
}

impl Side {
    /// Both, the image side first.
    pub const BOTH: [Side; 2] = [Side::Image, Side::Text];

    /// The name that tensors and messages have.
    pub fn as_str(self) -> &'static str {
        match self {
            Side::Image => "image",
            Side::Text => "text",
        }
    }
}

/// Outcome of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Status {
    /// Image and caption were encoded.
    Ok,
    /// The image value is null.
    NullImage,
    /// The image holds no bytes.
    EmptyImage,
    /// The bytes are no image of a supported format.
    UnsupportedImage,
    /// The image is damaged.
    CorruptImage,
    /// The image ends early.
    TruncatedImage,
    /// The declared size is over the pixel limit.
    TooManyPixels,
    /// The image is a path or URL that is not allowed to be read.
    PathRefused,
    /// The image is a path that could not be read.
    UnreadablePath,
    /// The caption is null.
    NullCaption,
    /// The caption holds nothing to read: white space, control and invisible characters at most.
    EmptyCaption,
    /// The model has no finite embedding for it.
    NotEncoded,
}

impl Status {
    /// Every outcome, in the order of their codes.
    pub const ALL: [Status; 12] = [
        Status::Ok,
        Status::NullImage,
        Status::EmptyImage,
        Status::UnsupportedImage,
        Status::CorruptImage,
        Status::TruncatedImage,
        Status::TooManyPixels,
        Status::PathRefused,
        Status::UnreadablePath,
        Status::NullCaption,
        Status::EmptyCaption,
        Status::NotEncoded,
    ];

    /// The name that columns, summaries and `--json` show.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::NullImage => "null_image",
            Status::EmptyImage => "empty_image",
            Status::UnsupportedImage => "unsupported_image",
            Status::CorruptImage => "corrupt_image",
            Status::TruncatedImage => "truncated_image",
            Status::TooManyPixels => "too_many_pixels",
            Status::PathRefused => "path_refused",
            Status::UnreadablePath => "unreadable_path",
            Status::NullCaption => "null_caption",
            Status::EmptyCaption => "empty_caption",
            Status::NotEncoded => "not_encoded",
        }
    }

    /// The outcome named `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_and_round_trip() {
        for status in Status::ALL {
            assert_eq!(Status::from_name(status.as_str()), Some(status));
        }
    }
}
