//! Bodies as `kubectl` sends them for a few kinds that it has types for (create, evict, may I): protobuf. Answers are
//! JSON, which it takes as well.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// What stands before each body.
const MAGIC: &[u8] = b"k8s\0";

/// Number, name and type of a field, as the published schema has them.
type Field = (u64, &'static str, Type);

#[derive(Clone, Copy)]
enum Type {
    Text,
    Bytes,
    Number,
    Flag,
    /// `{ string = 1 }`.
    Quantity,
    /// `{ type = 1, int = 2, text = 3 }`.
    IntOrText,
    One(&'static [Field]),
    Many(&'static [Field]),
    Texts,
    TextMap,
    BytesMap,
    QuantityMap,
}

use Type::{
    Bytes, BytesMap, Flag, IntOrText, Many, Number, One, Quantity, QuantityMap, Text, TextMap,
    Texts,
};

const OWNER: &[Field] = &[
    (1, "kind", Text),
    (3, "name", Text),
    (4, "uid", Text),
    (5, "apiVersion", Text),
    (6, "controller", Flag),
    (7, "blockOwnerDeletion", Flag),
];
const META: Type = One(&[
    (1, "name", Text),
    (2, "generateName", Text),
    (3, "namespace", Text),
    (5, "uid", Text),
    (6, "resourceVersion", Text),
    (11, "labels", TextMap),
    (12, "annotations", TextMap),
    (13, "ownerReferences", Many(OWNER)),
    (14, "finalizers", Texts),
]);
const SELECTOR: Type = One(&[
    (1, "matchLabels", TextMap),
    (2, "matchExpressions", Many(&[(1, "key", Text), (2, "operator", Text), (3, "values", Texts)])),
]);
const DELETE: &[Field] = &[
    (1, "gracePeriodSeconds", Number),
    (2, "preconditions", One(&[(1, "uid", Text), (2, "resourceVersion", Text)])),
    (3, "orphanDependents", Flag),
    (4, "propagationPolicy", Text),
    (5, "dryRun", Texts),
];
const RULES: Type = Many(&[
    (1, "verbs", Texts),
    (2, "apiGroups", Texts),
    (3, "resources", Texts),
    (4, "resourceNames", Texts),
    (5, "nonResourceURLs", Texts),
]);
const SUBJECTS: Type =
    Many(&[(1, "kind", Text), (2, "apiGroup", Text), (3, "name", Text), (4, "namespace", Text)]);
const ROLE: &[Field] = &[(1, "metadata", META), (2, "rules", RULES)];
const BINDING: &[Field] = &[
    (1, "metadata", META),
    (2, "subjects", SUBJECTS),
    (3, "roleRef", One(&[(1, "apiGroup", Text), (2, "kind", Text), (3, "name", Text)])),
];
const WISH: Type = One(&[
    (1, "namespace", Text),
    (2, "verb", Text),
    (3, "group", Text),
    (4, "version", Text),
    (5, "resource", Text),
    (6, "subresource", Text),
    (7, "name", Text),
]);
const ACCESS: Type = One(&[
    (1, "resourceAttributes", WISH),
    (2, "nonResourceAttributes", One(&[(1, "path", Text), (2, "verb", Text)])),
]);
const BUDGET: Type = One(&[
    (1, "minAvailable", IntOrText),
    (2, "selector", SELECTOR),
    (3, "maxUnavailable", IntOrText),
    (4, "unhealthyPodEvictionPolicy", Text),
]);

/// By kind; of which group it is says its envelope.
fn fields(kind: &str) -> Option<&'static [Field]> {
    Some(match kind {
        "Namespace" | "ServiceAccount" | "SelfSubjectReview" => &[(1, "metadata", META)],
        "ConfigMap" => &[
            (1, "metadata", META),
            (2, "data", TextMap),
            (3, "binaryData", BytesMap),
            (4, "immutable", Flag),
        ],
        "Secret" => &[
            (1, "metadata", META),
            (2, "data", BytesMap),
            (3, "type", Text),
            (4, "stringData", TextMap),
            (5, "immutable", Flag),
        ],
        "ResourceQuota" => &[
            (1, "metadata", META),
            (2, "spec", One(&[(1, "hard", QuantityMap), (2, "scopes", Texts)])),
        ],
        "Role" | "ClusterRole" => ROLE,
        "RoleBinding" | "ClusterRoleBinding" => BINDING,
        "PodDisruptionBudget" => &[(1, "metadata", META), (2, "spec", BUDGET)],
        "PriorityClass" => &[
            (1, "metadata", META),
            (2, "value", Number),
            (3, "globalDefault", Flag),
            (4, "description", Text),
            (5, "preemptionPolicy", Text),
        ],
        "Eviction" => &[(1, "metadata", META), (2, "deleteOptions", One(DELETE))],
        "DeleteOptions" => DELETE,
        "SelfSubjectAccessReview" => &[(1, "metadata", META), (2, "spec", ACCESS)],
        "SelfSubjectRulesReview" => {
            &[(1, "metadata", META), (2, "spec", One(&[(1, "namespace", Text)]))]
        }
        _ => return None,
    })
}

/// The object; the error says why it cannot be read.
pub(super) fn read(body: &[u8]) -> Result<Value, String> {
    let body =
        body.strip_prefix(MAGIC).ok_or("it does not begin as protobuf of Kubernetes does")?;
    let envelope: &[Field] =
        &[(1, "type", One(&[(1, "apiVersion", Text), (2, "kind", Text)])), (2, "raw", Bytes)];
    let envelope = message(body, envelope).ok_or("its envelope is cut off")?;
    let kind = envelope["type"]["kind"].as_str().unwrap_or_default();
    let known = fields(kind).ok_or_else(|| format!("no schema of {kind:?} is here"))?;
    let raw = envelope["raw"].as_str().unwrap_or_default();
    let raw = STANDARD.decode(raw).map_err(|error| error.to_string())?;
    let mut object = message(&raw, known).ok_or_else(|| format!("{kind} is cut off"))?;
    object["kind"] = json!(kind);
    object["apiVersion"] = envelope["type"]["apiVersion"].clone();
    Ok(object)
}

/// [`None`] of what is cut off.
fn message(mut bytes: &[u8], fields: &[Field]) -> Option<Value> {
    let mut found = Map::new();
    while !bytes.is_empty() {
        let key = number(&mut bytes)?;
        let field = fields.iter().find(|(tag, ..)| *tag == key >> 3);
        let (value, part) = match key & 7 {
            0 => (number(&mut bytes)?, &[][..]),
            1 => (0, take(&mut bytes, 8)?),
            2 => {
                let size = usize::try_from(number(&mut bytes)?).ok()?;
                (0, take(&mut bytes, size)?)
            }
            5 => (0, take(&mut bytes, 4)?),
            _ => return None,
        };
        if let Some((_, name, kind)) = field {
            put(&mut found, name, *kind, (value, part))?;
        }
    }
    Some(Value::Object(found))
}

fn put(
    found: &mut Map<String, Value>,
    name: &str,
    kind: Type,
    (value, part): (u64, &[u8]),
) -> Option<()> {
    let text = |part: &[u8]| Some(std::str::from_utf8(part).ok()?.to_owned());
    let quantity = |part: &[u8]| Some(message(part, &[(1, "is", Text)])?["is"].clone());
    let mut entry = |value: Type| {
        let fields: &[Field] = &[(1, "key", Text), (2, "value", value)];
        let entry = message(part, fields)?;
        // What is empty is not sent.
        let key = entry["key"].as_str().unwrap_or_default().to_owned();
        let value = entry.get("value").cloned().unwrap_or_else(|| json!(""));
        let all = found.entry(name).or_insert_with(|| json!({}));
        all.as_object_mut()?.insert(key, value);
        Some(())
    };
    let new = match kind {
        TextMap => return entry(Text),
        BytesMap => return entry(Bytes),
        QuantityMap => return entry(Quantity),
        Texts => {
            let all = found.entry(name).or_insert_with(|| json!([]));
            all.as_array_mut()?.push(json!(text(part)?));
            return Some(());
        }
        Many(fields) => {
            let all = found.entry(name).or_insert_with(|| json!([]));
            all.as_array_mut()?.push(message(part, fields)?);
            return Some(());
        }
        // Whoever has types sends empty texts too.
        Text if part.is_empty() => return Some(()),
        Text => json!(text(part)?),
        Bytes => json!(STANDARD.encode(part)),
        Number => json!(value.cast_signed()),
        Flag => json!(value != 0),
        Quantity => quantity(part)?,
        IntOrText => {
            let fields = &[(1, "type", Number), (2, "int", Number), (3, "text", Text)];
            let either = message(part, fields)?;
            let is_text = either["type"] == 1;
            either[if is_text { "text" } else { "int" }].clone()
        }
        One(fields) => message(part, fields)?,
    };
    found.insert(name.to_owned(), new);
    Some(())
}

fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn take<'a>(bytes: &mut &'a [u8], size: usize) -> Option<&'a [u8]> {
    let (part, rest) = bytes.split_at_checked(size)?;
    *bytes = rest;
    Some(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field of bytes.
    fn part(tag: u8, bytes: &[u8]) -> Vec<u8> {
        [&[tag << 3 | 2, u8::try_from(bytes.len()).expect("short")], bytes].concat()
    }

    fn body(kind: &str, raw: &[u8]) -> Vec<u8> {
        let of = [part(1, b"policy/v1"), part(2, kind.as_bytes())].concat();
        [MAGIC, &part(1, &of), &part(2, raw)].concat()
    }

    #[test]
    fn an_eviction_is_read_and_one_that_is_cut_off_refused() {
        let options = [vec![1 << 3, 0], part(2, &part(1, b"u-1"))].concat();
        let meta =
            [part(1, b"web"), part(3, b""), part(11, &[part(1, b"app"), part(2, b"x")].concat())];
        let sent = body("Eviction", &[part(1, &meta.concat()), part(2, &options)].concat());
        let read_back = read(&sent).expect("an eviction");
        assert_eq!(
            read_back,
            json!({ "apiVersion": "policy/v1", "kind": "Eviction",
                "metadata": { "name": "web", "labels": { "app": "x" } },
                "deleteOptions": { "gracePeriodSeconds": 0, "preconditions": { "uid": "u-1" } } })
        );
        for end in 0..sent.len() {
            assert_ne!(read(&sent[..end]).as_ref(), Ok(&read_back), "cut off");
        }
        read(&body("Deployment", b"")).expect_err("not known");
    }
}
