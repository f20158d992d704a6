//! Statistics over HTTP.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::hub::{Hub, Person, problem};

/// Two people and an anonymous session; five requests, of which one is open.
async fn hub_with_requests() -> (Hub, Person, [Person; 3]) {
    let hub = Hub::start().await;
    let people = [hub.user("ada").await, hub.user("bob").await, hub.person().await];
    for (person, inputs) in [(0, vec!["a"]), (0, vec!["b", "c"]), (1, vec!["d"]), (2, vec!["e"])] {
        people[person].submit(&inputs).await;
        hub.complete(hub.claim().await).await;
    }
    people[2].submit(&["f"]).await;
    let admin = hub.admin("root").await;
    (hub, admin, people)
}

fn totals(rows: &Value, name: &str) -> Vec<(String, u64)> {
    let rows = rows["items"].as_array().expect("rows").iter();
    rows.map(|row| {
        let of = row[name].as_str().unwrap_or("-").to_owned();
        (of, row["total"].as_u64().expect("a number"))
    })
    .collect()
}

/// # brief: ST-1, ST-5
#[tokio::test]
async fn everybody_s_requests_are_counted_for_an_admin() {
    let (_hub, admin, _) = hub_with_requests().await;
    let all = admin.find("/api/v1/stats").await;
    let row = &all["items"][0];
    assert_eq!(row["model"], "lengths");
    for (name, number) in
        [("total", 5), ("succeeded", 4), ("active", 1), ("failed", 0), ("inputs", 6)]
    {
        assert_eq!(row[name], number, "{name}");
        assert_eq!(all["totals"][name], number, "{name}");
    }
    let seconds = |name: &str| row[name].as_f64().expect("seconds");
    assert!(seconds("total_seconds_min") <= seconds("total_seconds_p50"));
    assert!(seconds("total_seconds_p99") <= seconds("total_seconds_max"));
    assert!((seconds("job_seconds_avg") * 4.0 - seconds("job_seconds_total")).abs() < 1e-9);
    let failures = admin.find("/api/v1/stats?by=failures&model=&user=&from=&to=").await;
    assert_eq!(failures["items"][0]["total"], 5, "empty filters are no filters");
    assert_eq!(failures["items"][0]["total_seconds_avg"], Value::Null, "nothing failed");
}

/// # brief: ST-4
#[tokio::test]
async fn filters_groups_order_and_pages_go_together() {
    let (_hub, admin, people) = hub_with_requests().await;
    let by_user = admin.find("/api/v1/stats?group_by=user&sort=-total,user").await;
    let own = |person: &Person| person.id.to_string();
    assert_eq!(
        totals(&by_user, "user"),
        [("-".into(), 2), (own(&people[0]), 2), (own(&people[1]), 1)]
    );
    assert_eq!(by_user["items"][1]["user_name"], "ada");
    let sizes = admin.find("/api/v1/stats?group_by=input_size").await;
    assert_eq!(totals(&sizes, "input_size"), [("1".into(), 4), ("2-10".into(), 1)]);
    let kinds = admin.find("/api/v1/stats?group_by=auth_type&phase=completed").await;
    assert_eq!(totals(&kinds, "auth_type"), [("account".into(), 3), ("anonymous".into(), 1)]);
    let some = format!("/api/v1/stats?user={}&session={}", people[1].id, people[2].id);
    assert_eq!(admin.find(&some).await["totals"]["total"], 3);
    let today = admin.find("/api/v1/stats?group_by=day").await;
    let day = today["items"][0]["day"].as_str().expect("a day").to_owned();
    let on = admin.find(&format!("/api/v1/stats?from={day}&to={day}")).await;
    assert_eq!(on["totals"]["total"], 5, "both days are included");
    let mut path = "/api/v1/stats?group_by=user,session&limit=1".to_owned();
    let mut seen = 0;
    loop {
        let page = admin.find(&path).await;
        assert_eq!(page["totals"]["total"], 5, "of all pages");
        seen += page["items"].as_array().expect("rows").len();
        let Some(next) = page["next"].as_str() else { break };
        let next = next.replace('"', "%22").replace('[', "%5B").replace(']', "%5D");
        path = format!("/api/v1/stats?group_by=user,session&limit=1&after={next}");
    }
    assert_eq!(seen, 3);
}

/// I-56
#[tokio::test]
async fn csv_is_the_same_table() {
    let (_hub, admin, _) = hub_with_requests().await;
    let query = "/api/v1/stats?group_by=user,model&sort=-total";
    let table = admin.find(query).await;
    let csv = admin.get(&format!("{query}&format=csv")).send().await.expect("an answer");
    assert_eq!(csv.headers()["content-type"], "text/csv; charset=utf-8");
    let text = csv.text().await.expect("text");
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let names: Vec<String> = reader.headers().expect("names").iter().map(str::to_owned).collect();
    assert_eq!(names[..4], ["user", "user_name", "model", "total"]);
    let lines: Vec<csv::StringRecord> = reader.records().map(|r| r.expect("a line")).collect();
    let items = table["items"].as_array().expect("rows");
    assert_eq!(lines.len(), items.len() + 1);
    assert_eq!(&lines[items.len()][0], "(all)");
    for (line, row) in lines.iter().zip(items.iter().chain([&table["totals"]])) {
        for (name, cell) in names.iter().zip(line) {
            let same = match &row[name] {
                Value::Null => cell.is_empty() || cell == "(all)",
                Value::String(text) => text == cell,
                number => format!("{number}") == *cell,
            };
            assert!(same, "{name}: {} and {cell}", row[name]);
        }
    }
    assert!(text.ends_with("\r\n"));
}

/// I-37
#[tokio::test]
async fn a_user_s_own_statistics_are_only_their_own() {
    let (hub, _, people) = hub_with_requests().await;
    let own = people[1].find("/api/v1/me/stats").await;
    assert_eq!(
        (own["totals"]["total"].clone(), own["totals"]["inputs"].clone()),
        (json!(1), json!(1))
    );
    for bad in ["user=x", "session=x", "auth_type=account", "group_by=user", "sort=user"] {
        let refused = problem(people[1].get(&format!("/api/v1/me/stats?{bad}"))).await;
        assert_eq!(refused["type"], "/problems/bad-parameter", "{bad}");
    }
    // What an anonymous session did is the user's once they claimed it.
    hub.store.claim_requests(people[2].id, people[1].id).await.expect("an answer");
    assert_eq!(people[1].find("/api/v1/me/stats").await["totals"]["total"], 3);
    assert_eq!(people[0].find("/api/v1/me/stats").await["totals"]["total"], 2);
}

/// # brief: ST-6
#[tokio::test]
async fn all_there_is_to_filter_by_is_one_call() {
    let (_hub, admin, people) = hub_with_requests().await;
    let all = admin.find("/api/v1/stats/filters").await;
    assert_eq!(
        (&all["models"][0]["id"], &all["models"][0]["requests"]),
        (&json!("lengths"), &json!(5))
    );
    let kinds: Vec<_> = all["auth_types"].as_array().expect("two").iter().collect();
    assert_eq!((&kinds[0]["id"], &kinds[0]["requests"]), (&json!("account"), &json!(3)));
    assert_eq!((&kinds[1]["id"], &kinds[1]["requests"]), (&json!("anonymous"), &json!(2)));
    assert_eq!(all["users"].as_array().expect("two").len(), 2);
    assert_eq!(all["sessions"][0]["id"], people[2].id.to_string());
    assert_eq!((&all["next_user"], &all["next_session"]), (&Value::Null, &Value::Null));
    let page = admin.find("/api/v1/stats/filters?limit=1").await;
    let next = page["next_user"].as_str().expect("there is one more");
    let rest = admin.find(&format!("/api/v1/stats/filters?limit=1&after_user={next}")).await;
    assert_eq!(
        (rest["users"].as_array().map(Vec::len), &rest["next_user"]),
        (Some(1), &Value::Null)
    );
    let found = admin.find("/api/v1/stats/filters?search=BO").await;
    assert_eq!(found["users"][0]["name"], "bob");
    assert_eq!(found["users"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_by_name() {
    let hub = Hub::start().await;
    let admin = hub.admin("root").await;
    for (bad, name) in [
        ("group_by=colour", "group_by"),
        ("from=yesterday", "from"),
        ("from=2026-11-28&to=2026-11-27", "to"),
        ("to=2026-02-30", "to"),
        ("phase=asleep", "phase"),
        ("by=luck", "by"),
        ("sort=user", "sort"),
        ("input_size_min=3", "input_size_min"),
        ("input_size_max=50", "input_size_max"),
        ("user=ada", "user"),
        ("auth_type=none", "auth_type"),
        ("limit=0", "limit"),
        ("after=x", "after"),
        ("after=[\"gone\"]", "after"),
        ("format=xml", "format"),
        ("colour=red", "colour"),
    ] {
        let refused = problem(admin.get(&format!("/api/v1/stats?{bad}"))).await;
        assert_eq!(refused["type"], "/problems/bad-parameter", "{bad}");
        assert_eq!(refused["parameter"], name, "{bad}: {refused}");
    }
}

#[tokio::test]
async fn the_description_has_the_columns_there_are() {
    let (_hub, admin, _) = hub_with_requests().await;
    let groups = "model,day,week,month,user,session,auth_type,input_size";
    let all = admin.find(&format!("/api/v1/stats?group_by={groups}")).await;
    let row = all["items"][0].as_object().expect("a row");
    let there: BTreeSet<&String> = row.keys().collect();
    let api: Value = serde_json::from_str(&muster_server::openapi()).expect("JSON");
    let told = &api["components"]["schemas"]["StatisticsRow"]["properties"];
    let told: BTreeSet<&String> = told.as_object().expect("properties").keys().collect();
    assert_eq!(there, told);
}
