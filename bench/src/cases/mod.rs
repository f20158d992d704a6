//! The cases of the table. Each has a hub, a model and a folder of its own.

mod ask;
mod batches;
mod big;
mod clean;
mod direct;
mod durable;
mod fair;
mod fill;
mod idle;
mod kubernetes;
mod million;
mod model_server;
mod overload;
mod pages;
mod rdkit;
mod ready;
mod rollup;
mod session;
mod small;
mod stats;
mod upgrade;
mod waits;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::ValueEnum;

use crate::arguments::{is_among, name};
use crate::check::{self, Evidence};
use crate::hub::{Config, Hub};
use crate::ledger::Ledger;
use crate::machine::{Machine, Processors};
use crate::models::{Python, python};
use crate::postgres::Postgres;
use crate::report::{self, Line, Measured};
use crate::{Result, arguments};

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Case {
    SmallSqlite,
    SmallPostgres,
    DurableSqlite,
    DurablePostgres,
    Million,
    Batches,
    Instances,
    Ready,
    Rdkit,
    ModelServer,
    Fair,
    Waits,
    Overload,
    Session,
    Idle,
    Kubernetes,
    Upgrade,
    StatsSqlite,
    StatsPostgres,
    CleanSqlite,
    CleanPostgres,
    RollupSqlite,
    RollupPostgres,
}

impl Case {
    /// Many requests have to be there and rolled up before it can begin.
    fn needs_a_past(self) -> bool {
        use Case::*;
        matches!(self, StatsSqlite | StatsPostgres | CleanSqlite | CleanPostgres)
    }
}

/// What the cases share.
pub struct Bench {
    muster: PathBuf,
    /// This program.
    own: PathBuf,
    work: PathBuf,
    cache: PathBuf,
    quick: bool,
    full: bool,
    rate: Option<f64>,
    requests: Option<u64>,
}

/// The folder of a case, with its models, ledger and model log.
struct Place {
    folder: PathBuf,
    models: PathBuf,
    ledger: PathBuf,
    log: PathBuf,
}

pub async fn run(arguments: arguments::Table) -> Result<bool> {
    let all = Case::value_variants().iter().copied();
    let wanted = |case: &Case| match arguments.only.as_slice() {
        [] => !(arguments.quick && case.needs_a_past()),
        only => is_among(*case, only),
    };
    let cases: Vec<Case> = all.clone().filter(wanted).collect();
    if cases.is_empty() {
        let names: Vec<String> = all.map(name).collect();
        return Err(format!("the cases are {}", names.join(", ")).into());
    }
    let mut work = tempfile::Builder::new().prefix("muster-bench-").tempdir()?;
    work.disable_cleanup(arguments.keep);
    fs::create_dir_all(&arguments.cache)?;
    let bench = Bench {
        muster: arguments.muster.canonicalize().map_err(|error| {
            format!("{}: {error} (cargo build --release)", arguments.muster.display())
        })?,
        own: std::env::current_exe()?,
        work: work.path().to_owned(),
        cache: arguments.cache.canonicalize()?,
        quick: arguments.quick,
        full: arguments.full,
        rate: arguments.rate,
        requests: arguments.requests,
    };
    let machine = Machine::look(work.path())?;
    let (mut lines, mut good) = (Vec::new(), true);
    for case in cases {
        let (begun, before) = (Instant::now(), Processors::look()?);
        let measured = bench.case(case).await;
        let case = name(case);
        let (took, stolen_percent) =
            (begun.elapsed().as_secs_f64(), Processors::look()?.stolen_since(before));
        let measured = match measured {
            Ok(measured) => measured,
            Err(error) => {
                good = false;
                vec![Line::unmeasured(&case, &*error)]
            }
        };
        for line in measured {
            let Line { case: what, figure, .. } = &line;
            eprintln!("{case} ({took:.0} s, {stolen_percent:.0} % stolen): {what}: {figure}");
            lines.push(Measured { line, stolen_percent });
        }
    }
    let file = report::save(&arguments.results, &machine, arguments.quick, &lines)?;
    println!("{machine}\n{}\nraw results: {file}", report::table(&lines));
    // What failed is looked into: the hub's log is there.
    let keep = arguments.keep || !good;
    work.disable_cleanup(keep);
    if keep {
        println!("databases, ledgers and logs: {}", work.path().display());
    }
    Ok(good)
}

impl Bench {
    async fn case(&self, case: Case) -> Result<Vec<Line>> {
        match case {
            Case::SmallSqlite => small::run(self, None).await,
            Case::SmallPostgres => small::run(self, Some(Postgres::start(&[]).await?)).await,
            Case::DurableSqlite => durable::run(self, None).await,
            Case::DurablePostgres => durable::run(self, Some(Postgres::start(&[]).await?)).await,
            Case::Million => million::run(self).await,
            Case::Batches => batches::run(self).await,
            Case::Instances => million::instances(self).await,
            Case::Ready => ready::run(self).await,
            Case::Rdkit => rdkit::run(self).await,
            Case::ModelServer => model_server::run(self).await,
            Case::StatsSqlite => stats::run(self, None).await,
            Case::StatsPostgres => stats::run(self, Some(Postgres::start(&[]).await?)).await,
            Case::CleanSqlite => clean::run(self, None).await,
            Case::CleanPostgres => clean::run(self, Some(Postgres::start(&[]).await?)).await,
            Case::RollupSqlite => rollup::run(self, None).await,
            Case::RollupPostgres => rollup::run(self, Some(Postgres::start(&[]).await?)).await,
            Case::Fair => fair::run(self).await,
            Case::Waits => waits::run(self).await,
            Case::Overload => overload::run(self).await,
            Case::Session => session::run(self).await,
            Case::Idle => idle::run(self).await,
            Case::Kubernetes => kubernetes::run(self).await,
            Case::Upgrade => upgrade::run(self).await,
        }
    }

    fn place(&self, case: &str) -> Result<Place> {
        let folder = self.work.join(case);
        let models = folder.join("models");
        fs::create_dir_all(&models)?;
        let (ledger, log) = (folder.join("ledger.jsonl"), folder.join("model.jsonl"));
        Ok(Place { folder, models, ledger, log })
    }

    /// A case with a hub, one warm instance of the trivial model that logs what it is sent, and a ledger.
    async fn trivial(&self, case: &str, database: Option<&str>) -> Result<(Place, Hub, Ledger)> {
        let place = self.place(case)?;
        python(&place.models, &Python { log: Some(&place.log), ..Python::default() })?;
        let hub = place.hub(self, database, &[]).await?;
        hub.ready("trivial", 1).await?;
        let ledger = Ledger::append_to(&place.ledger)?;
        Ok((place, hub, ledger))
    }

    /// One of two numbers: for the whole run, and for the quick one.
    fn pick<T>(&self, whole: T, quick: T) -> T {
        if self.quick { quick } else { whole }
    }
}

/// What the database is called in the table, and the URL of one that is not SQLite.
fn database(postgres: Option<&Postgres>) -> (&'static str, Option<&str>) {
    match postgres {
        Some(postgres) => ("PostgreSQL", Some(&postgres.url)),
        None => ("SQLite", None),
    }
}

impl Place {
    /// `database`: that of a PostgreSQL; SQLite without.
    async fn hub(&self, bench: &Bench, database: Option<&str>, flags: &[&str]) -> Result<Hub> {
        let (muster, folder, models) = (&bench.muster, &self.folder, &self.models);
        Hub::start(&Config { muster, folder, models, database, flags, env: &[] }).await
    }

    /// Stops the hub, closes the ledger and compares everything.
    async fn check(&self, hub: Hub, ledger: Ledger, log: Option<&Path>) -> Result<()> {
        let (database, objects) = (hub.database(), hub.objects());
        hub.stop().await?;
        ledger.close()?;
        let evidence = Evidence {
            ledger: &self.ledger,
            database: &database,
            schema: "public",
            objects: &objects,
            model_log: log,
            may_fail: false,
        };
        let verdict = check::check(&evidence).await?;
        check::say(&verdict);
        if verdict.is_good() {
            return Ok(());
        }
        Err(format!("the checker found {:?}", verdict.found).into())
    }
}

impl Line {
    fn unmeasured(case: &str, error: &dyn std::error::Error) -> Self {
        Self {
            case: case.to_owned(),
            figure: format!("FAILED: {error}"),
            target: String::new(),
            reached: Some(false),
            raw: serde_json::Value::Null,
        }
    }
}
