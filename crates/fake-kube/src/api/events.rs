//! Events have two shapes, `v1` and `events.k8s.io/v1`, and are stored in the first.

use serde_json::Value;

/// The old name and the new one.
const FIELDS: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

/// From the stored shape to the new one.
pub(super) fn renew(event: &mut Value) {
    rename(event, FIELDS.map(|(old, new)| (old, new)));
}

/// From the new shape to the stored one.
pub(super) fn age(event: &mut Value) {
    rename(event, FIELDS.map(|(old, new)| (new, old)));
}

fn rename(event: &mut Value, fields: [(&str, &str); 7]) {
    let Some(event) = event.as_object_mut() else { return };
    for (from, to) in fields {
        if let Some(value) = event.remove(from) {
            event.insert(to.to_owned(), value);
        }
    }
}
