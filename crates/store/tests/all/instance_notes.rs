//! What is seen of instances, and how administrators find them. brief: IN-1, IN-2, IN-3, IN-4

use std::str::FromStr;
use std::time::Duration;

use muster_core::instance::{EndCause, Runs};
use muster_core::news::{Event, Level, Pod, Usage};
use muster_core::{InstanceId, RequestId, Timestamp};
use muster_store::{
    Claim, InstanceFilter, InstanceNotes, InstanceRecord, NewInstance, Served, Span, WhichEvents,
};
use serde_json::json;

use crate::instances::{new_instance, ready};
use crate::lab::{Lab, claim};

on_both!(
    notes_add_up,
    the_largest_memory_of_a_version_is_known,
    notes_of_unknown_instances_are_dropped,
    an_event_that_happens_again_is_the_same_one,
    events_come_in_pages_the_newest_first,
    the_newest_requests_are_kept,
    those_that_run_and_those_that_ended_are_two_lists,
    a_record_says_what_an_instance_works_on,
    what_a_model_wrote_is_not_kept_with_its_end,
    a_log_is_kept_in_pieces_and_then_as_an_object,
    a_log_is_whole_while_it_moves,
    the_log_of_an_instance_whose_server_died_is_moved_later,
);

pub fn notes(instance: InstanceId) -> InstanceNotes {
    InstanceNotes {
        instance,
        node: None,
        pod: None,
        usage: Usage::default(),
        busy: Duration::ZERO,
        events: vec![],
        served: vec![],
        log: None,
    }
}

pub async fn note(lab: &Lab, notes: InstanceNotes) {
    lab.store.note_instances(vec![notes]).await.expect("an answer");
}

async fn find(lab: &Lab, id: InstanceId) -> InstanceRecord {
    lab.store.find_instance(id).await.expect("an answer").expect("the instance")
}

async fn list(lab: &Lab, filter: InstanceFilter) -> Vec<InstanceId> {
    let filter = InstanceFilter { limit: 100, ..filter };
    let found = lab.store.list_instances(&filter).await.expect("an answer");
    found.into_iter().map(|record| record.id).collect()
}

async fn notes_add_up(lab: Lab) {
    let id = ready(&lab).await;
    assert_eq!(find(&lab, id).await.seen, muster_store::Seen::default());
    let pod = Pod {
        status: "Running".into(),
        message: "not ready\0".into(),
        raw: json!({"phase": "Running"}),
    };
    let busy = Duration::from_millis(1500);
    let (node, usage) = (Some("one\0".into()), Usage::of(500, 10 << 30));
    note(&lab, InstanceNotes { node, pod: Some(pod), usage, busy, ..notes(id) }).await;
    note(&lab, InstanceNotes { usage: Usage::of(2000, 1 << 20), busy, ..notes(id) }).await;
    note(&lab, InstanceNotes { busy, ..notes(id) }).await;
    let seen = find(&lab, id).await.seen;
    let mut usage = Usage::of(500, 10 << 30);
    usage.add(&Usage::of(2000, 1 << 20));
    assert_eq!((seen.usage, seen.busy), (usage, 4_500_000));
    // Not what it uses now: that is seen above.
    (usage.cpu.now, usage.memory.now) = (0, 0);
    let span = Span { from: 0, seconds: 30, usage };
    assert_eq!(lab.store.instance_usage(id).await.expect("an answer"), [span]);
    assert_eq!(
        (seen.node.as_deref(), seen.pod_status.as_deref()),
        (Some("one\u{fffd}"), Some("Running"))
    );
    assert_eq!(seen.pod, Some(json!({"phase": "Running"})));
    assert_eq!(seen.pod_message.as_deref(), Some("not ready\u{fffd}"));
    let pod = Pod { status: "Running".into(), message: String::new(), raw: json!({}) };
    note(&lab, InstanceNotes { pod: Some(pod), ..notes(id) }).await;
    assert_eq!(find(&lab, id).await.seen.pod_message, None, "it says nothing any more");
}

async fn the_largest_memory_of_a_version_is_known(lab: Lab) {
    let other = muster_core::ModelId::from_str("other").expect("an id");
    let peaks = async || {
        let all = [(&lab.model.id, "1"), (&lab.model.id, "2"), (&other, "1"), (&other, "nul")];
        let found = lab.store.memory_peaks(all).await.expect("an answer");
        let one = |version: &str| found.get(&(lab.model.id.clone(), version.to_owned())).copied();
        (found.len(), one("1"), one("2"))
    };
    assert_eq!(peaks().await, (0, None, None));
    let mut ids = vec![];
    for (slot, version) in [(0, "1"), (1, "1"), (2, "2")] {
        let new = NewInstance { version: version.into(), ..new_instance(&lab, slot) };
        ids.push(new.id);
        assert!(lab.store.add_instance(new).await.expect("an answer"));
    }
    note(&lab, notes(ids[0])).await;
    assert_eq!(peaks().await, (0, None, None), "nobody looked at it yet");
    for (id, memory) in [(0, 500), (1, 700), (1, 300), (2, 5_000_000_000), (0, 600)] {
        note(&lab, InstanceNotes { usage: Usage::of(1, memory), ..notes(ids[id]) }).await;
    }
    assert_eq!(peaks().await, (2, Some(700), Some(5_000_000_000)));
    lab.store.instance_ended(ids[1], &EndCause::Idle).await.expect("an answer");
    assert_eq!(peaks().await, (2, Some(700), Some(5_000_000_000)), "also of those that ended");
}

async fn notes_of_unknown_instances_are_dropped(lab: Lab) {
    let events = vec![Event::once("ready", "", Timestamp(0))];
    note(&lab, InstanceNotes { events, ..notes(lab.instance) }).await;
    assert_eq!(lab.raw.number("SELECT COUNT(*) FROM instance_event").await, 0);
    assert!(lab.store.find_instance(lab.instance).await.expect("an answer").is_none());
}

fn event(kind: &str, count: u64, at: i64) -> Event {
    let at = Timestamp(1_700_000_000_000_000 + at);
    let raw = Some(json!({"text": "nul \0"}));
    Event { count, raw, level: Level::Warning, ..Event::once(kind, "words\0", at) }
}

async fn events(lab: &Lab, instance: InstanceId, limit: u32) -> Vec<Event> {
    let which = WhichEvents { instance, after: None, limit };
    lab.store.instance_events(&which).await.expect("an answer")
}

async fn an_event_that_happens_again_is_the_same_one(lab: Lab) {
    let id = ready(&lab).await;
    for count in 1..4 {
        let again = event("job_done", count, i64::try_from(count).expect("small"));
        note(&lab, InstanceNotes { events: vec![again], ..notes(id) }).await;
    }
    let found = events(&lab, id, 100).await;
    let jobs: Vec<_> = found.iter().filter(|event| event.kind == "job_done").collect();
    assert_eq!(jobs.len(), 1);
    assert_eq!((jobs[0].count, jobs[0].message.as_str()), (3, "words\u{fffd}"));
    assert_eq!(jobs[0].last_at.since(jobs[0].first_at), Duration::from_micros(2));
    assert_eq!(jobs[0].raw, Some(json!({"text": "nul \0"})));
    let phases = lab.store.instance_phases(id).await.expect("an answer");
    let phases: Vec<_> =
        phases.iter().map(|phase| (phase.name.as_str(), phase.cause.as_str())).collect();
    assert_eq!(phases, [("launched", "requests wait"), ("ready", "it takes work")]);
}

async fn events_come_in_pages_the_newest_first(lab: Lab) {
    let id = ready(&lab).await;
    // Of three of one time a later one was written earlier.
    let of = |n: i64| Event { seq: 100 - n as u64, ..event(&format!("e{n}"), 1, n / 3) };
    let all: Vec<Event> = (0..7).map(of).collect();
    note(&lab, InstanceNotes { events: all, ..notes(id) }).await;
    let whole = events(&lab, id, 100).await;
    assert_eq!(whole.len(), 9);
    let when = |event: &Event| (event.last_at, event.seq);
    assert!(whole.is_sorted_by(|a, b| when(a) >= when(b)));
    let (mut paged, mut after) = (Vec::new(), None);
    loop {
        let which = WhichEvents { instance: id, after, limit: 2 };
        let page = lab.store.instance_events(&which).await.expect("an answer");
        let Some(last) = page.last() else { break };
        after = Some((last.last_at, last.seq, last.source.clone(), last.uid.clone()));
        paged.extend(page);
    }
    assert_eq!(paged, whole);
}

async fn the_newest_requests_are_kept(lab: Lab) {
    let id = ready(&lab).await;
    let served = |n: u128| Served {
        request: RequestId(uuid::Uuid::from_u128(n)),
        jobs: 1,
        inputs: 2,
        first_at: Timestamp(1_000_000 * i64::try_from(n).expect("small")),
        last_at: Timestamp(2_000_000 * i64::try_from(n).expect("small")),
    };
    note(&lab, InstanceNotes { served: (1..1500).map(served).collect(), ..notes(id) }).await;
    note(&lab, InstanceNotes { served: vec![served(1499), served(1500)], ..notes(id) }).await;
    let count = "SELECT COUNT(*) FROM instance_request";
    assert_eq!(lab.raw.number(count).await, 1000);
    let found = lab.store.instance_requests(id, None, 3).await.expect("an answer");
    let twice = Served { jobs: 2, inputs: 4, ..served(1499) };
    assert_eq!(found, [served(1500), twice, served(1498)]);
    let next = lab.store.instance_requests(id, Some(served(1498).request), 1).await;
    assert_eq!(next.expect("an answer"), [served(1497)]);
}

async fn those_that_run_and_those_that_ended_are_two_lists(lab: Lab) {
    let mut ids = Vec::new();
    for slot in 0..5 {
        let new = new_instance(&lab, slot);
        ids.push(new.id);
        assert!(lab.store.add_instance(new).await.expect("an answer"));
    }
    for id in &ids[..2] {
        lab.store.instance_ended(*id, &EndCause::Idle).await.expect("an answer");
    }
    let pod = Pod { status: "Evicted".into(), message: String::new(), raw: json!({}) };
    note(&lab, InstanceNotes { pod: Some(pod), ..notes(ids[3]) }).await;
    let all = InstanceFilter::default();
    assert_eq!(list(&lab, all.clone()).await, [ids[4], ids[3], ids[2]]);
    let ended = InstanceFilter { ended: true, ..all.clone() };
    assert_eq!(list(&lab, ended.clone()).await, [ids[1], ids[0]]);
    let status = |status: &str| InstanceFilter { statuses: vec![status.into()], ..all.clone() };
    assert_eq!(list(&lab, status("starting")).await.len(), 3);
    assert_eq!(list(&lab, status("Evicted")).await, [ids[3]]);
    let model =
        |id: &str| InstanceFilter { models: vec![id.parse().expect("an id")], ..all.clone() };
    assert_eq!(list(&lab, model("echo")).await.len(), 3);
    assert!(list(&lab, model("other")).await.is_empty());
    let second = find(&lab, ids[3]).await;
    let from = InstanceFilter { from: Some(second.launched_at), ..all.clone() };
    assert_eq!(list(&lab, from).await, [ids[4], ids[3]]);
    let to = InstanceFilter { to: Some(second.launched_at), ..all.clone() };
    assert_eq!(list(&lab, to).await, [ids[3], ids[2]]);
    let after = InstanceFilter { after: Some((second.launched_at, ids[3])), ..all.clone() };
    assert_eq!(list(&lab, after).await, [ids[2]]);
    for extreme in [i64::MIN, i64::MAX] {
        let at = Some(Timestamp(extreme));
        list(&lab, InstanceFilter { from: at, to: at, ..all.clone() }).await;
    }
}

async fn a_record_says_what_an_instance_works_on(lab: Lab) {
    let instance = ready(&lab).await;
    let mut ids = vec![lab.submit(&["a"]).await.id, lab.submit(&["x"; 20]).await.id];
    ids.sort();
    claim(&lab.store, Claim { instance, ..lab.wish(100) }).await;
    let record = find(&lab, instance).await;
    assert_eq!((record.requests, record.jobs, record.runs), (ids.clone(), 1, Runs::Process));
    let listed = InstanceFilter { limit: 1, ..InstanceFilter::default() };
    let listed = lab.store.list_instances(&listed).await.expect("an answer").remove(0);
    assert_eq!((listed.requests, listed.why.as_str()), (ids, "requests wait"));
    lab.store.instance_ended(instance, &EndCause::Idle).await.expect("an answer");
    assert!(find(&lab, instance).await.requests.is_empty());
}

async fn what_a_model_wrote_is_not_kept_with_its_end(lab: Lab) {
    let id = ready(&lab).await;
    let last_lines = "ValueError: canary".to_owned();
    let cause = EndCause::Exited { code: None, signal: Some(9), last_lines };
    lab.store.instance_ended(id, &cause).await.expect("an answer");
    let record = find(&lab, id).await;
    assert_eq!(record.end.map(|(_, cause)| cause), Some(cause.without_words()));
    let ended = events(&lab, id, 1).await.remove(0);
    assert_eq!((ended.kind.as_str(), ended.level), ("exited", Level::Warning));
    assert_eq!(ended.message, "its process was killed by signal 9");
    assert_eq!(ended.raw.expect("JSON")["signal"], 9);
    let written = "SELECT COUNT(*) FROM instance_event WHERE message || raw LIKE '%canary%'";
    assert_eq!(lab.raw.number(written).await, 0);
    let written = "SELECT COUNT(*) FROM instance WHERE end_cause LIKE '%canary%'";
    assert_eq!(lab.raw.number(written).await, 0);
}

async fn log(lab: &Lab, id: InstanceId, from: u64) -> (u64, Vec<u8>, bool) {
    let piece = lab.store.instance_log(id, from).await.expect("an answer").expect("the instance");
    (piece.position, piece.bytes.to_vec(), piece.is_last)
}

async fn a_log_is_kept_in_pieces_and_then_as_an_object(lab: Lab) {
    let id = ready(&lab).await;
    assert_eq!(log(&lab, id, 0).await, (0, vec![], false));
    let mut at = 0;
    for letter in b"abcdef" {
        let piece = vec![*letter; 64 << 10];
        note(&lab, InstanceNotes { log: Some((at, piece.clone().into())), ..notes(id) }).await;
        // A piece whose answer got lost comes again.
        note(&lab, InstanceNotes { log: Some((at, piece.into())), ..notes(id) }).await;
        at += 64 << 10;
    }
    let (position, bytes, is_last) = log(&lab, id, 0).await;
    assert_eq!((position, bytes.len(), is_last), (2 * (64 << 10), 256 << 10, false));
    assert!(bytes.starts_with(b"cc") && bytes.ends_with(b"ff"));
    assert_eq!(log(&lab, id, at - 3).await, (at - 3, b"fff".to_vec(), false));
    assert_eq!(log(&lab, id, at).await.1, b"");
    lab.store.instance_ended(id, &EndCause::Idle).await.expect("an answer");
    lab.store.keep_log(id).await.expect("an answer");
    lab.store.keep_log(id).await.expect("twice is once");
    assert_eq!(lab.raw.number("SELECT COUNT(*) FROM instance_log").await, 0);
    assert!(find(&lab, id).await.seen.has_log_object);
    assert_eq!(log(&lab, id, 0).await, (position, bytes, true));
    assert_eq!(log(&lab, id, at - 3).await, (at - 3, b"fff".to_vec(), true));
    assert!(lab.store.instance_log(lab.instance, 0).await.expect("an answer").is_none());
    // It is somebody's, so no sweep takes it; when the instance is cleared, the sweep does.
    assert_eq!(lab.store.sweep_objects(Duration::ZERO, 100).await.expect("an answer"), 0);
    lab.raw.run("DELETE FROM instance").await;
    assert_eq!(lab.store.sweep_objects(Duration::ZERO, 100).await.expect("an answer"), 1);
    for table in ["instance_seen", "instance_event", "instance_request", "instance_usage"] {
        assert_eq!(lab.raw.number(&format!("SELECT COUNT(*) FROM {table}")).await, 0, "{table}");
    }
}

async fn the_log_of_an_instance_whose_server_died_is_moved_later(mut lab: Lab) {
    let id = ready(&lab).await;
    note(&lab, InstanceNotes { log: Some((0, "last words".into())), ..notes(id) }).await;
    assert_eq!(lab.store.keep_logs().await.expect("an answer"), 0, "it lives");
    lab.restart(64 << 10).await;
    assert_eq!(log(&lab, id, 0).await, (0, b"last words".to_vec(), true));
    assert_eq!(lab.store.keep_logs().await.expect("an answer"), 1);
    assert_eq!(log(&lab, id, 5).await, (5, b"words".to_vec(), true));
    assert_eq!(lab.store.keep_logs().await.expect("an answer"), 0);
}

/// Whoever follows a log at its end gets all of it, from the rows or from the object.
async fn a_log_is_whole_while_it_moves(lab: Lab) {
    let mut ended = Vec::new();
    for _ in 0..20 {
        let id = ready(&lab).await;
        note(&lab, InstanceNotes { log: Some((0, "last words".into())), ..notes(id) }).await;
        lab.store.instance_ended(id, &EndCause::Idle).await.expect("an answer");
        ended.push(id);
    }
    for id in ended {
        let moves = async {
            lab.store.keep_log(id).await.expect("an answer");
        };
        let looks = (0..4).map(|_| async {
            while !find(&lab, id).await.seen.has_log_object {
                assert_eq!(log(&lab, id, 0).await, (0, b"last words".to_vec(), true));
            }
        });
        tokio::join!(moves, futures::future::join_all(looks));
    }
}
