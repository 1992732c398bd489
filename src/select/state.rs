//! What an incremental selection keeps of rows it has seen.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Keep, balance::Bounds, quota::even};
use crate::{
    error::{Error, ErrorKind, Result},
    score::{Objective, ObjectiveState},
};

/// What an incremental selection keeps of the rows it has seen: enough for their objective and their quotas.
///
/// New shards are pushed, states of partitions are merged; the state, and with it the selection, is the one that all
/// rows at once would give. A few kilobytes and the names of the groups, whatever the rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelectorState {
    version: u32,
    keep: Keep,
    objective: ObjectiveState,
    groups: BTreeMap<String, u64>,
}

const VERSION: u32 = 1;

/// Read before the rest, which another version may have changed.
#[derive(Deserialize)]
struct Head {
    version: u32,
}

impl SelectorState {
    /// A state of no rows.
    pub fn new(keep: Keep) -> Self {
        Self {
            version: VERSION,
            keep,
            objective: ObjectiveState::default(),
            groups: BTreeMap::new(),
        }
    }

    /// Counts a candidate: its class or cell, its semantic alignment, and its diversity unless it is alone in its
    /// cell.
    ///
    /// # Errors
    /// Those of [`ObjectiveState::push`]. The row is then not counted.
    pub fn push(&mut self, group: Option<&str>, sas: f32, sds: Option<f32>) -> Result<()> {
        self.objective.push(sas, sds)?;
        match group.map(|name| (name, self.groups.get_mut(name))) {
            Some((_, Some(rows))) => *rows += 1,
            Some((name, None)) => {
                self.groups.insert(name.to_owned(), 1);
            }
            None => {}
        }
        Ok(())
    }

    /// Adds the rows of another state.
    ///
    /// # Errors
    /// When it belongs to another budget. This state is then unchanged.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        if self.keep != other.keep {
            return Err(Error::usage("merge selector states")
                .with("keeps", self.keep)
                .with("the other keeps", other.keep)
                .hint("select all partitions with the same --keep"));
        }
        self.objective.merge(&other.objective);
        for (group, more) in &other.groups {
            let rows = self.groups.entry(group.clone()).or_default();
            *rows = rows.saturating_add(*more);
        }
        Ok(())
    }

    /// Candidates counted.
    pub fn rows(&self) -> u64 {
        self.objective.rows()
    }

    /// What is kept of them.
    pub fn keep(&self) -> Keep {
        self.keep
    }

    /// Rows to keep of those counted.
    pub fn budget(&self) -> u64 {
        self.keep.budget(self.rows())
    }

    /// Candidates of every group, by name. Rows pushed without a group are in none.
    pub fn groups(&self) -> &BTreeMap<String, u64> {
        &self.groups
    }

    /// Rows to keep of every group, in the order of [`groups`](Self::groups).
    ///
    /// # Errors
    /// Those of [`even`].
    pub fn quotas(&self, bounds: &Bounds) -> Result<Vec<u64>> {
        let group_rows: Vec<u64> = self.groups.values().copied().collect();
        even(&group_rows, self.budget(), bounds)
    }

    /// The objective over the candidates; `weight` is that of diversity.
    pub fn objective(&self, weight: f32) -> Objective {
        self.objective.finish(weight)
    }

    /// The state as JSON.
    ///
    /// # Errors
    /// When it cannot be written as text, which is a defect.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string(self)
            .map_err(|error| Error::internal("write the selector state").source(error))
    }

    /// Reads what [`to_json`](Self::to_json) wrote.
    ///
    /// # Errors
    /// When it is damaged, or was written by another version.
    pub fn from_json(text: &str) -> Result<Self> {
        let damaged = |error: serde_json::Error| unreadable().source(error);
        let head: Head = serde_json::from_str(text).map_err(damaged)?;
        if head.version != VERSION {
            return Err(unreadable()
                .with("version", head.version)
                .with("expected", VERSION));
        }
        let state: Self = serde_json::from_str(text).map_err(damaged)?;
        match state.contradiction() {
            Some(found) => Err(unreadable().with("found", found)),
            None => Ok(state),
        }
    }

    fn contradiction(&self) -> Option<&'static str> {
        if let Keep::Fraction {
            numerator,
            denominator,
        } = self.keep
            && (numerator == 0 || numerator > denominator)
        {
            return Some("a fraction to keep that is not in (0, 1]");
        }
        let grouped = self
            .groups
            .values()
            .try_fold(0u64, |sum, &rows| sum.checked_add(rows));
        match grouped {
            Some(rows) if rows <= self.rows() => None,
            _ => Some("more rows in groups than rows"),
        }
    }
}

fn unreadable() -> Error {
    Error::new(ErrorKind::Input, "read the selector state")
        .hint("remove it: it is made again from the scores")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> SelectorState {
        let mut state = SelectorState::new("0.5".parse().unwrap());
        for (group, sas) in [("cat", 0.1), ("dog", 0.2), ("cat", 0.4)] {
            state.push(Some(group), sas, Some(0.5)).unwrap();
        }
        state.push(None, 0.3, None).unwrap();
        state
    }

    #[test]
    fn counts_rows_and_groups() {
        let state = state();
        assert_eq!((state.rows(), state.budget()), (4, 2));
        assert_eq!(state.groups()["cat"], 2);
        assert_eq!(state.quotas(&Bounds::default()).unwrap(), [1, 1]);
    }

    #[test]
    fn a_refused_row_is_in_no_group() {
        let mut state = state();
        assert!(state.push(Some("bird"), f32::NAN, None).is_err());
        assert_eq!(state, self::state());
    }

    #[test]
    fn states_of_other_budgets_do_not_merge() {
        let mut state = state();
        assert!(state.merge(&SelectorState::new(Keep::Rows(3))).is_err());
        assert!(state.merge(&SelectorState::new(Keep::All)).is_err());
        assert_eq!(state, self::state());
    }

    #[test]
    fn reads_what_it_wrote() {
        for keep in [Keep::All, Keep::Rows(7), "0.25".parse().unwrap()] {
            let mut state = SelectorState::new(keep);
            state.push(Some("a \"b\""), -0.25, Some(1e-20)).unwrap();
            let text = state.to_json().unwrap();
            assert_eq!(SelectorState::from_json(&text).unwrap(), state, "{text}");
        }
    }

    #[test]
    fn damage_and_other_versions_are_told_apart() {
        let text = state().to_json().unwrap();
        let error = |text: &str| SelectorState::from_json(text).unwrap_err().report();
        let other = error(&text.replace("\"version\":1", "\"version\":2,\"more\":0"));
        assert_eq!(
            other,
            "failed to read the selector state\n  version: 2\n  expected: 1\n  \
             try: remove it: it is made again from the scores"
        );
        for (part, damage) in [
            ("\"cat\":2", "\"cat\":4"),
            ("\"cat\":2", "\"cat\":18446744073709551615"),
            ("\"denominator\":10", "\"denominator\":0"),
            ("\"units\":\"", "\"units\":\"x"),
            ("\"groups\"", "\"group\""),
        ] {
            assert!(text.contains(part), "{text}");
            assert!(!error(&text.replace(part, damage)).contains("version"));
        }
        error(&text[..text.len() / 2]);
        error("");
    }
}
