//! `muster admin requests` and `muster admin request`: everybody's requests, over the API.

use muster_core::Timestamp;
use muster_store::Clock;
use serde_json::json;

use crate::answer::Overseen;
use crate::arguments::{AdminRequest, AdminRequestVerb, AdminRequests, OneRequest};
use crate::commands::requests::{FACTS, numbers, progress, times};
use crate::failure::Failure;
use crate::hub::{Hub, parse};
use crate::list::List;
use crate::path::{parameter, segment};
use crate::{human, table};

const ALL: &str = "/api/v1/admin/requests";
/// Narrowest terminal, in characters, on which the list shows all columns.
const WIDE: u16 = 100;

pub async fn requests(hub: &Hub, arguments: &AdminRequests) -> Result<(), Failure> {
    let mut path = path(arguments);
    if arguments.csv {
        parameter(&mut path, "format", ["csv"]);
        return hub.print(&path).await;
    }
    let (limit, json) = (arguments.limit, arguments.json);
    let list = List { path: &path, limit, json, none: "no requests", see: "--limit and --csv" };
    list.print(hub, |requests| listed(requests, Clock::system().now(), table::width())).await
}

fn path(arguments: &AdminRequests) -> String {
    let sort = if arguments.oldest { "oldest" } else { "newest" };
    let mut path = ALL.to_owned();
    parameter(&mut path, "sort", [sort]);
    parameter(&mut path, "user", &arguments.user);
    parameter(&mut path, "session", &arguments.session);
    parameter(&mut path, "model", &arguments.model);
    parameter(&mut path, "phase", &arguments.phase);
    parameter(&mut path, "auth_type", &arguments.auth_type);
    parameter(&mut path, "from", &arguments.from);
    parameter(&mut path, "to", &arguments.to);
    path
}

fn listed(requests: Vec<Overseen>, now: Timestamp, width: u16) -> String {
    // On a narrow terminal when it was is left to `muster admin request show`.
    let columns = if width < WIDE { 5 } else { 6 };
    let rows = requests.into_iter().map(|request| {
        let who = request.who().to_owned();
        let phase = match request.error_class {
            Some(class) if request.phase == "failed" => format!("failed {class}"),
            _ => request.phase,
        };
        let done = progress(request.inputs, request.done, request.failed);
        let submitted = human::ago(request.submitted_at, now);
        let mut row = vec![request.id, request.model, who, phase, done, submitted];
        row.truncate(columns);
        row
    });
    let header = ["id", "model", "who", "phase", "done", "submitted"];
    table::table(&header[..columns], rows.collect(), &[])
}

pub async fn request(hub: &Hub, arguments: &AdminRequest) -> Result<(), Failure> {
    let path = |one: &OneRequest, verb: &str| format!("{ALL}/{}{verb}", segment(&one.id));
    let body = match &arguments.verb {
        AdminRequestVerb::Show(one) => hub.get(&path(one, "")).await?,
        AdminRequestVerb::Cancel(cancel) => {
            let reason = json!({ "reason": cancel.reason });
            hub.post_json(&path(&cancel.request, "/cancel"), &reason).await?
        }
        AdminRequestVerb::Front(one) => hub.post(&path(one, "/front"), |post| post).await?,
        AdminRequestVerb::Requeue(one) => hub.post(&path(one, "/requeue"), |post| post).await?,
    };
    if arguments.verb.wants_json() {
        return table::print_json(&body);
    }
    table::print(described(&parse(&body)?, Clock::system().now()).trim_end())
}

fn described(request: &Overseen, now: Timestamp) -> String {
    let id = request.user.as_deref().or(request.session.as_deref()).unwrap_or("-");
    let who = match &request.user_name {
        Some(name) => format!("{name}, {} {id}", request.auth_type),
        None => format!("{} {id}", request.auth_type),
    };
    let mut facts = vec![
        ("Request", request.id.clone()),
        ("Model", format!("{} {}", request.model, request.model_version)),
        ("Of", who),
        ("Phase", request.phase.clone()),
        ("Result", request.result_status.clone()),
    ];
    facts.extend(request.waiting_reason.as_ref().map(|reason| ("Because", reason.clone())));
    facts.extend(request.error_class.as_ref().map(|class| ("Because", class.clone())));
    facts.extend(request.error.as_ref().map(|error| ("In words", error.clone())));
    facts.extend(times(request.submitted_at, request.started_at, request.ended_at, now));
    facts.push(numbers(request.inputs, request.done, request.failed, request.cached));
    facts.push(("Attempts", request.attempts.to_string()));
    facts.extend(request.instances.iter().map(|instance| ("Instance", instance.clone())));
    facts.extend(request.requeued_from.as_ref().map(|id| ("Retries", id.clone())));
    facts.extend(request.requeued_as.as_ref().map(|id| ("Retried as", id.clone())));
    facts.extend(
        request.timeline.iter().map(|step| ("Since", format!("{} {}", step.at, step.phase))),
    );
    table::facts(FACTS, facts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(rest: &str) -> Overseen {
        let text = format!(
            r#"{{"id": "0193a1b2-0000-7000-8000-000000000001", "model": "rdkit-descriptors",
            "model_version": "1", "result_status": "none", "submitted_at": "2026-11-24T00:00:00Z",
            "inputs": 2000, "done": 10, "failed": 1, "cached": 0, "attempts": 2, "instances": ["i"],
            {rest}}}"#
        );
        serde_json::from_str(&text).expect("a request")
    }

    #[test]
    fn a_list_fits_a_terminal_and_says_who_and_why() {
        let ada = seen(
            r#""auth_type": "account", "user": "1f", "user_name": "ada", "phase": "failed",
            "error_class": "timed_out""#,
        );
        let somebody = seen(r#""auth_type": "anonymous", "session": "2f", "phase": "waiting""#);
        let now = ada.submitted_at;
        let text = listed(vec![ada, somebody], now, 100);
        assert!(text.contains("ada") && text.contains("timed_out"), "{text}");
        assert!(text.contains("anonymous") && text.contains("waiting"), "{text}");
        let narrow =
            listed(vec![seen(r#""auth_type": "account", "user": "1f", "phase": "x""#)], now, 80);
        assert!(!narrow.contains("submitted") && narrow.contains("1f"), "{narrow}");
    }

    #[test]
    fn one_request_says_what_was_asked_again() {
        let text = described(
            &seen(
                r#""auth_type": "account", "user": "1f", "user_name": "ada", "phase": "failed",
                "error_class": "timed_out", "error": "too late", "requeued_as": "3f",
                "timeline": [{"phase": "waiting", "at": "2026-11-24T00:00:00Z"}]"#,
            ),
            "2026-11-24T01:00:00Z".parse().expect("a time"),
        );
        for line in [
            "Of         ada, account 1f",
            "Because    timed_out",
            "Retried as 3f",
            "Since      2026-11-24T00:00:00Z waiting",
            "Submitted  2026-11-24T00:00:00Z (1 h ago)",
        ] {
            assert!(text.lines().any(|known| known == line), "{line}: {text}");
        }
    }
}
