//! `muster doctor`: what a hub stands on.

use std::process::ExitCode;

use muster_cluster::kube::{self, Canary, KubeConfig};
use muster_cluster::machine::Machine;
use muster_core::plan::NodesMode;
use muster_core::{Check, CheckState as State};
use muster_store::{Clock, Database, Objects, StoreConfig, examine_database, examine_objects};

use crate::arguments::Doctor;
use crate::commands::settings;
use crate::config::Environment;
use crate::config::kubernetes::Kubernetes;
use crate::config::nodes::{Maker, Nodes};
use crate::config::server::Serve;
use crate::failure::Failure;
use crate::makers::provider;
use crate::store::store_config;
use crate::{machine, runner, table};

pub async fn examine(arguments: &Doctor, environment: &Environment) -> Result<ExitCode, Failure> {
    let settings = settings::read(&arguments.flags, environment)?;
    let serve = Serve::read(&settings, environment).map_err(Failure::usage)?;
    let data = std::path::absolute(&serve.data_dir).unwrap_or_else(|_| serve.data_dir.clone());
    let is_there = data.is_dir();
    let config = store_config(&serve, &data);
    let mut checks = database(&config).await;
    checks.push(objects(config, is_there).await);
    if let Some(mail) = &serve.mail {
        checks.push(mail.examine().await);
    }
    match &serve.kubernetes {
        Some(kubernetes) => {
            let owns_nodes = serve.nodes.policy.mode == NodesMode::Own;
            checks.extend(cluster(kubernetes, owns_nodes, arguments.no_canary).await);
        }
        None => {
            checks.extend(machine::examine(&serve, environment, &data));
            checks.push(match Machine::find(&serve.machine).await {
                Ok(found) => machine::room(&found),
                Err(error) => Check::new(machine::ROOM, State::Broken, error.to_string()),
            });
        }
    }
    checks.extend(nodes(&serve.nodes).await);
    checks.extend(machines(&serve.nodes).await);
    let broken = checks.iter().any(|check| check.state == State::Broken);
    if arguments.json {
        let said = serde_json::json!({ "good": !broken, "checks": checks });
        table::print(&said.to_string())?;
    } else {
        let row = |check: &Check| {
            let state = match check.state {
                State::Good => "good",
                State::Note => "note",
                State::Broken => "BROKEN",
            };
            vec![check.name.clone(), state.to_owned(), check.what.clone()]
        };
        let rows = checks.iter().map(row).collect();
        table::print(&table::table(&["what", "state", "found"], rows, &[]))?;
    }
    Ok(if broken { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

/// What pods of models stand on.
async fn cluster(kubernetes: &Kubernetes, owns_nodes: bool, no_canary: bool) -> Vec<Check> {
    let client = match kubernetes.client().await {
        Ok(client) => client,
        Err(error) => return vec![Check::new("kubernetes", State::Broken, error.to_string())],
    };
    let namespace = kubernetes.namespace.clone();
    let config = KubeConfig {
        namespace: namespace.unwrap_or_else(|| client.default_namespace().to_owned()),
        template: kubernetes.template.clone(),
        observe_cluster: kubernetes.sees_cluster,
        owns_nodes,
        buffers: kubernetes.buffers,
        runner: kubernetes.runner.as_ref().map(runner::tried),
        ..KubeConfig::default()
    };
    let canary = match &kubernetes.hub_image {
        _ if no_canary => Canary::Unwanted,
        Some(image) => Canary::Image { image, word: Clock::system().id() },
        None => Canary::Unknown,
    };
    kube::examine(client, &config, canary).await
}

/// Does who makes nodes answer, and know the groups that are the hub's?
async fn nodes(nodes: &Nodes) -> Option<Check> {
    let (maker, who) = match nodes.maker.as_ref()? {
        it @ Maker::Command(_) => (it, "nodes.command"),
        it @ Maker::ClusterApi(_) => (it, "Cluster API"),
    };
    let check = |state, what| Some(Check::new("nodes", state, what));
    let told = match provider(maker).await {
        Ok(provider) => provider.groups().await.map_err(|refusal| refusal.message),
        Err(why) => Err(why),
    };
    let told = match told {
        Ok(told) => told,
        Err(why) => return check(State::Broken, why),
    };
    let names: Vec<&str> = told.iter().map(|(id, _)| id.0.as_str()).collect();
    let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let (mut wrong, mut sizes) = (Vec::new(), Vec::new());
    for (id, settings) in &nodes.groups {
        match told.iter().find(|(other, _)| other == id) {
            None => wrong.push(format!("it does not name {id}, it names {names}")),
            Some((_, Err(why))) => wrong.push(format!("{id}: {why}")),
            Some((_, Ok(told))) => match settings.max.or(told.max) {
                None => wrong.push(format!("nobody says how many nodes {id} may have")),
                Some(max) => sizes.push(format!("{id} has {} of at most {max}", told.target)),
            },
        }
    }
    match &*wrong {
        [] => check(State::Good, format!("{who} answers: {}", sizes.join(", "))),
        wrong => check(State::Broken, format!("{who}: {}", wrong.join("; "))),
    }
}

/// May the hub do with machines what it has to, where Cluster API makes nodes?
async fn machines(nodes: &Nodes) -> Vec<Check> {
    let Some(Maker::ClusterApi(of)) = &nodes.maker else { return Vec::new() };
    // One that cannot be reached is told already.
    let client = kube::client(of.kubeconfig.as_deref(), of.context.as_deref()).await;
    let Ok(client) = client else { return Vec::new() };
    let namespaces = of.groups.values().map(|it| it.namespace.as_str()).collect();
    let orders = nodes.policy.mode == NodesMode::Own;
    kube::rights_of_machines(client, &namespaces, orders).await
}

async fn database(config: &StoreConfig) -> Vec<Check> {
    if let Database::Sqlite { file } = &config.database
        && !file.exists()
    {
        let what = format!("SQLite in {}, which `muster serve` makes", file.display());
        return vec![Check::new(Check::DATABASE, State::Note, what)];
    }
    examine_database(&config.database, &Clock::system()).await
}

async fn objects(config: StoreConfig, is_there: bool) -> Check {
    let place = match &config.objects {
        Objects::Folder(folder) if !is_there && !folder.is_dir() => {
            let what = format!("{}, which `muster serve` makes", folder.display());
            return Check::new("objects", State::Note, what);
        }
        Objects::Folder(folder) => folder.display().to_string(),
        Objects::S3 { url, .. } => url.clone(),
        Objects::Memory => "memory".to_owned(),
    };
    let check = examine_objects(config.objects, &Clock::system()).await;
    Check { what: format!("{place}: {}", check.what), ..check }
}
