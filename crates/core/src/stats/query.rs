//! A question to the statistics, and which stored rows answer it.

use std::ops::Range;
use std::str::FromStr;

use super::period::{Day, Grain, runs};
use super::{AuthType, How, size_class};
use crate::{ModelId, PhaseName, PrincipalId};

/// What the rows of an answer are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dimension {
    Model,
    Day,
    Week,
    Month,
    User,
    Session,
    AuthType,
    InputSize,
}

impl Dimension {
    pub const ALL: [Self; 8] = [
        Self::Model,
        Self::Day,
        Self::Week,
        Self::Month,
        Self::User,
        Self::Session,
        Self::AuthType,
        Self::InputSize,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::User => "user",
            Self::Session => "session",
            Self::AuthType => "auth_type",
            Self::InputSize => "input_size",
        }
    }
}

impl FromStr for Dimension {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|dimension| dimension.name() == text);
        found.ok_or("this is model, day, week, month, user, session, auth_type or input_size")
    }
}

/// Whose times an answer shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum By {
    #[default]
    Successes,
    Failures,
    All,
}

impl By {
    pub const ALL: [Self; 3] = [Self::Successes, Self::Failures, Self::All];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Successes => "successes",
            Self::Failures => "failures",
            Self::All => "all",
        }
    }

    pub fn includes(self, how: How) -> bool {
        match self {
            Self::Successes => how == How::Completed,
            Self::Failures => how == How::Failed,
            Self::All => true,
        }
    }
}

impl FromStr for By {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|by| by.name() == text);
        found.ok_or("this is successes, failures or all")
    }
}

/// A question. What is empty or absent restricts nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    pub models: Vec<ModelId>,
    pub auth: Option<AuthType>,
    /// Accounts; with `sessions`: one of either.
    pub users: Vec<PrincipalId>,
    /// Anonymous sessions.
    pub sessions: Vec<PrincipalId>,
    /// The days of submission.
    pub days: Range<Day>,
    /// By [`PhaseName`].
    phases: [bool; PhaseName::ALL.len()],
    /// Classes of the number of inputs.
    sizes: Option<(u8, u8)>,
    pub group_by: Vec<Dimension>,
    pub by: By,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            models: Vec::new(),
            auth: None,
            users: Vec::new(),
            sessions: Vec::new(),
            days: Day::FIRST..Day::END,
            phases: [true; PhaseName::ALL.len()],
            sizes: None,
            group_by: vec![Dimension::Model],
            by: By::default(),
        }
    }
}

/// Which stored rows: those of models or those of people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Models,
    People,
}

/// Rows to read: of one grain, with periods that begin from `from` to before `until`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    pub source: Source,
    pub grain: Grain,
    pub from: Day,
    pub until: Day,
    /// The days of these periods that count.
    pub days: Range<Day>,
    /// Is what they are broken down to needed?
    pub detail: bool,
}

impl Query {
    /// Only requests in these phases; none of them: all.
    pub fn set_phases(&mut self, phases: &[PhaseName]) {
        if !phases.is_empty() {
            self.phases = PhaseName::ALL.map(|phase| phases.contains(&phase));
        }
    }

    /// Only requests that ended.
    pub fn only_ended(&mut self) {
        self.phases = PhaseName::ALL.map(PhaseName::is_ended);
    }

    /// Only requests with so many inputs. Sizes are kept in classes: a bound is one of a class.
    pub fn set_sizes(&mut self, least: Option<u64>, most: Option<u64>) -> Result<(), &'static str> {
        if least.is_none() && most.is_none() {
            return Ok(());
        }
        let (least, most) = (least.unwrap_or(1).max(1), most.unwrap_or(u64::MAX));
        let (low, high) = (size_class(least), size_class(most));
        if super::class_bounds(low).0 != least {
            return Err("this is 1, 2, 11, 101, 1001, .. : where a class begins");
        }
        if super::class_bounds(high).1 != most && most != u64::MAX {
            return Err("this is 1, 10, 100, 1000, .. : where a class ends");
        }
        self.sizes = Some((low, high));
        Ok(())
    }

    pub fn groups(&self, dimension: Dimension) -> bool {
        self.group_by.contains(&dimension)
    }

    /// Is it asked who submitted?
    pub fn is_of_people(&self) -> bool {
        let filters = !self.users.is_empty() || !self.sessions.is_empty();
        filters || self.groups(Dimension::User) || self.groups(Dimension::Session)
    }

    /// The stored rows that answer it, each request in one of them.
    pub fn reads(&self) -> Vec<Read> {
        let sizes = self.sizes.is_some() || self.groups(Dimension::InputSize);
        let longest = if self.groups(Dimension::Day) || self.groups(Dimension::Week) {
            Grain::Day
        } else if self.groups(Dimension::Month) {
            Grain::Month
        } else {
            Grain::Year
        };
        if self.is_of_people() {
            let detail = sizes || !self.models.is_empty() || self.groups(Dimension::Model);
            let longest = if longest < Grain::Year { longest } else { Grain::Ever };
            return self.runs_of(Source::People, longest, detail);
        }
        let detail = sizes || self.auth.is_some() || self.groups(Dimension::AuthType);
        self.runs_of(Source::Models, longest, detail)
    }

    fn runs_of(&self, source: Source, longest: Grain, detail: bool) -> Vec<Read> {
        // Longer periods are not broken down.
        let longest = if detail { longest.min(Grain::Month) } else { longest };
        let runs = runs(self.days.start, self.days.end, longest).into_iter();
        runs.map(|run| {
            let (grain, until) = (run.grain, run.until);
            let days = run.from..run.until;
            if source == Source::People && grain == Grain::Day {
                // People have no rows for days: months are broken down to them.
                let from = run.from.start(Grain::Month);
                return Read { source, grain: Grain::Month, from, until, days, detail: true };
            }
            Read { source, grain, from: run.from, until, days, detail }
        })
        .collect()
    }

    pub(super) fn takes_ended(&self, how: How) -> bool {
        self.phases[how.phase() as usize]
    }

    pub(super) fn takes_open(&self, running: bool) -> bool {
        let phase = if running { PhaseName::Running } else { PhaseName::Waiting };
        self.phases[phase as usize]
    }

    pub(super) fn takes_model(&self, model: &str) -> bool {
        self.models.is_empty() || self.models.iter().any(|wanted| wanted.as_str() == model)
    }

    pub(super) fn takes_auth(&self, auth: AuthType) -> bool {
        self.auth.is_none_or(|wanted| wanted == auth)
    }

    pub(super) fn takes_person(&self, id: PrincipalId, auth: AuthType) -> bool {
        let people = match auth {
            AuthType::Account => &self.users,
            AuthType::Anonymous => &self.sessions,
        };
        (self.users.is_empty() && self.sessions.is_empty()) || people.contains(&id)
    }

    pub(super) fn takes_size(&self, size: u8) -> bool {
        self.sizes.is_none_or(|(low, high)| (low..=high).contains(&size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(change: impl FnOnce(&mut Query)) -> Vec<String> {
        let mut query = Query::default();
        change(&mut query);
        let detail = |detail| if detail { " detail" } else { "" };
        let line = |r: &Read| format!("{:?} {:?}{}", r.source, r.grain, detail(r.detail));
        query.reads().iter().map(line).collect()
    }

    #[test]
    fn what_is_asked_decides_what_is_read() {
        use Dimension::*;
        assert_eq!(reads(|_| {}), ["Models Year"]);
        assert_eq!(reads(|q| q.group_by = vec![Model, Week]), ["Models Day"]);
        assert_eq!(reads(|q| q.group_by = vec![InputSize]), ["Models Month detail"]);
        assert_eq!(
            reads(|q| q.auth = Some(crate::stats::AuthType::Account)),
            ["Models Month detail"]
        );
        assert_eq!(reads(|q| q.group_by = vec![User]), ["People Ever"]);
        assert_eq!(reads(|q| q.group_by = vec![User, Model]), ["People Month detail"]);
        assert_eq!(reads(|q| q.group_by = vec![User, Month]), ["People Month"]);
        assert_eq!(reads(|q| q.group_by = vec![User, Day]), ["People Month detail"]);
    }

    #[test]
    fn days_of_people_are_read_from_their_months() {
        let day = |text: &str| text.parse::<Day>().expect("a day");
        let mut query = Query { group_by: vec![Dimension::User], ..Query::default() };
        query.days = day("2026-10-01")..day("2026-11-05");
        let reads = query.reads();
        assert_eq!(reads.len(), 2);
        assert_eq!((reads[0].grain, reads[0].detail), (Grain::Month, false));
        assert_eq!((reads[1].grain, reads[1].detail), (Grain::Month, true));
        assert_eq!((reads[1].from, reads[1].days.end), (day("2026-11-01"), day("2026-11-05")));
    }

    #[test]
    fn a_size_is_a_bound_of_a_class() {
        let mut query = Query::default();
        assert_eq!(query.set_sizes(Some(2), Some(100)), Ok(()));
        assert_eq!(
            (query.takes_size(0), query.takes_size(2), query.takes_size(3)),
            (false, true, false)
        );
        assert!(query.set_sizes(Some(3), None).is_err());
        assert!(query.set_sizes(None, Some(50)).is_err());
        assert_eq!(query.set_sizes(Some(11), None), Ok(()));
        assert!(query.takes_size(9) && !query.takes_size(1));
    }
}
