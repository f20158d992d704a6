//! What must hold between a ledger, the stored requests and the model's log, as a function of values.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::model_log::{ModelLog, Sent, overlap};
use super::stored::{Request, Task};
use crate::ledger::{Entry, Outcome, input_sha};

/// Examples that are kept of each kind of finding.
const EXAMPLES: usize = 5;
/// Characters of an example.
const EXAMPLE: usize = 200;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finding {
    /// Acknowledged, but not there (I-01).
    Lost,
    /// There, with other inputs (I-01, I-07).
    Changed,
    /// It did not end (I-03), or not as it should have.
    NotCompleted,
    /// It ended more than once, or never by its transitions (I-02).
    EndedTwice,
    /// It was said to have ended otherwise than it did (I-02, I-14).
    TakenBack,
    /// Nobody sent it (I-04).
    NobodySentIt,
    /// It exists although it was refused (I-04).
    Refused,
    /// One submission, several requests (I-04, I-05).
    Doubled,
    /// A row is not that of its input (I-08).
    Mixed,
    /// A completed request without all of its rows (I-09).
    Incomplete,
    /// An object is missing or damaged (I-09).
    Damaged,
    /// A task still has a lease, or waits, although its request ended (I-12).
    LeftOver,
    /// Completed, but the model never saw its input.
    NeverSent,
    /// Sent to the model more often than it was attempted (I-12).
    SentTooOften,
    /// Two calls had the same input at the same time (I-12).
    TwoAtOnce,
    /// The model was sent what no request has.
    UnknownInput,
}

/// What was found, how often, and examples.
#[derive(Debug, Default)]
pub struct Verdict {
    pub requests: usize,
    pub found: BTreeMap<Finding, (u64, Vec<String>)>,
}

impl Verdict {
    pub fn is_good(&self) -> bool {
        self.found.is_empty()
    }

    fn note(&mut self, finding: Finding, example: &str) {
        let (count, examples) = self.found.entry(finding).or_default();
        *count += 1;
        if examples.len() < EXAMPLES {
            examples.push(example.chars().take(EXAMPLE).collect());
        }
    }
}

/// `may_fail`: requests may have ended otherwise than completed, and calls may have been repeated.
pub fn judge(
    ledger: &[Entry],
    stored: &[Request],
    log: Option<&ModelLog>,
    may_fail: bool,
) -> Verdict {
    let mut verdict = Verdict { requests: stored.len(), ..Verdict::default() };
    let by_id: HashMap<&str, &Request> = stored.iter().map(|r| (r.id.as_str(), r)).collect();
    let mut sent: HashMap<&str, &Entry> = HashMap::new();
    for entry in ledger {
        // A key may have been sent again: it is refused if it always was.
        let known = sent.entry(&entry.key).or_insert(entry);
        if entry.outcome != Outcome::Fail {
            *known = entry;
        }
        let Some(id) = entry.id.as_deref().filter(|_| entry.outcome == Outcome::Ok) else {
            continue;
        };
        match by_id.get(id) {
            None => verdict.note(Finding::Lost, id),
            Some(request) if request.key.as_deref() != Some(&entry.key) => {
                verdict.note(Finding::Changed, id);
            }
            Some(request) if has_ended(&entry.phase) && entry.phase != request.phase => {
                verdict.note(Finding::TakenBack, id);
            }
            Some(request) if !may_fail && request.phase != "completed" => {
                verdict.note(Finding::NotCompleted, id);
            }
            Some(_) => {}
        }
    }
    let mut keys = HashSet::new();
    for request in stored {
        let entry = request.key.as_deref().and_then(|key| sent.get(key));
        match entry {
            None => verdict.note(Finding::NobodySentIt, &request.id),
            Some(entry) if entry.outcome == Outcome::Fail => {
                verdict.note(Finding::Refused, &request.id);
            }
            Some(entry) => {
                let inputs = request.tasks.iter().flat_map(|task| &task.inputs);
                if entry.inputs != request.inputs || entry.sha != input_sha(inputs) {
                    verdict.note(Finding::Changed, &request.id);
                }
            }
        }
        if !keys.insert(request.key.as_deref()) {
            verdict.note(Finding::Doubled, &request.id);
        }
        judge_request(request, may_fail, &mut verdict);
    }
    if let Some(log) = log {
        judge_log(stored, log, may_fail, &mut verdict);
    }
    verdict
}

fn judge_request(request: &Request, may_fail: bool, verdict: &mut Verdict) {
    let id = &request.id;
    let ended = has_ended(&request.phase);
    if !ended || (!may_fail && request.phase != "completed") {
        verdict.note(Finding::NotCompleted, id);
    }
    if request.ends != u64::from(ended) {
        verdict.note(Finding::EndedTwice, id);
    }
    for damage in &request.damage {
        verdict.note(Finding::Damaged, &format!("{id}: {damage}"));
    }
    let counted: u64 = request.tasks.iter().map(|task| task.count).sum();
    if counted != request.inputs {
        verdict.note(Finding::Incomplete, id);
    }
    for task in &request.tasks {
        if ended && !matches!(task.state.as_str(), "done" | "dropped") {
            verdict.note(Finding::LeftOver, id);
        }
        let Some(echoes) = &task.echoes else { continue };
        if echoes.len() != task.inputs.len() {
            verdict.note(Finding::Incomplete, id);
        }
        let strange = |(input, echo): (&String, &Option<String>)| match echo {
            Some(echo) => echo != input,
            // The model said an error.
            None => !may_fail,
        };
        if task.inputs.iter().zip(echoes).any(strange) {
            verdict.note(Finding::Mixed, id);
        }
    }
    let done = |task: &Task| task.state == "done";
    if request.phase == "completed" && !request.tasks.iter().all(done) {
        verdict.note(Finding::Incomplete, id);
    }
}

fn has_ended(phase: &str) -> bool {
    matches!(phase, "completed" | "failed" | "cancelled")
}

fn judge_log(stored: &[Request], log: &ModelLog, may_fail: bool, verdict: &mut Verdict) {
    let mut known: HashSet<&str> = HashSet::new();
    for task in stored.iter().flat_map(|request| &request.tasks) {
        for input in &task.inputs {
            known.insert(input);
            let sent = log.get(input).map_or(&[][..], Vec::as_slice);
            if sent.is_empty() && task.state == "done" {
                verdict.note(Finding::NeverSent, input);
            }
            if sent.len() as u64 > task.attempt {
                verdict.note(Finding::SentTooOften, input);
            }
            // A call that a fault broke off has no end, and is done again; a server elsewhere does
            // not notice that its hub died.
            let whole = |s: &&Sent| !may_fail || (s.local && s.ended.is_some());
            let counted: Vec<Sent> = sent.iter().filter(whole).copied().collect();
            if overlap(&counted) {
                verdict.note(Finding::TwoAtOnce, input);
            }
        }
    }
    for input in log.keys().filter(|input| !known.contains(input.as_str())) {
        verdict.note(Finding::UnknownInput, input);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Op;

    fn entry(key: &str, outcome: Outcome) -> Entry {
        Entry {
            t: 0,
            client: 0,
            op: Op::Submit,
            key: key.into(),
            id: (outcome == Outcome::Ok).then(|| format!("id-{key}")),
            inputs: 1,
            sha: input_sha([key]),
            outcome,
            status: 201,
            phase: String::new(),
            took: 0,
        }
    }

    fn request(key: &str) -> Request {
        let task = Task {
            state: "done".into(),
            attempt: 1,
            inputs: vec![key.into()],
            echoes: Some(vec![Some(key.into())]),
            count: 1,
        };
        Request {
            id: format!("id-{key}"),
            key: Some(key.into()),
            phase: "completed".into(),
            inputs: 1,
            ends: 1,
            tasks: vec![task],
            damage: vec![],
        }
    }

    fn log(key: &str) -> ModelLog {
        ModelLog::from([(key.to_owned(), vec![Sent { begun: 1, ended: Some(2), local: true }])])
    }

    /// One acknowledged request in perfect order, changed by `change`: what is found?
    fn found(change: impl Fn(&mut Vec<Request>, &mut ModelLog)) -> Vec<Finding> {
        let (mut stored, mut log) = (vec![request("a")], log("a"));
        change(&mut stored, &mut log);
        let verdict = judge(&[entry("a", Outcome::Ok)], &stored, Some(&log), false);
        verdict.found.into_keys().collect()
    }

    #[test]
    fn a_run_in_order_is_good() {
        assert_eq!(found(|_, _| {}), []);
    }

    #[test]
    fn each_fault_is_found_under_its_name() {
        let sent = |begun, ended| Sent { begun, ended: Some(ended), local: true };
        assert_eq!(found(|stored, _| stored[0].ends = 2), [Finding::EndedTwice]);
        assert_eq!(found(|stored, _| stored[0].ends = 0), [Finding::EndedTwice]);
        assert_eq!(found(|s, _| s[0].damage.push("x".into())), [Finding::Damaged]);
        assert_eq!(found(|_, log| log.clear()), [Finding::NeverSent]);
        let lost = found(|stored, log| {
            stored.clear();
            log.clear();
        });
        assert_eq!(lost, [Finding::Lost]);
        let swapped = |s: &mut Vec<Request>, _: &mut ModelLog| {
            s[0].tasks[0].echoes = Some(vec![Some("b".into())]);
        };
        assert_eq!(found(swapped), [Finding::Mixed]);
        let leased = |s: &mut Vec<Request>, _: &mut ModelLog| {
            s[0].tasks[0].state = "leased".into();
        };
        assert_eq!(found(leased), [Finding::Incomplete, Finding::LeftOver]);
        let twice = |_: &mut Vec<Request>, log: &mut ModelLog| {
            log.insert("a".into(), vec![sent(1, 5), sent(2, 3)]);
        };
        assert_eq!(found(twice), [Finding::SentTooOften, Finding::TwoAtOnce]);
        let stranger = |_: &mut Vec<Request>, log: &mut ModelLog| {
            log.insert("x".into(), vec![sent(1, 2)]);
        };
        assert_eq!(found(stranger), [Finding::UnknownInput]);
        let other_input = |s: &mut Vec<Request>, log: &mut ModelLog| {
            s[0].tasks[0].inputs = vec!["b".into()];
            s[0].tasks[0].echoes = Some(vec![Some("b".into())]);
            log.insert("b".into(), vec![sent(1, 2)]);
            log.remove("a");
        };
        assert_eq!(found(other_input), [Finding::Changed]);
    }

    #[test]
    fn a_key_that_was_sent_again_is_refused_only_if_it_always_was() {
        let found = |outcomes: &[Outcome]| {
            let ledger: Vec<Entry> = outcomes.iter().map(|outcome| entry("a", *outcome)).collect();
            judge(&ledger, &[request("a")], None, true).is_good()
        };
        assert!(found(&[Outcome::Unknown, Outcome::Fail]));
        assert!(found(&[Outcome::Fail, Outcome::Ok]));
        assert!(!found(&[Outcome::Fail, Outcome::Fail]));
    }

    #[test]
    fn an_end_that_was_told_is_not_taken_back() {
        let told = Entry { phase: "cancelled".into(), ..entry("a", Outcome::Ok) };
        let verdict = judge(&[told], &[request("a")], None, true);
        assert!(verdict.found.contains_key(&Finding::TakenBack));
    }

    #[test]
    fn an_unknown_outcome_exists_once_or_not_at_all() {
        let ledger = [entry("a", Outcome::Unknown)];
        let kinds = |stored: &[Request]| -> Vec<Finding> {
            judge(&ledger, stored, None, false).found.into_keys().collect()
        };
        assert_eq!(kinds(&[]), []);
        assert_eq!(kinds(&[request("a")]), []);
        assert_eq!(kinds(&[request("a"), request("a")]), [Finding::Doubled]);
        assert_eq!(kinds(&[request("b")]), [Finding::NobodySentIt]);
        let refused = [entry("a", Outcome::Fail)];
        let verdict = judge(&refused, &[request("a")], None, false);
        assert!(verdict.found.contains_key(&Finding::Refused));
    }
}
