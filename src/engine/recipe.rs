//! Queries that come with the program.
//!
//! A recipe is a file of SQL whose header says what it keeps, where the rule is from, and its parameters.
//! `$name` stands for a value and `{name}` for a column.

use crate::error::{Error, Result};

macro_rules! recipe {
    ($name:literal) => {
        (
            $name,
            include_str!(concat!("../../sql/recipes/", $name, ".sql")),
        )
    };
}
const FILES: [(&str, &str); 10] = [
    recipe!("caption-quality"),
    recipe!("class-quota"),
    recipe!("datacomp-basic"),
    recipe!("datacomp-clip-top30"),
    recipe!("exact-duplicates"),
    recipe!("laion-threshold"),
    recipe!("s-cliploss-top"),
    recipe!("semantic-dedup"),
    recipe!("uid-list"),
    recipe!("zero-shot"),
];

/// A query with parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// What `--recipe` calls it.
    pub name: &'static str,
    /// What it does, one sentence.
    pub about: String,
    /// Where its rule is from.
    pub source: String,
    /// Its parameters.
    pub params: Vec<RecipeParam>,
    sql: String,
}

/// A parameter of a recipe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipeParam {
    /// What `--param` calls it.
    pub name: String,
    /// Its value unless another is given.
    pub default: String,
    /// What it decides.
    pub about: String,
    /// Whether its value is a string whatever it looks like: its default is quoted.
    is_text: bool,
}

impl RecipeParam {
    /// The last value that is given, or the default.
    fn value<'a>(&'a self, values: &'a [(String, String)]) -> &'a str {
        let given = values.iter().rev().find(|(name, _)| *name == self.name);
        given.map_or(&self.default, |(_, value)| value)
    }

    /// A number as it is, anything else as a string.
    fn literal(&self, value: &str) -> String {
        match value.parse::<f64>() {
            Ok(number) if number.is_finite() && !self.is_text => value.to_owned(),
            _ => format!("'{}'", value.replace('\'', "''")),
        }
    }
}

/// The columns of the table `pairs`, for a recipe that names them.
#[derive(Debug, Clone, Default)]
pub struct PairNames {
    /// The image column.
    pub image: String,
    /// SQL for the image's bytes.
    pub image_bytes: String,
    /// The caption column.
    pub text: String,
}

impl Recipe {
    /// Every recipe, by name.
    pub fn all() -> Vec<Self> {
        FILES
            .iter()
            .map(|(name, text)| Self::parse(name, text))
            .collect()
    }

    /// The recipe called `name`.
    ///
    /// # Errors
    /// When there is none; names those that there are.
    pub fn named(name: &str) -> Result<Self> {
        let all = Self::all();
        let names: Vec<&str> = all.iter().map(|recipe| recipe.name).collect();
        let names = names.join(", ");
        all.into_iter()
            .find(|recipe| recipe.name == name)
            .ok_or_else(|| {
                Error::usage(format!("find the recipe '{name}'"))
                    .with("recipes", names)
                    .hint("--recipe list says what each does")
            })
    }

    fn parse(name: &'static str, text: &str) -> Self {
        let mut recipe = Self {
            name,
            about: String::new(),
            source: String::new(),
            params: Vec::new(),
            sql: String::new(),
        };
        let mut continues_source = false;
        for line in text.lines() {
            let Some(comment) = line.strip_prefix("-- ") else {
                recipe.sql.push_str(line);
                recipe.sql.push('\n');
                continue;
            };
            if let Some(source) = comment.strip_prefix("source: ") {
                source.clone_into(&mut recipe.source);
                continues_source = true;
            } else if let Some(param) = comment.strip_prefix("param ") {
                continues_source = false;
                let (name, rest) = param.split_once(" = ").unwrap_or((param, ""));
                let (default, about) = rest.split_once(": ").unwrap_or((rest, ""));
                recipe.params.push(RecipeParam {
                    name: name.to_owned(),
                    default: default.trim_matches('\'').to_owned(),
                    about: about.to_owned(),
                    is_text: default.starts_with('\''),
                });
            } else if continues_source {
                recipe.source.push(' ');
                recipe.source.push_str(comment);
            } else {
                comment.clone_into(&mut recipe.about);
            }
        }
        recipe
    }

    /// The statement with the given values, and defaults for the others.
    ///
    /// # Errors
    /// When a value is given for a parameter that the recipe does not have.
    pub fn sql(&self, values: &[(String, String)], pairs: &PairNames) -> Result<String> {
        for (name, _) in values {
            if !self.params.iter().any(|param| param.name == *name) {
                let known: Vec<&str> = self.params.iter().map(|p| p.name.as_str()).collect();
                return Err(Error::usage(format!("use the parameter '{name}'"))
                    .with("recipe", self.name)
                    .with("parameters", known.join(", ")));
            }
        }
        let mut sql = self
            .sql
            .replace("{image_bytes}", &pairs.image_bytes)
            .replace("{image}", &identifier(&pairs.image))
            .replace("{text}", &identifier(&pairs.text));
        for param in &self.params {
            let column = format!("{{{}}}", param.name);
            sql = sql.replace(&column, &identifier(param.value(values)));
        }
        Ok(self.with_values(&sql, values))
    }

    /// `sql` with a value for every `$name`; what a value holds is no name.
    fn with_values(&self, sql: &str, values: &[(String, String)]) -> String {
        let mut pieces = sql.split('$');
        let mut filled = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let end = piece.find(|c| !is_name(c)).unwrap_or(piece.len());
            let (name, rest) = piece.split_at(end);
            match self.params.iter().find(|param| param.name == name) {
                Some(param) => filled.push_str(&param.literal(param.value(values))),
                None => filled.extend(["$", name]),
            }
            filled.push_str(rest);
        }
        filled
    }
}

/// A column's name as SQL.
pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recipe_says_what_it_does_and_where_that_is_from() {
        let pairs = PairNames {
            image: "jpg".into(),
            image_bytes: "\"jpg\"".into(),
            text: "a \"b\"".into(),
        };
        for recipe in Recipe::all() {
            assert!(recipe.about.ends_with('.'), "{}", recipe.name);
            assert!(!recipe.source.is_empty(), "{}", recipe.name);
            assert!(recipe.params.iter().all(|param| !param.about.is_empty()));
            let sql = recipe.sql(&[], &pairs).unwrap();
            assert!(!sql.contains('$') && !sql.contains("{text}"), "{sql}");
        }
    }

    #[test]
    fn values_are_quoted() {
        let recipe = Recipe::named("zero-shot").unwrap();
        let value = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let values = [value("concept", "it's a dog"), value("threshold", "0.1")];
        let sql = recipe.sql(&values, &PairNames::default()).unwrap();
        assert!(
            sql.contains("('it''s a dog')") && sql.contains(">= 0.1"),
            "{sql}"
        );
        let values = [value("concept", "$threshold"), value("threshold", "0.1")];
        let sql = recipe.sql(&values, &PairNames::default()).unwrap();
        assert!(sql.contains("('$threshold')"), "{sql}");
        let values = [value("concept", "2024")];
        let sql = recipe.sql(&values, &PairNames::default()).unwrap();
        assert!(sql.contains("('2024')"), "{sql}");
        assert!(
            recipe
                .sql(&[value("other", "1")], &PairNames::default())
                .is_err()
        );
        let report = Recipe::named("zeroshot").unwrap_err().report();
        assert!(report.contains("laion-threshold"), "{report}");
    }
}
