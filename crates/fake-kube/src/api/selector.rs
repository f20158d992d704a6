//! Which objects a list or a watch is about.

use serde_json::Value;

use crate::{Resource, Status};

use super::Call;

/// Labels and fields that an object must have.
#[derive(Clone, Default)]
pub(super) struct Selector {
    namespace: Option<String>,
    labels: Labels,
    fields: Vec<Field>,
}

#[derive(Clone)]
struct Field {
    name: String,
    value: String,
    is: bool,
}

impl Selector {
    pub fn of(call: &Call) -> Result<Self, Status> {
        let labels = call.param("labelSelector").unwrap_or_default();
        let labels = Labels::parse(labels).map_err(|why| {
            let text = format!("unable to parse requirement: {why}");
            Status::bad_request(text)
        })?;
        let fields = call.param("fieldSelector").unwrap_or_default();
        let fields = parse_fields(fields, &call.resource(), labels.is_empty())?;
        Ok(Self { namespace: call.namespace.clone(), labels, fields })
    }

    pub fn has(&self, object: &Value) -> bool {
        let namespace = &object["metadata"]["namespace"];
        self.namespace.as_ref().is_none_or(|n| namespace == n.as_str())
            && self.labels.fit(&object["metadata"]["labels"])
            && self.fields.iter().all(|f| (field(object, &f.name) == f.value) == f.is)
    }

    /// Whether more than a namespace is asked for.
    pub fn is_narrow(&self) -> bool {
        !self.labels.is_empty() || !self.fields.is_empty()
    }
}

/// The name that a field selector asks for: roles that name objects allow to list and watch those.
pub(super) fn name_in_fields(call: &Call) -> Option<&str> {
    let mut parts = call.param("fieldSelector")?.split(',');
    parts.find_map(|part| Some(part.strip_prefix("metadata.name=")?.trim_start_matches('=')))
}

fn parse_fields(text: &str, of: &Resource, no_labels: bool) -> Result<Vec<Field>, Status> {
    let mut fields = Vec::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (name, value, is) = if let Some((name, value)) = part.split_once("!=") {
            (name, value, false)
        } else if let Some((name, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
            (name, value, true)
        } else {
            let text = format!("invalid field selector: {text:?}; can't understand {part:?}");
            return Err(Status::bad_request(text));
        };
        if !is_known(of, name) {
            let labels = if no_labels { "" } else { ".." };
            return Err(Status::bad_request(format!(
                "Unable to find \"{}, Resource={}\" that match label selector \"{labels}\", field \
                 selector {text:?}: field label not supported: {name}",
                of.api_version(),
                of.plural
            )));
        }
        fields.push(Field { name: name.to_owned(), value: value.to_owned(), is });
    }
    Ok(fields)
}

/// The fields that the documentation names for each kind.
fn is_known(of: &Resource, name: &str) -> bool {
    const OBJECT: [&str; 7] =
        ["kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath"];
    if matches!(name, "metadata.name" | "metadata.namespace") {
        return true;
    }
    match (of.group.as_str(), of.plural.as_str()) {
        ("", "pods") => matches!(
            name,
            "spec.nodeName"
                | "spec.restartPolicy"
                | "spec.schedulerName"
                | "spec.serviceAccountName"
                | "spec.hostNetwork"
                | "status.phase"
                | "status.podIP"
                | "status.podIPs"
                | "status.nominatedNodeName"
        ),
        ("", "nodes") => name == "spec.unschedulable",
        ("", "namespaces") => name == "status.phase",
        ("", "secrets") => name == "type",
        ("apps", "replicasets") => name == "status.replicas",
        ("batch", "jobs") => name == "status.successful",
        ("" | "events.k8s.io", "events") => {
            let object = name.split_once('.');
            object.is_some_and(|(first, field)| {
                matches!(first, "involvedObject" | "regarding") && OBJECT.contains(&field)
            }) || matches!(
                name,
                "reason" | "reportingComponent" | "reportingController" | "source" | "type"
            )
        }
        _ => false,
    }
}

fn field(object: &Value, name: &str) -> String {
    let name = match name {
        "reportingController" => "reportingComponent",
        "source" => {
            let source = &object["source"]["component"];
            let source = source.as_str().filter(|source| !source.is_empty());
            let reporting = || object["reportingComponent"].as_str().unwrap_or_default();
            return source.unwrap_or_else(reporting).to_owned();
        }
        other => other,
    };
    let name = name.replacen("regarding.", "involvedObject.", 1);
    let found = name.split('.').fold(object, |value, part| &value[part]);
    match found {
        Value::String(text) => text.clone(),
        Value::Array(all) => {
            let ips = all.iter().filter_map(|each| each["ip"].as_str());
            ips.collect::<Vec<_>>().join(",")
        }
        Value::Null if matches!(name.as_str(), "spec.hostNetwork" | "spec.unschedulable") => {
            "false".to_owned()
        }
        Value::Null if matches!(name.as_str(), "status.successful" | "status.replicas") => {
            "0".to_owned()
        }
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// What labels have to be.
#[derive(Clone, Default, Debug, PartialEq)]
pub(crate) struct Labels(Vec<Need>);

#[derive(Clone, Debug, PartialEq)]
enum Need {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Not(String),
}

impl Labels {
    /// `a=b,c!=d,e in (f, g),h notin (i),j,!k`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut needs = Vec::new();
        for part in split(text) {
            needs.push(need(part.trim())?);
        }
        Ok(Self(needs))
    }

    /// As objects have it: `matchLabels` and `matchExpressions`. [`None`] of nothing at all.
    pub fn from_selector(selector: &Value) -> Option<Self> {
        let mut needs = Vec::new();
        for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
            needs.push(Need::In(key.clone(), vec![value.as_str()?.to_owned()]));
        }
        for each in selector["matchExpressions"].as_array().into_iter().flatten() {
            let key = each["key"].as_str()?.to_owned();
            let values = each["values"].as_array().into_iter().flatten();
            let values = values.filter_map(Value::as_str).map(str::to_owned).collect();
            needs.push(match each["operator"].as_str()? {
                "In" => Need::In(key, values),
                "NotIn" => Need::NotIn(key, values),
                "Exists" => Need::Exists(key),
                "DoesNotExist" => Need::Not(key),
                _ => return None,
            });
        }
        selector.is_object().then_some(Self(needs))
    }

    pub fn fit(&self, labels: &Value) -> bool {
        self.0.iter().all(|need| match need {
            Need::In(key, values) => {
                labels[key].as_str().is_some_and(|is| values.iter().any(|value| value == is))
            }
            Need::NotIn(key, values) => {
                labels[key].as_str().is_none_or(|is| values.iter().all(|value| value != is))
            }
            Need::Exists(key) => labels[key].is_string(),
            Need::Not(key) => !labels[key].is_string(),
        })
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// At commas that are in no parentheses.
fn split(text: &str) -> Vec<&str> {
    let mut depth = 0;
    let parts = text.split(|c| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    });
    parts.filter(|part| !part.trim().is_empty()).collect()
}

fn need(text: &str) -> Result<Need, String> {
    let key = |text: &str| {
        let text = text.trim();
        let is_key = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        match !text.is_empty() && text.chars().all(is_key) {
            true => Ok(text.to_owned()),
            false => Err(format!("{text:?} is no label")),
        }
    };
    let one = |text: &str| vec![text.trim().to_owned()];
    if let Some(name) = text.strip_prefix('!') {
        return Ok(Need::Not(key(name)?));
    }
    if let Some((start, rest)) = text.split_once('(') {
        let values = rest.strip_suffix(')').ok_or(format!("{text:?} has no end"))?;
        let values = values.split(',').map(|value| value.trim().to_owned()).collect();
        return match start.trim().rsplit_once(' ') {
            Some((name, "in")) => Ok(Need::In(key(name)?, values)),
            Some((name, "notin")) => Ok(Need::NotIn(key(name)?, values)),
            _ => Err(format!("{text:?}: found no in or notin")),
        };
    }
    if let Some((name, value)) = text.split_once("!=") {
        return Ok(Need::NotIn(key(name)?, one(value)));
    }
    if let Some((name, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return Ok(Need::In(key(name)?, one(value)));
    }
    Ok(Need::Exists(key(text)?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn labels_are_selected_as_the_documentation_says() {
        let labels = json!({ "app": "web", "tier": "front" });
        for (selector, fits) in [
            ("app=web", true),
            ("app == web", true),
            ("app!=web", false),
            ("other!=web", true),
            ("app in (web, db),tier", true),
            ("app notin (web)", false),
            ("other notin (web)", true),
            ("!other,!app", false),
            ("!other", true),
            ("other", false),
            ("", true),
        ] {
            let read = Labels::parse(selector).expect(selector);
            assert_eq!(read.fit(&labels), fits, "{selector}");
        }
        for bad in ["app in web", "a b", "app in (web", "=x"] {
            Labels::parse(bad).expect_err(bad);
        }
    }

    #[test]
    fn the_selector_of_an_object_is_read() {
        let selector = json!({
            "matchLabels": { "app": "web" },
            "matchExpressions": [{ "key": "tier", "operator": "NotIn", "values": ["back"] }],
        });
        let read = Labels::from_selector(&selector).expect("a selector");
        assert!(read.fit(&json!({ "app": "web" })));
        assert!(!read.fit(&json!({ "app": "web", "tier": "back" })));
        assert_eq!(Labels::from_selector(&Value::Null), None);
    }

    #[test]
    fn fields_that_are_absent_have_their_zero() {
        let pods = Resource::pods();
        let fields = |text| parse_fields(text, &pods, true);
        let has = |text, object: &Value| {
            let fields = fields(text).expect("known fields");
            Selector { fields, ..Selector::default() }.has(object)
        };
        let pod = json!({ "spec": {}, "status": { "phase": "Running" } });
        assert!(has("spec.nodeName=,status.phase==Running,spec.hostNetwork=false", &pod));
        assert!(has("status.phase!=Failed,status.phase!=Succeeded", &pod));
        assert!(!has("spec.nodeName!=", &pod));
        let refused = fields("spec.foo=bar").map(|_| ()).expect_err("unknown");
        assert!(refused.message.ends_with("field label not supported: spec.foo"));
    }
}
