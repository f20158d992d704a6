//! How much PostgreSQL reads for a request.

use crate::lab::{LEASE, Lab, until};

const REQUESTS: i64 = 300;

/// It keeps a plan that it made while its tables were small: that one, too, has to look rows up by their keys, or each
/// request would read all those before it.
#[tokio::test]
async fn a_request_costs_no_more_when_there_are_many() {
    let mut lab = Lab::postgres().await;
    lab.store.lead(LEASE).await.expect("an answer");
    for done in 0..REQUESTS {
        if done == REQUESTS / 2 {
            lab.raw.run("ANALYZE").await;
        }
        lab.submit(&["a"]).await;
        assert!(lab.work().await);
        // A row of the statistics for each.
        lab.raw.run("UPDATE ended SET model_id = 'model ' || request_id").await;
        lab.store.roll_up(10).await.expect("an answer");
    }
    // What its connections read is told when they are closed.
    lab.restart(64 << 10).await;
    let written = "SELECT COALESCE(MIN(n_tup_ins), 0)::bigint FROM pg_stat_user_tables \
         WHERE schemaname = current_schema() AND relname IN ('request', 'task', 'model_statistic')";
    until("all is told", async || lab.raw.number(written).await >= REQUESTS).await;
    for table in ["request", "task", "model_statistic", "person_statistic"] {
        let read = format!(
            "SELECT SUM(idx_tup_read)::bigint FROM pg_stat_user_indexes \
             WHERE schemaname = current_schema() AND relname = '{table}'"
        );
        let each = lab.raw.number(&read).await / REQUESTS;
        assert!(each < 30, "{each} entries of the indexes of {table} for each request");
    }
}
