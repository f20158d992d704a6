//! Pods: every server calls them, one at a time.

use std::time::Duration;

use muster_core::instance::Runs;
use muster_core::{Address, InstanceId, Model, Source};
use muster_store::{Claim, NewInstance, SeenImage, Store};

use crate::instances::new_instance;
use crate::lab::{Lab, claim, complete, model, nothing_for};

async fn pod(lab: &Lab, slot: u32) -> InstanceId {
    let new = NewInstance { runs: Runs::Pod, ..new_instance(lab, slot) };
    let id = new.id;
    assert!(lab.store.add_instance(new).await.expect("an answer"));
    let address = Address::Url("http://10.0.0.5:80".into());
    lab.store.instance_ready(id, &address).await.expect("an answer");
    id
}

fn wish(lab: &Lab, instance: InstanceId) -> Claim {
    Claim { instance, ..lab.wish(1) }
}

#[tokio::test]
async fn a_pod_works_for_one_server_at_a_time() {
    let lab = Lab::postgres().await;
    let other = lab.other_server().await;
    let (one, two) = (pod(&lab, 0).await, pod(&lab, 1).await);
    for _ in 0..4 {
        lab.submit(&["a"]).await;
    }
    let task = claim(&lab.store, wish(&lab, one)).await.remove(0);
    assert!(nothing_for(&other, wish(&lab, one)).await, "it is called by the first server");
    let beside = claim(&other, wish(&lab, two)).await.remove(0);
    let ahead = claim(&lab.store, Claim { ahead: true, ..wish(&lab, one) }).await.remove(0);
    assert!(complete(&lab.store, &task).await);
    assert!(nothing_for(&other, wish(&lab, one)).await, "the first server still has work there");
    assert!(complete(&lab.store, &ahead).await);
    let task = claim(&other, wish(&lab, one)).await.remove(0);
    assert!(complete(&other, &task).await && complete(&other, &beside).await);
}

#[tokio::test]
async fn of_two_servers_that_ask_for_a_pod_at_once_one_gets_it() {
    let lab = Lab::postgres().await;
    let other = lab.other_server().await;
    for _ in 0..20 {
        let id = pod(&lab, 0).await;
        for _ in 0..2 {
            lab.submit(&["a"]).await;
        }
        let ask = |store: &Store| {
            let (store, wish) = (store.clone(), wish(&lab, id));
            async move { tokio::time::timeout(Duration::from_millis(300), store.claim(wish)).await }
        };
        let (a, b) = tokio::join!(ask(&lab.store), ask(&other));
        assert_ne!(a.is_ok(), b.is_ok(), "{a:?} {b:?}");
        let (winner, tasks) = match (a, b) {
            (Ok(tasks), _) => (&lab.store, tasks.expect("an answer")),
            (_, Ok(tasks)) => (&other, tasks.expect("an answer")),
            _ => unreachable!("one has it"),
        };
        assert!(complete(winner, &tasks[0]).await);
        let rest = claim(&lab.store, wish(&lab, id)).await.remove(0);
        assert!(complete(&lab.store, &rest).await);
        lab.store.instance_ended(id, &muster_core::EndCause::Idle).await.expect("an answer");
    }
}

#[tokio::test]
async fn a_pod_is_free_when_the_server_that_called_it_is_dead_and_its_work_is_back() {
    let lab = Lab::postgres().await;
    let other = lab.other_server().await;
    let id = pod(&lab, 0).await;
    lab.submit(&["a"]).await;
    lab.submit(&["b"]).await;
    claim(&lab.store, wish(&lab, id)).await;
    let past = lab.raw.earlier("caller_until", 3600);
    lab.raw.run(&format!("UPDATE instance SET caller_until = {past}")).await;
    assert!(nothing_for(&other, wish(&lab, id)).await, "what it does is not over");
    // Nor is it asked for all the time meanwhile, although work waits.
    let before = other.counters().transactions.get();
    let asks = other.claim(wish(&lab, id));
    drop(tokio::time::timeout(Duration::from_millis(500), asks).await);
    let asked = other.counters().transactions.get() - before;
    assert!(asked < 10, "{asked} transactions in half a second");
    let past = lab.raw.earlier("lease_until", 3600);
    lab.raw.run(&format!("UPDATE task SET lease_until = {past} WHERE state = 'leased'")).await;
    other.release_expired().await.expect("an answer");
    assert_eq!(claim(&other, wish(&lab, id)).await.len(), 1);
}

#[tokio::test]
async fn a_server_that_takes_a_pod_up_changes_nothing_of_what_it_does() {
    let lab = Lab::postgres().await;
    let other = lab.other_server().await;
    let id = pod(&lab, 0).await;
    lab.submit(&["a"]).await;
    let task = claim(&lab.store, wish(&lab, id)).await.remove(0);
    let before = lab.store.instances().await.expect("an answer").remove(0);
    let address = Address::Url("http://10.0.0.5:80".into());
    other.instance_ready(id, &address).await.expect("an answer");
    let after = lab.store.instances().await.expect("an answer").remove(0);
    assert_eq!((after.ready_at, after.idle_since), (before.ready_at, None), "it is busy");
    assert!(complete(&lab.store, &task).await);
}

#[tokio::test]
async fn all_hubs_on_a_database_have_one_name() {
    let lab = Lab::postgres().await;
    let other = lab.other_server().await;
    let (one, two) = tokio::join!(lab.store.hub(), other.hub());
    let one = one.expect("an answer");
    assert_eq!(one, two.expect("an answer"));
    let elsewhere = Lab::sqlite().await.store.hub().await.expect("an answer");
    assert_ne!(one, elsewhere);
    // It is a label's value.
    assert!((1..=63).contains(&one.len()) && one.bytes().all(|b| b.is_ascii_alphanumeric()));
}

#[tokio::test]
async fn all_hubs_on_a_database_sign_links_with_one_key() {
    let lab = Lab::postgres().await;
    let other = lab.other_server().await;
    let (one, two) = tokio::join!(lab.store.folder_key([1; 32]), other.folder_key([2; 32]));
    let one = one.expect("an answer");
    assert_eq!(one, two.expect("an answer"));
    assert_eq!(other.folder_key([3; 32]).await.expect("an answer"), one);
    let elsewhere = Lab::sqlite().await.store.folder_key([4; 32]).await.expect("an answer");
    assert_eq!(elsewhere, [4; 32]);
}

on_both!(another_image_under_the_same_tag_ends_what_is_kept);

async fn another_image_under_the_same_tag_ends_what_is_kept(lab: Lab) {
    let image = Source::Image { image: "models/one:1".into(), port: 80 };
    let model = Model { source: image, ..model("one", "1+0") };
    let entry = lab.store.create_model(lab.me, model).await.expect("an answer").expect("a model");
    assert!(entry.model.cache);
    for _ in 0..2 {
        let seen = lab.store.note_image(&entry.model, "sha256:aa").await.expect("an answer");
        assert_eq!(seen, SeenImage::Same);
    }
    let kept = || async { lab.store.find_model(&entry.model.id).expect("a model").cache };
    assert!(kept().await);
    for image in ["sha256:bb", "sha256:aa", "sha256:cc"] {
        let seen = lab.store.note_image(&entry.model, image).await.expect("an answer");
        assert_eq!(seen, SeenImage::Other { first: "sha256:aa".into() });
        assert!(!kept().await);
    }
    let audit = lab.audit().await;
    let edits = audit.iter().filter(|entry| entry.action == "edit-model").collect::<Vec<_>>();
    assert!(matches!(&edits[..], [one] if one.actor.is_none()), "once, by the hub: {audit:?}");
    let other = Model { version: "2+0".into(), ..entry.model.clone() };
    let seen = lab.store.note_image(&other, "sha256:cc").await.expect("an answer");
    assert_eq!(seen, SeenImage::Same, "another version has an image of its own");
}
