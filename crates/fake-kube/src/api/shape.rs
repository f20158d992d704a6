//! How an object is shown: in the version that was asked for, whole, as metadata alone or as a table.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::{Kind, Resource};

use super::{Call, events, table};

#[derive(Clone, Copy, PartialEq)]
enum As {
    Whole,
    Metadata,
    Table,
}

/// What a client wants to see.
#[derive(Clone)]
pub(super) struct Shape {
    kind: Kind,
    version: String,
    wish: As,
    /// What stands in the rows of a table: Metadata, Object or None.
    include: String,
}

impl Shape {
    pub fn of(call: &Call) -> Self {
        // The first that is understood.
        let wish = call.accept.split(',').find_map(|range| {
            let range = range.replace(' ', "");
            let mut parts = range.split(';');
            if !matches!(parts.next(), Some("application/json" | "*/*" | "")) {
                return None;
            }
            let parts: Vec<&str> = parts.collect();
            match parts.iter().find_map(|part| part.strip_prefix("as=")) {
                None => Some(As::Whole),
                Some(_) if !parts.contains(&"v=v1") => None,
                Some("Table") => Some(As::Table),
                Some("PartialObjectMetadata" | "PartialObjectMetadataList") => Some(As::Metadata),
                Some(_) => None,
            }
        });
        Self {
            kind: call.kind.clone(),
            version: call.version.clone(),
            wish: wish.unwrap_or(As::Whole),
            include: call.param("includeObject").unwrap_or("Metadata").to_owned(),
        }
    }

    /// One object, alone or in a watch.
    pub fn one(&self, object: &Value) -> Value {
        match self.wish {
            As::Whole => whole(&self.kind, &self.version, object).into_owned(),
            As::Metadata => partial(&whole(&self.kind, &self.version, object)),
            As::Table => {
                let meta = json!({ "resourceVersion": object["metadata"]["resourceVersion"] });
                self.table(std::iter::once(object), meta)
            }
        }
    }

    pub fn list(&self, objects: &[Arc<Value>], meta: Value) -> Value {
        let objects = objects.iter().map(|object| &**object);
        let (kind, version, items): (_, _, Vec<Value>) = match self.wish {
            As::Table => return self.table(objects, meta),
            As::Metadata => (
                "PartialObjectMetadataList".to_owned(),
                "meta.k8s.io/v1".to_owned(),
                objects.map(|o| partial(&whole(&self.kind, &self.version, o))).collect(),
            ),
            As::Whole => (
                format!("{}List", self.kind.kind),
                api_version(&self.kind, &self.version),
                objects.map(|o| whole(&self.kind, &self.version, o).into_owned()).collect(),
            ),
        };
        json!({ "kind": kind, "apiVersion": version, "metadata": meta, "items": items })
    }

    /// Says up to which version a watch has told all.
    pub fn bookmark(&self, version: u64, is_end_of_initial: bool) -> Value {
        let mut meta = json!({ "resourceVersion": version.to_string(), "creationTimestamp": null });
        if is_end_of_initial {
            meta["annotations"] = json!({ "k8s.io/initial-events-end": "true" });
        }
        let (kind, api) = match self.wish {
            As::Metadata => ("PartialObjectMetadata", "meta.k8s.io/v1".to_owned()),
            _ => (self.kind.kind.as_str(), api_version(&self.kind, &self.version)),
        };
        json!({ "kind": kind, "apiVersion": api, "metadata": meta })
    }

    fn table<'a>(&self, objects: impl Iterator<Item = &'a Value>, meta: Value) -> Value {
        let rows: Vec<Value> = objects
            .map(|object| {
                let object = whole(&self.kind, &self.version, object);
                let cells = table::cells(&self.kind, &object);
                match self.include.as_str() {
                    "None" => json!({ "cells": cells }),
                    "Object" => json!({ "cells": cells, "object": object }),
                    _ => json!({ "cells": cells, "object": partial(&object) }),
                }
            })
            .collect();
        json!({
            "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": meta,
            "columnDefinitions": table::columns(&self.kind), "rows": rows,
        })
    }
}

pub(super) fn api_version(kind: &Kind, version: &str) -> String {
    Resource::new(&kind.group, version, &kind.plural).api_version()
}

/// An object as its version has it. Whoever acts inside may have stored it without saying what it is.
pub(super) fn whole<'a>(kind: &Kind, version: &str, object: &'a Value) -> Cow<'a, Value> {
    let api = api_version(kind, version);
    if object["apiVersion"] == api.as_str() && object["kind"] == kind.kind.as_str() {
        return Cow::Borrowed(object);
    }
    let mut object = object.clone();
    if kind.group == "events.k8s.io" {
        events::renew(&mut object);
    }
    object["apiVersion"] = json!(api);
    object["kind"] = json!(kind.kind);
    Cow::Owned(object)
}

fn partial(object: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
        "metadata": object["metadata"],
    })
}
