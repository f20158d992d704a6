//! How often something may be done: sessions, accounts and links in a minute, mails in an hour, lines
//! of the log about what was refused. On this server, and there from one network or to one address.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use muster_core::person::key;
use muster_core::session::SessionPolicy;
use muster_store::Purpose;

use crate::http::problem::{Kind, Problem};

/// Most networks or addresses that are remembered.
const MOST: usize = 20_000;
/// Lines of the log about what was refused.
const LINES_A_MINUTE: u32 = 120;
const MINUTE: f64 = 60.0;
const HOUR: f64 = 3_600.0;

#[derive(Clone, Copy, Debug)]
pub struct SessionLimits {
    pub policy: SessionPolicy,
    /// Most new anonymous sessions, accounts and links of this process in a minute: in all, and of
    /// one network.
    pub a_minute: u32,
    pub a_minute_each: u32,
    /// Most mails of this process in an hour: that one network asks for, and to one address for one
    /// purpose.
    pub mails_of_network: u32,
    pub mails_to_address: u32,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            policy: SessionPolicy::default(),
            a_minute: 600,
            a_minute_each: 300,
            mails_of_network: 60,
            mails_to_address: 5,
        }
    }
}

pub struct Rates(Mutex<Both>);

struct Both {
    all: Rate,
    each: Each,
    a_minute_each: u32,
}

impl Rates {
    pub fn new(limits: SessionLimits) -> Self {
        let each = Each::new(limits.a_minute_each, MINUTE);
        let all = Rate::new(limits.a_minute, MINUTE);
        Self(Mutex::new(Both { all, each, a_minute_each: limits.a_minute_each }))
    }

    /// Takes one of those that may be made now.
    pub fn admit(&self, network: String) -> Result<(), Problem> {
        let mut both = lock(&self.0);
        let (now, most) = (Instant::now(), both.a_minute_each);
        both.each.take(network, now).map_err(|wait| {
            let detail = format!(
                "At most {most} sessions, accounts and links a minute are made for one network. \
                 Use the session you have, or try again in {wait} seconds."
            );
            Problem::new(Kind::TooManySessions, detail).retry_after(wait)
        })?;
        both.all.take(now).map_err(|wait| {
            let detail = "Too many sessions were created just now. Use the session you have, or \
                          try again in a moment.";
            Problem::new(Kind::Busy, detail).retry_after(wait)
        })
    }
}

/// How many mails may be sent: nobody's mailbox is filled, and nobody fills many.
pub struct Mails {
    limits: SessionLimits,
    networks: Mutex<Each>,
    addresses: Mutex<Each>,
}

impl Mails {
    pub fn new(limits: SessionLimits) -> Self {
        let each = |most| Mutex::new(Each::new(most, HOUR));
        let (networks, addresses) = (each(limits.mails_of_network), each(limits.mails_to_address));
        Self { limits, networks, addresses }
    }

    /// Takes one of the mails that may be sent because somebody in this network wants it.
    pub fn admit_network(&self, network: String) -> Result<(), Problem> {
        lock(&self.networks).take(network, Instant::now()).map_err(|wait| {
            let most = self.limits.mails_of_network;
            let detail = format!(
                "At most {most} mails an hour are sent for one network. Try again in {wait} \
                 seconds."
            );
            Problem::new(Kind::TooManyMails, detail).retry_after(wait)
        })
    }

    /// Takes one of the mails that may be sent to an address.
    pub fn admit_address(&self, purpose: Purpose, address: &str) -> Result<(), Problem> {
        let to = format!("{purpose:?} {}", mailbox(address));
        lock(&self.addresses).take(to, Instant::now()).map_err(|wait| {
            let most = self.limits.mails_to_address;
            let detail = format!(
                "At most {most} mails an hour are sent to one address; look into the mailbox. Or \
                 try again in {wait} seconds."
            );
            Problem::new(Kind::TooManyMails, detail).retry_after(wait)
        })
    }
}

/// Addresses that end in the same mailbox: case and what follows a `+` make no other one.
fn mailbox(address: &str) -> String {
    let address = key(address);
    match address.rsplit_once('@') {
        Some((local, domain)) => {
            let local = local.split_once('+').map_or(local, |(local, _)| local);
            format!("{local}@{domain}")
        }
        None => address,
    }
}

/// Whether another line about what was refused is written: whoever is refused often does not fill the
/// disk.
pub struct Lines(Mutex<(Rate, u64)>);

impl Default for Lines {
    fn default() -> Self {
        Self(Mutex::new((Rate::new(LINES_A_MINUTE, MINUTE), 0)))
    }
}

impl Lines {
    /// How many were left out before this one; nothing if this one is left out too.
    pub fn next(&self) -> Option<u64> {
        let mut state = lock(&self.0);
        let (rate, left_out) = &mut *state;
        if rate.take(Instant::now()).is_ok() {
            return Some(std::mem::take(left_out));
        }
        *left_out += 1;
        None
    }
}

fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The same rate for each of many.
struct Each {
    each: HashMap<String, Rate>,
    most: u32,
    seconds: f64,
}

impl Each {
    fn new(most: u32, seconds: f64) -> Self {
        Self { each: HashMap::new(), most, seconds }
    }

    fn take(&mut self, who: String, now: Instant) -> Result<(), u64> {
        if self.each.len() >= MOST {
            self.each.retain(|_, rate| !rate.is_full(now));
        }
        if self.each.len() >= MOST && !self.each.contains_key(&who) {
            return Ok(());
        }
        let (most, seconds) = (self.most, self.seconds);
        self.each.entry(who).or_insert_with(|| Rate::new(most, seconds)).take(now)
    }
}

/// A token bucket that is full at the start.
struct Rate {
    most: f64,
    /// In which an empty one becomes full.
    seconds: f64,
    left: f64,
    at: Option<Instant>,
}

impl Rate {
    fn new(most: u32, seconds: f64) -> Self {
        Self { most: f64::from(most), seconds, left: f64::from(most), at: None }
    }

    fn gain(&mut self, now: Instant) {
        if let Some(at) = self.at {
            let passed = now.saturating_duration_since(at).as_secs_f64();
            self.left = (self.left + passed * self.most / self.seconds).min(self.most);
        }
        self.at = Some(now);
    }

    fn is_full(&mut self, now: Instant) -> bool {
        self.gain(now);
        self.left >= self.most
    }

    /// The error says in how many seconds there is one.
    fn take(&mut self, now: Instant) -> Result<(), u64> {
        self.gain(now);
        if self.left < 1.0 {
            // A rate of zero never gives one.
            let wait = (1.0 - self.left) * self.seconds / self.most.max(1.0);
            return Err(wait.ceil().max(1.0) as u64);
        }
        self.left -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_rate_gives_what_a_minute_allows() {
        let mut rate = Rate::new(60, MINUTE);
        let start = Instant::now();
        assert_eq!((0..100).filter(|_| rate.take(start).is_ok()).count(), 60);
        assert_eq!(rate.take(start), Err(1));
        let later = start + Duration::from_millis(5_100);
        assert_eq!((0..100).filter(|_| rate.take(later).is_ok()).count(), 5);
        assert!(!rate.is_full(later) && rate.is_full(later + Duration::from_secs(60)));
    }

    #[test]
    fn one_network_does_not_use_up_what_others_may_have() {
        let limits = SessionLimits { a_minute: 5, a_minute_each: 3, ..SessionLimits::default() };
        let rates = Rates::new(limits);
        let kind = |network: &str| rates.admit(network.into()).map_err(|problem| problem.kind);
        assert_eq!([kind("a"), kind("a"), kind("a")], [Ok(()), Ok(()), Ok(())]);
        assert_eq!(kind("a"), Err(Kind::TooManySessions));
        assert_eq!([kind("b"), kind("b")], [Ok(()), Ok(())]);
        assert_eq!(kind("b"), Err(Kind::Busy), "of all together");
    }

    #[test]
    fn one_mailbox_has_one_limit_however_its_address_is_written() {
        let limits = SessionLimits { mails_to_address: 2, ..SessionLimits::default() };
        let mails = Mails::new(limits);
        let sent = |purpose, address| mails.admit_address(purpose, address).is_ok();
        assert!(sent(Purpose::Email, "ada@example.org"));
        assert!(sent(Purpose::Email, "ADA+1@example.org"));
        assert!(!sent(Purpose::Email, "ada+2@Example.org"));
        assert!(sent(Purpose::Password, "ada@example.org"), "that is another one's fault");
        assert!(sent(Purpose::Email, "ada@example.com"));
    }

    #[test]
    fn lines_that_are_left_out_are_counted() {
        let lines = Lines::default();
        let written = (0..200).filter(|_| lines.next().is_some()).count();
        assert!((120..125).contains(&written), "{written}");
        assert!(lines.0.lock().expect("no panic").1 >= 75);
    }
}
