//! Draws what was recorded; never evaluates again.

pub mod chart;
pub mod figures;
pub mod page;
pub mod record;
mod summary;
