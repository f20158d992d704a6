//! Statistics are what a naive recount says, at every moment.

use std::collections::BTreeMap;

use muster_core::retry::Retry;
use muster_core::stats::{AuthType, By, Day, Dimension, Group, Query, Value, size_class};
use muster_core::{PhaseName, PrincipalId, RequestId, Timestamp};
use muster_store::{ClaimedTask, Difference};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::lab::{LEASE, Lab, again, complete};
use crate::statistics::account;

on_both!(any_lives_of_requests_give_what_a_recount_gives);

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    /// By one of the people, to one of the models, so many inputs.
    Submit {
        person: usize,
        model: usize,
        inputs: usize,
        days_ago: u32,
    },
    /// A job of the oldest tasks of a model.
    Claim,
    Complete,
    Fail,
    Requeue,
    Cancel(usize),
    RollUp(u32),
    /// All that ended: of anonymous people, of accounts, or of everybody.
    Clear {
        anonymous: bool,
        account: bool,
    },
    Delete(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => submission(),
        4 => Just(Step::Claim),
        4 => Just(Step::Complete),
        1 => Just(Step::Fail),
        1 => Just(Step::Requeue),
        1 => any::<prop::sample::Index>().prop_map(|n| Step::Cancel(n.index(1000))),
        2 => (1..4u32).prop_map(Step::RollUp),
        1 => any::<(bool, bool)>().prop_map(|(anonymous, account)| Step::Clear { anonymous, account }),
        1 => any::<prop::sample::Index>().prop_map(|n| Step::Delete(n.index(1000))),
    ]
}

fn submission() -> impl Strategy<Value = Step> {
    let inputs = prop_oneof![Just(1usize), 2..11usize, 11..15usize];
    let days_ago = prop_oneof![Just(0u32), 0..3u32, 25..70u32, 300..800u32];
    let parts = (0..3usize, 0..2usize, inputs, days_ago);
    parts.prop_map(|(person, model, inputs, days_ago)| Step::Submit {
        person,
        model,
        inputs,
        days_ago,
    })
}

/// A request as the test knows it.
#[derive(Clone, Debug)]
struct Life {
    person: usize,
    inputs: u64,
    cleared: bool,
}

struct World {
    lab: Lab,
    people: Vec<PrincipalId>,
    models: Vec<std::sync::Arc<muster_core::Model>>,
    lives: BTreeMap<RequestId, Life>,
    /// Of those that were cleared: what they were.
    memory: BTreeMap<RequestId, muster_core::Request>,
    claimed: Vec<ClaimedTask>,
}

impl World {
    async fn new(lab: Lab) -> Self {
        let people = vec![lab.me, lab.another_person().await, account(&lab, "ada").await];
        lab.store.lead(LEASE).await.expect("an answer");
        let catalogue = ["echo", "other"].map(|id| crate::lab::model(id, "1"));
        lab.store.sync_models(catalogue.to_vec()).await.expect("a catalogue");
        let models = lab.store.models().iter().cloned().collect();
        let (lives, memory, claimed) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        Self { lab, people, models, lives, memory, claimed }
    }

    async fn take(&mut self, step: Step) {
        let store = &self.lab.store;
        match step {
            Step::Submit { person, model, inputs, days_ago } => {
                let texts: Vec<String> = (0..inputs).map(|n| n.to_string()).collect();
                let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
                let new = muster_store::NewRequest {
                    principal: self.people[person],
                    model: std::sync::Arc::clone(&self.models[model]),
                    ..self.lab.new_request(&texts)
                };
                let request = store.submit(new).await.expect("it is taken").request;
                let life = Life { person, inputs: inputs as u64, cleared: false };
                let raw = &self.lab.raw;
                let earlier = raw.earlier("submitted_at", days_ago * 86_400);
                let (set, id) = (format!("submitted_at = {earlier}"), raw.id(request.id.0));
                raw.run(&format!("UPDATE request SET {set} WHERE id = {id}")).await;
                self.lives.insert(request.id, life);
            }
            Step::Claim => self.claim().await,
            Step::Complete => {
                if let Some(task) = self.next_task().await {
                    complete(&self.lab.store, &task).await;
                }
            }
            Step::Fail => {
                if let Some(task) = self.next_task().await {
                    self.lab
                        .give_back(
                            &task,
                            Retry::Fail {
                                cause: muster_core::Cause::ModelError,
                                reason: "broken".into(),
                            },
                        )
                        .await;
                }
            }
            Step::Requeue => {
                if let Some(task) = self.next_task().await {
                    self.lab.give_back(&task, again(true)).await;
                }
            }
            Step::Cancel(n) => {
                let open: Vec<RequestId> = self.open().await;
                if let Some(id) = open.get(n % open.len().max(1)) {
                    let owner = self.people[self.lives[id].person];
                    store.cancel_request(owner, *id, "not needed").await.expect("an answer");
                }
            }
            Step::RollUp(most) => {
                store.roll_up(most).await.expect("an answer");
            }
            Step::Clear { anonymous, account } => self.clear(anonymous, account).await,
            Step::Delete(n) => {
                let ended = self.ended(|_| true).await;
                if let Some(request) = ended.get(n % ended.len().max(1)).cloned() {
                    let owner = request.principal;
                    let deleted = store.delete_request(owner, request.id).await;
                    assert_eq!(deleted.expect("an answer"), Some(true));
                    self.note_cleared(vec![request]);
                }
            }
        }
    }

    async fn claim(&mut self) {
        for model in &self.models {
            let queued = format!(
                "SELECT COUNT(*) FROM task WHERE state = 'queued' AND model_id = '{}'",
                model.id
            );
            if self.lab.raw.number(&queued).await > 0 {
                let wish = muster_store::Claim { model: model.id.clone(), ..self.lab.wish(10) };
                self.claimed.extend(crate::lab::claim(&self.lab.store, wish).await);
                return;
            }
        }
    }

    /// A claimed task, if there is one to claim.
    async fn next_task(&mut self) -> Option<ClaimedTask> {
        if self.claimed.is_empty() {
            self.claim().await;
        }
        self.claimed.pop()
    }

    async fn request(&self, id: RequestId) -> muster_core::Request {
        if let Some(request) = self.memory.get(&id) {
            return request.clone();
        }
        let owner = self.people[self.lives[&id].person];
        let found = self.lab.store.find_request(owner, id).await.expect("an answer");
        muster_core::Request::clone(&found.expect("the request"))
    }

    async fn open(&self) -> Vec<RequestId> {
        let mut open = Vec::new();
        for id in self.lives.keys() {
            if !self.request(*id).await.phase.is_ended() {
                open.push(*id);
            }
        }
        open
    }

    /// Those that ended and are still there, of these people.
    async fn ended(&self, of: impl Fn(usize) -> bool) -> Vec<muster_core::Request> {
        let mut ended = Vec::new();
        let there = self.lives.iter().filter(|(_, life)| !life.cleared && of(life.person));
        for (id, _) in there {
            let request = self.request(*id).await;
            if request.phase.is_ended() {
                ended.push(request);
            }
        }
        ended
    }

    async fn clear(&mut self, anonymous: bool, account: bool) {
        let cleared = self.ended(|person| if person == 2 { account } else { anonymous }).await;
        let age = |wanted: bool| wanted.then_some(std::time::Duration::ZERO);
        let retention = muster_core::Retention {
            anonymous: age(anonymous),
            account: age(account),
            ..muster_core::Retention::FOR_EVER
        };
        let by = muster_store::ClearedBy::Schedule;
        let clear = muster_store::Clear { retention, people: true, by };
        let done = self.lab.store.clear(&clear, |_| {}).await.expect("an answer");
        assert_eq!(done.expect("nobody else clears").requests, cleared.len() as u64);
        self.note_cleared(cleared);
    }

    fn note_cleared(&mut self, cleared: Vec<muster_core::Request>) {
        for request in cleared {
            self.lives.get_mut(&request.id).expect("it lived").cleared = true;
            self.memory.insert(request.id, request);
        }
    }

    /// Counts everything anew, the naive way, and compares with all kinds of questions.
    async fn compare(&self) {
        let mut requests = Vec::new();
        for id in self.lives.keys() {
            requests.push((self.lives[id].clone(), self.request(*id).await));
        }
        for query in self.questions() {
            let answer = self.lab.store.statistics(query.clone()).await.expect("an answer");
            let mut naive: BTreeMap<Vec<Value>, Naive> = BTreeMap::new();
            let mut total = Naive::default();
            for (life, request) in &requests {
                if let Some(key) = self.key(&query, life, request) {
                    naive.entry(key).or_default().add(life, request, query.by);
                    total.add(life, request, query.by);
                }
            }
            let told: BTreeMap<Vec<Value>, Naive> =
                answer.rows.iter().map(|(key, group)| (key.clone(), Naive::of(group))).collect();
            assert_eq!(told, naive, "{query:?}");
            assert_eq!(answer.rows.len(), told.len(), "each group once");
            assert_eq!(Naive::of(&answer.total), total, "{query:?}");
        }
    }

    fn questions(&self) -> Vec<Query> {
        use Dimension::{InputSize, Model, Month, Session, User, Week};
        let today = Day::of(self.lab.store.clock().now());
        let ask = |group_by: &[Dimension], change: &dyn Fn(&mut Query)| {
            let mut query = Query::default();
            query.group_by = group_by.to_vec();
            change(&mut query);
            query
        };
        let ago = |days: i32| Day(today.0 - days);
        vec![
            ask(&[Model], &|_| {}),
            ask(&[Model, Dimension::Day], &|q| q.by = By::All),
            ask(&[User, Session], &|q| q.by = By::Failures),
            ask(&[User, Model, InputSize], &|q| q.days = ago(2)..today.tomorrow()),
            ask(&[User], &|q| q.days = ago(60)..ago(1)),
            ask(&[Model], &|q| q.days = ago(500)..ago(30)),
            ask(&[Session, Week], &|q| q.days = ago(700)..today),
            ask(&[Dimension::AuthType, InputSize], &|q| q.by = By::All),
            ask(&[Month, Week], &|q| q.auth = Some(AuthType::Account)),
            ask(&[], &|q| q.users = vec![self.people[2]]),
            ask(&[Model], &|q| q.sessions = vec![self.people[0], self.people[2]]),
            ask(&[Session, Dimension::Day], &|q| q.models = vec!["echo".parse().expect("an id")]),
            ask(&[Model], &|q| q.models = vec!["other".parse().expect("an id")]),
            ask(&[InputSize], &|q| q.set_sizes(Some(2), Some(10)).expect("a class")),
            ask(&[Model], &|q| q.set_phases(&[PhaseName::Failed, PhaseName::Waiting])),
            ask(&[Model], &|q| q.days = Day::FIRST..today),
        ]
    }

    /// The group of a request; nothing if it is not asked for.
    fn key(
        &self,
        query: &Query,
        life: &Life,
        request: &muster_core::Request,
    ) -> Option<Vec<Value>> {
        let (day, size) = (Day::of(request.submitted_at), size_class(life.inputs));
        let auth = if life.person == 2 { AuthType::Account } else { AuthType::Anonymous };
        let model = request.model.clone();
        let who = self.people[life.person];
        let people = if life.person == 2 { &query.users } else { &query.sessions };
        let nobody = query.users.is_empty() && query.sessions.is_empty();
        // What the question restricts besides is known by how it was made.
        let text = format!("{query:?}");
        let phases = !text.contains("phases: [true, true, true, true, true]");
        let sizes = text.contains("sizes: Some((1, 1))");
        let is_wanted = (query.models.is_empty() || query.models.contains(&model))
            && query.auth.is_none_or(|wanted| wanted == auth)
            && (nobody || people.contains(&who))
            && query.days.contains(&day)
            && (!sizes || size == 1)
            && (!phases || ["failed", "waiting"].contains(&request.phase.name()));
        let person = |wanted| Value::Person((auth == wanted).then_some(who));
        let value = |dimension: &Dimension| match dimension {
            Dimension::Model => Value::Model(model.to_string().into()),
            Dimension::Day => Value::Day(day),
            Dimension::Week => Value::Week(day.monday()),
            Dimension::Month => Value::Month(day.start(muster_core::stats::Grain::Month)),
            Dimension::User => person(AuthType::Account),
            Dimension::Session => person(AuthType::Anonymous),
            Dimension::AuthType => Value::AuthType(auth),
            Dimension::InputSize => Value::InputSize(size),
        };
        is_wanted.then(|| query.group_by.iter().map(value).collect())
    }
}

/// The figures of a group, kept the simple way: count, sum, least and most of each time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Naive {
    /// Completed, failed, cancelled, waiting, running.
    phases: [u64; 5],
    inputs: u64,
    failed: u64,
    cached: u64,
    job: [u64; 4],
    total: [u64; 4],
    waiting: [u64; 4],
}

impl Naive {
    fn of(group: &Group) -> Self {
        let [completed, failed, cancelled] = group.ended;
        let times = |t: &muster_core::stats::Times| [t.count, t.sum, t.min, t.max];
        Self {
            phases: [completed, failed, cancelled, group.waiting, group.running],
            inputs: group.inputs,
            failed: group.failed,
            cached: group.cached,
            job: times(&group.times().job),
            total: times(&group.times().total),
            waiting: times(&group.times().waiting),
        }
    }

    fn add(&mut self, life: &Life, request: &muster_core::Request, by: By) {
        use muster_core::Phase;
        let names = ["completed", "failed", "cancelled", "waiting", "running"];
        let name = request.phase.name();
        let at = names.iter().position(|known| *known == name).expect("a phase");
        self.phases[at] += 1;
        self.inputs += life.inputs;
        self.failed += request.progress.failed;
        self.cached += request.progress.cached;
        let shown = match by {
            By::Successes => name == "completed",
            By::Failures => name == "failed",
            By::All => true,
        };
        let Phase::Ended { started_at, ended_at, .. } = &request.phase else { return };
        if !shown {
            return;
        }
        let micros = |from: Timestamp, to: Timestamp| to.since(from).as_micros() as u64;
        note(&mut self.total, micros(request.submitted_at, *ended_at));
        if let Some(started) = started_at {
            note(&mut self.job, micros(*started, *ended_at));
            note(&mut self.waiting, micros(request.submitted_at, *started));
        }
    }
}

fn note([count, sum, min, max]: &mut [u64; 4], micros: u64) {
    *min = if *count == 0 { micros } else { micros.min(*min) };
    *max = micros.max(*max);
    *count += 1;
    *sum += micros;
}

/// # brief: ST-1, ST-2, ST-3, ST-4; I-18, I-19
async fn any_lives_of_requests_give_what_a_recount_gives(lab: Lab) {
    let seed = lab.store.clock().id();
    println!("seed {seed}");
    let seed: [u8; 32] = std::array::from_fn(|n| seed.as_bytes()[n % 16]);
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let steps = prop::collection::vec(step(), 60).new_tree(&mut runner).expect("steps").current();
    let mut world = World::new(lab).await;
    for step in steps {
        println!("{step:?}");
        world.take(step).await;
        world.compare().await;
    }
    // The same when nothing is left to roll up.
    while world.lab.store.roll_up(7).await.expect("an answer").requests > 0 {}
    assert_eq!(world.lab.raw.number("SELECT COUNT(*) FROM ended").await, 0);
    world.compare().await;
    let found = world.lab.store.verify_statistics().await.expect("an answer");
    assert!(found.iter().all(Difference::is_harmless), "{found:?}");
    let cleared = world.lives.values().any(|life| life.cleared);
    assert_eq!(found.is_empty(), !cleared, "{found:?}");
}
