//! What statistics count, who can be chosen, and how a wrong counter is found.

use std::time::Duration;

use muster_core::PrincipalId;
use muster_core::stats::Query;
use muster_store::{ChoiceFilter, Difference, Store};
use sha2::{Digest, Sha256};

use crate::lab::{LEASE, Lab, until};

on_both!(
    what_was_known_counts_as_ended,
    everybody_can_be_chosen_page_by_page,
    a_users_requests_and_last_use_are_known,
    a_models_week_counts_what_was_submitted_each_day,
    a_wrong_counter_is_found,
    requests_from_before_the_statistics_are_counted,
);

pub async fn account(lab: &Lab, name: &str) -> PrincipalId {
    let new = muster_store::NewAccount {
        name: name.into(),
        first_name: "Ada".into(),
        last_name: "Example".into(),
        email: format!("{name}@example.org"),
        password: "a hash".into(),
        permissions: vec![],
    };
    let added = lab.store.add_account_here(new).await.expect("an answer");
    added.expect("the name is free").id
}

async fn what_was_known_counts_as_ended(lab: Lab) {
    lab.store.lead(LEASE).await.expect("an answer");
    let task = {
        lab.submit(&["a"]).await;
        lab.claim(1).await.remove(0)
    };
    let mut done = crate::lab::ones(&task);
    done.predictions = vec![(Sha256::digest(b"a").into(), 0)];
    assert_eq!(lab.store.complete(vec![done]).await.expect("an answer"), [true]);
    let known = lab.submit(&["a"]).await;
    assert_eq!(known.phase.name(), "completed", "its prediction was known");
    for rolled_up in [0, 2] {
        let total = lab.store.statistics(Query::default()).await.expect("an answer").total;
        assert_eq!((total.ended, total.cached), ([2, 0, 0], 1), "{rolled_up} rolled up");
        assert_eq!((total.times().total.count, total.times().job.count), (2, 1), "it had no job");
        assert_eq!(lab.store.roll_up(10).await.expect("an answer").requests, 2 - rolled_up);
    }
}

/// # brief: ST-6
async fn everybody_can_be_chosen_page_by_page(lab: Lab) {
    lab.store.lead(LEASE).await.expect("an answer");
    let people = [lab.me, lab.another_person().await, lab.another_person().await];
    let ada = account(&lab, "ada").await;
    for (n, person) in [ada, people[0], people[1], people[2]].into_iter().enumerate() {
        let new = muster_store::NewRequest { principal: person, ..lab.new_request(&["a"]) };
        lab.store.submit(new).await.expect("it is taken");
        // Of some the request is rolled up, of some it ended, of the last it is open.
        if n < 3 {
            assert!(lab.work().await);
        }
        if n < 2 {
            lab.store.roll_up(1).await.expect("an answer");
        }
    }
    let choose = async |search: Option<&str>, after_session, limit| {
        let search = search.map(str::to_owned);
        let filter = ChoiceFilter { search, after_user: None, after_session, limit };
        lab.store.statistics_choices(filter).await.expect("an answer")
    };
    let all = choose(None, None, 10).await;
    assert_eq!(
        all.models.iter().map(|(id, c)| (id.as_str(), c.requests)).collect::<Vec<_>>(),
        [("echo", 4)]
    );
    assert_eq!(all.kinds.values().map(|c| c.requests).collect::<Vec<_>>(), [1, 3]);
    let names: Vec<_> = all.users.iter().map(|user| (user.id, user.name.as_deref())).collect();
    assert_eq!(names, [(ada, Some("ada"))]);
    assert!(all.sessions.iter().all(|s| s.choice.requests == 1 && s.choice.last_at.is_some()));
    let mut sorted = people.to_vec();
    sorted.sort();
    let mut seen = Vec::new();
    for _ in 0..3 {
        let page = choose(None, seen.last().copied(), 1).await.sessions;
        assert_eq!(
            page.len(),
            if seen.len() < 2 { 2 } else { 1 },
            "one more says that there is more"
        );
        seen.push(page[0].id);
    }
    assert_eq!(seen, sorted);
    assert_eq!(choose(Some("AD"), None, 10).await.users.len(), 1);
    assert!(choose(Some("%"), None, 10).await.users.is_empty());
    assert_eq!(choose(Some(&people[1].to_string()), None, 10).await.sessions[0].id, people[1]);
}

async fn a_users_requests_and_last_use_are_known(lab: Lab) {
    lab.store.lead(LEASE).await.expect("an answer");
    let (ada, eve) = (account(&lab, "ada").await, account(&lab, "eve").await);
    // One is rolled up, one ended, one is open.
    for n in 0..3 {
        let new = muster_store::NewRequest { principal: ada, ..lab.new_request(&["a"]) };
        lab.store.submit(new).await.expect("it is taken");
        if n < 2 {
            assert!(lab.work().await);
        }
        if n < 1 {
            lab.store.roll_up(1).await.expect("an answer");
        }
    }
    let new = |token_hash| muster_store::NewSession {
        principal: Some(ada),
        token_hash,
        kind: muster_store::SessionKind::Bearer,
        name: String::new(),
        scopes: String::new(),
        lifetime: LEASE,
    };
    lab.store.add_session(new([1; 32])).await.expect("a session");
    let last = lab.store.add_session(new([2; 32])).await.expect("a session");
    let figures = lab.store.user_figures(&[ada, eve, lab.me]).await.expect("an answer");
    assert_eq!(figures.len(), 2, "an anonymous session is no user");
    assert_eq!((figures[&ada].requests, figures[&eve].requests), (3, 0));
    assert_eq!(figures[&ada].last_used_at, Some(last.times.seen));
    assert_eq!(figures[&eve].last_used_at, None);
    assert!(lab.store.user_figures(&[]).await.expect("an answer").is_empty());
}

/// I-19
async fn a_models_week_counts_what_was_submitted_each_day(lab: Lab) {
    lab.store.lead(LEASE).await.expect("an answer");
    let ago = if lab.is_postgres() {
        "submitted_at - interval '1 day' * "
    } else {
        "submitted_at - 86400000000 * "
    };
    for (days, requests) in [(7, 1), (6, 2), (2, 3), (0, 1)] {
        for n in 0..requests {
            let id = lab.submit(&["a"]).await.id.0.simple();
            let id = if lab.is_postgres() { format!("'{id}'") } else { format!("x'{id}'") };
            lab.raw
                .run(&format!("UPDATE request SET submitted_at = {ago} {days} WHERE id = {id}"))
                .await;
            // Of a day some are rolled up, some have ended, some are open.
            if n < 2 {
                assert!(lab.work().await);
            }
            if n < 1 {
                lab.store.roll_up(1).await.expect("an answer");
            }
        }
    }
    let week = async || {
        let figures = lab.store.model_figures().await.expect("an answer");
        figures[&lab.model.id].week
    };
    assert_eq!(week().await, [2, 0, 0, 0, 3, 0, 1]);
    lab.submit(&["a"]).await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(week().await, [2, 0, 0, 0, 3, 0, 1], "it may be a minute old");
}

async fn a_wrong_counter_is_found(lab: Lab) {
    lab.store.lead(LEASE).await.expect("an answer");
    for _ in 0..3 {
        lab.submit(&["a"]).await;
        assert!(lab.work().await);
    }
    lab.store.roll_up(2).await.expect("an answer");
    assert_eq!(lab.store.verify_statistics().await.expect("an answer"), []);
    lab.raw.run("DELETE FROM ended").await;
    let found = lab.store.verify_statistics().await.expect("an answer");
    assert!(
        matches!(found.as_slice(), [Difference::Wrong { counted: 2, present: 3, .. }]),
        "{found:?}"
    );
    lab.raw.run("DELETE FROM model_statistic WHERE grain = 'month'").await;
    let found = lab.store.verify_statistics().await.expect("an answer");
    assert!(
        matches!(found[0], Difference::Sums { of: "models by month", one: 2, other: 0 }),
        "{found:?}"
    );
}

/// The migration, run once more on a database that has requests.
async fn requests_from_before_the_statistics_are_counted(mut lab: Lab) {
    lab.submit(&["a"]).await;
    assert!(lab.work().await);
    lab.submit(&["b"]).await;
    for table in ["ended", "model_statistic", "person_statistic", "model_seen", "person_seen"] {
        lab.raw.run(&format!("DROP TABLE {table}")).await;
    }
    lab.raw.run("DROP INDEX principal_by_claim").await;
    lab.raw.run("DELETE FROM migration WHERE version IN (4, 9)").await;
    lab.restart(64 << 10).await;
    let total = lab.store.statistics(Query::default()).await.expect("an answer").total;
    assert_eq!((total.ended, total.waiting), ([1, 0, 0], 1));
}

/// Two servers that both believe they plan: one of them was frozen, and each row is counted once. I-18
#[tokio::test]
async fn two_servers_that_fold_at_once_count_each_request_once() {
    let lab = Lab::postgres().await;
    let other = lab.other_server().await;
    for _ in 0..200 {
        lab.submit(&["a"]).await;
        assert!(lab.work().await);
    }
    // The lease goes to and fro, also between the question whether to roll up and the rolling up.
    let roll_up = async |store: &Store, times: u32| {
        let mut rolled_up = 0;
        for _ in 0..times {
            lab.raw.run("UPDATE leader SET until = now()").await;
            store.lead(LEASE).await.expect("an answer");
            rolled_up += store.roll_up(3).await.expect("an answer").requests;
        }
        rolled_up
    };
    let mut both = [roll_up(&lab.store, 1).await, roll_up(&other, 1).await];
    assert_eq!(both, [3, 3]);
    let (here, there) = tokio::join!(roll_up(&lab.store, 100), roll_up(&other, 100));
    both = [both[0] + here, both[1] + there];
    let left = lab.raw.number("SELECT COUNT(*) FROM ended").await;
    assert_eq!(both.iter().sum::<u64>() + left as u64, 200, "{both:?}");
    let total = lab.store.statistics(Query::default()).await.expect("an answer").total;
    assert_eq!(total.ended, [200, 0, 0]);
    assert_eq!(lab.store.verify_statistics().await.expect("an answer"), []);
}

/// Rolled up rows do not stay in the way of the next look until PostgreSQL gets round to them.
#[tokio::test]
async fn what_was_folded_is_vacuumed() {
    let lab = Lab::postgres().await;
    lab.store.lead(LEASE).await.expect("an answer");
    let many = format!(
        "INSERT INTO ended (request_id, model_id, principal_id, auth_type, phase, inputs, failed, \
         cached, submitted_at, ended_at) SELECT gen_random_uuid(), 'echo', '{}', 'anonymous', \
         'completed', 1, 0, 0, now(), now() FROM generate_series(1, 20000)",
        lab.me
    );
    lab.raw.run(&many).await;
    for _ in 0..4 {
        assert_eq!(lab.store.roll_up(5000).await.expect("an answer").requests, 5000);
    }
    let vacuums = "SELECT COALESCE(SUM(vacuum_count), 0)::bigint FROM pg_stat_user_tables \
         WHERE relname = 'ended' AND schemaname = current_schema()";
    until("it is vacuumed", async || lab.raw.number(vacuums).await > 0).await;
}
