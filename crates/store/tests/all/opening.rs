//! Where a store may be opened, and what is refused with which words.

use muster_store::{Clock, Database, Error, Objects, Store, StoreConfig};

use crate::lab::{LEASE, Lab, token};

#[tokio::test]
async fn a_second_server_on_a_sqlite_folder_is_refused_with_words() {
    let lab = Lab::sqlite().await;
    let Err(error) = Store::open(lab.config(), Clock::system()).await else {
        panic!("it is refused");
    };
    assert!(matches!(error, Error::AlreadyServed { .. }));
    let folder = lab.folder.path().join("data");
    let words = error.to_string();
    assert!(words.contains(&folder.display().to_string()) && words.contains("stop it"), "{words}");
    assert!(lab.store.ping().await.is_ok(), "the first one does not mind");
    lab.store.close().await;
    Store::open(lab.config(), Clock::system()).await.expect("the folder is free");
}

/// Traps T5 and T6, as far as they can be seen from outside.
#[tokio::test]
async fn sqlite_is_new_enough_and_keeps_a_write_ahead_log() {
    let lab = Lab::sqlite().await;
    let version = lab.raw.texts("SELECT sqlite_version()").await.remove(0);
    let parts: Vec<u32> = version.split('.').filter_map(|part| part.parse().ok()).collect();
    assert!(parts >= vec![3, 51, 3], "{version}");
    assert_eq!(lab.raw.texts("PRAGMA journal_mode").await, ["wal"]);
    assert_eq!(lab.raw.texts("PRAGMA integrity_check").await, ["ok"]);
}

#[tokio::test]
async fn a_store_in_memory_leaves_no_trace() {
    let config = || StoreConfig {
        database: Database::Memory,
        objects: Objects::Memory,
        inline_bytes: 64 << 10,
    };
    let mine = || {
        let name = format!("muster-{}-", std::process::id());
        let all = std::fs::read_dir(std::env::temp_dir()).expect("the folder");
        let is_mine =
            |name_of: &std::fs::DirEntry| name_of.file_name().to_string_lossy().starts_with(&name);
        all.filter_map(Result::ok).filter(is_mine).count()
    };
    let (one, two) = (
        Store::open(config(), Clock::system()).await.expect("a store"),
        Store::open(config(), Clock::system()).await.expect("another store"),
    );
    let hash = token();
    one.create_session(hash, LEASE).await.expect("a session");
    assert!(one.find_session(&hash).await.expect("an answer").is_some());
    assert!(two.find_session(&hash).await.expect("an answer").is_none());
    assert!(mine() >= 2);
    for store in [one, two] {
        store.close().await;
    }
    crate::lab::until("their files are gone", async || mine() == 0).await;
}

#[tokio::test]
async fn a_bad_url_is_refused_without_repeating_its_password() {
    let lab = Lab::sqlite().await;
    let open = async |url: &str| {
        let database = Database::Postgres { url: url.into(), schema: None, max_connections: 3 };
        let opened = Store::open(StoreConfig { database, ..lab.config() }, Clock::system()).await;
        opened.err().expect("it is refused")
    };
    let error = open("postgres://me:s3cret@host:port/").await;
    assert!(matches!(error, Error::Schema(_)), "{error:?}");
    assert!(!format!("{error:?}").contains("s3cret"));
    let nowhere = lab.folder.path().display();
    let error = open(&format!("postgres://me:s3cret@localhost/db?host={nowhere}")).await;
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    assert!(!format!("{error:?}").contains("s3cret"));
}

/// Nobody's commit waits for the log to be copied, and the log does not grow for ever.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_sqlite_is_copied_beside_the_writer() {
    let lab = Lab::sqlite().await;
    let file = lab.folder.path().join("data").join("muster.db");
    let size = |file: &std::path::Path| std::fs::metadata(file).expect("a file").len();
    let before = size(&file);
    let input = "x".repeat(60_000);
    let submit = async |times| {
        for _ in 0..times {
            let together = (0..20).map(|_| async { lab.submit(&[&input]).await });
            futures::future::join_all(together).await;
        }
    };
    // Less than what a commit copies itself.
    submit(7).await;
    crate::lab::until("it is in the database and not only in its log", async || {
        size(&file) > before + (6 << 20)
    })
    .await;
    submit(30).await;
    let log = size(&file.with_extension("db-wal"));
    assert!(log < 38 << 20, "44 MB were written, {log} bytes of log are there");
}

#[tokio::test]
async fn nobody_else_on_the_machine_reads_what_is_stored() {
    use std::os::unix::fs::PermissionsExt;
    let lab = Lab::sqlite().await;
    lab.submit(&["CCO"]).await;
    let file = lab.folder.path().join("data/muster.db");
    let mode = |end: &str| {
        let mut path = file.as_os_str().to_owned();
        path.push(end);
        std::fs::metadata(path).expect("a file").permissions().mode() & 0o777
    };
    let all = || ["", "-wal", "-shm"].map(mode);
    assert_eq!(all(), [0o600; 3]);
    // One that an older version made.
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("a mode");
    let beside = Store::open_beside(lab.config(), Clock::system()).await.expect("a store");
    assert_eq!(all(), [0o600; 3]);
    beside.close().await;
}
