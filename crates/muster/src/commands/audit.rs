//! `muster admin audit`: what administrators did.

use muster_core::Timestamp;
use serde::Deserialize;

use super::users::id_of;
use crate::arguments::Audit;
use crate::failure::Failure;
use crate::hub::Hub;
use crate::list::List;
use crate::path::parameter;
use crate::table;

#[derive(Deserialize)]
struct Entry {
    at: Timestamp,
    actor: Option<String>,
    actor_name: Option<String>,
    action: String,
    subject: Option<String>,
    subject_name: Option<String>,
    detail: String,
}

pub async fn audit(hub: &Hub, arguments: &Audit) -> Result<(), Failure> {
    let mut path = "/api/v1/audit".to_owned();
    for (name, user) in [("actor", &arguments.actor), ("subject", &arguments.subject)] {
        if let Some(user) = user {
            parameter(&mut path, name, [id_of(hub, user).await?]);
        }
    }
    parameter(&mut path, "action", &arguments.action);
    parameter(&mut path, "from", &arguments.from);
    parameter(&mut path, "to", &arguments.to);
    let (limit, json) = (arguments.limit, arguments.json);
    let list =
        List { path: &path, limit, json, none: "nothing like that was done", see: "--limit" };
    list.print(hub, listed).await
}

fn listed(entries: Vec<Entry>) -> String {
    let rows = entries.into_iter().map(|entry| {
        let actor = entry.actor_name.or(entry.actor).unwrap_or_else(|| "on the machine".into());
        let subject = entry.subject_name.or(entry.subject).unwrap_or_else(|| "-".into());
        vec![entry.at.to_string(), actor, entry.action, subject, entry.detail]
    });
    table::table(&["when", "who", "action", "to whom", "detail"], rows.collect(), &[])
}
