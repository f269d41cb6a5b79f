//! What a user without a cost table can do: a share of the operations in place of one of the latency.

use super::SearchError;
use super::budget::BudgetSet;
use super::explorer::Explorer;
use super::problem::Cost;
use reports::record::{Budget, Resource};

/// The same share of MACs where latency is limited; other budgets hold as they are. Networks found under them may miss the
/// latency that was asked for.
///
/// # Errors
/// [`SearchError::NoShare`] if the full network has no latency.
pub(super) fn goals(
    explorer: &Explorer<'_, '_>,
    budgets: &[BudgetSet],
) -> Result<Vec<BudgetSet>, SearchError> {
    let full = explorer.price(&explorer.graph().full())?;
    let goals: Option<Vec<BudgetSet>> = budgets.iter().map(|set| on_macs(set, &full)).collect();
    goals.ok_or_else(|| SearchError::NoShare {
        strategy: explorer.strategy(),
        network: explorer.graph().name.clone(),
    })
}

/// A limit on latency becomes one on MACs, at the same share of the full network; `None` if that has no latency.
fn on_macs(budgets: &BudgetSet, full: &Cost) -> Option<BudgetSet> {
    let translate = |&budget: &Budget| match budget.resource {
        Resource::Latency => {
            let limit = full.macs * budget.limit / full.latency?.value;
            Some(Budget { resource: Resource::Macs, limit })
        }
        Resource::Ram | Resource::Flash | Resource::Macs => Some(budget),
    };
    budgets.0.iter().map(translate).collect::<Option<_>>().map(BudgetSet)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::problem::Price;

    #[test]
    fn a_latency_becomes_the_same_share_of_macs_and_memory_stays() {
        let full = Cost {
            latency: Some(Price { value: 200.0, low: 1.0, high: 300.0 }),
            ram: 9.0,
            flash: 9.0,
            macs: 1000.0,
        };
        let ram = Budget { resource: Resource::Ram, limit: 5.0 };
        let budgets = BudgetSet(vec![Budget { resource: Resource::Latency, limit: 50.0 }, ram]);
        let macs = Budget { resource: Resource::Macs, limit: 250.0 };
        assert_eq!(on_macs(&budgets, &full), Some(BudgetSet(vec![macs, ram])));
        let unknown = Cost { latency: None, ..full };
        assert_eq!(on_macs(&budgets, &unknown), None);
        assert_eq!(on_macs(&BudgetSet(vec![ram]), &unknown), Some(BudgetSet(vec![ram])));
    }
}
