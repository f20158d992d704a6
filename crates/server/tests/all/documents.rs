//! What is written about the API is what it does.

use std::collections::BTreeSet;
use std::path::Path;

use muster_server::problem::Kind;
use serde_json::Value;

use crate::hub::Hub;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the repository")
}

fn api() -> Value {
    serde_json::from_str(&muster_server::openapi()).expect("JSON")
}

/// Clients switch on these words.
#[test]
fn closed_sets_of_words_are_in_the_description() {
    let api = api();
    let words = |name: &str, property: &str| {
        let property = &api["components"]["schemas"][name]["properties"][property];
        let of = if property["items"].is_object() { &property["items"] } else { property };
        of["enum"].as_array().unwrap_or_else(|| panic!("{name}: {property}")).clone()
    };
    let problems = words("Problem", "type");
    assert_eq!(problems.len(), Kind::ALL.len());
    assert!(problems.contains(&"/problems/not-found".into()));
    assert_eq!(
        (words("Session", "state"), words("EndedSession", "state")),
        (vec!["live".into()], vec!["ended".into()])
    );
    assert_eq!(words("Account", "permissions"), ["ADMIN", "MODEL_EDITOR"]);
    assert!(words("AdminRequest", "error_class").contains(&Value::Null), "it may have none");
    assert_eq!(words("InstanceEnd", "cause").len(), 18);
}

#[test]
fn the_description_that_is_checked_in_is_current() {
    let file = std::fs::read_to_string(repository().join("openapi.json")).unwrap_or_default();
    let current = muster_server::openapi();
    let line = file.lines().zip(current.lines()).position(|(old, new)| old != new);
    let line = line.map_or(file.lines().count(), |line| line) + 1;
    assert!(
        file == current,
        "openapi.json differs from line {line} on. Look at the difference and write it anew: \
         muster openapi > openapi.json"
    );
}

#[test]
fn the_description_is_complete() {
    let api = api();
    assert_eq!(api["openapi"], "3.1.0");
    let problem = "#/components/schemas/Problem";
    for (path, item) in api["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let name = format!("{method} {path}");
            assert!(operation["summary"].is_string(), "{name} has no summary");
            let responses = operation["responses"].as_object().expect("responses");
            assert!(responses.contains_key("200") || responses.contains_key("201"), "{name}");
            for (status, response) in responses.iter().filter(|(s, _)| !s.starts_with('2')) {
                if operation["tags"][0] == "existing clients" {
                    let content = &response["content"]["application/json"];
                    assert_eq!(content["schema"]["$ref"], "#/components/schemas/Detail");
                    continue;
                }
                let content = &response["content"]["application/problem+json"];
                assert_eq!(content["schema"]["$ref"], problem, "{name} {status}");
                assert_eq!(content["example"]["status"].to_string(), *status, "{name}");
            }
            let secured = operation.get("security").is_some();
            assert_eq!(responses.contains_key("401"), secured, "{name}");
        }
    }
}

/// References lead somewhere, and nothing is described that is not used.
/// Queries are read by hand; a refusal lists what its route reads.
#[tokio::test]
async fn every_parameter_of_a_query_is_in_the_description() {
    let hub = Hub::start().await;
    let admin = hub.admin("reader").await;
    let id = uuid::Uuid::nil().to_string();
    let mut seen = 0;
    // The others are the predecessor's, who ignored what it did not know.
    let is_ours = |(path, _): &(&String, &Value)| path.starts_with("/api/v1/");
    for (path, item) in api()["paths"].as_object().expect("paths").iter().filter(is_ours) {
        for (method, operation) in item.as_object().expect("operations") {
            let all = operation["parameters"].as_array().into_iter().flatten();
            let described: BTreeSet<&str> = all
                .filter(|parameter| parameter["in"] == "query")
                .map(|parameter| parameter["name"].as_str().expect("a name"))
                .collect();
            // Others do something, and read no query.
            if described.is_empty() && method != "get" {
                continue;
            }
            let method = method.to_uppercase().parse().expect("a method");
            let path = format!("{}?no-such-parameter=1", path.replace("{id}", &id));
            let request = admin.request(method, &path).header("content-type", "text/csv");
            let answer = request.send().await.expect("an answer");
            // Streams do not end.
            let refused = answer.status() == 400;
            let text = if refused { answer.text().await.expect("a text") } else { String::new() };
            let problem: Value = serde_json::from_str(&text).unwrap_or_default();
            let detail = problem["detail"].as_str().unwrap_or_default();
            let Some((_, known)) = detail.split_once("no such parameter. It has: ") else {
                assert!(described.is_empty(), "{path} reads no query: {text}");
                continue;
            };
            let known: BTreeSet<&str> = known.trim_end_matches('.').split(", ").collect();
            assert_eq!(known, described, "{path}");
            seen += 1;
        }
    }
    assert!(seen >= 15, "{seen} queries");
}

#[test]
fn every_schema_is_there_and_used() {
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => members.iter().for_each(|(name, value)| {
                match value.as_str().filter(|_| name == "$ref") {
                    Some(to) => drop(found.insert(to.to_owned())),
                    None => references(value, found),
                }
            }),
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    let api = api();
    let mut used = BTreeSet::new();
    references(&api, &mut used);
    let schemas = api["components"]["schemas"].as_object().expect("schemas");
    let known: BTreeSet<String> =
        schemas.keys().map(|name| format!("#/components/schemas/{name}")).collect();
    assert_eq!(used, known);
}

#[test]
fn every_problem_is_in_the_manual() {
    let manual = std::fs::read_to_string(repository().join("docs/API.md")).expect("docs/API.md");
    for kind in Kind::ALL {
        let row = format!("| `{}` | {} |", kind.slug(), kind.status().as_u16());
        assert!(manual.contains(&row), "docs/API.md has no row {row}");
    }
    let slugs: BTreeSet<&str> = Kind::ALL.iter().map(|kind| kind.slug()).collect();
    assert_eq!(slugs.len(), Kind::ALL.len());
}

#[tokio::test]
async fn the_page_shows_the_description_without_the_internet() {
    let hub = Hub::start().await;
    let root = hub.http.get(hub.url("/api/docs")).send().await.expect("an answer");
    assert_eq!((root.status().as_u16(), root.url().path()), (200, "/api/docs/"));
    let page = root.text().await.expect("text");
    assert!(page.contains("swagger-ui"));
    let files =
        page.split(['"', '\'']).filter(|text| text.starts_with("./") || text.ends_with(".js"));
    let mut seen = 0;
    for file in files {
        assert!(!file.contains("//"), "{file} is elsewhere");
        let path = format!("/api/docs/{}", file.trim_start_matches("./"));
        let answer = hub.http.get(hub.url(&path)).send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "{path}");
        if path.ends_with("initializer.js") {
            let text = answer.text().await.expect("text");
            assert!(text.contains("\"../v1/openapi.json\""), "{text}");
        }
        seen += 1;
    }
    assert!(seen >= 3, "{page}");
    assert!(!page.contains("<script>"), "the policy allows no script in the page");
    let missing = hub.http.get(hub.url("/api/docs/nothing")).send().await.expect("an answer");
    assert_eq!(missing.status(), 404);
    let served = hub.http.get(hub.url("/api/v1/openapi.json")).send().await.expect("an answer");
    assert_eq!(served.text().await.expect("text"), muster_server::openapi());
}
