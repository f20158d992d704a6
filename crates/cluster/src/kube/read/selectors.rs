//! Selectors as requirements on labels.

use k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use muster_core::room::{Condition, NODE_NAME, Requirement};

/// What has to hold of the labels; an empty one holds always.
///
/// # Errors
///
/// What of it is not understood.
pub fn of_labels(selector: &LabelSelector) -> Result<Vec<Requirement>, String> {
    let labels = selector.match_labels.iter().flatten();
    let labels = labels.map(|(key, value)| Ok(is(key, value)));
    let expressions = selector.match_expressions.iter().flatten();
    let expressions = expressions
        .map(|it| requirement(&it.key, &it.operator, it.values.as_deref().unwrap_or_default()));
    labels.chain(expressions).collect()
}

/// What has to hold of a node; nothing does if it is empty.
///
/// # Errors
///
/// What of it is not understood.
pub fn of_node(term: &NodeSelectorTerm) -> Result<Vec<Requirement>, String> {
    let of = |it: &NodeSelectorRequirement| {
        requirement(&it.key, &it.operator, it.values.as_deref().unwrap_or_default())
    };
    let fields = term.match_fields.iter().flatten().map(|it| match it.key.as_str() {
        NODE_NAME => of(it),
        key => Err(format!("a selector of the field {key}")),
    });
    term.match_expressions.iter().flatten().map(of).chain(fields).collect()
}

/// The label has this value.
pub fn is(key: &str, value: &str) -> Requirement {
    Requirement { key: key.to_owned(), is: Condition::In(vec![value.to_owned()]) }
}

fn requirement(key: &str, operator: &str, values: &[String]) -> Result<Requirement, String> {
    let number = || match values {
        [one] => one.parse::<i64>().ok(),
        _ => None,
    };
    let is = match operator {
        "In" => Some(Condition::In(values.to_vec())),
        "NotIn" => Some(Condition::NotIn(values.to_vec())),
        "Exists" => Some(Condition::Exists),
        "DoesNotExist" => Some(Condition::DoesNotExist),
        "Gt" => number().map(Condition::GreaterThan),
        "Lt" => number().map(Condition::LessThan),
        _ => None,
    };
    let is = is.ok_or_else(|| format!("a selector {key} {operator} {}", values.join(",")))?;
    Ok(Requirement { key: key.to_owned(), is })
}
