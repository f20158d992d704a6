//! Events of Kubernetes as they are kept with an instance.

use k8s_openapi::api::core::v1::Event as ItsEvent;
use muster_core::Timestamp;
use muster_core::news::{Event, Level};
use serde_json::Value;

use super::super::watch::number;
use super::{pod, time};

/// The event. What Kubernetes counts up is the same event with a higher count.
pub fn event(it: &ItsEvent) -> Event {
    let series = it.series.as_ref();
    let count = series.and_then(|series| series.count).or(it.count).unwrap_or(1);
    let at = it.event_time.as_ref().map(time::of_micro);
    let created = it.metadata.creation_timestamp.as_ref().map(time::of);
    let first = it.first_timestamp.as_ref().map(time::of).or(at).or(created);
    let last = series.and_then(|it| it.last_observed_time.as_ref()).map(time::of_micro);
    let last = last.or(it.last_timestamp.as_ref().map(time::of)).or(at).or(created).or(first);
    let first_at: Timestamp = first.unwrap_or_default();
    let kind = it.reason.as_deref().filter(|it| !it.is_empty()).unwrap_or("Event");
    Event {
        source: "kubernetes".to_owned(),
        uid: it.metadata.uid.clone().unwrap_or_default(),
        kind: kind.chars().take(128).collect(),
        level: if it.type_.as_deref() == Some("Warning") { Level::Warning } else { Level::Normal },
        message: pod::short(it.message.as_deref().unwrap_or_default()),
        count: u64::try_from(count).unwrap_or(1).max(1),
        first_at,
        last_at: last.unwrap_or_default().max(first_at),
        // Grows with each write; times may have seconds only.
        seq: it.metadata.resource_version.as_deref().and_then(number).unwrap_or(0),
        raw: raw(it),
    }
}

/// All of it but who wrote which field.
fn raw(it: &ItsEvent) -> Option<Value> {
    let mut raw = serde_json::to_value(it).ok()?;
    if let Some(metadata) = raw.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    Some(raw)
}

/// Who wrote it: the component that reports, in whichever field.
pub fn reporter(it: &ItsEvent) -> &str {
    let reporting = it.reporting_component.as_deref().filter(|it| !it.is_empty());
    let source = it.source.as_ref().and_then(|it| it.component.as_deref());
    reporting.or(source).unwrap_or_default()
}
