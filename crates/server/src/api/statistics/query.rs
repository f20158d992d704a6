//! Reading a question to the statistics.

use muster_core::PhaseName;
use muster_core::stats::{Day, Dimension, Query};

use crate::api::statistics::table::{Column, Sort};
use crate::http::extract::{Pairs, Parameters, must_be, parse, wrong_way_round};
use crate::http::problem::Problem;

/// A question and how the answer is to be shown.
#[derive(Debug)]
pub struct Wanted {
    pub query: Query,
    pub sort: Vec<Sort>,
    /// The group after which the page begins: its values as a JSON array of texts.
    pub after: Option<Vec<String>>,
    pub limit: usize,
    pub csv: bool,
}

/// A question about everybody's requests.
pub struct AskAll(pub Wanted);

/// A question about one's own.
pub struct AskOwn(pub Wanted);

impl Parameters for AskAll {
    const NAMES: &'static [&'static str] = &[
        "model",
        "auth_type",
        "user",
        "session",
        "from",
        "to",
        "phase",
        "input_size_min",
        "input_size_max",
        "group_by",
        "by",
        "sort",
        "after",
        "limit",
        "format",
    ];
    const REPEATABLE: &'static [&'static str] =
        &["model", "user", "session", "phase", "group_by", "sort"];

    fn read(pairs: &mut Pairs) -> Result<Self, Problem> {
        let mut wanted = read(pairs, |_| true)?;
        wanted.query.auth = pairs.one("auth_type")?;
        wanted.query.users = pairs.people("user")?;
        wanted.query.sessions = pairs.people("session")?;
        Ok(Self(wanted))
    }
}

impl Parameters for AskOwn {
    const NAMES: &'static [&'static str] = &[
        "model",
        "from",
        "to",
        "phase",
        "input_size_min",
        "input_size_max",
        "group_by",
        "by",
        "sort",
        "after",
        "limit",
        "format",
    ];
    const REPEATABLE: &'static [&'static str] = &["model", "phase", "group_by", "sort"];

    fn read(pairs: &mut Pairs) -> Result<Self, Problem> {
        read(pairs, |dimension| OWN.contains(&dimension)).map(Self)
    }
}

/// By what one's own may be grouped: whose they are is known.
pub const OWN: [Dimension; 5] =
    [Dimension::Model, Dimension::Day, Dimension::Week, Dimension::Month, Dimension::InputSize];

/// What both kinds of questions have.
fn read(pairs: &mut Pairs, may_group: impl Fn(Dimension) -> bool) -> Result<Wanted, Problem> {
    let mut query = Query::default();
    query.models = pairs.models()?;
    let (from, to) = (pairs.one::<Day>("from")?, pairs.one::<Day>("to")?);
    if from.zip(to).is_some_and(|(from, to)| from > to) {
        return Err(wrong_way_round());
    }
    query.days.start = from.unwrap_or(query.days.start);
    query.days.end = to.map_or(query.days.end, Day::tomorrow);
    let refused = |name| move |what| must_be(name, what);
    let phases = pairs.texts("phase");
    let phases: Result<Vec<PhaseName>, _> = phases.iter().map(|text| text.parse()).collect();
    query.set_phases(&phases.map_err(refused("phase"))?);
    let least: Option<u64> = number(pairs, "input_size_min")?;
    let most: Option<u64> = number(pairs, "input_size_max")?;
    query.set_sizes(least, None).map_err(refused("input_size_min"))?;
    query.set_sizes(least, most).map_err(refused("input_size_max"))?;
    let groups = pairs.texts("group_by");
    if !groups.is_empty() {
        query.group_by.clear();
    }
    // Both `group_by=model&group_by=day` and `group_by=model,day`.
    for text in groups.iter().flat_map(|text| text.split(',')).map(str::trim) {
        let group: Dimension = text.parse().map_err(refused("group_by"))?;
        if !may_group(group) {
            return Err(Problem::parameter("group_by", "These are only your own requests."));
        }
        if !query.group_by.contains(&group) {
            query.group_by.push(group);
        }
    }
    query.by = pairs.one("by")?.unwrap_or_default();
    let columns = Column::of(&query.group_by);
    let mut sort = Vec::new();
    for text in pairs.texts("sort").iter().flat_map(|text| text.split(',')).map(str::trim) {
        sort.push(Sort::read(text, &columns)?);
    }
    let after = pairs.text("after").filter(|text| !text.is_empty());
    let after = after.map(|text| serde_json::from_str(&text)).transpose();
    let after = after.map_err(|_| Problem::parameter("after", "This is `next` of a page."))?;
    let limit = match pairs.number("limit", 1000)? {
        Some(0) => return Err(Problem::parameter("limit", "This must be from 1 to 1000.")),
        limit => limit.unwrap_or(100) as usize,
    };
    Ok(Wanted { query, sort, after, limit, csv: pairs.csv()? })
}

fn number(pairs: &mut Pairs, name: &str) -> Result<Option<u64>, Problem> {
    let text = pairs.text(name).filter(|text| !text.is_empty());
    text.map(|text| parse(name, &text, "a whole number")).transpose()
}
