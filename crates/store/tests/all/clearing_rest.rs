//! What is cleared beside requests, by whom, and when. RT-1.

use muster_core::{Clearing, InstanceId, Retention};
use muster_store::{Clear, Cleared, ClearedBy, NewInstance, Store};
use sha2::{Digest, Sha256};

use crate::clearing::{DAY, age, clear, count, ended, ended_of, fill, is_there, old_id, weekly};
use crate::instances::new_instance;
use crate::lab::{Lab, ones, token};

on_both!(
    predictions_that_nobody_uses_go_and_those_that_are_used_stay,
    the_past_of_instances_goes_with_its_events,
    who_has_nothing_left_goes_and_who_may_come_back_stays,
    a_command_is_in_the_audit_and_a_schedule_is_not,
    one_clears_at_a_time_and_a_dead_one_for_some_seconds,
    a_clearing_of_the_schedule_is_due_once_in_its_time,
);

async fn predictions_that_nobody_uses_go_and_those_that_are_used_stay(lab: Lab) {
    for input in ["used", "unused", "new"] {
        lab.submit(&[input]).await;
        let task = lab.claim(1).await.remove(0);
        let mut done = ones(&task);
        done.predictions = vec![(Sha256::digest(input.as_bytes()).into(), 0)];
        assert_eq!(lab.store.complete(vec![done]).await.expect("an answer"), [true]);
    }
    let hash = |input: &str| {
        let hash: [u8; 32] = Sha256::digest(input.as_bytes()).into();
        let digits: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        if lab.is_postgres() {
            format!("decode('{digits}', 'hex')")
        } else {
            format!("x'{digits}'")
        }
    };
    let past = lab.raw.earlier("created_at", 100 * 86_400);
    let new = hash("new");
    lab.raw
        .run(&format!("UPDATE prediction SET created_at = {past} WHERE input_hash <> {new}"))
        .await;
    let known = lab.submit(&["used"]).await;
    assert_eq!(known.phase.name(), "completed");
    assert_eq!(lab.raw.number("SELECT MAX(used_on) FROM prediction").await, 0, "not yet");
    let before = lab.store.counters().transactions.get();
    for _ in 0..3 {
        lab.store.write_used().await.expect("an answer");
        lab.submit(&["used"]).await;
    }
    let written = lab.store.counters().transactions.get() - before - 3;
    assert_eq!(written, 1, "once a day");
    let unused = Clear {
        retention: Retention { predictions: Some(90 * DAY), ..Retention::FOR_EVER },
        ..weekly()
    };
    let would = lab.store.would_clear(&unused).await.expect("an answer");
    assert_eq!((would.predictions, count(&lab, "prediction").await), (1, 3));
    assert_eq!(clear(&lab.store, &unused).await.predictions, 1);
    assert_eq!(count(&lab, "prediction").await, 2);
    let gone = format!("SELECT COUNT(*) FROM prediction WHERE input_hash = {}", hash("unused"));
    assert_eq!(lab.raw.number(&gone).await, 0);
    assert_eq!(clear(&lab.store, &unused).await, Cleared::default());
}

async fn the_past_of_instances_goes_with_its_events(lab: Lab) {
    let mut ids = Vec::new();
    for slot in 0..3 {
        let id = InstanceId(old_id(&lab, 100).0);
        let (model, version) = (lab.model.id.clone(), "1".to_owned());
        let new = NewInstance { id, model, version, slot, ..new_instance(&lab, slot) };
        assert!(lab.store.add_instance(new).await.expect("an answer"));
        ids.push(id);
    }
    for id in &ids[..2] {
        let cause = muster_core::EndCause::ServerGone;
        lab.store.instance_ended(*id, &cause).await.expect("an answer");
    }
    let old = lab.raw.id(ids[0].0);
    let past = lab.raw.earlier("ended_at", 91 * 86_400);
    lab.raw.run(&format!("UPDATE instance SET ended_at = {past} WHERE id = {old}")).await;
    let history = Clear {
        retention: Retention { instances: Some(90 * DAY), ..Retention::FOR_EVER },
        ..weekly()
    };
    assert_eq!(lab.store.would_clear(&history).await.expect("an answer").instances, 1);
    assert_eq!(clear(&lab.store, &history).await.instances, 1);
    assert_eq!(count(&lab, "instance").await, 2);
    assert_eq!(count(&lab, &format!("instance_event WHERE instance_id = {old}")).await, 0);
    assert_eq!(count(&lab, "instance_event").await, 3, "of the others");
    assert_eq!(lab.store.instances().await.expect("an answer").len(), 1);
}

async fn who_has_nothing_left_goes_and_who_may_come_back_stays(lab: Lab) {
    let ada = crate::statistics::account(&lab, "ada").await;
    let [gone, busy, claimed] =
        [lab.another_person().await, lab.another_person().await, lab.another_person().await];
    let lives = lab.another_person().await;
    let chosen = lab.store.anonymous_of(token()).await.expect("a person");
    ended_of(&lab, busy).await;
    lab.store.claim_requests(claimed, ada).await.expect("an answer");
    let past = lab.raw.earlier("expires_at", 31 * 86_400);
    let keep = lab.raw.id(lives.0);
    lab.raw
        .run(&format!("UPDATE session SET expires_at = {past} WHERE principal_id <> {keep}"))
        .await;
    let over = Clear { people: true, retention: Retention::FOR_EVER, ..weekly() };
    let would = lab.store.would_clear(&over).await.expect("an answer");
    assert_eq!((would.sessions, would.principals), (4, 0), "their sessions go first");
    let cleared = clear(&lab.store, &over).await;
    assert_eq!((cleared.sessions, cleared.principals), (4, 2), "{gone} and the lab's own");
    for (id, stays) in
        [(gone, 0), (lab.me, 0), (busy, 1), (claimed, 1), (lives, 1), (chosen, 1), (ada, 1)]
    {
        let there = count(&lab, &format!("principal WHERE id = {}", lab.raw.id(id.0))).await;
        assert_eq!(there, stays, "{id}");
    }
    assert_eq!(count(&lab, "token").await, 1);
}

/// I-50
async fn a_command_is_in_the_audit_and_a_schedule_is_not(lab: Lab) {
    clear(&lab.store, &weekly()).await;
    assert!(lab.audit().await.is_empty());
    let by = ClearedBy::Command("anonymous 7 d, account never".into());
    clear(&lab.store, &Clear { by, ..weekly() }).await;
    let audit = lab.audit().await;
    assert_eq!((audit.len(), audit[0].action.as_str()), (1, "clean"));
    assert_eq!((audit[0].actor, audit[0].subject), (None, None));
    assert_eq!(audit[0].detail, "anonymous 7 d, account never");
    assert_eq!(count(&lab, "clearing WHERE ended_at IS NOT NULL").await, 1, "of the schedule");
}

async fn one_clears_at_a_time_and_a_dead_one_for_some_seconds(lab: Lab) {
    fill(&lab, 500).await;
    // A command beside the hub on SQLite, another server on PostgreSQL.
    let clock = muster_store::Clock::system();
    let other = Store::open_beside(lab.config(), clock).await.expect("a store");
    let (first, second) = (weekly(), weekly());
    let (one, two) = tokio::join!(lab.store.clear(&first, |_| {}), other.clear(&second, |_| {}));
    let (one, two) = (one.expect("an answer"), two.expect("an answer"));
    let all: u64 = one.iter().chain(&two).map(|cleared| cleared.requests).sum();
    assert_eq!(all, 500, "each once: {one:?} {two:?}");
    assert_eq!(count(&lab, "request").await, 0);
    // Somebody else has the duty.
    let until = lab.raw.later("(SELECT MAX(created_at) FROM principal)", 600);
    let id = lab.raw.id(uuid::Uuid::max());
    lab.raw
        .run(&format!(
            "INSERT INTO leader (duty, server_id, epoch, until) VALUES ('clear', {id}, 1, {until})"
        ))
        .await;
    let busy = lab.store.clear(&weekly(), |_| {}).await.expect("an answer");
    assert_eq!(busy, None);
    let past = lab.raw.earlier("until", 3600);
    lab.raw.run(&format!("UPDATE leader SET until = {past} WHERE duty = 'clear'")).await;
    clear(&lab.store, &weekly()).await;
    other.close().await;
}

async fn a_clearing_of_the_schedule_is_due_once_in_its_time(lab: Lab) {
    let id = ended(&lab).await;
    age(&lab, id, 8 * 86_400).await;
    let daily = Clearing { every: Some(DAY), retention: Retention::default() };
    assert_eq!(lab.store.tidy(&Clearing::NEVER).await.expect("an answer"), None);
    assert!(is_there(&lab, id).await);
    let first = lab.store.tidy(&daily).await.expect("an answer").expect("it is time");
    assert_eq!(first.requests, 1);
    assert_eq!(lab.store.tidy(&daily).await.expect("an answer"), None);
    let yesterday = lab.raw.earlier("began_at", 86_400);
    lab.raw.run(&format!("UPDATE clearing SET began_at = {yesterday}")).await;
    assert!(lab.store.tidy(&daily).await.expect("an answer").is_some());
    // One that did not come to its end goes on at once.
    lab.raw.run("UPDATE clearing SET ended_at = NULL").await;
    assert!(lab.store.tidy(&daily).await.expect("an answer").is_some());
    assert_eq!(lab.store.tidy(&daily).await.expect("an answer"), None);
}

/// I-12 of leases, for clearing: nobody clears on with a duty that somebody else took.
#[tokio::test]
async fn a_server_that_lost_the_duty_stops() {
    let lab = Lab::postgres().await;
    fill(&lab, 500).await;
    let raw = lab.raw.clone();
    let id = raw.id(uuid::Uuid::max());
    let (heard, mut told) = tokio::sync::mpsc::unbounded_channel();
    let clearing = weekly();
    let clearing = lab.store.clear(&clearing, move |_| heard.send(()).unwrap_or_default());
    let stealing = async {
        told.recv().await.expect("a batch");
        raw.run(&format!("UPDATE leader SET server_id = {id} WHERE duty = 'clear'")).await;
    };
    let (cleared, ()) = tokio::join!(clearing, stealing);
    assert!(matches!(cleared, Err(muster_store::Error::Unavailable { .. })), "{cleared:?}");
    assert!(count(&lab, "request").await > 0);
    assert_eq!(count(&lab, "leader WHERE duty = 'clear'").await, 1, "the other one's");
}
