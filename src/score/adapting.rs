//! Adapters: given, kept from an earlier run, or fitted.

use std::ops::ControlFlow;

use super::{Adaptation, stored_pairs::StoredPairs};
use crate::{
    adapt::{Adapters, FitOptions, Fitted, Method, Outcome, fit, fit_closed},
    error::{Error, Result},
    summary::ModelCard,
};

/// Adapters from a file; refused if they are for another model.
pub(super) fn given(path: &std::path::Path, model: &ModelCard) -> Result<Adapters> {
    let adapters = Adapters::read(path)?;
    if adapters.model() != model.fingerprint || adapters.dim() != model.dim {
        return Err(
            Error::input("use the adapters: they were fitted for another model")
                .with("file", path.display())
                .with("their model", adapters.model())
                .with("the model", &model.fingerprint)
                .hint("fit them anew with --adapt"),
        );
    }
    Ok(adapters)
}

/// Fits adapters and says how it went.
pub(super) fn fitted(
    mut pairs: StoredPairs<'_>,
    method: Method,
    options: &FitOptions,
    say: &dyn Fn(&str),
) -> Result<Fitted> {
    let fitted = match method {
        Method::Closed => fit_closed(&mut pairs, options)?,
        Method::Infonce => fit(&mut pairs, options, &mut |epoch| {
            say(&format!(
                "adapt: epoch {}, loss {:.4}, held-out loss {:.4}",
                epoch.epoch, epoch.training_loss, epoch.held_out_loss
            ));
            ControlFlow::Continue(())
        })?,
    };
    let record = fitted.adapters.record();
    say(&match (record.outcome, method) {
        (Outcome::Accepted, Method::Closed) => format!(
            "adapt: kept the closed form over {} pairs: {}",
            record.training_rows, record.reason
        ),
        (Outcome::Accepted, Method::Infonce) => format!(
            "adapt: kept epoch {} of {}: held-out loss {:.4} -> {:.4}",
            record.best_epoch,
            record.epochs.len(),
            record.start_held_out_loss,
            record
                .epochs
                .iter()
                .map(|epoch| epoch.held_out_loss)
                .fold(f64::INFINITY, f64::min),
        ),
        _ => format!("adapt: no adapters are used: {}", record.reason),
    });
    Ok(fitted)
}

impl Adaptation {
    /// Names it in the description of derived columns; adapters that are given, by what they hold.
    pub(super) fn describe(&self, given: Option<&Adapters>) -> Result<String> {
        match (self, given) {
            (Adaptation::None, _) => Ok("none".to_owned()),
            (Adaptation::Fit(Method::Closed), _) => Ok("closed form".to_owned()),
            (Adaptation::Fit(Method::Infonce), _) => Ok("fitted".to_owned()),
            (Adaptation::Given(_), Some(adapters)) => adapters.fingerprint(),
            (Adaptation::Given(_), None) => Err(Error::internal("find the adapters")),
        }
    }
}
