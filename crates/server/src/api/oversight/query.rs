//! Reading which requests an administrator wants to see.

use std::time::Duration;

use muster_store::OversightFilter;

use crate::http::extract::{Pairs, Parameters, phase};
use crate::http::problem::Problem;

/// Most people, and most models, in one filter.
const MOST: usize = 100;

pub struct ListAllRequests {
    pub filter: OversightFilter,
    pub csv: bool,
}

impl Parameters for ListAllRequests {
    const NAMES: &'static [&'static str] = &[
        "user",
        "session",
        "model",
        "auth_type",
        "from",
        "to",
        "phase",
        "sort",
        "after",
        "limit",
        "format",
    ];
    const REPEATABLE: &'static [&'static str] = &["user", "session", "model", "phase"];

    fn read(pairs: &mut Pairs) -> Result<Self, Problem> {
        let mut filter = OversightFilter { models: pairs.models()?, ..OversightFilter::default() };
        filter.models.sort();
        filter.models.dedup();
        most("model", filter.models.len())?;
        for name in ["user", "session"] {
            filter.people.extend(pairs.people(name)?);
            filter.people.sort();
            filter.people.dedup();
            most(name, filter.people.len())?;
        }
        filter.auth = pairs.one("auth_type")?;
        let (from, to) = pairs.span()?;
        filter.from = from;
        filter.until = to.map(|to| to + Duration::from_micros(1));
        let phases = pairs.texts("phase");
        filter.phases = phases.iter().map(|text| phase(text)).collect::<Result<_, _>>()?;
        filter.oldest_first = match pairs.text("sort").as_deref() {
            None | Some("" | "newest") => false,
            Some("oldest") => true,
            Some(_) => return Err(Problem::parameter("sort", "This must be newest or oldest.")),
        };
        filter.after = pairs.request_id("after")?;
        filter.limit = pairs.limit()?;
        Ok(Self { filter, csv: pairs.csv()? })
    }
}

fn most(name: &str, number: usize) -> Result<(), Problem> {
    if number > MOST {
        return Err(Problem::parameter(name, format!("At most {MOST} of them at a time.")));
    }
    Ok(())
}
