//! Why an image has no pixels.

use std::fmt;

/// The reason in one word, for a status column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// No bytes at all.
    Empty,
    /// Not an image format that is read here, or a variant of one that is not.
    Unsupported,
    /// The bytes contradict themselves.
    Corrupt,
    /// The bytes end before the picture does.
    Truncated,
    /// The declared size is over the limit.
    TooManyPixels,
}

impl FaultKind {
    /// Stable lower-case name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Unsupported => "unsupported",
            Self::Corrupt => "corrupt",
            Self::Truncated => "truncated",
            Self::TooManyPixels => "too_many_pixels",
        }
    }
}

/// One image that could not be read: what and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The reason in one word.
    pub kind: FaultKind,
    /// A lower-case fragment that reads after "failed to read the image: ".
    pub message: String,
}

impl Fault {
    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self {
            kind: FaultKind::Unsupported,
            message: message.into(),
        }
    }

    pub(crate) fn corrupt(message: impl Into<String>) -> Self {
        Self {
            kind: FaultKind::Corrupt,
            message: message.into(),
        }
    }

    pub(crate) fn truncated(message: impl Into<String>) -> Self {
        Self {
            kind: FaultKind::Truncated,
            message: message.into(),
        }
    }

    /// `Truncated` where the reader ran out of bytes, else `Corrupt`.
    pub(crate) fn from_io(format: &str, error: &std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::UnexpectedEof {
            Self::truncated(format!("{format}: the file ends within the picture"))
        } else {
            Self::corrupt(format!("{format}: {error}"))
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.as_str(), self.message)
    }
}

impl std::error::Error for Fault {}
