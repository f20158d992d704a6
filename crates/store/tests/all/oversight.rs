//! Everybody's requests, as administrators see them.

use std::time::Duration;

use muster_core::retry::Retry;
use muster_core::stats::AuthType;
use muster_core::{Cause, PhaseName, PrincipalId, RequestId};
use muster_store::{NewRequest, Overseen, OversightFilter};

use crate::lab::{Lab, claim, complete, model};

on_both!(
    pages_have_all_that_fits_once_whatever_the_filter,
    a_page_that_finds_little_is_cut_and_goes_on,
    one_request_tells_who_what_when_and_where,
    words_of_a_model_or_a_person_are_not_told,
    instances_of_many_tasks_are_told_of_the_first_ones,
);

/// A filter, and what of all requests fits it.
type Question = (OversightFilter, Box<dyn Fn(&Overseen) -> bool>);

async fn account(lab: &Lab, name: &str) -> PrincipalId {
    let new = muster_store::NewAccount {
        name: name.into(),
        first_name: "Ada".into(),
        last_name: "Lovelace".into(),
        email: format!("{name}@example.org"),
        password: "none".into(),
        permissions: vec![],
    };
    lab.store.add_account(new).await.expect("an answer").expect("a free name").id
}

/// Follows the pages to their end.
async fn all(lab: &Lab, filter: OversightFilter) -> Vec<Overseen> {
    let (mut seen, mut filter) = (Vec::new(), filter);
    loop {
        let page = lab.store.list_all_requests(&filter).await.expect("a page");
        assert!(page.items.len() <= filter.limit as usize);
        assert!(page.cut || page.next.is_none() || page.items.len() == filter.limit as usize);
        seen.extend(page.items);
        let Some(next) = page.next else { return seen };
        filter.after = Some(next);
    }
}

fn ids(requests: &[Overseen]) -> Vec<RequestId> {
    requests.iter().map(|request| request.id).collect()
}

async fn submit(lab: &Lab, who: PrincipalId, model: &str) -> RequestId {
    let model = lab.store.find_model(&model.parse().expect("an id")).expect("the model");
    let new = NewRequest { principal: who, model, ..lab.new_request(&["a"]) };
    lab.store.submit(new).await.expect("it is taken").request.id
}

/// Requests of three people and three models, in every phase.
async fn crowd(lab: &Lab) -> [PrincipalId; 3] {
    let models = ["echo", "rare", "slow"].map(|id| model(id, "1"));
    lab.store.sync_models(models.into()).await.expect("a catalogue");
    let people = [lab.me, account(lab, "ada").await, lab.another_person().await];
    for n in 0..60usize {
        let who = people[n % 7 % 3];
        let of = if n % 20 == 3 { "rare" } else { ["echo", "slow"][n % 2] };
        let id = submit(lab, who, of).await;
        let mut wish = lab.wish(1);
        wish.model = of.parse().expect("an id");
        if n % 5 > 0 {
            let task = claim(&lab.store, wish).await.remove(0);
            assert_eq!(task.key.request, id, "the others are not queued any more");
            match n % 5 {
                1 => assert!(complete(&lab.store, &task).await),
                2 => {
                    let (cause, reason) = (Cause::TimedOut, "late".to_owned());
                    lab.give_back(&task, Retry::Fail { cause, reason }).await;
                }
                3 => drop(lab.store.cancel_request(who, id, "mine").await.expect("an answer")),
                _ => {}
            }
        } else {
            // Nothing of it waits when the next ones are claimed, but it is open.
            claim(&lab.store, wish).await;
        }
    }
    submit(lab, people[1], "rare").await;
    people
}

/// # brief: RQ-3
async fn pages_have_all_that_fits_once_whatever_the_filter(lab: Lab) {
    let people = crowd(&lab).await;
    let everything = all(&lab, OversightFilter { limit: 1000, ..OversightFilter::default() }).await;
    assert_eq!(everything.len(), 61);
    let who: [Option<Vec<PrincipalId>>; 4] =
        [None, Some(vec![people[1]]), Some(vec![people[2], people[0]]), Some(people.into())];
    let of: [&[&str]; 4] = [&[], &["rare"], &["echo", "rare"], &["none"]];
    let phases: [&[&str]; 6] = [
        &[],
        &["waiting"],
        &["running", "waiting"],
        &["failed"],
        &["cancelled", "failed"],
        &["completed", "failed"],
    ];
    let middle = everything[30].submitted_at;
    let mut questions: Vec<Question> = Vec::new();
    for (n, who) in who.iter().enumerate() {
        for (m, models) in of.iter().enumerate() {
            for (p, phases) in phases.iter().enumerate() {
                let at = (n + m + p) % 4;
                let auth = [None, Some(AuthType::Account), Some(AuthType::Anonymous)][(n + p) % 3];
                let filter = OversightFilter {
                    people: who.clone().unwrap_or_default(),
                    models: models.iter().map(|id| id.parse().expect("an id")).collect(),
                    phases: phases.iter().map(|phase| phase.parse().expect("a phase")).collect(),
                    auth,
                    from: (at == 1).then_some(middle),
                    until: (at == 2).then_some(middle),
                    oldest_first: (n + m) % 2 == 1,
                    after: None,
                    limit: [1, 2, 7, 1000][(m + p) % 4],
                };
                let (who, wanted) = (who.clone(), filter.clone());
                let fits = move |request: &Overseen| {
                    who.as_ref().is_none_or(|who| who.contains(&request.principal))
                        && (wanted.models.is_empty() || wanted.models.contains(&request.model))
                        && (wanted.phases.is_empty() || wanted.phases.contains(&request.phase))
                        && wanted.auth.is_none_or(|auth| auth == request.auth)
                        && wanted.from.is_none_or(|from| request.submitted_at >= from)
                        && wanted.until.is_none_or(|until| request.submitted_at < until)
                };
                questions.push((filter, Box::new(fits)));
            }
        }
    }
    for (filter, fits) in questions {
        let mut expected: Vec<RequestId> =
            everything.iter().filter(|request| fits(request)).map(|request| request.id).collect();
        if filter.oldest_first {
            expected.reverse();
        }
        assert_eq!(ids(&all(&lab, filter.clone()).await), expected, "{filter:?}");
    }
}

async fn a_page_that_finds_little_is_cut_and_goes_on(lab: Lab) {
    let ada = account(&lab, "ada").await;
    let first = submit(&lab, ada, "echo").await;
    let like = lab.submit(&["a"]).await;
    // Twenty thousand more like the second, a bit newer each.
    let (series, id) = if lab.is_postgres() {
        (
            "FROM request, generate_series(1, 20000) AS n(i)",
            "('ff' || lpad(to_hex(i), 30, '0'))::uuid",
        )
    } else {
        (
            "FROM request, (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n \
             WHERE i < 20000) SELECT i FROM n)",
            "unhex('ff' || printf('%030x', i))",
        )
    };
    let columns = "principal_id, model_id, model_version, phase, submitted_at, inputs, done, \
                   failed, cached, open_tasks, reading, body_hash, version";
    let row = lab.raw.id(like.id.0);
    let made = lab
        .raw
        .run(&format!(
            "INSERT INTO request (id, {columns}) SELECT {id}, {columns} {series} WHERE id = {row}"
        ))
        .await;
    assert_eq!(made, 20_000);
    let filter =
        OversightFilter { auth: Some(AuthType::Account), limit: 50, ..OversightFilter::default() };
    let page = lab.store.list_all_requests(&filter).await.expect("a page");
    assert!(page.items.is_empty() && page.cut && page.next.is_some(), "it looked at enough");
    let (mut pages, mut after) = (1, page.next);
    while let Some(next) = after {
        let filter = OversightFilter { after: Some(next), ..filter.clone() };
        let page = lab.store.list_all_requests(&filter).await.expect("a page");
        pages += 1;
        after = page.next;
        if after.is_none() {
            assert_eq!((ids(&page.items), page.cut), (vec![first], false));
        }
    }
    assert_eq!(pages, 5);
    // By person, or by what failed, there is an index: no page is cut.
    for filter in [
        OversightFilter { people: vec![ada], ..filter.clone() },
        OversightFilter { phases: vec![PhaseName::Failed], ..filter.clone() },
        OversightFilter { oldest_first: true, limit: 1, ..filter.clone() },
    ] {
        let page = lab.store.list_all_requests(&filter).await.expect("a page");
        assert!(!page.cut, "{filter:?}");
    }
}

/// # brief: RQ-2
async fn one_request_tells_who_what_when_and_where(lab: Lab) {
    let ada = account(&lab, "ada").await;
    let id = submit(&lab, ada, "echo").await;
    let waiting = lab.store.find_overseen(id).await.expect("an answer").expect("the request");
    assert_eq!((waiting.request.attempts, waiting.request.instances.len()), (0, 0));
    let task = lab.claim(1).await.remove(0);
    lab.give_back(&task, crate::lab::again(true)).await;
    let task = lab.claim(1).await.remove(0);
    assert!(complete(&lab.store, &task).await);
    let found = lab.store.find_overseen(id).await.expect("an answer").expect("the request");
    let request = &found.request;
    assert_eq!((request.principal, request.auth), (ada, AuthType::Account));
    assert_eq!(request.name.as_deref(), Some("ada"));
    assert_eq!((request.model.as_str(), request.model_version.as_str()), ("echo", "1"));
    assert_eq!((request.phase.name(), request.progress.done), ("completed", 1));
    assert_eq!((request.attempts, &request.instances[..]), (2, &[lab.instance][..]));
    assert_eq!((request.cause, &request.error), (None, &None));
    let phases: Vec<&str> = found.steps.iter().map(|step| step.phase.name()).collect();
    assert_eq!(phases, ["waiting", "running", "completed"]);
    assert!(found.steps.is_sorted_by_key(|step| step.at));
    assert_eq!(found.steps[0].at, request.submitted_at);
    assert_eq!(Some(found.steps[2].at), request.ended_at);
    let unknown = RequestId(lab.store.clock().id());
    assert_eq!(lab.store.find_overseen(unknown).await.expect("an answer"), None);
}

async fn words_of_a_model_or_a_person_are_not_told(lab: Lab) {
    for (cause, told) in
        [(Cause::ModelError, false), (Cause::Refused, false), (Cause::TimedOut, true)]
    {
        let id = lab.submit(&["a"]).await.id;
        let task = lab.claim(1).await.remove(0);
        let reason = "it was CANARY".to_owned();
        lab.give_back(&task, Retry::Fail { cause, reason }).await;
        let found = lab.store.find_overseen(id).await.expect("an answer").expect("it").request;
        assert_eq!(found.cause, Some(cause));
        assert_eq!(found.error.expect("some words").contains("CANARY"), told, "{cause:?}");
    }
    let id = lab.submit(&["a"]).await.id;
    lab.store.cancel_request(lab.me, id, "my CANARY").await.expect("an answer");
    let found = lab.store.find_overseen(id).await.expect("an answer").expect("it").request;
    assert_eq!(found.cause, Some(Cause::CancelledByOwner));
    assert!(!found.error.expect("some words").contains("CANARY"));
    // An older server leaves no cause.
    let id = lab.raw.id(lab.submit(&["a"]).await.id.0);
    lab.raw
        .run(&format!(
            "UPDATE request SET phase = 'failed', reason = 'my CANARY', ended_at = submitted_at, \
             version = version + 1 WHERE id = {id}"
        ))
        .await;
    let failed =
        OversightFilter { phases: vec![PhaseName::Failed], limit: 1, ..Default::default() };
    let found = all(&lab, failed).await;
    assert_eq!((found.len(), found[0].cause, &found[0].error), (4, None, &None));
}

async fn instances_of_many_tasks_are_told_of_the_first_ones(lab: Lab) {
    let inputs = vec!["a"; 400];
    let id = lab.submit(&inputs).await.id;
    for _ in 0..40 {
        let mut wish = lab.wish(1);
        wish.instance = muster_core::InstanceId(lab.store.clock().id());
        claim(&lab.store, wish).await;
    }
    let page = all(&lab, OversightFilter { limit: 10, ..OversightFilter::default() }).await;
    assert_eq!(page[0].instances.len(), 32);
    let whole = lab.store.find_overseen(id).await.expect("an answer").expect("it");
    assert_eq!(whole.request.instances.len(), 40);
    assert_eq!(whole.request.instances[..32], page[0].instances);
    assert!(whole.request.started_at.expect("it runs").since(page[0].submitted_at) < Duration::MAX);
}
