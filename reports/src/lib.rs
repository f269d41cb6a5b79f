//! Draws what was recorded; never evaluates again.

pub mod axes;
pub mod chart;
#[doc(hidden)]
pub mod example;
pub mod figures;
pub mod page;
pub mod record;
mod summary;
