//! The store's conformance suite: every function on real SQLite files and on a real PostgreSQL.

/// Makes two tests of each function that takes a [`lab::Lab`]: on SQLite and on PostgreSQL.
macro_rules! on_both {
    ($($fact:ident),* $(,)?) => {$(
        mod $fact {
            #[tokio::test]
            async fn sqlite() {
                super::$fact(crate::lab::Lab::sqlite().await).await;
            }

            #[tokio::test]
            async fn postgres() {
                super::$fact(crate::lab::Lab::postgres().await).await;
            }
        }
    )*};
}

mod cluster;
mod lab;
mod proxy;
mod raw;
mod s3_server;

mod attempts;
mod catalogue;
mod chosen;
mod clearing;
mod clearing_rest;
mod deleting;
mod inputs;
mod instance_notes;
mod instances;
mod leases;
mod line;
mod models;
mod nodes;
mod opening;
mod outage;
mod oversight;
mod oversight_acts;
mod people;
mod planned;
mod plans;
mod pods;
mod pooler;
mod pushing;
mod queue;
mod recount;
mod requests;
mod results;
mod s3;
mod schema;
mod servers;
mod sessions;
mod statistics;
mod stopping;
mod sweep;
mod texts;
mod versions;
