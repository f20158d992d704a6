//! `/api/v1/stats/filters`: what there is to filter by.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use muster_core::{PrincipalId, Timestamp};
use muster_store::{Choice, ChoiceFilter, PersonChoice};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::requests::view::PageView;
use crate::app::App;
use crate::http::answer::json;
use crate::http::extract::{Pairs, Parameters, Query};
use crate::http::problem::Problem;
use crate::identity::Admin;

pub struct ListChoices(ChoiceFilter);

impl Parameters for ListChoices {
    const NAMES: &'static [&'static str] = &["search", "after_user", "after_session", "limit"];

    fn read(pairs: &mut Pairs) -> Result<Self, Problem> {
        let limit = pairs.number("limit", 1000)?.unwrap_or(1000);
        Ok(Self(ChoiceFilter {
            search: pairs.text("search").filter(|text| !text.is_empty()),
            after_user: pairs.value("after_user", "the id of a user")?,
            after_session: pairs.value("after_session", "the id of a session")?,
            limit,
        }))
    }
}

/// Something to filter by, and how much there is of it.
#[derive(Serialize, ToSchema)]
#[schema(as = StatisticsChoice)]
pub struct ChoiceView {
    #[schema(example = "rdkit-descriptors")]
    pub id: String,
    pub requests: u64,
    /// When the last request came or ended; null if there was none.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_at: Option<Timestamp>,
}

/// An account or an anonymous session.
#[derive(Serialize, ToSchema)]
#[schema(as = StatisticsPerson)]
pub struct PersonView {
    #[schema(value_type = String, format = Uuid)]
    pub id: PrincipalId,
    /// Of an account that is still there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub requests: u64,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_at: Option<Timestamp>,
}

/// Everything there is to filter by, whatever else is filtered.
#[derive(Serialize, ToSchema)]
#[schema(as = StatisticsFilters)]
pub struct ChoicesView {
    /// All models, also those that are no longer in the catalogue.
    pub models: Vec<ChoiceView>,
    pub auth_types: Vec<ChoiceView>,
    /// Accounts that have requests, the oldest first.
    pub users: Vec<PersonView>,
    /// Give this as `after_user` for more of them; null if there are none.
    #[schema(value_type = Option<String>, format = Uuid)]
    pub next_user: Option<String>,
    /// Anonymous sessions that have requests, the oldest first.
    pub sessions: Vec<PersonView>,
    /// Give this as `after_session` for more of them; null if there are none.
    #[schema(value_type = Option<String>, format = Uuid)]
    pub next_session: Option<String>,
}

/// What statistics can be filtered by
#[utoipa::path(
    get, path = "/api/v1/stats/filters", operation_id = "list_statistics_filters", tag = "statistics",
    params(
        ("search" = Option<String>, Query, description = "A part of a user name, or an id"),
        ("after_user" = Option<String>, Query, description = "`next_user` of the answer before"),
        ("after_session" = Option<String>, Query, description = "`next_session` of the answer before"),
        ("limit" = Option<u32>, Query,
            description = "How many users and how many sessions: 0 to 1000; 1000 if not given"),
    ),
    responses((status = 200, description = "All of it, with how many requests there are of each",
        body = ChoicesView)),
    security(("session" = [])),
)]
pub async fn list_statistics_filters(
    State(app): State<Arc<App>>,
    _: Admin,
    Query(ListChoices(filter)): Query<ListChoices>,
) -> Result<Response, Problem> {
    let limit = filter.limit;
    let found = app.store.statistics_choices(filter).await?;
    let people =
        |found| PageView::cut(found, limit, |one: &PersonChoice| one.id.to_string(), person);
    let PageView { items: users, next: next_user } = people(found.users);
    let PageView { items: sessions, next: next_session } = people(found.sessions);
    let models = found.models.into_iter().map(|(id, choice)| view(id, choice)).collect();
    let kinds = found.kinds.into_iter();
    let auth_types = kinds.map(|(kind, choice)| view(kind.name().to_owned(), choice)).collect();
    let choices = ChoicesView { models, auth_types, users, next_user, sessions, next_session };
    json(StatusCode::OK, &choices)
}

fn view(id: String, choice: Choice) -> ChoiceView {
    ChoiceView { id, requests: choice.requests, last_at: choice.last_at }
}

fn person(PersonChoice { id, name, choice }: PersonChoice) -> PersonView {
    PersonView { id, name, requests: choice.requests, last_at: choice.last_at }
}
