//! What people may have: checked in one place, when they submit.
//!
//! This server counts what it takes in itself and asks the database now and then, so that a
//! submission of somebody who is far from every limit costs no statement. Before anybody is
//! refused the database is asked. So a limit holds exactly on one server, and over several ones up
//! to what the others took in during the last [`WAITING_FOR`] or [`KEPT_FOR`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use muster_core::PrincipalId;
use muster_core::quota::{Amounts, Limit, Quotas, day_start, until_next_day};
use muster_store::{Kept, Store};

use crate::http::problem::{Kind, Problem};
use crate::identity::nobody;

/// How long what the database said is added to.
const WAITING_FOR: Duration = Duration::from_secs(10);
const KEPT_FOR: Duration = Duration::from_secs(300);
/// Whoever is refused is not looked up again before this.
const REFUSED_FOR: Duration = Duration::from_millis(250);
/// The same for all anonymous sessions together: that costs more.
const TOGETHER_REFUSED_FOR: Duration = Duration::from_secs(2);
/// Most people who are remembered.
const MOST: usize = 50_000;

/// What people have, as far as this server knows.
pub struct Uses {
    quotas: Quotas,
    known: Mutex<HashMap<PrincipalId, Use>>,
    anonymous: Mutex<Together>,
}

/// What all anonymous sessions have stored together.
#[derive(Default)]
struct Together {
    bytes: u64,
    /// When the database was asked.
    at: Option<Instant>,
}

impl Together {
    fn is_older(&self, age: Duration) -> bool {
        self.at.is_none_or(|at| at.elapsed() >= age)
    }

    /// Takes it if that is known to be right.
    fn admit(&mut self, more: u64, most: u64) -> bool {
        let fits = !self.is_older(KEPT_FOR) && self.bytes.saturating_add(more) <= most;
        self.bytes += if fits { more } else { 0 };
        fits
    }

    /// Shall the database be asked? One of those who come at the same time asks.
    fn asks(&mut self) -> bool {
        let asks = self.is_older(TOGETHER_REFUSED_FOR);
        self.at = self.at.map(|at| if asks { Instant::now() } else { at });
        asks
    }
}

struct Use {
    anonymous: bool,
    used: Amounts,
    /// All that was ever admitted here.
    admitted: Amounts,
    /// What was admitted and is not in the database yet, or may not be.
    flying: Amounts,
    day: i64,
    waiting_at: Instant,
    kept_at: Instant,
}

impl Use {
    fn take(&mut self, more: Amounts) {
        self.used = self.used + more;
        self.admitted = self.admitted + more;
        self.flying = self.flying + more;
    }
}

/// What is looked up again.
#[derive(Clone, Copy)]
struct Stale {
    waiting: bool,
    kept: bool,
}

/// A submission that was admitted; when this goes, it is stored or came to nothing.
pub struct Admitted {
    uses: Arc<Uses>,
    principal: PrincipalId,
    more: Amounts,
    stored: bool,
}

impl Admitted {
    pub fn stored(mut self) {
        self.stored = true;
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut known = self.uses.known();
        let Some(known) = known.get_mut(&self.principal) else { return };
        known.flying = known.flying - self.more;
        if !self.stored {
            known.used = known.used - self.more;
        }
    }
}

impl Uses {
    pub fn new(quotas: Quotas) -> Self {
        Self { quotas, known: Mutex::default(), anonymous: Mutex::default() }
    }

    pub fn quota(&self, anonymous: bool) -> Amounts {
        if anonymous { self.quotas.anonymous } else { self.quotas.account }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<PrincipalId, Use>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes `more` for the person, or says which limit it would pass.
    pub async fn admit(
        self: &Arc<Self>,
        store: &Store,
        principal: PrincipalId,
        more: Amounts,
    ) -> Result<Admitted, Problem> {
        let admitted = || Admitted { uses: self.clone(), principal, more, stored: false };
        let day = day_start(store.now()).micros();
        let stale = match self.try_take(principal, more, day) {
            None => Stale { waiting: true, kept: true },
            Some(Ok(anonymous)) => {
                let admitted = admitted();
                return self.admit_together(store, anonymous, more).await.map(|()| admitted);
            }
            Some(Err(stale)) => stale,
        };
        if stale.waiting || stale.kept {
            self.look(store, principal, stale).await?;
        }
        let anonymous = self.take(store, principal, more)?;
        let admitted = admitted();
        self.admit_together(store, anonymous, more).await.map(|()| admitted)
    }

    /// Takes it if that fits what was just looked up; is it for an anonymous session?
    fn take(&self, store: &Store, principal: PrincipalId, more: Amounts) -> Result<bool, Problem> {
        let mut all = self.known();
        let known = all.get_mut(&principal).ok_or_else(nobody)?;
        let quota = self.quota(known.anonymous);
        let Some(limit) = quota.passed(known.used, more) else {
            known.take(more);
            return Ok(known.anonymous);
        };
        let (used, anonymous) = (known.used, known.anonymous);
        Err(refusal(limit, &Refused { used, more, quota, anonymous }, store))
    }

    /// The same for what all anonymous sessions have together.
    async fn admit_together(
        &self,
        store: &Store,
        anonymous: bool,
        more: Amounts,
    ) -> Result<(), Problem> {
        let most = self.quotas.anonymous_all_bytes;
        if !anonymous || self.together().admit(more.bytes, most) {
            return Ok(());
        }
        if self.together().asks() {
            let bytes = store.kept_of_anonymous().await?;
            *self.together() = Together { bytes, at: Some(Instant::now()) };
            if self.together().admit(more.bytes, most) {
                return Ok(());
            }
        }
        let detail = format!(
            "The inputs and results of all anonymous sessions take {} bytes, this request has {}, \
             and together they may take {most}. Log in, or try again when some were cleared.",
            self.together().bytes,
            more.bytes
        );
        Err(Problem::new(Kind::AnonymousSpaceFull, detail).retry_after(3600))
    }

    fn together(&self) -> MutexGuard<'_, Together> {
        self.anonymous.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes it if that is known to be right, and says whether it is of an anonymous session; else
    /// says what to look up. `None`: nothing is known.
    fn try_take(
        &self,
        principal: PrincipalId,
        more: Amounts,
        day: i64,
    ) -> Option<Result<bool, Stale>> {
        let mut all = self.known();
        let known = all.get_mut(&principal)?;
        let passed = self.quota(known.anonymous).passed(known.used, more);
        let (waiting, kept) =
            if passed.is_some() { (REFUSED_FOR, REFUSED_FOR) } else { (WAITING_FOR, KEPT_FOR) };
        let stale = Stale {
            waiting: known.waiting_at.elapsed() >= waiting,
            kept: known.kept_at.elapsed() >= kept || known.day != day,
        };
        if passed.is_some() || stale.waiting || stale.kept {
            return Some(Err(stale));
        }
        known.take(more);
        Some(Ok(known.anonymous))
    }

    /// Asks the database. What is under way meanwhile counts as not seen by it.
    async fn look(
        &self,
        store: &Store,
        principal: PrincipalId,
        stale: Stale,
    ) -> Result<(), Problem> {
        let begun = Instant::now();
        let day = day_start(store.now()).micros();
        let mark = |known: &Use| (known.flying, known.admitted);
        let (flying, admitted) = self.known().get(&principal).map(mark).unwrap_or_default();
        let waiting = if stale.waiting { Some(store.waiting_of(principal).await?) } else { None };
        let kept = if stale.kept { Some(store.kept_of(principal).await?) } else { None };
        let mut all = self.known();
        make_room(&mut all);
        let known = match kept {
            // The account was deleted this moment.
            Some(None) => return Err(nobody()),
            Some(Some(Kept { anonymous, .. })) => all.entry(principal).or_insert(Use {
                anonymous,
                used: Amounts::default(),
                admitted: Amounts::default(),
                flying: Amounts::default(),
                day,
                waiting_at: begun,
                kept_at: begun,
            }),
            None => all.get_mut(&principal).ok_or_else(Problem::internal)?,
        };
        let unseen = flying + (known.admitted - admitted);
        if let Some(waiting) = waiting {
            known.used.waiting_requests = waiting.waiting_requests + unseen.waiting_requests;
            known.used.waiting_inputs = waiting.waiting_inputs + unseen.waiting_inputs;
            known.waiting_at = begun;
        }
        if let Some(Some(kept)) = kept {
            known.used.day_inputs = kept.day_inputs + unseen.day_inputs;
            known.used.bytes = kept.bytes + unseen.bytes;
            (known.day, known.kept_at) = (day, begun);
        }
        Ok(())
    }
}

/// Forgets who did nothing lately, when there are many.
fn make_room(all: &mut HashMap<PrincipalId, Use>) {
    if all.len() < MOST {
        return;
    }
    all.retain(|_, known| {
        known.flying != Amounts::default() || known.waiting_at.elapsed() < WAITING_FOR
    });
    if all.len() >= MOST {
        all.retain(|_, known| known.flying != Amounts::default());
    }
}

/// What a refusal tells.
struct Refused {
    used: Amounts,
    more: Amounts,
    quota: Amounts,
    anonymous: bool,
}

/// In words: which limit, what it is, and when it frees.
fn refusal(limit: Limit, refused: &Refused, store: &Store) -> Problem {
    let (used, most) = (refused.used.of(limit), refused.quota.of(limit));
    let more = refused.more.of(limit);
    let day = until_next_day(store.now()).as_secs() + 1;
    let (kind, detail, after) = match limit {
        Limit::WaitingRequests => (
            Kind::TooManyWaitingRequests,
            format!(
                "{used} of your requests wait, and at most {most} may. It frees as they begin; \
                 cancel some, or send more inputs in one request."
            ),
            10,
        ),
        Limit::WaitingInputs => (
            Kind::TooManyWaitingInputs,
            format!(
                "{used} of your inputs wait, this request has {more}, and at most {most} may \
                 wait. It frees as they are worked on; cancel some, or send fewer."
            ),
            10,
        ),
        Limit::DayInputs => (
            Kind::TooManyInputsToday,
            format!(
                "You submitted {used} inputs today, this request has {more}, and {most} a day \
                 (UTC) are allowed. The next day begins in {day} seconds."
            ),
            day,
        ),
        Limit::Bytes => (
            Kind::NoSpaceLeft,
            format!(
                "Your stored inputs and results take {used} bytes, this request has {more}, and \
                 you may have {most}. It frees when requests are deleted: DELETE \
                 /api/v1/requests/{{id}}."
            ),
            3600,
        ),
    };
    let hint = if refused.anonymous { " People who log in have higher limits." } else { "" };
    Problem::new(kind, format!("{detail}{hint}")).retry_after(after)
}
