//! File names of ONNX Runtime and the version they tell.

use std::fmt;

/// A version of ONNX Runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Always 1 so far.
    pub major: u32,
    /// The release; the C API grows with it.
    pub minor: u32,
    /// The patch release.
    pub patch: u32,
}

impl Version {
    /// The oldest library that offers the C API this program is built for.
    pub const OLDEST: Version = Version {
        major: 1,
        minor: 24,
        patch: 0,
    };

    /// Reads `1.32.0`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.').map(|part| part.parse::<u32>().ok());
        let version = Version {
            major: parts.next()??,
            minor: parts.next()??,
            patch: parts.next()??,
        };
        parts.next().is_none().then_some(version)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// How libraries are named here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Os {
    Linux,
    Mac,
    Windows,
}

/// The machine as wheels see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Platform {
    pub(super) os: Os,
    /// `linux-x86_64`, `macos-aarch64`, …
    pub(super) name: &'static str,
}

impl Platform {
    pub(super) fn current() -> Self {
        use std::env::consts;
        let os = match consts::OS {
            "macos" => Os::Mac,
            "windows" => Os::Windows,
            // The others that build (BSD, illumos) name their libraries as Linux does.
            _ => Os::Linux,
        };
        let name = match (consts::OS, consts::ARCH) {
            ("linux", "x86_64") => "linux-x86_64",
            ("linux", "aarch64") => "linux-aarch64",
            ("macos", "aarch64") => "macos-aarch64",
            ("windows", "x86_64") => "windows-x86_64",
            _ => "other",
        };
        Platform { os, name }
    }
}

impl Os {
    /// Whether `file_name` is ONNX Runtime's main library, and the version in it.
    pub(super) fn library_version(self, file_name: &str) -> Option<Option<Version>> {
        let middle = match self {
            Os::Linux => file_name.strip_prefix("libonnxruntime.so")?,
            Os::Mac => file_name
                .strip_prefix("libonnxruntime")?
                .strip_suffix(".dylib")?,
            Os::Windows => file_name
                .strip_prefix("onnxruntime")?
                .strip_suffix(".dll")?,
        };
        if middle.is_empty() {
            return Some(None);
        }
        let number = middle.strip_prefix('.')?;
        // `.so.1` is the link by which the loader knows it; a link's target tells the rest.
        let digits = number.split('.').all(|part| part.parse::<u32>().is_ok());
        digits.then(|| Version::parse(number))
    }

    /// The usual name, for messages.
    pub(super) fn library_name(self) -> &'static str {
        match self {
            Os::Linux => "libonnxruntime.so*",
            Os::Mac => "libonnxruntime*.dylib",
            Os::Windows => "onnxruntime.dll",
        }
    }

    /// The file of the CUDA provider.
    pub(super) fn cuda_provider(self) -> &'static str {
        match self {
            Os::Linux => "libonnxruntime_providers_cuda.so",
            Os::Mac => "libonnxruntime_providers_cuda.dylib",
            Os::Windows => "onnxruntime_providers_cuda.dll",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_tell_the_library_and_its_version() {
        let known = |minor| {
            Some(Some(Version {
                major: 1,
                minor,
                patch: 0,
            }))
        };
        assert_eq!(
            Os::Linux.library_version("libonnxruntime.so.1.32.0"),
            known(32)
        );
        assert_eq!(Os::Linux.library_version("libonnxruntime.so"), Some(None));
        assert_eq!(Os::Linux.library_version("libonnxruntime.so.1"), Some(None));
        assert_eq!(
            Os::Linux.library_version("libonnxruntime_providers_shared.so"),
            None
        );
        assert_eq!(
            Os::Linux.library_version("libonnxruntime.so.1.32.0.bak"),
            None
        );
        assert_eq!(
            Os::Linux.library_version("libonnxruntime.1.32.0.dylib"),
            None
        );
        assert_eq!(
            Os::Mac.library_version("libonnxruntime.1.24.0.dylib"),
            known(24)
        );
        assert_eq!(Os::Mac.library_version("libonnxruntime.dylib"), Some(None));
        assert_eq!(Os::Windows.library_version("onnxruntime.dll"), Some(None));
        assert_eq!(
            Os::Windows.library_version("onnxruntime_providers_shared.dll"),
            None
        );
    }

    #[test]
    fn versions_compare_by_number() {
        assert!(Version::parse("1.9.0") < Version::parse("1.24.0"));
        assert_eq!(Version::parse("1.24"), None);
        assert_eq!(Version::parse("1.24.0.1"), None);
    }
}
