//! The checker: ledger, database, objects and model log against each other.

pub mod judge;
pub mod model_log;
mod stored;

use std::path::Path;

use self::judge::Verdict;
use self::stored::Database;
use crate::{Result, arguments, ledger};

/// What is compared.
pub struct Evidence<'e> {
    pub ledger: &'e Path,
    /// `sqlite:FILE` or the URL of a PostgreSQL database.
    pub database: &'e str,
    pub schema: &'e str,
    pub objects: &'e Path,
    pub model_log: Option<&'e Path>,
    pub may_fail: bool,
}

pub async fn run(arguments: &arguments::Check) -> Result<bool> {
    let evidence = Evidence {
        ledger: &arguments.ledger,
        database: &arguments.database,
        schema: &arguments.schema,
        objects: &arguments.objects,
        model_log: arguments.model_log.as_deref(),
        may_fail: arguments.may_fail,
    };
    let verdict = check(&evidence).await?;
    say(&verdict);
    Ok(verdict.is_good())
}

pub async fn check(evidence: &Evidence<'_>) -> Result<Verdict> {
    let entries = ledger::read(evidence.ledger)?;
    let database = Database::open(evidence.database, evidence.schema).await?;
    let stored = database.requests(evidence.objects).await;
    database.close().await;
    let log = evidence.model_log.map(model_log::read).transpose()?;
    Ok(judge::judge(&entries, &stored?, log.as_ref(), evidence.may_fail))
}

pub fn say(verdict: &Verdict) {
    println!("checked {} requests", verdict.requests);
    for (finding, (count, examples)) in &verdict.found {
        println!("{finding:?}: {count}, such as {}", examples.join(", "));
    }
    if verdict.is_good() {
        println!("nothing lost, doubled or mixed");
    }
}
