//! Both schemas are the same; on PostgreSQL they are where `database.schema` says.

use muster_store::{Clock, Database, Error, Store, StoreConfig};

use crate::lab::{LONG, Lab, complete, until};

on_both!(a_newer_schema_is_refused_with_words, opening_again_changes_nothing);

const SQLITE_TABLES: &str = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name";
const SQLITE_COLUMNS: &str = "SELECT m.name || '.' || c.name || ' ' || \
     CASE c.type WHEN 'INTEGER' THEN 'time' WHEN 'BIGINT' THEN 'number' ELSE lower(c.type) END || \
     CASE WHEN c.\"notnull\" OR c.pk > 0 THEN '' ELSE ' nullable' END || \
     CASE WHEN c.pk > 0 THEN ' key ' || c.pk ELSE '' END \
     FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' \
     ORDER BY m.name, c.cid";
const SQLITE_INDEXES: &str = "SELECT m.name || ' ' || CASE i.\"unique\" WHEN 1 THEN 'unique ' ELSE '' END \
     || CASE i.partial WHEN 1 THEN 'partial ' ELSE '' END || \
     (SELECT group_concat(c.name, ',') FROM pragma_index_info(i.name) c) AS line \
     FROM sqlite_master m JOIN pragma_index_list(m.name) i WHERE i.origin <> 'pk' ORDER BY line";
const SQLITE_REFERENCES: &str = "SELECT m.name || '.' || f.\"from\" || ' ' || f.\"table\" || '.' || f.\"to\" \
     AS line FROM sqlite_master m JOIN pragma_foreign_key_list(m.name) f ORDER BY line";
const SQLITE_TRIGGERS: &str = "SELECT tbl_name || ' ' || name AS line FROM sqlite_master WHERE type = 'trigger' ORDER BY line";

const POSTGRES_TABLES: &str = "SELECT relname::text FROM pg_class WHERE relkind = 'r' \
     AND relnamespace = current_schema()::regnamespace ORDER BY relname COLLATE \"C\"";
const POSTGRES_COLUMNS: &str = "SELECT r.relname || '.' || a.attname || ' ' || \
     CASE t.typname WHEN 'timestamptz' THEN 'time' WHEN 'int8' THEN 'number' \
     WHEN 'uuid' THEN 'blob' WHEN 'bytea' THEN 'blob' WHEN 'bool' THEN 'boolean' ELSE t.typname END || \
     CASE WHEN a.attnotnull THEN '' ELSE ' nullable' END || \
     COALESCE(' key ' || array_position(k.conkey, a.attnum), '') \
     FROM pg_class r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 \
     JOIN pg_type t ON t.oid = a.atttypid \
     LEFT JOIN pg_constraint k ON k.conrelid = r.oid AND k.contype = 'p' \
     WHERE r.relkind = 'r' AND r.relnamespace = current_schema()::regnamespace \
     ORDER BY r.relname COLLATE \"C\", a.attnum";
const POSTGRES_INDEXES: &str = "SELECT r.relname || ' ' || CASE WHEN i.indisunique THEN 'unique ' ELSE '' END \
     || CASE WHEN i.indpred IS NOT NULL THEN 'partial ' ELSE '' END || \
     (SELECT string_agg(a.attname, ',' ORDER BY array_position(i.indkey::int2[], a.attnum)) \
     FROM pg_attribute a WHERE a.attrelid = r.oid AND a.attnum = ANY (i.indkey)) COLLATE \"C\" AS line \
     FROM pg_index i JOIN pg_class r ON r.oid = i.indrelid WHERE NOT i.indisprimary \
     AND r.relnamespace = current_schema()::regnamespace ORDER BY line";
const POSTGRES_REFERENCES: &str = "SELECT r.relname || '.' || a.attname || ' ' || f.relname || '.' || b.attname \
     COLLATE \"C\" AS line FROM pg_constraint k JOIN pg_class r ON r.oid = k.conrelid \
     JOIN pg_class f ON f.oid = k.confrelid \
     JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum = k.conkey[1] \
     JOIN pg_attribute b ON b.attrelid = f.oid AND b.attnum = k.confkey[1] \
     WHERE k.contype = 'f' AND r.relnamespace = current_schema()::regnamespace ORDER BY line";
const POSTGRES_TRIGGERS: &str = "SELECT r.relname || ' ' || t.tgname COLLATE \"C\" AS line \
     FROM pg_trigger t JOIN pg_class r ON r.oid = t.tgrelid WHERE NOT t.tgisinternal \
     AND r.relnamespace = current_schema()::regnamespace ORDER BY line";

#[tokio::test]
async fn both_schemas_are_the_same_column_by_column() {
    let (sqlite, postgres) = (Lab::sqlite().await, Lab::postgres().await);
    for (ours, theirs, least) in [
        (SQLITE_TABLES, POSTGRES_TABLES, 13),
        (SQLITE_COLUMNS, POSTGRES_COLUMNS, 80),
        (SQLITE_INDEXES, POSTGRES_INDEXES, 7),
        (SQLITE_REFERENCES, POSTGRES_REFERENCES, 3),
        (SQLITE_TRIGGERS, POSTGRES_TRIGGERS, 4),
    ] {
        let (ours, theirs) = (sqlite.raw.texts(ours).await, postgres.raw.texts(theirs).await);
        assert!(ours.len() >= least, "the question finds what there is: {ours:?}");
        assert_eq!(ours, theirs);
    }
}

async fn a_newer_schema_is_refused_with_words(lab: Lab) {
    lab.raw
        .run("INSERT INTO migration SELECT 1000, applied_at FROM migration WHERE version = 1")
        .await;
    lab.store.close().await;
    let opened = Store::open(lab.config(), Clock::system()).await;
    let Err(Error::Schema(words)) = opened else { panic!("it is refused") };
    assert!(words.contains("version 1000") && words.contains("newer muster"), "{words}");
}

async fn opening_again_changes_nothing(mut lab: Lab) {
    let id = lab.submit(&["a"]).await;
    for _ in 0..2 {
        lab.restart(64 << 10).await;
    }
    assert_eq!(lab.raw.number("SELECT COUNT(*) FROM migration").await, 24);
    assert_eq!(lab.find(id.id).await, id);
}

/// The same database, another schema.
fn in_schema(lab: &Lab, name: &str) -> StoreConfig {
    let mut config = lab.config();
    let Database::Postgres { schema, .. } = &mut config.database else { panic!("PostgreSQL") };
    *schema = Some(name.to_owned());
    config
}

#[tokio::test]
async fn two_schemas_of_one_database_know_nothing_of_each_other() {
    let (one, two) = (Lab::postgres().await, Lab::postgres().await);
    let id = one.submit(&["a"]).await.id;
    assert!(two.store.find_request(one.me, id).await.expect("an answer").is_none());
    assert!(crate::lab::nothing_for(&two.store, two.wish(10)).await);
    assert_eq!(two.raw.number("SELECT COUNT(*) FROM principal").await, 1);
    assert!(one.work().await);
}

#[tokio::test]
async fn every_connection_is_in_the_schema_also_a_new_one() {
    let lab = Lab::postgres_alone(crate::cluster::shared()).await;
    let store = Store::open(in_schema(&lab, "of_its_own"), Clock::system()).await.expect("a store");
    store.sync_models(vec![crate::lab::model("echo", "1")]).await.expect("a catalogue");
    let me = store.create_session(crate::lab::token(), LONG).await.expect("a session").principal;
    for _ in 0..3 {
        let ids: Vec<_> = (0..10)
            .map(|_| muster_store::NewRequest { principal: me, ..lab.new_request(&["a"]) })
            .collect();
        for new in ids {
            let id = new.id;
            store.submit(new).await.expect("it is taken");
            // Reads share the pool with the writer: several at once use several connections.
            let reads = (0..5).map(|_| store.find_request(me, id));
            for found in futures::future::join_all(reads).await {
                assert!(found.expect("an answer").is_some());
            }
            let task = crate::lab::claim(&store, lab.wish(1)).await.remove(0);
            assert!(complete(&store, &task).await);
        }
        lab.raw.run(crate::outage::KILL).await;
        until("it is back", async || store.heartbeat().await.is_ok()).await;
    }
    let count = "SELECT COUNT(*) FROM of_its_own.request WHERE phase = 'completed'";
    assert_eq!(lab.raw.number(count).await, 30);
    assert_eq!(lab.raw.number("SELECT COUNT(*) FROM request").await, 0, "not in `public`");
}

#[tokio::test]
async fn stores_opened_at_once_on_an_empty_database_all_succeed() {
    let lab = Lab::postgres_alone(crate::cluster::shared()).await;
    let opening = (0..4).map(|_| Store::open(in_schema(&lab, "new"), Clock::system()));
    let stores = futures::future::join_all(opening).await;
    for store in &stores {
        store.as_ref().expect("a store").ping().await.expect("an answer");
    }
    assert_eq!(lab.raw.number("SELECT COUNT(*) FROM new.migration").await, 24);
    assert_eq!(lab.raw.number("SELECT COUNT(*) FROM new.server").await, 4);
}

#[tokio::test]
async fn a_role_that_may_only_use_its_own_schema_is_enough() {
    let lab = Lab::postgres_alone(crate::cluster::shared()).await;
    let role = format!("r{}", Clock::system().id().simple());
    lab.raw.run(&format!("CREATE ROLE {role} LOGIN")).await;
    lab.raw.run(&format!("CREATE SCHEMA granted AUTHORIZATION {role}")).await;
    let mut config = in_schema(&lab, "granted");
    let Database::Postgres { url, .. } = &mut config.database else { panic!("PostgreSQL") };
    *url = url.replacen("postgres@", &format!("{role}@"), 1);
    let store = Store::open(config, Clock::system()).await.expect("a store");
    store.ping().await.expect("an answer");
}

#[tokio::test]
async fn a_role_that_may_make_nothing_is_enough_once_everything_is_there() {
    let lab = Lab::postgres_alone(crate::cluster::shared()).await;
    let role = format!("r{}", Clock::system().id().simple());
    lab.raw.run(&format!("CREATE ROLE {role} LOGIN")).await;
    let rights = "SELECT, INSERT, UPDATE, DELETE";
    lab.raw.run(&format!("GRANT {rights} ON ALL TABLES IN SCHEMA public TO {role}")).await;
    let mut config = lab.config();
    let Database::Postgres { url, .. } = &mut config.database else { panic!("PostgreSQL") };
    *url = url.replacen("postgres@", &format!("{role}@"), 1);
    let store = Store::open(config, Clock::system()).await.expect("a store");
    let taken = store.submit(lab.new_request(&["a"])).await.expect("it is taken");
    let task = crate::lab::claim(&store, lab.wish(1)).await.remove(0);
    assert!(complete(&store, &task).await);
    assert_eq!(lab.find(taken.request.id).await.phase.name(), "completed");
}

#[tokio::test]
async fn a_schema_name_is_checked_before_it_is_used() {
    let lab = Lab::postgres_alone(crate::cluster::shared()).await;
    for name in ["x\"; DROP SCHEMA public; --", "", "Upper", "nul\0"] {
        let opened = Store::open(in_schema(&lab, name), Clock::system()).await;
        assert!(matches!(opened, Err(Error::Schema(_))), "{name}");
    }
}
