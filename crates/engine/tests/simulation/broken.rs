//! Databases and object storage that fail.

use crate::invariants::Watch;
use crate::life::{Hub, World};
use crate::scenario::Broken;

const WHOLE: &str = "DROP TRIGGER IF EXISTS broken; DROP TABLE IF EXISTS broken_row";

impl World<'_> {
    pub async fn break_it(&mut self, what: Broken, hub: &Hub<'_>) {
        self.mend(hub).await;
        let _still = hub.pulse.still().await;
        match what {
            Broken::Objects => {
                let folder = self.folder.path();
                std::fs::rename(folder.join("objects"), folder.join("away")).expect("it moves");
                std::fs::write(folder.join("objects"), "").expect("a file");
                self.notes.lock().expect("no panic").objects_away = true;
            }
            what => hub.watch.execute(trigger(what)).await,
        }
        self.whole_since = None;
    }

    pub async fn mend(&mut self, hub: &Hub<'_>) {
        // While the hub writes nobody else can.
        let _still = hub.pulse.still().await;
        hub.watch.execute(WHOLE).await;
        self.mend_objects();
        self.whole_since = Some(hub.pulse.now());
    }

    fn mend_objects(&mut self) {
        let folder = self.folder.path();
        if std::mem::take(&mut self.notes.lock().expect("no panic").objects_away) {
            std::fs::remove_file(folder.join("objects")).expect("it goes");
            std::fs::rename(folder.join("away"), folder.join("objects")).expect("it moves");
        }
    }

    pub async fn mend_from_outside(&mut self) {
        let watch = Watch::open(&self.file()).await;
        watch.execute(WHOLE).await;
        watch.close().await;
        self.mend_objects();
        self.whole_since = Some(self.now);
    }
}

/// Makes statements fail, at once or when they are committed.
fn trigger(what: Broken) -> &'static str {
    match what {
        Broken::Requests => {
            "CREATE TRIGGER broken BEFORE INSERT ON request \
             BEGIN SELECT RAISE(ABORT, 'broken'); END"
        }
        Broken::Claims => {
            "CREATE TRIGGER broken BEFORE UPDATE ON task WHEN new.state = 'leased' \
             AND old.state = 'queued' BEGIN SELECT RAISE(ABORT, 'broken'); END"
        }
        Broken::Results => {
            "CREATE TRIGGER broken BEFORE UPDATE ON task WHEN new.state = 'done' \
             BEGIN SELECT RAISE(ABORT, 'broken'); END"
        }
        Broken::Instances => {
            "CREATE TRIGGER broken BEFORE UPDATE ON instance \
             BEGIN SELECT RAISE(ABORT, 'broken'); END"
        }
        Broken::TaskCommits => {
            "CREATE TABLE broken_row (x INTEGER PRIMARY KEY, \
             y INTEGER REFERENCES broken_row (x) DEFERRABLE INITIALLY DEFERRED); \
             CREATE TRIGGER broken AFTER UPDATE ON task \
             BEGIN INSERT INTO broken_row (y) VALUES (-1); END"
        }
        Broken::RequestCommits => {
            "CREATE TABLE broken_row (x INTEGER PRIMARY KEY, \
             y INTEGER REFERENCES broken_row (x) DEFERRABLE INITIALLY DEFERRED); \
             CREATE TRIGGER broken AFTER INSERT ON request \
             BEGIN INSERT INTO broken_row (y) VALUES (-1); END"
        }
        Broken::Objects => "SELECT 1",
    }
}
