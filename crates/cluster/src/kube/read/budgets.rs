//! Disruption budgets: how many of some may be away at once.

use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use muster_core::room::Budget;

use super::selectors;

/// The budget; none if it is for nobody.
///
/// # Errors
///
/// What of it is not understood.
pub fn budget(it: &PodDisruptionBudget) -> Result<Option<Budget>, String> {
    let namespace = it.metadata.namespace.clone().unwrap_or_default();
    let name = it.metadata.name.as_deref().unwrap_or_default();
    let Some(selector) = it.spec.as_ref().and_then(|spec| spec.selector.as_ref()) else {
        return Ok(None);
    };
    // What the controller said of another spec, or has not said, is not known of this one.
    let status = it.status.as_ref();
    let seen = status.and_then(|it| it.observed_generation).unwrap_or(0);
    let is_fresh = it.metadata.generation.is_none_or(|generation| seen >= generation);
    let allowed = status.filter(|_| is_fresh).map_or(0, |it| it.disruptions_allowed);
    Ok(Some(Budget {
        // Two namespaces may have budgets of the same name.
        name: format!("{namespace}/{name}"),
        namespace,
        who: selectors::of_labels(selector)?,
        allowed: u32::try_from(allowed).unwrap_or(0),
    }))
}
