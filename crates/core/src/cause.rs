//! Why a request did not complete, for those who may not read its inputs.

use std::str::FromStr;

/// What ended a request that did not complete. The request's `reason` is for its owner: it may quote
/// what the model said, and so an input, or be the owner's own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The model could not be started.
    NotStarted,
    /// The instance ended while it worked.
    InstanceEnded,
    /// The connection to the instance broke.
    Disconnected,
    /// No answer within the model's job time.
    TimedOut,
    /// The model's answer is not what the contract says.
    BadAnswer,
    /// The model said that it failed.
    ModelError,
    /// The model server refuses such a call.
    Refused,
    /// The inputs could not be read from the hub's storage.
    Storage,
    CancelledByOwner,
    CancelledByAdmin,
    /// An administrator stopped the instance that worked on it.
    StoppedByAdmin,
}

impl Cause {
    pub const ALL: [Self; 11] = [
        Self::NotStarted,
        Self::InstanceEnded,
        Self::Disconnected,
        Self::TimedOut,
        Self::BadAnswer,
        Self::ModelError,
        Self::Refused,
        Self::Storage,
        Self::CancelledByOwner,
        Self::CancelledByAdmin,
        Self::StoppedByAdmin,
    ];

    /// The word for it in SQL, JSON and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotStarted => "not_started",
            Self::InstanceEnded => "instance_ended",
            Self::Disconnected => "disconnected",
            Self::TimedOut => "timed_out",
            Self::BadAnswer => "bad_answer",
            Self::ModelError => "model_error",
            Self::Refused => "refused",
            Self::Storage => "storage",
            Self::CancelledByOwner => "cancelled_by_owner",
            Self::CancelledByAdmin => "cancelled_by_admin",
            Self::StoppedByAdmin => "stopped_by_admin",
        }
    }

    /// What anybody may read of `reason`: all of it if every word is the hub's or an administrator's,
    /// else a sentence that says the same without the words of a model or a person.
    pub fn harmless(self, reason: &str) -> String {
        let instead = match self {
            Self::ModelError => "The model failed. Its words are for the request's owner.",
            Self::Refused => "The model refused the inputs. Its words are for the request's owner.",
            Self::CancelledByOwner => "Its owner cancelled it.",
            Self::NotStarted
            | Self::InstanceEnded
            | Self::Disconnected
            | Self::TimedOut
            | Self::BadAnswer
            | Self::Storage
            | Self::CancelledByAdmin
            | Self::StoppedByAdmin => reason,
        };
        instead.to_owned()
    }
}

impl FromStr for Cause {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|cause| cause.name() == text).ok_or("this is no cause")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_read_as_they_are_written() {
        for cause in Cause::ALL {
            assert_eq!(cause.name().parse(), Ok(cause));
        }
        assert!("".parse::<Cause>().is_err());
    }

    #[test]
    fn words_of_models_and_people_are_for_the_owner() {
        for cause in [Cause::ModelError, Cause::Refused, Cause::CancelledByOwner] {
            assert!(!cause.harmless("it said CCO").contains("CCO"), "{cause:?}");
        }
        assert_eq!(Cause::TimedOut.harmless("after 5 seconds"), "after 5 seconds");
    }
}
