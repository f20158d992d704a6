//! A real PgBouncer before PostgreSQL.

use std::os::unix::fs::chown;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use muster_store::{Clock, Database, Error, Format, Objects, Store, StoreConfig};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Executor};
use tempfile::TempDir;

use crate::cluster;
use crate::lab::{Lab, until};

struct Pooler {
    child: Child,
    folder: TempDir,
}

impl Pooler {
    async fn start(settings: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().display();
        let socket = cluster::shared().socket();
        let postgres = socket.parent().expect("a folder").display();
        let text = format!(
            "[databases]\n* = host={postgres}\n[pgbouncer]\nlisten_addr =\nlisten_port = 6432\n\
             unix_socket_dir = {place}\nauth_type = trust\nauth_file = {place}/users\n{settings}\n"
        );
        let config = folder.path().join("pgbouncer.ini");
        std::fs::write(&config, text).expect("a file");
        std::fs::write(folder.path().join("users"), "\"postgres\" \"\"\n").expect("a file");
        let mut command = Command::new("setpriv");
        if let Some((user, group)) = other_user() {
            chown(folder.path(), Some(user), Some(group)).expect("its folder");
            command.arg(format!("--reuid={user}")).arg(format!("--regid={group}"));
            command.arg("--clear-groups");
        }
        // Debian keeps it where not everybody looks.
        let debian = Path::new("/usr/sbin/pgbouncer");
        let program = if debian.exists() { debian } else { Path::new("pgbouncer") };
        command.args(["--pdeathsig", "KILL"]).arg(program).arg("--quiet").arg(config);
        let child = command.stdin(Stdio::null()).spawn().expect("PgBouncer");
        let pooler = Self { child, folder };
        let socket = pooler.folder.path().join(".s.PGSQL.6432");
        until("PgBouncer answers", async || {
            std::os::unix::net::UnixStream::connect(&socket).is_ok()
        })
        .await;
        pooler
    }

    fn url(&self) -> String {
        let place = self.folder.path().display();
        format!("postgres://postgres@localhost/postgres?host={place}&port=6432&sslmode=disable")
    }

    /// Others were here: it has this many sessions to hand out.
    async fn warm_up(&self, sessions: usize) {
        let options: PgConnectOptions = self.url().parse().expect("a URL");
        let options = options.extra_float_digits(None);
        let mut held = Vec::new();
        for _ in 0..sessions {
            let mut conn = options.connect().await.expect("a connection");
            conn.execute(sqlx::raw_sql("BEGIN")).await.expect("a session");
            held.push(conn);
        }
        for mut conn in held {
            conn.execute(sqlx::raw_sql("ROLLBACK")).await.expect("the session goes back");
        }
    }

    fn config(&self, lab: &Lab) -> StoreConfig {
        StoreConfig {
            database: Database::Postgres {
                url: self.url(),
                schema: Some(format!("p{}", lab.store.clock().id().simple())),
                max_connections: 5,
            },
            objects: Objects::Memory,
            ..lab.config()
        }
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        self.child.kill().and_then(|()| self.child.wait()).expect("it ends");
    }
}

/// PgBouncer refuses to run as root; who runs PostgreSQL runs it too.
fn other_user() -> Option<(u32, u32)> {
    use std::os::unix::fs::MetadataExt;
    let socket = cluster::shared().socket();
    let meta = std::fs::metadata(socket.parent().unwrap_or(Path::new("/"))).expect("the cluster");
    let own = std::fs::metadata(env!("CARGO_TARGET_TMPDIR")).expect("our folder");
    (meta.uid() != own.uid()).then_some((meta.uid(), meta.gid()))
}

#[tokio::test]
async fn a_pooler_that_hands_sessions_round_is_refused_with_words() {
    let lab = Lab::sqlite().await;
    for (settings, sessions) in [
        ("pool_mode = transaction", 0),
        ("pool_mode = transaction", 3),
        ("pool_mode = transaction\nserver_round_robin = 1", 2),
        ("pool_mode = transaction\nserver_round_robin = 1", 3),
        ("pool_mode = transaction\nserver_round_robin = 1", 7),
        ("pool_mode = transaction\ndefault_pool_size = 1", 0),
        ("pool_mode = statement", 0),
    ] {
        let pooler = Pooler::start(settings).await;
        pooler.warm_up(sessions).await;
        let opened = Store::open(pooler.config(&lab), Clock::system()).await;
        let error = opened.err().unwrap_or_else(|| panic!("{settings}: it is refused"));
        assert!(matches!(error, Error::Schema(_)), "{settings}, {sessions}: {error:?}");
        assert!(error.to_string().contains("pool_mode = session"), "{error}");
    }
}

#[tokio::test]
async fn a_pooler_in_session_mode_is_used_like_the_database() {
    let mut lab = Lab::postgres().await;
    let pooler = Pooler::start("pool_mode = session").await;
    let store = Store::open(pooler.config(&lab), Clock::system()).await.expect("a store");
    store.sync_models(vec![crate::lab::model("echo", "1")]).await.expect("a catalogue");
    let session = store.create_session(crate::lab::token(), crate::lab::LEASE).await;
    lab.me = session.expect("a session").principal;
    lab.store.close().await;
    lab.store = store;
    for _ in 0..20 {
        let id = lab.submit(&["a", "b"]).await.id;
        assert!(lab.work().await);
        let csv = lab.download(id, Format::Csv).await.expect("a result");
        assert_eq!(String::from_utf8_lossy(&csv), "input,n\na,1\nb,1\n");
    }
    lab.store.close().await;
}
