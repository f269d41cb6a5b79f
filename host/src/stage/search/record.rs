//! `search.json`: what a search found.

use super::super::Context;
use crate::nearest::did_you_mean;
use crate::network::Channels;
use crate::network::lower::lower;
use crate::run::RunError;
use crate::search::{Cost, Estimate};
use anyhow::{Context as _, Result};
use reports::record::{self, Budget, Resource, VerifyRound};
use serde::{Deserialize, Serialize};

/// `search.json`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchRecord {
    /// Factor on the table's prices that the last round used.
    pub correction: f64,
    /// Candidates timed on the board, round by round.
    pub rounds: Vec<VerifyRound>,
    /// The full network, then the answers by strategy and budget.
    pub candidates: Vec<Candidate>,
}

/// One choice of channels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// Unique: strategy and budget, such as `autoslim-latency-50%`.
    pub name: String,
    /// Who found it.
    pub strategy: String,
    /// What it was searched under, in absolute limits.
    pub budgets: Vec<Budget>,
    /// One count per unit.
    pub channels: Channels,
    /// What it is predicted to need.
    pub cost: Cost,
    /// How it answers as a part of the supernet, on the search images.
    pub estimate: Estimate,
    /// Its latency on the board; `None` if it does not fit.
    pub latency_measured: Option<f64>,
    /// Whether all budgets hold, the latency as measured.
    pub meets: bool,
    /// As [`Found::gap`](crate::search::Found::gap).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<f64>,
}

impl SearchRecord {
    /// Reads the `search.json` of a run for a later stage.
    ///
    /// # Errors
    /// Where the search has not been run, or found channels that this network does not have.
    pub fn load(ctx: &Context, stage: &str) -> Result<SearchRecord> {
        let path = ctx.dir.path("search.json");
        if !path.exists() {
            return Err(RunError::MissingInput { stage: stage.into(), path, producer: "search" }.into());
        }
        let found: SearchRecord = record::load(&path)?;
        for candidate in &found.candidates {
            let lowered = lower(&ctx.graph, &candidate.channels);
            lowered.with_context(|| format!("{}: candidate `{}`", path.display(), candidate.name))?;
        }
        Ok(found)
    }

    /// Every choice of channels once, in the candidates' order.
    pub fn subnets(&self) -> Vec<Channels> {
        let mut subnets: Vec<Channels> = Vec::new();
        for candidate in &self.candidates {
            if !subnets.contains(&candidate.channels) {
                subnets.push(candidate.channels.clone());
            }
        }
        subnets
    }

    /// The names of the candidates with these channels.
    pub fn names_of(&self, channels: &Channels) -> Vec<&str> {
        self.candidates.iter().filter(|c| c.channels == *channels).map(|c| c.name.as_str()).collect()
    }

    /// The candidate `name`.
    ///
    /// # Errors
    /// If there is none, with the nearest name and all that there are.
    pub fn candidate(&self, name: &str) -> Result<&Candidate> {
        let found = self.candidates.iter().find(|c| c.name == name);
        found.with_context(|| {
            let names: Vec<&str> = self.candidates.iter().map(|c| c.name.as_str()).collect();
            let near = did_you_mean(name, names.iter().copied());
            format!("no candidate is called `{name}`{near}; there are: {}", names.join(", "))
        })
    }
}

impl Candidate {
    /// The limit that charts draw: the latency's, else the first.
    pub fn budget(&self) -> Option<Budget> {
        let latency = self.budgets.iter().find(|b| b.resource == Resource::Latency);
        latency.or(self.budgets.first()).copied()
    }
}
