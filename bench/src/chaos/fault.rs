//! What can be broken, and how it is drawn.

use std::fmt;
use std::time::Duration;

use clap::ValueEnum;

use super::draw::Draw;
use super::proxy::Way;
use crate::arguments::is_among;

/// What a fault is done to. Hubs, processes and so on are counted by `which`, as far as there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    Hub,
    /// A process of a model that a hub started.
    Model,
    /// The model server that runs elsewhere.
    Server,
    Postgres,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    Database,
    Model,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// `kill -9`, and for hubs so many times more while they start.
    Kill {
        whom: Whom,
        again: u64,
    },
    /// SIGSTOP, and SIGCONT later.
    Freeze {
        whom: Whom,
    },
    /// SIGTERM, and a new start.
    Restart,
    Cut {
        wire: Wire,
        way: Way,
    },
    /// The wall clock of a hub jumps, and jumps back.
    Clock {
        seconds: i64,
    },
    /// `fsync` takes so long, milliseconds.
    SlowDisk {
        millis: u64,
    },
    /// `fsync` fails with EIO.
    DiskErrors,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    pub what: What,
    pub which: u64,
    /// Until it is healed.
    pub lasts: Duration,
    /// Until the next one.
    pub rest: Duration,
}

/// What there is to break here.
#[derive(Clone, Copy, Debug)]
pub struct Possible {
    pub postgres: bool,
    pub clock: bool,
    pub strace: bool,
    /// Nothing lasts longer than a few seconds.
    pub short: bool,
}

/// What is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    KillHub,
    KillHubWhileItStarts,
    KillModel,
    KillServer,
    KillPostgres,
    FreezeHub,
    FreezeModel,
    FreezeServer,
    FreezePostgres,
    Restart,
    CutDatabase,
    CutModel,
    Clock,
    SlowDisk,
    DiskErrors,
}

impl Possible {
    fn has(&self, kind: Kind) -> bool {
        match kind {
            Kind::KillPostgres | Kind::FreezePostgres | Kind::CutDatabase => self.postgres,
            Kind::Clock => self.clock,
            // PostgreSQL's files are not the hub's.
            Kind::SlowDisk | Kind::DiskErrors => self.strace && !self.postgres,
            _ => true,
        }
    }

    /// What can be drawn, of what is named by `only`. A hub is killed twice as often as anything else.
    pub fn kinds(&self, only: &[String]) -> Vec<Kind> {
        let all = [Kind::KillHub].iter().chain(Kind::value_variants()).copied();
        all.filter(|kind| self.has(*kind) && is_among(*kind, only)).collect()
    }

    pub fn draw(&self, draw: &mut Draw, kinds: &[Kind]) -> Option<Fault> {
        let kind = *draw.of(kinds)?;
        let what = what(kind, draw);
        // Every third freeze outlasts leases, of 30 s.
        let long = draw.percent(34) && !self.short;
        let lasts = match what {
            What::Freeze { .. } if long => draw.millis(33_000, 40_000),
            What::Freeze { .. } => draw.millis(500, 6000),
            What::Cut { .. } if long => draw.millis(5000, 35_000),
            What::Kill { whom: Whom::Model, .. } => Duration::ZERO,
            What::Restart | What::Kill { .. } => draw.millis(0, 1500),
            _ => draw.millis(300, 4000),
        };
        let most = if self.short { 1500 } else { 5000 };
        Some(Fault { what, which: draw.below(1000), lasts, rest: draw.millis(200, most) })
    }
}

fn what(kind: Kind, draw: &mut Draw) -> What {
    let kill = |whom| What::Kill { whom, again: 0 };
    match kind {
        Kind::KillHub => kill(Whom::Hub),
        Kind::KillHubWhileItStarts => What::Kill { whom: Whom::Hub, again: 1 + draw.below(4) },
        Kind::KillModel => kill(Whom::Model),
        Kind::KillServer => kill(Whom::Server),
        Kind::KillPostgres => kill(Whom::Postgres),
        Kind::FreezeHub => What::Freeze { whom: Whom::Hub },
        Kind::FreezeModel => What::Freeze { whom: Whom::Model },
        Kind::FreezeServer => What::Freeze { whom: Whom::Server },
        Kind::FreezePostgres => What::Freeze { whom: Whom::Postgres },
        Kind::Restart => What::Restart,
        Kind::CutDatabase => What::Cut { wire: Wire::Database, way: way(draw) },
        Kind::CutModel => What::Cut { wire: Wire::Model, way: way(draw) },
        Kind::Clock => {
            let by = [-7200, -60, 90, 7200];
            What::Clock { seconds: by[draw.below(4) as usize] }
        }
        Kind::SlowDisk => What::SlowDisk { millis: 20 + draw.below(400) },
        Kind::DiskErrors => What::DiskErrors,
    }
}

fn way(draw: &mut Draw) -> Way {
    match draw.below(6) {
        0 => Way::Late { millis: 5 + draw.below(200) },
        1 => Way::Slices,
        2 => Way::Reset,
        3 => Way::HalfClose,
        4 => Way::Silent,
        _ => Way::LoseAnswers,
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, which, lasts, .. } = self;
        match what {
            What::Kill { whom, again: 0 } => write!(f, "kill -9 {whom:?}")?,
            What::Kill { whom, again } => {
                write!(f, "kill -9 {whom:?}, {again} times more while it starts")?;
            }
            What::Freeze { whom } => write!(f, "SIGSTOP {whom:?}")?,
            What::Restart => f.write_str("SIGTERM Hub and start it again")?,
            What::Cut { wire, way } => write!(f, "wire to {wire:?}: {way:?}")?,
            What::Clock { seconds } => write!(f, "clock of Hub {seconds:+} s")?,
            What::SlowDisk { millis } => write!(f, "fsync takes {millis} ms")?,
            What::DiskErrors => f.write_str("fsync fails (EIO)")?,
        }
        write!(f, " (#{which}) for {:.1} s", lasts.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_draws_the_same_faults_and_only_what_is_possible() {
        let possible = Possible { postgres: false, clock: false, strace: false, short: true };
        let kinds = possible.kinds(&[]);
        let drawn = |seed| -> Vec<Fault> {
            let mut draw = Draw::new(seed);
            (0..200).map(|_| possible.draw(&mut draw, &kinds).expect("a fault")).collect()
        };
        assert_eq!(drawn(3), drawn(3));
        assert_ne!(drawn(3), drawn(4));
        for Fault { what, lasts, .. } in drawn(3) {
            assert!(lasts < Duration::from_secs(7));
            assert!(!matches!(what, What::Clock { .. } | What::DiskErrors | What::SlowDisk { .. }));
            assert!(!matches!(what, What::Cut { wire: Wire::Database, .. }));
        }
        assert_eq!(possible.kinds(&["kill-m".to_owned()]), [Kind::KillModel]);
    }
}
