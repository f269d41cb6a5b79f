//! The stages of a run: each a function from files to files, skipped when nothing it depends on has changed.
//!
//! | stage | reads | writes |
//! |---|---|---|
//! | [`profile`] | board, network | `cost-table.csv` |
//! | [`train`] | images | `supernet.safetensors`, or `s-net…` or `i-net…`; `train.json` |
//! | [`search`] | cost table, supernet | `search.json`, `search/STRATEGY.json` |
//! | [`retrain`] | `search.json` | `subnets/CHANNELS/seed-N.safetensors`, `retrain.json` |
//! | [`quantize`] | retrained subnets | `subnets/CHANNELS/int8.model` |
//! | [`deploy`] | a model | the board |
//! | [`verify`] | models, test images, board | `verify.json` |
//! | [`report`] | the records | `report/`, `summary.json` |

pub mod context;
pub mod deploy;
pub mod profile;
pub mod quantize;
pub mod report;
pub mod retrain;
pub mod search;
pub mod train;
pub mod verify;

pub use context::{Context, Data, Overrides};

use anyhow::Result;

/// All stages in order.
///
/// # Errors
/// The first stage's that fails; what was done before it is kept.
pub fn run(ctx: &Context) -> Result<()> {
    search::check_system(ctx)?;
    profile::profile(ctx)?;
    search::check_budgets(ctx)?;
    train::train(ctx)?;
    search::search(ctx)?;
    retrain::retrain(ctx)?;
    quantize::quantize(ctx)?;
    verify::verify(ctx)?;
    report::report(ctx)
}
