//! Options that more than one room reads, with the text form they have on the command line.

pub mod model_files;
mod reading;
mod share;

use std::{fmt, str::FromStr, sync::Arc};

pub use reading::{ImageChoice, Orientation, Reading, Truncated};
pub use share::Share;

/// Images that declare more pixels than this are bad rows, unless another limit is asked for.
pub const DEFAULT_MAX_PIXELS: u64 = 178_956_970;

/// Gets lines of text that a user should see, on whatever thread has one.
pub type Tell = Arc<dyn Fn(&str) + Send + Sync>;

/// Where the encoders run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Device {
    /// The first CUDA device if there is one that works, else the CPU; says which.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The CUDA device of this ordinal; an error if it is not there.
    Cuda(u32),
    /// The CUDA device of this ordinal through TensorRT; an error if it is not there.
    TensorRt(u32),
}

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, ordinal) = text.split_once(':').unwrap_or((text, "0"));
        let ordinal = ordinal
            .parse::<u32>()
            .map_err(|_| format!("device ordinal '{ordinal}' is not a whole number"));
        match name {
            "auto" if !text.contains(':') => Ok(Device::Auto),
            "cpu" if !text.contains(':') => Ok(Device::Cpu),
            "cuda" => Ok(Device::Cuda(ordinal?)),
            "tensorrt" => Ok(Device::TensorRt(ordinal?)),
            _ => Err(format!(
                "'{text}' is not one of auto, cpu, cuda[:N], tensorrt[:N]"
            )),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Auto => f.write_str("auto"),
            Device::Cpu => f.write_str("cpu"),
            Device::Cuda(ordinal) => write!(f, "cuda:{ordinal}"),
            Device::TensorRt(ordinal) => write!(f, "tensorrt:{ordinal}"),
        }
    }
}

/// One or more devices of one kind, over which encoders are spread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Devices {
    first: Device,
    others: Vec<Device>,
}

impl Devices {
    /// The device that is tried first.
    pub fn first(&self) -> Device {
        self.first
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        1 + self.others.len()
    }

    /// The device of the encoder with this number: encoders go round.
    pub fn of(&self, encoder: usize) -> Device {
        match encoder % self.count() {
            0 => self.first,
            number => self.others[number - 1],
        }
    }
}

impl From<Device> for Devices {
    fn from(first: Device) -> Self {
        Self {
            first,
            others: Vec::new(),
        }
    }
}

impl FromStr for Devices {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',');
        let first: Device = parts.next().unwrap_or_default().parse()?;
        let kind = text.split(':').next().unwrap_or_default();
        let mut devices = Self::from(first);
        for ordinal in parts {
            let next: Device = format!("{kind}:{ordinal}").parse()?;
            if next == devices.first || devices.others.contains(&next) {
                return Err(format!("device {next} is named twice"));
            }
            devices.others.push(next);
        }
        Ok(devices)
    }
}

impl fmt::Display for Devices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.first.fmt(f)?;
        for device in &self.others {
            if let Device::Cuda(ordinal) | Device::TensorRt(ordinal) = device {
                write!(f, ",{ordinal}")?;
            }
        }
        Ok(())
    }
}

/// What becomes of a shard that cannot be read: cut off, of no bytes, or damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnBadShard {
    /// It is an error that names it.
    #[default]
    Fail,
    /// It is left out with all its rows, and told.
    Skip,
}

/// What becomes of a bad row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    /// It is written with a null score.
    Keep,
    /// It is left out and counted.
    #[default]
    Drop,
    /// The run stops with an error that names it.
    Fail,
}

/// A number of bytes, read from `512MiB`, `1GiB`, `2GB`, `1.5g`, `1048576`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let end = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let number: f64 = text[..end]
            .parse()
            .map_err(|_| format!("'{text}' does not start with a number"))?;
        let unit: f64 = match text[end..].trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1.0,
            "k" | "kib" => 1024.0,
            "m" | "mib" => 1024.0 * 1024.0,
            "g" | "gib" => 1024.0 * 1024.0 * 1024.0,
            "t" | "tib" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
            "kb" => 1e3,
            "mb" => 1e6,
            "gb" => 1e9,
            "tb" => 1e12,
            unit => {
                return Err(format!(
                    "'{unit}' is not a unit; use KiB, MiB, GiB, KB, MB, GB"
                ));
            }
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "digits are non-negative, and a float to integer cast saturates"
        )]
        Ok(ByteSize((number * unit) as u64))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(&str, u64); 4] = [
            ("TiB", 1 << 40),
            ("GiB", 1 << 30),
            ("MiB", 1 << 20),
            ("KiB", 1 << 10),
        ];
        for (name, size) in UNITS {
            if self.0 >= size {
                #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
                return write!(f, "{:.1} {name}", self.0 as f64 / size as f64);
            }
        }
        write!(f, "{} B", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_read_as_they_print() {
        for text in ["auto", "cpu", "cuda:0", "cuda:3", "tensorrt:1"] {
            assert_eq!(
                text.parse::<Device>().map(|device| device.to_string()),
                Ok(text.to_owned())
            );
        }
        assert_eq!("cuda".parse(), Ok(Device::Cuda(0)));
        for text in ["gpu", "cpu:1", "cuda:x", "cuda:-1", ""] {
            assert!(text.parse::<Device>().is_err(), "{text}");
        }
    }

    #[test]
    fn several_devices_are_of_one_kind_and_encoders_go_round() {
        for text in ["auto", "cpu", "cuda:1", "cuda:0,1", "tensorrt:2,0,1"] {
            let devices: Devices = text.parse().unwrap();
            assert_eq!(devices.to_string(), text);
        }
        let devices: Devices = "cuda:3,1".parse().unwrap();
        let of: Vec<Device> = (0..4).map(|encoder| devices.of(encoder)).collect();
        let (three, one) = (Device::Cuda(3), Device::Cuda(1));
        assert_eq!(of, [three, one, three, one]);
        assert_eq!("cuda".parse(), Ok(Devices::from(Device::Cuda(0))));
        for text in [
            "cuda:0,0",
            "cpu,1",
            "auto,0",
            "cuda:0,cuda:1",
            "cuda:0,",
            "",
        ] {
            assert!(text.parse::<Devices>().is_err(), "{text}");
        }
    }

    #[test]
    fn byte_sizes_take_binary_and_decimal_units() {
        assert_eq!("1GiB".parse(), Ok(ByteSize(1 << 30)));
        assert_eq!("1.5g".parse(), Ok(ByteSize(3 << 29)));
        assert_eq!("2 GB".parse(), Ok(ByteSize(2_000_000_000)));
        assert!("x".parse::<ByteSize>().is_err());
        assert!("1 parsec".parse::<ByteSize>().is_err());
        assert_eq!(ByteSize(3 << 29).to_string(), "1.5 GiB");
    }
}
