//! Options of scores from embeddings and of the choice of a budget.

use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueEnum};

use crate::{
    adapt::Method,
    error::{Error, Result},
    score::{Adaptation, DEFAULT_DIVERSITY_WEIGHT, MethodOptions},
    select::{Balance, Order, SelectOptions, SoftCap, Solver},
};

/// What scores from embeddings are made with.
#[derive(Debug, Clone, ClapArgs)]
#[command(next_help_heading = "Scores from embeddings")]
pub(super) struct MethodArgs {
    /// Fit adapters to the pairs before their embeddings are compared: linear corrections that bring the images of
    /// this dataset nearer to their captions or classes. They are not used unless they help on pairs held out.
    /// closed if no way is named
    #[arg(
        long,
        value_name = "WAY",
        env = "CLIP_FILTER_ADAPT",
        value_enum,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "closed",
        conflicts_with = "adapters"
    )]
    pub(super) adapt: Option<AdaptArg>,
    /// Use the adapters in this file, of `clip-filter adapt`
    #[arg(long, value_name = "FILE", env = "CLIP_FILTER_ADAPTERS")]
    pub(super) adapters: Option<PathBuf>,
    /// Clusters of similar images, where pairs have no class: neighbours and near-duplicates are sought within one.
    /// One per 1,000 rows if not given
    #[arg(long, value_name = "N", env = "CLIP_FILTER_CELLS", value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    pub(super) cells: Option<u32>,
    /// Nearest images that sds is the mean of; a tenth of the cell, but 50 to 100, if not given
    #[arg(long, value_name = "K", env = "CLIP_FILTER_NEIGHBOURS", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(super) neighbours: Option<u32>,
    /// Images to resemble, for normsim_inf, normsim_2 and vas: Parquet with a column image_embedding, as written
    /// by --add image_embedding
    #[arg(long, value_name = "FILE", env = "CLIP_FILTER_TARGET")]
    pub(super) target: Option<PathBuf>,
    /// Weight of diversity (sds) beside alignment (sas)
    #[arg(long, value_name = "WEIGHT", env = "CLIP_FILTER_DIVERSITY_WEIGHT", default_value_t = DEFAULT_DIVERSITY_WEIGHT, value_parser = weight)]
    pub(super) diversity_weight: f32,
    /// Seed of everything random: order of training, clusters, batches
    #[arg(long, value_name = "N", env = "CLIP_FILTER_SEED", default_value_t = 0)]
    pub(super) seed: u64,
}

impl MethodArgs {
    pub(super) fn adapts(&self) -> bool {
        self.fits().is_some() || self.adapters.is_some()
    }

    fn fits(&self) -> Option<Method> {
        self.adapt.and_then(AdaptArg::method)
    }

    pub(super) fn options(&self) -> MethodOptions {
        let mut options = MethodOptions::new()
            .with_adaptation(match (self.fits(), &self.adapters) {
                (_, Some(path)) => Adaptation::Given(path.clone()),
                (Some(method), None) => Adaptation::Fit(method),
                (None, None) => Adaptation::None,
            })
            .with_diversity_weight(self.diversity_weight)
            .with_seed(self.seed);
        options.cells = self.cells;
        options.neighbours = self.neighbours;
        options.target = self.target.clone();
        options
    }
}

/// `--adapt`, and `--fit` of `clip-filter adapt`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum AdaptArg {
    /// From sums over the pairs, in one pass: the same whatever the order of rows and shards
    #[value(aliases = ["true", "1", "yes", "on"])]
    Closed,
    /// By gradient descent, as published, for comparison
    Infonce,
    /// Not at all
    #[value(hide = true, aliases = ["false", "0", "no", "off", ""])]
    None,
}

impl AdaptArg {
    pub(super) fn method(self) -> Option<Method> {
        match self {
            AdaptArg::Closed => Some(Method::Closed),
            AdaptArg::Infonce => Some(Method::Infonce),
            AdaptArg::None => None,
        }
    }
}

/// How rows of a budget are chosen.
#[derive(Debug, Clone, ClapArgs)]
#[command(next_help_heading = "Selection")]
pub(super) struct ChooseArgs {
    /// Which rows are the best of a budget; s-cliploss for captions, and align-diverse where labels, --solver cover or
    /// --solver paper are given
    #[arg(long, value_enum, env = "CLIP_FILTER_SELECT")]
    pub(super) select: Option<OrderArg>,
    /// How a budget (--keep, --keep-rows) is filled; exact if not given
    #[arg(long, value_enum, env = "CLIP_FILTER_SOLVER")]
    pub(super) solver: Option<SolverArg>,
    /// Give every value of a column, or every `cell`, the same share of the budget; what one has too few rows for goes
    /// to the others. min and max bound each share, in rows (100) or, with a point, as part of the budget (0.2)
    #[arg(
        long,
        value_name = "COLUMN[:min=..,max=..]",
        env = "CLIP_FILTER_BALANCE"
    )]
    pub(super) balance: Option<Balance>,
    /// Weigh rows instead of cutting: a row of score s is seen ln(1 + alpha tau e^(scale s)) / alpha times, and tau makes the
    /// sum what --keep-rows (or --keep) says, which may be more than there are rows. The column repeats says how often;
    /// rows of 0 are cut. alpha is 0.15 and scale 100 if not given, cap bounds repeats
    #[arg(
        long,
        value_name = "softcap[:alpha=..,cap=..]",
        env = "CLIP_FILTER_WEIGHTS"
    )]
    pub(super) weights: Option<SoftCap>,
    /// Before the budget, take near-duplicates away: of images in a cell whose cosine is above 1 - DISTANCE, such as
    /// 0.05, only the best row stays
    #[arg(long, value_name = "DISTANCE", env = "CLIP_FILTER_DEDUP", value_parser = distance)]
    pub(super) dedup: Option<f32>,
}

/// What is told about the selection before.
#[derive(Debug, Clone, ClapArgs)]
#[command(next_help_heading = "Selection")]
pub(super) struct ChangesArgs {
    /// Write the rows that entered and left since the last selection from the score store to this Parquet file
    #[arg(
        long,
        value_name = "FILE",
        env = "CLIP_FILTER_CHANGES",
        requires = "scores"
    )]
    pub(super) changes: Option<PathBuf>,
}

/// `--select`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum OrderArg {
    /// Best clip_score first: each pair on its own
    ClipScore,
    /// Best s_cliploss first: each pair against other images and captions, after --adapt
    SCliploss,
    /// Alignment and diversity, the objective of arXiv 2410.11215
    AlignDiverse,
}

/// `--solver`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum SolverArg {
    /// The best rows: the objective's exact solution
    Exact,
    /// The published iteration, for comparison
    Paper,
    /// Trusted rows (own class or caption is the best) that together resemble their class or cluster
    Cover,
}

impl From<SolverArg> for Solver {
    fn from(arg: SolverArg) -> Self {
        match arg {
            SolverArg::Exact => Solver::Exact,
            SolverArg::Paper => Solver::Paper,
            SolverArg::Cover => Solver::Cover,
        }
    }
}

impl ChooseArgs {
    /// True if anything but the default was asked for.
    pub(super) fn is_given(&self) -> bool {
        let other = |order| order != OrderArg::ClipScore;
        self.select.is_some_and(other)
            || self.solver.is_some()
            || self.balance.is_some()
            || self.dedup.is_some()
            || self.weights.is_some()
    }

    /// What orders rows and how a budget is filled; `labelled` where labels were given.
    pub(super) fn options(&self, labelled: bool) -> Result<SelectOptions> {
        let order = match self.select {
            Some(OrderArg::ClipScore) => Order::ClipScore,
            Some(OrderArg::AlignDiverse) => Order::AlignDiverse,
            Some(OrderArg::SCliploss) => Order::Cliploss,
            None if labelled || self.solver.is_some_and(|it| it != SolverArg::Exact) => {
                Order::AlignDiverse
            }
            None => Order::Default,
        };
        if let (Order::ClipScore | Order::Cliploss, Some(SolverArg::Paper)) = (order, self.solver) {
            let column = match order {
                Order::ClipScore => "clip_score",
                _ => "s_cliploss",
            };
            let what = format!("run the published iteration over {column}");
            return Err(Error::usage(what).hint("--select align-diverse"));
        }
        let mut options = SelectOptions::default().with_order(order);
        options.solver = self.solver.map(Solver::from).unwrap_or_default();
        options.balance = self.balance.clone();
        options.weights = self.weights;
        options.dedup = self.dedup;
        Ok(options)
    }
}

fn weight(text: &str) -> Result<f32, String> {
    number(text, |weight| (0.0..=1e6).contains(weight))
        .ok_or_else(|| "it is not a number from 0 on".to_owned())
}

fn distance(text: &str) -> Result<f32, String> {
    number(text, |distance| *distance > 0.0 && *distance < 2.0)
        .ok_or_else(|| "it is not a number between 0 and 2, such as 0.05".to_owned())
}

fn number(text: &str, fits: impl Fn(&f32) -> bool) -> Option<f32> {
    text.parse().ok().filter(fits)
}
