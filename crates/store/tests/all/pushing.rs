//! Models that are pushed, on both databases: tried, served, kept and rolled back to.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use muster_core::answer::read_records;
use muster_core::{Model, ModelId, Part, Source};
use muster_store::{
    Claim, Clock, ModelAct, ModelDone, ModelVersion, NewVersion, Owner, Pushed, RolledBack, Store,
    TaskDone, VersionState,
};
use serde_json::json;

use crate::lab::{LEASE, Lab, claim, model};

on_both!(
    a_version_is_served_once_its_example_has_predictions,
    the_last_good_one_is_served_while_a_new_one_fails,
    a_version_is_rolled_back_to,
    just_the_same_is_one_version_and_another_one_waits,
    a_name_that_is_taken_is_refused,
    a_deleted_model_takes_its_versions_along,
    the_last_ten_versions_are_kept,
    a_folder_is_kept_as_long_as_a_version_has_it,
    a_sweep_that_is_late_removes_nothing_of_a_new_push,
    an_example_whose_request_is_gone_ends_its_trial,
    one_trial_in_trouble_holds_up_no_other,
);

fn id() -> ModelId {
    "pushed".parse().expect("an id")
}

fn trial() -> ModelId {
    "pushed.trial".parse().expect("an id")
}

fn content(version: &str) -> String {
    format!("{version:0>64}")
}

fn version(version: &str) -> NewVersion {
    let source = Source::Pushed { content: content(version), trial_of: None, in_pods: false };
    let example = vec!["abc".into(), "de".into()];
    let model = Model { source, example, cache: true, ..model("pushed", version) };
    NewVersion {
        model,
        content: content(version),
        copy: Clock::system().id(),
        bytes: 7,
        files: 2,
        notes: vec!["a note".into()],
    }
}

async fn push(lab: &Lab, text: &str) -> Pushed {
    lab.store.push_version(lab.me, version(text)).await.expect("an answer")
}

/// Is anything left to try?
async fn settle(store: &Store) -> bool {
    let trials = store.settle_trials().await.expect("an answer");
    assert!(trials.troubles.is_empty(), "{trials:?}");
    trials.left
}

async fn versions(store: &Store) -> Vec<ModelVersion> {
    store.list_versions(&id()).await.expect("an answer")
}

async fn state(store: &Store, text: &str) -> (VersionState, bool) {
    let all = versions(store).await;
    let one = all.iter().find(|one| one.version == text).expect("the version");
    (one.state, one.served)
}

/// The example of the version that is tried has predictions, or errors.
async fn answer(lab: &Lab, text: &str, records: &str) {
    let claim_of = Claim {
        instance: lab.instance,
        model: trial(),
        version: text.into(),
        max_inputs: 10,
        lease: LEASE,
        ahead: false,
    };
    let task = claim(&lab.store, claim_of).await.remove(0);
    let part: Part = read_records(records.as_bytes(), 2, &[]).expect("rows");
    let done = TaskDone {
        key: task.key,
        attempt: task.attempt,
        part: Arc::new(part),
        cached: 0,
        predictions: Vec::new(),
    };
    lab.store.complete(vec![done]).await.expect("an answer");
}

const GOOD: &str = r#"[{"n": 3}, {"n": 2}]"#;
const BAD: &str = r#"[{"error": "no"}, {"error": "no"}]"#;

/// Pushes it, and lets its example have predictions.
async fn serve(lab: &Lab, text: &str) {
    assert!(matches!(push(lab, text).await, Pushed::New(_)));
    assert!(settle(&lab.store).await, "its example is submitted");
    answer(lab, text, GOOD).await;
    assert!(!settle(&lab.store).await, "nothing is left to try");
    assert_eq!(state(&lab.store, text).await, (VersionState::Good, true));
}

async fn a_version_is_served_once_its_example_has_predictions(lab: Lab) {
    let Pushed::New(pushed) = push(&lab, "1").await else { panic!("it is new") };
    assert_eq!((pushed.state, pushed.served), (VersionState::Trying, false));
    assert_eq!((&pushed.notes[..], pushed.files), (&["a note".to_owned()][..], 2));
    assert!(lab.store.find_model(&id()).is_none(), "nobody can ask for it yet");
    let tried = lab.store.find_model(&trial()).expect("it is tried");
    assert!(tried.is_trial() && !tried.cache);
    let listed = lab.store.list_entries(None, 100).await.expect("an answer");
    assert!(listed.iter().all(|entry| entry.model.id != trial()), "a trial is no entry");
    assert!(settle(&lab.store).await && settle(&lab.store).await);
    assert_eq!(lab.raw.number("SELECT COUNT(*) FROM request").await, 1, "submitted once");
    answer(&lab, "1", GOOD).await;
    assert!(!settle(&lab.store).await);
    let served = lab.store.find_model(&id()).expect("it is served");
    assert!(served.version == "1" && !served.is_trial() && served.cache);
    assert!(lab.store.find_model(&trial()).is_none());
    let entry = lab.store.find_entry(&id()).await.expect("an answer").expect("an entry");
    assert_eq!(entry.owner, Owner::Push);
    let audit: Vec<String> = lab.audit().await.into_iter().map(|line| line.action).collect();
    assert_eq!(audit, ["publish-model", "push-model"]);
    let edit = json!({"card": {"licence": "MIT"}});
    let edited = lab.store.change_model(lab.me, (id(), entry.revision), ModelAct::Edit(edit));
    assert!(matches!(edited.await, Ok(ModelDone::Done(_))));
    serve(&lab, "2").await;
    let served = lab.store.find_model(&id()).expect("it is served");
    assert_eq!((served.version.as_str(), &*served.card.licence), ("2", "MIT"), "edits stay");
}

async fn the_last_good_one_is_served_while_a_new_one_fails(lab: Lab) {
    serve(&lab, "1").await;
    push(&lab, "2").await;
    assert!(settle(&lab.store).await);
    assert_eq!(lab.store.find_model(&id()).expect("a model").version, "1");
    answer(&lab, "2", BAD).await;
    settle(&lab.store).await;
    assert_eq!(state(&lab.store, "2").await, (VersionState::Failed, false));
    assert_eq!(state(&lab.store, "1").await, (VersionState::Good, true));
    let reason = versions(&lab.store).await[0].reason.clone().expect("a reason");
    assert!(reason.contains("No input of its example"), "{reason}");
    // Once more, and its request fails as a whole.
    assert!(matches!(push(&lab, "2").await, Pushed::New(_)));
    settle(&lab.store).await;
    let request = versions(&lab.store).await[0].request.expect("a request");
    lab.store.fail_waiting(&trial(), "2", "no weights").await.expect("an answer");
    assert!(lab.find(request).await.phase.is_ended());
    settle(&lab.store).await;
    let reason = versions(&lab.store).await[0].reason.clone().expect("a reason");
    assert_eq!(reason, "Its example failed: no weights");
    serve(&lab, "2").await;
}

async fn a_version_is_rolled_back_to(lab: Lab) {
    serve(&lab, "1").await;
    serve(&lab, "2").await;
    let waits = muster_store::NewRequest {
        model: lab.store.find_model(&id()).expect("a model"),
        ..lab.new_request(&["a"])
    };
    let waits = lab.store.submit(waits).await.expect("it is taken").request.id;
    let back =
        async |to: &str| lab.store.roll_back(lab.me, id(), to.into()).await.expect("an answer");
    assert!(matches!(back("7").await, RolledBack::Unknown));
    push(&lab, "3").await;
    assert!(matches!(back("3").await, RolledBack::NotGood(_)));
    for _ in 0..2 {
        let RolledBack::Done(entry) = back("1").await else { panic!("it is done") };
        assert_eq!(entry.model.version, "1");
    }
    assert_eq!(lab.find(waits).await.model_version, "1", "what waits starts over");
    let audit = lab.audit().await;
    let rolled: Vec<_> = audit.iter().filter(|line| line.action == "roll-back-model").collect();
    assert_eq!((rolled.len(), rolled[0].actor), (1, Some(lab.me)));
    assert_eq!(rolled[0].detail, "pushed 1, instead of 2");
}

async fn just_the_same_is_one_version_and_another_one_waits(lab: Lab) {
    let both = futures::join!(push(&lab, "1"), push(&lab, "1"));
    let news = [&both.0, &both.1].into_iter().filter(|one| matches!(one, Pushed::New(_))).count();
    let known =
        [&both.0, &both.1].into_iter().filter(|one| matches!(one, Pushed::Known(_))).count();
    assert_eq!((news, known), (1, 1));
    let Pushed::Trying(other) = push(&lab, "2").await else { panic!("another one is tried") };
    assert_eq!(other.version, "1");
    settle(&lab.store).await;
    answer(&lab, "1", GOOD).await;
    settle(&lab.store).await;
    assert!(matches!(push(&lab, "1").await, Pushed::Known(_)), "it is served");
    assert!(lab.store.find_model(&trial()).is_none());
    assert_eq!(versions(&lab.store).await.len(), 1);
    assert!(matches!(push(&lab, "2").await, Pushed::New(_)));
}

async fn a_name_that_is_taken_is_refused(lab: Lab) {
    let mut of_folder = version("1");
    of_folder.model.id = lab.model.id.clone();
    let pushed = lab.store.push_version(lab.me, of_folder).await.expect("an answer");
    assert!(matches!(pushed, Pushed::Taken));
    // Also when the folder is gone, and when the name of its trial is taken.
    lab.store.sync_models(vec![model("pushed.trial", "1")]).await.expect("a catalogue");
    assert!(matches!(push(&lab, "1").await, Pushed::Taken));
    lab.store.sync_models(vec![]).await.expect("a catalogue");
    assert!(matches!(push(&lab, "1").await, Pushed::Taken));
    assert!(versions(&lab.store).await.is_empty());
    // A folder that comes while it is tried: that one is served.
    let mut other = version("1");
    other.model.id = "other".parse().expect("an id");
    let pushed = lab.store.push_version(lab.me, other).await.expect("an answer");
    assert!(matches!(pushed, Pushed::New(_)));
    let taken = lab.store.sync_models(vec![model("other.trial", "1"), model("other", "9")]).await;
    assert_eq!(taken.expect("a catalogue"), ["other.trial".parse::<ModelId>().expect("an id")]);
    settle(&lab.store).await;
    let request = lab.raw.texts("SELECT state FROM model_version").await;
    assert_eq!(request, ["trying"]);
}

async fn a_deleted_model_takes_its_versions_along(lab: Lab) {
    serve(&lab, "1").await;
    push(&lab, "2").await;
    for act in [ModelAct::Disable { reason: "it goes".into() }, ModelAct::Delete] {
        let seen =
            lab.store.find_entry(&id()).await.expect("an answer").expect("an entry").revision;
        let done = lab.store.change_model(lab.me, (id(), seen), act).await.expect("an answer");
        assert!(matches!(done, ModelDone::Done(_)), "{done:?}");
    }
    assert!(versions(&lab.store).await.is_empty());
    assert!(lab.store.find_model(&id()).is_none() && lab.store.find_model(&trial()).is_none());
    assert!(!settle(&lab.store).await);
    serve(&lab, "1").await;
}

async fn the_last_ten_versions_are_kept(lab: Lab) {
    serve(&lab, "1").await;
    for n in 2..15 {
        push(&lab, &n.to_string()).await;
        settle(&lab.store).await;
        answer(&lab, &n.to_string(), BAD).await;
        settle(&lab.store).await;
    }
    let kept: Vec<String> = versions(&lab.store).await.into_iter().map(|one| one.version).collect();
    let expected: Vec<String> = (5..15).rev().chain([1]).map(|n| n.to_string()).collect();
    assert_eq!(kept, expected);
    assert_eq!(state(&lab.store, "1").await, (VersionState::Good, true));
}

/// An archive of more than one part.
fn archive(lab: &Lab) -> PathBuf {
    let archive = lab.folder.path().join("archive");
    std::fs::write(&archive, vec![7; 9 << 20]).expect("a file");
    archive
}

async fn put(lab: &Lab, text: &str, archive: &Path) -> NewVersion {
    let copy = lab.store.put_folder(&content(text), archive).await.expect("it is stored");
    NewVersion { copy, ..version(text) }
}

async fn is_stored(lab: &Lab, text: &str) -> bool {
    let read = async {
        let stream = lab.store.get_folder(&content(text)).await?;
        let pieces: Vec<bytes::Bytes> = stream.try_collect().await?;
        Ok::<_, muster_store::Error>(pieces.concat())
    };
    read.await.is_ok_and(|bytes| bytes == vec![7; 9 << 20])
}

async fn sweep(lab: &Lab) -> u64 {
    lab.store.sweep_objects(Duration::ZERO, 100).await.expect("an answer")
}

async fn a_folder_is_kept_as_long_as_a_version_has_it(lab: Lab) {
    let archive = archive(&lab);
    put(&lab, "2", &archive).await;
    let new = put(&lab, "1", &archive).await;
    lab.store.push_version(lab.me, new).await.expect("an answer");
    assert_eq!(sweep(&lab).await, 1, "of what was never written down");
    assert!(is_stored(&lab, "1").await && !is_stored(&lab, "2").await);
    let again = put(&lab, "1", &archive).await;
    let known = lab.store.push_version(lab.me, again).await.expect("an answer");
    assert!(matches!(known, Pushed::Known(_)));
    assert_eq!(sweep(&lab).await, 0, "what a push does not need it removes");
    lab.raw.run("DELETE FROM model_version").await;
    assert_eq!(sweep(&lab).await, 1);
    assert!(!is_stored(&lab, "1").await);
}

/// A sweep judged a copy and stands still, the same is pushed again, and the sweep goes on.
async fn a_sweep_that_is_late_removes_nothing_of_a_new_push(lab: Lab) {
    let archive = archive(&lab);
    put(&lab, "1", &archive).await;
    let judged = objects_of(&lab, "1");
    assert_eq!(judged.len(), 1);
    let new = put(&lab, "1", &archive).await;
    lab.store.push_version(lab.me, new).await.expect("an answer");
    for object in judged {
        std::fs::remove_file(object).expect("it is removed");
    }
    assert!(is_stored(&lab, "1").await);
    assert_eq!(sweep(&lab).await, 0);
}

fn objects_of(lab: &Lab, text: &str) -> Vec<PathBuf> {
    let folder = lab.folder.path().join("objects/folders").join(content(text));
    let found = std::fs::read_dir(folder).expect("a folder");
    found.map(|entry| entry.expect("an entry").path()).collect()
}

async fn an_example_whose_request_is_gone_ends_its_trial(lab: Lab) {
    push(&lab, "1").await;
    settle(&lab.store).await;
    let request = versions(&lab.store).await[0].request.expect("a request");
    lab.cancel(request).await;
    settle(&lab.store).await;
    assert_eq!(state(&lab.store, "1").await, (VersionState::Failed, false));
    push(&lab, "1").await;
    settle(&lab.store).await;
    lab.raw.run("DELETE FROM task").await;
    lab.raw.run("DELETE FROM request").await;
    assert!(!settle(&lab.store).await);
    let reason = versions(&lab.store).await[0].reason.clone();
    assert_eq!(reason.as_deref(), Some("The request with its example was deleted."));
}

async fn one_trial_in_trouble_holds_up_no_other(lab: Lab) {
    let mut first = version("1");
    first.model.id = "damaged".parse().expect("an id");
    let pushed = lab.store.push_version(lab.me, first).await.expect("an answer");
    assert!(matches!(pushed, Pushed::New(_)));
    settle(&lab.store).await;
    push(&lab, "1").await;
    assert!(settle(&lab.store).await);
    answer(&lab, "1", GOOD).await;
    lab.store.fail_waiting(&"damaged.trial".parse().expect("an id"), "1", "no").await.expect("it");
    lab.raw.run("UPDATE model_version SET spec = '{' WHERE model_id = 'damaged'").await;
    for _ in 0..2 {
        let trials = lab.store.settle_trials().await.expect("an answer");
        assert!(!trials.left);
        let [(id, muster_store::Error::Corrupt(_))] = &trials.troubles[..] else {
            panic!("{trials:?}")
        };
        assert_eq!(id.as_str(), "damaged");
        assert_eq!(state(&lab.store, "1").await, (VersionState::Good, true), "the other goes on");
    }
}

#[tokio::test]
async fn two_servers_that_take_pushes_at_once_have_one_trial() {
    let lab = Lab::postgres().await;
    let other = lab.other_server().await;
    for round in 0..5 {
        let (one, two) = (format!("{round}a"), format!("{round}b"));
        let (here, there) = futures::join!(
            lab.store.push_version(lab.me, version(&one)),
            other.push_version(lab.me, version(&two)),
        );
        let both = [here, there].map(|pushed| pushed.expect("an answer"));
        let new = both.iter().filter(|one| matches!(one, Pushed::New(_))).count();
        let waits = both.iter().filter(|one| matches!(one, Pushed::Trying(_))).count();
        assert_eq!((new, waits), (1, 1), "{both:?}");
        let (left, also) = futures::join!(settle(&lab.store), settle(&other));
        assert!(left && also);
        let asked = lab.raw.number("SELECT COUNT(*) FROM request WHERE ended_at IS NULL").await;
        assert_eq!(asked, 1, "its example is submitted once");
        let tried =
            versions(&lab.store).await.into_iter().find(|one| one.state == VersionState::Trying);
        answer(&lab, &tried.expect("one").version, GOOD).await;
        let (left, also) = futures::join!(settle(&lab.store), settle(&other));
        assert!(!left && !also);
    }
    let published = lab.audit().await.into_iter().filter(|line| line.action == "publish-model");
    assert_eq!(published.count(), 5);
    other.close().await;
}
