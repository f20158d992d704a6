//! `muster models`: what the hub can do.

use std::time::Duration;

use serde_json::json;

use crate::answer::{CatalogueModel, Cleared, Column, Expected, Model, ModelSummary};
use crate::arguments::{Disable, Models, ModelsVerb};
use crate::failure::Failure;
use crate::hub::{Hub, parse, parse_all};
use crate::list::list_json;
use crate::path::segment;
use crate::{human, table};

const MOST: usize = 10_000;

pub async fn models(hub: &Hub, arguments: &Models) -> Result<(), Failure> {
    if let Some(verb) = &arguments.verb {
        return administer(hub, verb).await;
    }
    if arguments.all {
        return list_all(hub, arguments.json).await;
    }
    if let Some(id) = &arguments.id {
        let body = hub.public(&format!("/api/v1/models/{}", segment(id))).await?;
        return if arguments.json {
            table::print_json(&body)
        } else {
            table::print(card(&parse(&body)?).trim_end())
        };
    }
    let (items, _) = hub.list("/api/v1/models", MOST, true).await?;
    if arguments.json {
        return table::print(&list_json(&items));
    }
    let models: Vec<ModelSummary> = parse_all(&items)?;
    if models.is_empty() {
        return table::print("this hub has no models; `muster serve --models DIR` adds some");
    }
    let rows = models.into_iter().map(|model| {
        let p50 = model.p50_seconds.and_then(human::seconds);
        let waiting = human::count(model.waiting);
        let (task, p50) = (said(&model.task), p50.unwrap_or_else(|| "-".into()));
        vec![model.id, model.title, task, model.input.kind, model.state, waiting, p50]
    });
    let header = ["id", "title", "task", "input", "state", "waiting", "p50"];
    table::print(&table::table(&header, rows.collect(), &[5, 6]))
}

async fn administer(hub: &Hub, verb: &ModelsVerb) -> Result<(), Failure> {
    let (id, action, body) = match verb {
        ModelsVerb::Enable(one) => (&one.id, "enable", json!({})),
        ModelsVerb::ClearCache(one) => (&one.id, "clear-cache", json!({})),
        ModelsVerb::Disable(Disable { id, reason: None }) => (id, "disable", json!({})),
        ModelsVerb::Disable(Disable { id, reason: Some(reason) }) => {
            (id, "disable", json!({ "reason": reason }))
        }
    };
    let path = format!("/api/v1/catalogue/{}/{action}", segment(id));
    let answer = hub.post_json(&path, &body).await?;
    match verb {
        ModelsVerb::Enable(_) => table::print(&format!("{id} takes requests")),
        ModelsVerb::Disable(_) => table::print(&format!("{id} takes no new requests")),
        ModelsVerb::ClearCache(_) => {
            let Cleared { predictions } = parse(&answer)?;
            table::print(&format!(
                "{} of {id} forgotten",
                human::counted(predictions, "prediction")
            ))
        }
    }
}

async fn list_all(hub: &Hub, json: bool) -> Result<(), Failure> {
    let (items, _) = hub.list("/api/v1/catalogue", MOST, false).await?;
    if json {
        return table::print(&list_json(&items));
    }
    let models: Vec<CatalogueModel> = parse_all(&items)?;
    let rows = models.into_iter().map(|model| {
        let state = match (model.offered, model.disabled) {
            (false, _) => "its folder is gone".to_owned(),
            (true, Some(reason)) => format!("disabled: {reason}"),
            (true, None) => "enabled".to_owned(),
        };
        vec![model.id, model.version, model.owner, state]
    });
    table::print(&table::table(&["id", "version", "owner", "state"], rows.collect(), &[]))
}

fn card(model: &Model) -> String {
    let (summary, limits) = (&model.summary, &model.limits);
    let mut text = format!("{}  {}\n{}\n", summary.id, summary.version, summary.title);
    for paragraph in [&model.card.description, &model.card.interpretation] {
        if !paragraph.is_empty() {
            text = format!("{text}\n{paragraph}\n");
        }
    }
    let start = model.usual_start_seconds.and_then(human::seconds);
    let state = match (summary.state.as_str(), start) {
        ("ready", _) | (_, None) => summary.state.clone(),
        ("preparing", Some(start)) => {
            format!("preparing its environment, usually ready {start} after that")
        }
        (state, Some(start)) => format!("{state}, usually ready after {start}"),
    };
    let expected = model.expected_seconds.and_then(Expected::in_words);
    let mut facts = vec![
        ("Task", summary.task.clone()),
        ("State", state),
        ("Queue", format!("{} waiting, {} running", summary.waiting, summary.running)),
        ("One input now", expected.map(|range| format!("done in {range}")).unwrap_or_default()),
        ("Waits because", model.held.clone().unwrap_or_default()),
        ("Licence", model.card.licence.clone()),
        ("Publication", model.card.publication.clone()),
        ("Source code", model.card.source_code.clone()),
    ];
    let inputs = human::count(limits.inputs);
    let bytes = human::count(limits.input_bytes);
    facts.push(("A request", format!("at most {inputs} inputs of {bytes} bytes")));
    let job = human::duration(Duration::from_secs(limits.job_seconds));
    let (batch, most) = (limits.batch_size, limits.max_instances);
    facts.push(("A batch", format!("{batch} inputs, at most {job}; up to {most} at once")));
    facts.push(("An instance", model.resources.to_string()));
    text = format!("{text}\n{}", table::facts(14, facts));
    let input = &summary.input;
    let row = vec![input.name.clone(), input.kind.clone(), input.description.clone()];
    let header = ["column", "kind", "description"];
    text = format!("{text}\nInput\n{}\n", table::table(&header, vec![row], &[]));
    if !model.outputs.is_empty() {
        let rows = model.outputs.iter().map(|column: &Column| {
            let strong = column.direction.as_deref().unwrap_or_default();
            let [unit, strong] = [&*column.unit, strong].map(said);
            vec![column.name.clone(), column.kind.clone(), unit, strong, column.description.clone()]
        });
        let (header, rows) = (["column", "kind", "unit", "strong", "description"], rows.collect());
        text = format!("{text}\nOutput\n{}\n", table::table(&header, rows, &[]));
    }
    if let Some(example) = model.example.first() {
        text = format!("{text}\nTry it\n  muster run {} --input '{example}'\n", summary.id);
    }
    text
}

fn said(text: &str) -> String {
    if text.is_empty() { "-".into() } else { text.into() }
}
