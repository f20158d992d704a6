//! `muster models`: what the hub can do.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::answer::{CatalogueModel, Cleared, Column, Expected, Model, ModelSummary};
use crate::arguments::{
    DeleteModel, DescribedBy, Disable, EditModel, Models, ModelsVerb, OneModel, ShowModel,
};
use crate::failure::Failure;
use crate::hub::{Hub, parse, parse_all};
use crate::list::list_json;
use crate::path::segment;
use crate::{human, table};

const CATALOGUE: &str = "/api/v1/catalogue";
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
    let said = match verb {
        ModelsVerb::Show(ShowModel { id, json }) => {
            let body = hub.get(&format!("{CATALOGUE}/{}", segment(id))).await?;
            if *json {
                return table::print_json(&body);
            }
            how_it_is_run(parse(&body)?)
        }
        ModelsVerb::Enable(OneModel { id }) => {
            act(hub, id, "enable", &json!({})).await?;
            format!("{id} takes requests")
        }
        ModelsVerb::Disable(Disable { id, reason }) => {
            let body = reason.as_ref().map_or_else(|| json!({}), |why| json!({ "reason": why }));
            act(hub, id, "disable", &body).await?;
            format!("{id} takes no new requests")
        }
        ModelsVerb::ClearCache(OneModel { id }) => {
            let Cleared { predictions } = parse(&act(hub, id, "clear-cache", &json!({})).await?)?;
            format!("{} of {id} forgotten", human::counted(predictions, "prediction"))
        }
        ModelsVerb::Add(by) => {
            let added = hub.post_json(CATALOGUE, &description(by)?).await?;
            let CatalogueModel { id, version, .. } = parse(&added)?;
            format!("{id} {version} is in the catalogue")
        }
        ModelsVerb::Edit(EditModel { id, by }) => {
            let change = description(by)?;
            let (path, seen) = seen(hub, id).await?;
            let changed = hub.change(&path, &seen, Some(&change)).await?;
            let CatalogueModel { version, .. } = parse(&changed)?;
            format!("{id} {version} is as the file says")
        }
        ModelsVerb::Delete(DeleteModel { id, yes: true }) => {
            let (path, seen) = seen(hub, id).await?;
            hub.change(&path, &seen, None).await?;
            format!("{id} is deleted")
        }
        ModelsVerb::Delete(DeleteModel { id, yes: false }) => {
            let what = format!("{id} would be gone; nothing was done");
            return Err(Failure::usage(what).advice("Add --yes to do it."));
        }
    };
    table::print(&said)
}

async fn act(hub: &Hub, id: &str, action: &str, body: &Value) -> Result<Bytes, Failure> {
    hub.post_json(&format!("{CATALOGUE}/{}/{action}", segment(id)), body).await
}

fn description(by: &DescribedBy) -> Result<Value, Failure> {
    let name = by.file.display();
    let text = std::fs::read_to_string(&by.file)
        .map_err(|error| Failure::usage(format!("{name} cannot be read: {error}")))?;
    serde_json::from_str(&text)
        .map_err(|error| Failure::usage(format!("{name} is not JSON: {error}")))
}

/// Where the model is, and the ETag of what is there now.
async fn seen(hub: &Hub, id: &str) -> Result<(String, String), Failure> {
    let path = format!("{CATALOGUE}/{}", segment(id));
    let model: CatalogueModel = parse(&hub.get(&path).await?)?;
    Ok((path, model.etag))
}

async fn list_all(hub: &Hub, json: bool) -> Result<(), Failure> {
    let (items, _) = hub.list(CATALOGUE, MOST, false).await?;
    if json {
        return table::print(&list_json(&items));
    }
    let models: Vec<CatalogueModel> = parse_all(&items)?;
    let rows = models.into_iter().map(|model| {
        let state = state_of(&model);
        vec![model.id, model.version, model.owner, model.runs, state]
    });
    let header = ["id", "version", "owner", "runs", "state"];
    table::print(&table::table(&header, rows.collect(), &[]))
}

fn state_of(model: &CatalogueModel) -> String {
    match (model.offered, &model.disabled) {
        (false, _) => "its folder is gone".to_owned(),
        (true, Some(reason)) => format!("disabled: {reason}"),
        (true, None) => "enabled".to_owned(),
    }
}

fn how_it_is_run(model: CatalogueModel) -> String {
    let (state, limits) = (state_of(&model), &model.limits);
    let mib = |mib: u32| format!("{} MiB", human::count(mib.into()));
    let memory = match limits.memory_most_mib {
        0 => mib(limits.memory_mib),
        most => format!("{}; {} once it ran out of that", mib(limits.memory_mib), mib(most)),
    };
    let mut facts = vec![
        ("State", state),
        ("Described by", model.owner),
        ("Runs", model.runs),
        ("Address", model.address.unwrap_or_default()),
        ("Image", model.image.unwrap_or_default()),
        ("Port", model.port.map(|port| port.to_string()).unwrap_or_default()),
        ("Instances", format!("{} to {}", limits.min_instances, limits.max_instances)),
        ("An instance", model.resources.to_string()),
        ("Its memory", format!("at most {memory}")),
    ];
    let mut template = String::new();
    if let Some(pod) = model.pod {
        facts.push(("Unrestricted", pod.unrestricted.unwrap_or_default()));
        facts.push(("CPU limit", if pod.limit_cpu { "as asked for" } else { "" }.to_owned()));
        if !pod.template.is_null() {
            template = format!("Pods\n{:#}\n", pod.template);
        }
    }
    format!("{}  {}\n\n{}\n{template}", model.id, model.version, table::facts(14, facts))
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
