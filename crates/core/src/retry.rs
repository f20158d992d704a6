//! What becomes of a task whose job did not succeed.

use std::time::Duration;

use crate::Cause;
use crate::instance::{EndCause, Whose};

/// Why a job brought no predictions for a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobFailure {
    /// The instance was busy and said when to come back (409, 429, 503), or was stopped before it
    /// could answer. Not the task's doing: no attempt is used up.
    GivenBack { after: Duration },
    /// The instance ended while it worked.
    InstanceEnded(EndCause),
    /// The connection broke although the instance lives.
    Disconnected,
    /// No answer within the model's job time.
    TimedOut { seconds: u32 },
    /// The answer is not what the contract says; `what` says how.
    BadAnswer { what: String },
    /// The answer cannot be read as rows for the inputs; some of them may be to blame.
    Unreadable { what: String },
    /// The answer is longer than an answer to so many inputs may be.
    TooLong { mib: usize },
    /// The model said that it failed; `error` are its words.
    Model { error: String },
    /// The inputs cannot be read from storage; `what` says how.
    Storage { what: String },
    /// The model server refuses such a call (413, 422, ..); trying again would not help.
    Refused { error: String },
}

/// What to do with the task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Retry {
    Again {
        after: Duration,
        counts: bool,
    },
    /// Its request fails; `reason` is fit for a user.
    Fail {
        cause: Cause,
        reason: String,
    },
}

impl JobFailure {
    /// What it would make of the request; or, when it is not the task's doing, when to come back.
    fn cause(&self) -> Result<Cause, Duration> {
        match self {
            Self::GivenBack { after } => Err(*after),
            Self::InstanceEnded(_) => Ok(Cause::InstanceEnded),
            Self::Disconnected => Ok(Cause::Disconnected),
            Self::TimedOut { .. } => Ok(Cause::TimedOut),
            Self::BadAnswer { .. } | Self::Unreadable { .. } | Self::TooLong { .. } => {
                Ok(Cause::BadAnswer)
            }
            Self::Model { .. } => Ok(Cause::ModelError),
            Self::Storage { .. } => Ok(Cause::Storage),
            Self::Refused { .. } => Ok(Cause::Refused),
        }
    }

    /// Which one it is, without words of the model: those may quote inputs.
    pub fn name(&self) -> &'static str {
        self.cause().map_or("given_back", Cause::name)
    }

    /// The failure in words without those of the model, which may quote inputs: for logs.
    pub fn harmless(&self) -> String {
        let words = reason(self);
        match self.cause() {
            Ok(cause) => cause.harmless(&words),
            Err(_) => words,
        }
    }
}

/// What is around a job may break it off so often in all without that being counted: nodes that are
/// reclaimed are nobody's fault, but a job that takes them down itself has to end.
const MOST_LOST: u32 = 20;
const AFTER_A_LOSS: Duration = Duration::from_millis(200);

/// `attempt` is the number of this attempt, `failures` how often the task failed before it.
pub fn retry(failure: &JobFailure, attempt: u32, failures: u32, max_attempts: u32) -> Retry {
    if let JobFailure::InstanceEnded(cause) = failure
        && cause.whose() != Whose::Model
        && attempt < MOST_LOST
    {
        return Retry::Again { after: AFTER_A_LOSS, counts: false };
    }
    let cause = match failure.cause() {
        Ok(cause) => cause,
        Err(after) => return Retry::Again { after, counts: false },
    };
    let hopeless = matches!(failure, JobFailure::Refused { .. });
    let tries = failures.saturating_add(1);
    if hopeless || tries >= max_attempts {
        let times = if tries > 1 { format!(" (tried {tries} times)") } else { String::new() };
        return Retry::Fail { cause, reason: format!("{}{times}", reason(failure)) };
    }
    let after = Duration::from_millis(200u64.saturating_mul(4u64.saturating_pow(failures)));
    Retry::Again { after: after.min(Duration::from_secs(30)), counts: true }
}

/// The failure in words a user understands.
pub fn reason(failure: &JobFailure) -> String {
    match failure {
        JobFailure::GivenBack { .. } => "The model was busy.".into(),
        JobFailure::InstanceEnded(cause) => {
            format!("The model stopped while it worked on these inputs: {cause}.")
        }
        JobFailure::Disconnected => "The connection to the model broke while it worked.".into(),
        JobFailure::TimedOut { seconds } => {
            format!("The model did not answer within its time limit of {seconds} seconds.")
        }
        JobFailure::BadAnswer { what } | JobFailure::Unreadable { what } => {
            format!("The model's answer cannot be used: {what}.")
        }
        JobFailure::TooLong { mib } => {
            format!("The model's answer cannot be used: it is longer than {mib} MiB.")
        }
        JobFailure::Model { error } => format!("The model failed: {error}"),
        JobFailure::Storage { what } => {
            format!("The inputs could not be read from the hub's storage: {what}.")
        }
        JobFailure::Refused { error } => format!("The model refused the inputs: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_instance_uses_up_no_attempt() {
        let busy = JobFailure::GivenBack { after: Duration::from_secs(3) };
        let again = Retry::Again { after: Duration::from_secs(3), counts: false };
        assert_eq!(retry(&busy, 100, 99, 3), again);
    }

    #[test]
    fn what_is_around_a_job_uses_up_no_attempt_but_not_for_ever() {
        let gone = EndCause::NodeGone { why: "it was reclaimed".into() };
        for cause in [gone.clone(), EndCause::Preempted, EndCause::ServerGone] {
            let lost = JobFailure::InstanceEnded(cause);
            assert!(matches!(retry(&lost, 19, 2, 3), Retry::Again { counts: false, .. }));
        }
        let lost = JobFailure::InstanceEnded(gone);
        assert!(matches!(retry(&lost, 20, 0, 3), Retry::Again { counts: true, .. }));
        assert!(matches!(retry(&lost, 22, 2, 3), Retry::Fail { .. }));
        let crashed = EndCause::Exited { code: Some(1), signal: None, last_lines: String::new() };
        let crashed = JobFailure::InstanceEnded(crashed);
        assert!(matches!(retry(&crashed, 1, 0, 3), Retry::Again { counts: true, .. }));
    }

    #[test]
    fn a_task_fails_with_a_reason_after_its_last_attempt() {
        let hang = JobFailure::TimedOut { seconds: 5 };
        assert!(matches!(retry(&hang, 1, 0, 3), Retry::Again { counts: true, .. }));
        assert!(matches!(retry(&hang, 2, 1, 3), Retry::Again { counts: true, .. }));
        let Retry::Fail { cause: Cause::TimedOut, reason } = retry(&hang, 3, 2, 3) else {
            panic!("a third failure is final")
        };
        assert_eq!(
            reason,
            "The model did not answer within its time limit of 5 seconds. (tried 3 times)"
        );
    }

    #[test]
    fn a_refused_call_is_not_repeated() {
        let refused = JobFailure::Refused { error: "413 too large".into() };
        assert!(matches!(retry(&refused, 1, 0, 3), Retry::Fail { .. }));
    }
}
