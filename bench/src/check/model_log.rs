//! What the model logged: which inputs it was sent, and when.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::Deserialize;

use crate::Result;

/// One call that carried an input, microseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    pub begun: u64,
    /// Absent: never answered.
    pub ended: Option<u64>,
    /// By a process that ends with its hub: nothing of it goes on after a new attempt began.
    pub local: bool,
}

pub type ModelLog = HashMap<String, Vec<Sent>>;

#[derive(Deserialize)]
struct Line {
    t: u64,
    instance: String,
    call: u64,
    #[serde(default)]
    begin: Option<Vec<String>>,
}

pub fn read(path: &Path) -> Result<ModelLog> {
    from_lines(BufReader::new(File::open(path)?).lines())
}

fn from_lines(lines: impl Iterator<Item = std::io::Result<String>>) -> Result<ModelLog> {
    let mut open: HashMap<(String, u64), (u64, Vec<String>)> = HashMap::new();
    let local = |instance: &str| instance.starts_with("python-");
    let mut log = ModelLog::new();
    let mut close = |inputs: Vec<String>, sent: Sent| {
        for input in inputs {
            log.entry(input).or_default().push(sent);
        }
    };
    for line in lines {
        let line: Line = serde_json::from_str(&line?)?;
        let call = (line.instance, line.call);
        match line.begin {
            Some(inputs) => drop(open.insert(call, (line.t, inputs))),
            None => {
                if let Some((begun, inputs)) = open.remove(&call) {
                    close(inputs, Sent { begun, ended: Some(line.t), local: local(&call.0) });
                }
            }
        }
    }
    for ((instance, _), (begun, inputs)) in open {
        close(inputs, Sent { begun, ended: None, local: local(&instance) });
    }
    Ok(log)
}

/// Was an input with two servers, or twice with one, at the same time?
pub fn overlap(sent: &[Sent]) -> bool {
    let mut sent: Vec<Sent> = sent.to_vec();
    sent.sort_by_key(|sent| sent.begun);
    sent.windows(2).any(|two| two[0].ended.is_none_or(|ended| ended > two[1].begun))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_put_together_from_their_begin_and_end() {
        let lines = [
            r#"{"t":1,"instance":"i","call":1,"begin":["a","b"]}"#,
            r#"{"t":2,"instance":"python-j","call":1,"begin":["c"]}"#,
            r#"{"t":5,"instance":"i","call":1,"end":true}"#,
        ];
        let log = from_lines(lines.iter().map(|line| Ok((*line).to_owned()))).expect("a log");
        assert_eq!(log["a"], [Sent { begun: 1, ended: Some(5), local: false }]);
        assert_eq!(log["c"], [Sent { begun: 2, ended: None, local: true }]);
    }

    #[test]
    fn a_call_that_begins_before_the_last_one_ended_overlaps() {
        let sent = |begun, ended| Sent { begun, ended, local: true };
        assert!(!overlap(&[sent(1, Some(2)), sent(2, Some(3))]));
        assert!(overlap(&[sent(1, Some(3)), sent(2, Some(4))]));
        assert!(overlap(&[sent(1, None), sent(2, Some(4))]));
    }
}
