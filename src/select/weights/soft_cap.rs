//! How often a row is to be seen for its score, as somebody asked for it.

use std::{fmt, str::FromStr};

/// Weights instead of a cut: a row of score s is seen r = ln(1 + alpha tau e^(scale s)) / alpha times, at most `cap`
/// times, and tau is what makes the sum right.
///
/// # Source
/// The expectation of FLYT's sampling loop (arXiv 2503.08805): draw a row by the softmax of the scores, take alpha from
/// what was drawn, until there are enough.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct SoftCap {
    /// What a draw takes from the score of a row, above 0; the larger, the more even.
    pub alpha: f64,
    /// Most times that a row is seen, in 1 to [`Self::MOST_REPEATS`].
    pub cap: u32,
    /// Scores times this are logits: 100 makes cosines what CLIP is trained with, and `s_cliploss` the log-probability
    /// that image and caption find each other.
    pub scale: f64,
}

impl Default for SoftCap {
    fn default() -> Self {
        Self {
            alpha: 0.15,
            cap: Self::MOST_REPEATS,
            scale: 100.0,
        }
    }
}

impl SoftCap {
    /// Most times that any row is seen.
    pub const MOST_REPEATS: u32 = 65_535;
}

impl FromStr for SoftCap {
    type Err = String;

    /// Reads `softcap`, or `softcap:` and some of `alpha=`, `cap=`, `scale=` between commas.
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, settings) = text.split_once(':').unwrap_or((text, ""));
        if name != "softcap" {
            return Err(format!(
                "'{name}' is no way to weigh rows: softcap, as in softcap:alpha=0.15,cap=20"
            ));
        }
        let mut read = Self::default();
        for setting in settings.split(',').filter(|setting| !setting.is_empty()) {
            let (key, value) = setting.split_once('=').unwrap_or((setting, ""));
            let number = || value.parse::<f64>().ok().filter(|n| n.is_finite());
            let positive = |most: f64| {
                let fits = number().filter(|n| *n > 0.0 && *n <= most);
                fits.ok_or_else(|| format!("{key}={value} is not a number above 0, up to {most}"))
            };
            match key {
                "alpha" => read.alpha = positive(1_000.0)?,
                "scale" => read.scale = positive(1e6)?,
                "cap" => {
                    let whole = value.parse::<u32>().ok();
                    let whole = whole.filter(|cap| (1..=Self::MOST_REPEATS).contains(cap));
                    let most = Self::MOST_REPEATS;
                    read.cap = whole.ok_or_else(|| {
                        format!("cap={value} is not a whole number in 1 to {most}")
                    })?;
                }
                _ => return Err(format!("'{setting}' is none of alpha=, cap=, scale=")),
            }
        }
        Ok(read)
    }
}

impl fmt::Display for SoftCap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "softcap:alpha={}", self.alpha)?;
        if self.cap < Self::MOST_REPEATS {
            write!(f, ",cap={}", self.cap)?;
        }
        match self.scale == Self::default().scale {
            true => Ok(()),
            false => write!(f, ",scale={}", self.scale),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_read_again() {
        for (text, shown) in [
            ("softcap", "softcap:alpha=0.15"),
            ("softcap:", "softcap:alpha=0.15"),
            ("softcap:cap=3,alpha=0.5", "softcap:alpha=0.5,cap=3"),
            ("softcap:scale=1", "softcap:alpha=0.15,scale=1"),
        ] {
            let read: SoftCap = text.parse().unwrap();
            assert_eq!(read.to_string(), shown);
            assert_eq!(shown.parse(), Ok(read));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "hardcap",
            "softcap:alpha",
            "softcap:alpha=0",
            "softcap:alpha=nan",
            "softcap:alpha=-1",
            "softcap:alpha=inf",
            "softcap:cap=0",
            "softcap:cap=1.5",
            "softcap:cap=65536",
            "softcap:scale=1e7",
            "softcap:tau=1",
        ] {
            assert!(text.parse::<SoftCap>().is_err(), "{text}");
        }
    }
}
