//! Models that are administered, on both databases.

use muster_core::{Model, ModelId, PrincipalId, Source};
use muster_store::{Entry, ModelAct, ModelDone, Owner};
use serde_json::json;

use crate::lab::{LONG, Lab, model};

on_both!(
    edits_are_a_layer_over_a_folder_and_taken_back,
    a_model_is_changed_only_as_it_was_seen,
    a_model_goes_when_nothing_of_it_is_open,
    a_disabled_model_keeps_no_minimum,
    a_change_is_one_line_in_the_audit,
    what_a_person_has_is_counted,
    a_request_that_ended_is_deleted_whole,
);

fn far() -> Model {
    let source = Source::Server { url: "http://far.example:80".into() };
    Model { source, ..model("far", "1") }
}

async fn entry(lab: &Lab, id: &ModelId) -> Entry {
    lab.store.find_entry(id).await.expect("an answer").expect("the model")
}

async fn change(lab: &Lab, id: &ModelId, act: ModelAct) -> ModelDone {
    let seen = entry(lab, id).await.revision;
    lab.store.change_model(lab.me, (id.clone(), seen), act).await.expect("an answer")
}

async fn edits_are_a_layer_over_a_folder_and_taken_back(lab: Lab) {
    let id = lab.model.id.clone();
    let edit = json!({"card": {"licence": "MIT"}, "limits": {"batch_size": 7}});
    let ModelDone::Done(edited) = change(&lab, &id, ModelAct::Edit(edit.clone())).await else {
        panic!("it is edited")
    };
    assert_eq!((edited.owner, &edited.edits), (Owner::Folder, &edit));
    let mut folder = model("echo", "2");
    folder.limits.max_instances = 5;
    lab.store.sync_models(vec![folder]).await.expect("a catalogue");
    let now = lab.store.find_model(&id).expect("the model");
    let limits = (now.limits.batch_size, now.limits.max_instances);
    assert_eq!((now.version.as_str(), &*now.card.licence, limits), ("2", "MIT", (7, 5)));
    change(&lab, &id, ModelAct::Edit(json!({"card": null, "limits": {"batch_size": null}}))).await;
    let now = entry(&lab, &id).await;
    assert_eq!((now.edits, now.model.limits.max_instances), (json!({}), 5));
    // A layer that does not fit a folder any more is left out, not the model.
    lab.raw.run(r#"UPDATE model SET edits = '{"limits": 1}'"#).await;
    assert_eq!(entry(&lab, &id).await.model.limits.max_instances, 5);
}

async fn a_model_is_changed_only_as_it_was_seen(lab: Lab) {
    let id = lab.model.id.clone();
    let seen = entry(&lab, &id).await.revision;
    let act = |title: &str| ModelAct::Edit(json!({"card": {"title": title}}));
    let acts =
        (0..5).map(|n| lab.store.change_model(lab.me, (id.clone(), seen), act(&n.to_string())));
    let done = futures::future::join_all(acts).await;
    let won = done.iter().filter(|done| matches!(done, Ok(ModelDone::Done(_)))).count();
    assert_eq!(won, 1);
    let changed = done.iter().filter(|done| matches!(done, Ok(ModelDone::Changed))).count();
    assert_eq!(changed, 4);
    assert!(entry(&lab, &id).await.revision > seen);
    let unknown: ModelId = "unknown".parse().expect("an id");
    let done = lab.store.change_model(lab.me, (unknown, seen), ModelAct::Enable).await;
    assert!(matches!(done, Ok(ModelDone::Unknown)));
}

async fn a_model_goes_when_nothing_of_it_is_open(lab: Lab) {
    let id = far().id;
    lab.store.create_model(lab.me, far()).await.expect("an answer").expect("a free id");
    assert!(lab.store.create_model(lab.me, far()).await.expect("an answer").is_none());
    let other = lab.store.find_model(&id).expect("the model");
    let new = muster_store::NewRequest { model: other, ..lab.new_request(&["a"]) };
    let request = lab.store.submit(new).await.expect("it is taken").request.id;
    let delete = async || change(&lab, &id, ModelAct::Delete).await;
    assert!(matches!(delete().await, ModelDone::InUse(1)));
    let act = ModelAct::Disable { reason: "it goes".into() };
    assert!(matches!(change(&lab, &id, act).await, ModelDone::Done(_)));
    assert!(matches!(delete().await, ModelDone::InUse(1)), "it finishes what it has");
    lab.store.cancel_request(lab.me, request, "not needed").await.expect("cancelled");
    assert!(matches!(delete().await, ModelDone::Done(_)));
    assert!(lab.store.find_model(&id).is_none());
    assert!(matches!(change(&lab, &lab.model.id, ModelAct::Delete).await, ModelDone::OfFolder));
    lab.store.sync_models(vec![]).await.expect("a catalogue");
    assert!(!entry(&lab, &lab.model.id).await.offered);
    assert!(matches!(change(&lab, &lab.model.id, ModelAct::Delete).await, ModelDone::Done(_)));
    assert!(lab.store.list_entries(None, 10).await.expect("entries").is_empty());
}

async fn a_disabled_model_keeps_no_minimum(lab: Lab) {
    let mut folder = model("echo", "1");
    folder.limits.min_instances = 1;
    lab.store.sync_models(vec![folder]).await.expect("a catalogue");
    let minimum = || lab.store.find_model(&lab.model.id).expect("it").limits.min_instances;
    assert_eq!(minimum(), 1);
    change(&lab, &lab.model.id, ModelAct::Disable { reason: "x\0y".into() }).await;
    assert_eq!(minimum(), 0);
    assert!(lab.store.disabled(&lab.model.id).is_some());
    lab.store.sync_models(vec![model("echo", "1")]).await.expect("a catalogue");
    assert!(lab.store.disabled(&lab.model.id).is_some(), "a start of the hub does not enable it");
    change(&lab, &lab.model.id, ModelAct::Enable).await;
    assert!(lab.store.disabled(&lab.model.id).is_none());
}

async fn a_change_is_one_line_in_the_audit(lab: Lab) {
    let (id, far_id) = (lab.model.id.clone(), far().id);
    change(&lab, &id, ModelAct::Edit(json!({"cache": false}))).await;
    change(&lab, &id, ModelAct::Delete).await;
    lab.store.create_model(lab.me, far()).await.expect("an answer").expect("a free id");
    lab.store.clear_cache(lab.me, &far_id).await.expect("cleared");
    let lines = lab.audit().await;
    let by = |actor: Option<PrincipalId>| actor == Some(lab.me);
    assert!(lines.iter().all(|line| by(line.actor) && line.subject.is_none()));
    let acts: Vec<&str> = lines.iter().rev().map(|line| line.action.as_str()).collect();
    assert_eq!(acts, ["edit-model", "create-model", "clear-cache"], "what was refused is no act");
    assert_eq!(lines[2].detail, r#"echo {"cache":false}"#);
}

async fn what_a_person_has_is_counted(lab: Lab) {
    let waiting = async || {
        let used = lab.store.waiting_of(lab.me).await.expect("an answer");
        (used.waiting_requests, used.waiting_inputs)
    };
    let kept = async || lab.store.kept_of(lab.me).await.expect("an answer").expect("a person");
    assert_eq!(waiting().await, (0, 0));
    let before = kept().await;
    assert!(before.anonymous && before.day_inputs == 0 && before.bytes == 0);
    lab.submit(&["a", "b"]).await;
    lab.submit(&["c"]).await;
    assert_eq!(waiting().await, (2, 3));
    let submitted = kept().await;
    assert_eq!((submitted.day_inputs, submitted.bytes), (3, 9 + 5));
    assert!(lab.work().await);
    while waiting().await != (0, 0) {
        assert!(lab.work().await);
    }
    let done = kept().await;
    assert!(done.day_inputs == 3 && done.bytes > submitted.bytes, "{done:?}");
    let other = lab.another_person().await;
    assert_eq!(lab.store.kept_of(other).await.expect("an answer").expect("a person").bytes, 0);
}

async fn a_request_that_ended_is_deleted_whole(lab: Lab) {
    let request = lab.submit(&["a"]).await.id;
    let other = lab.another_person().await;
    let delete = async |who| lab.store.delete_request(who, request).await.expect("an answer");
    assert_eq!((delete(lab.me).await, delete(other).await), (Some(false), None));
    assert!(lab.work().await);
    assert_eq!((delete(other).await, delete(lab.me).await), (None, Some(true)));
    assert_eq!(delete(lab.me).await, None);
    for table in ["request", "task", "transition"] {
        assert_eq!(lab.raw.number(&format!("SELECT COUNT(*) FROM {table}")).await, 0, "{table}");
    }
}

/// Another server's change is read when the revisions differ, and only then.
#[tokio::test]
async fn another_server_reads_the_catalogue_when_it_changed() {
    let lab = Lab::postgres().await;
    let other = lab.other_server().await;
    let mut changes = other.changes();
    other.refresh_models().await.expect("read");
    while let Ok(change) = changes.try_recv() {
        assert!(!matches!(change, muster_store::Change::Models), "nothing changed");
    }
    change(&lab, &lab.model.id, ModelAct::Disable { reason: "it goes".into() }).await;
    lab.store.create_model(lab.me, far()).await.expect("an answer").expect("a free id");
    other.refresh_models().await.expect("read");
    assert_eq!(other.disabled(&lab.model.id).as_deref(), Some("it goes"));
    assert!(other.find_model(&far().id).is_some());
    let told = async { while !matches!(changes.recv().await, Ok(muster_store::Change::Models)) {} };
    tokio::time::timeout(LONG, told).await.expect("it is told");
}
