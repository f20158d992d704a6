//! The points in the code at which a debug build can end itself, one by one.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::Run;
use super::draw::Draw;
use crate::Result;

/// How long a hub may take to come to a point.
const REACHED: Duration = Duration::from_secs(45);
/// Between two points, so that requests end.
const REST: Duration = Duration::from_millis(700);

/// A point, and how a hub is brought there.
#[derive(Clone, Copy)]
struct Point {
    name: &'static str,
    how: How,
    /// It is the N-th passing; N is drawn.
    most: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    ByItself,
    /// Somebody died before.
    Killed,
    Terminated,
}

const POINTS: [Point; 16] = [
    Point { name: "before-commit", how: How::ByItself, most: 60 },
    Point { name: "after-commit-before-reply", how: How::ByItself, most: 20 },
    Point { name: "after-input-object-before-commit", how: How::ByItself, most: 2 },
    Point { name: "after-claim-before-dispatch", how: How::ByItself, most: 20 },
    Point { name: "after-remote-job-before-id", how: How::ByItself, most: 5 },
    Point { name: "after-answer-before-result", how: How::ByItself, most: 20 },
    Point { name: "after-result-object-before-commit", how: How::ByItself, most: 1 },
    Point { name: "after-completion-before-telling", how: How::ByItself, most: 20 },
    Point { name: "after-instance-row-before-spawn", how: How::Killed, most: 1 },
    Point { name: "after-spawn-before-row", how: How::Killed, most: 3 },
    Point { name: "during-lease-release", how: How::ByItself, most: 1 },
    Point { name: "during-sweep", how: How::ByItself, most: 1 },
    Point { name: "during-recovery", how: How::Killed, most: 1 },
    Point { name: "during-recovery", how: How::Killed, most: 1 },
    Point { name: "while-draining", how: How::Terminated, most: 1 },
    Point { name: "during-leave", how: How::Terminated, most: 1 },
];

impl Run {
    /// Every point once; false if this build has none.
    pub async fn walk(&mut self, draw: &mut Draw) -> Result<bool> {
        if !fs::read(&self.muster)?.windows(15).any(|bytes| bytes == b"MUSTER_CRASH_AT") {
            return Ok(false);
        }
        // Where several plan, another one does what this one should come to.
        let alone = self.world.servers.len() == 1;
        for point in POINTS.into_iter().filter(|point| alone || point.how != How::Killed) {
            let (n, which) = (1 + draw.below(point.most), draw.below(1000));
            self.faults += 1;
            self.say(&format!("crash point {} the {n}. time", point.name));
            if let Err(error) = self.crash(point, n, which).await {
                self.watch.seen.wrong(format!("crash point {}: {error}", point.name));
                self.world.server(which).kill()?;
            }
            self.world.heal(&self.watch).await?;
            self.world.start(super::START).await?;
            tokio::time::sleep(REST).await;
            self.is_stuck().await?;
        }
        Ok(true)
    }

    async fn crash(&mut self, point: Point, n: u64, which: u64) -> Result<()> {
        let name = format!("{}:{n}", point.name);
        let server = self.world.server(which);
        match point.how {
            How::Killed => server.kill()?,
            How::ByItself | How::Terminated => server.stop().await?,
        }
        server.start(Some(&name))?;
        if point.how == How::Terminated {
            self.world.balancer.until_ready(self.world.servers.len(), super::START).await?;
            tokio::time::sleep(REST).await;
            self.world.server(which).signal(Signal::TERM)?;
        }
        let begun = Instant::now();
        let server = self.world.server(which);
        loop {
            match server.ended()? {
                Some(status) if status.success() => return Err("it was not come to".into()),
                Some(_) => return Ok(()),
                None if begun.elapsed() > REACHED => return Err("it was not come to".into()),
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    }
}
