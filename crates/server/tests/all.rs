//! The API over real sockets, with a real SQLite store; the tests play the engine.

#[path = "all/accounts.rs"]
mod accounts;
#[path = "all/again.rs"]
mod again;
#[path = "all/balancer.rs"]
mod balancer;
#[path = "all/catalogue.rs"]
mod catalogue;
#[path = "../../store/tests/all/cluster.rs"]
#[expect(dead_code, reason = "only the store's own tests break it")]
mod cluster;
#[path = "all/documents.rs"]
mod documents;
#[path = "all/events.rs"]
mod events;
#[path = "all/files.rs"]
mod files;
#[path = "all/greedy.rs"]
mod greedy;
#[path = "all/hub.rs"]
mod hub;
#[path = "all/hub_state.rs"]
mod hub_state;
#[path = "all/images.rs"]
mod images;
#[path = "all/instances.rs"]
mod instances;
#[path = "all/labels.rs"]
mod labels;
#[path = "all/leaving.rs"]
mod leaving;
#[path = "all/legacy/mod.rs"]
mod legacy;
#[path = "all/line.rs"]
mod line;
#[path = "all/mail.rs"]
mod mail;
#[path = "all/nodes.rs"]
mod nodes;
#[path = "all/operating.rs"]
mod operating;
#[path = "all/oversight.rs"]
mod oversight;
#[path = "all/quotas.rs"]
mod quotas;
#[path = "all/replicas.rs"]
mod replicas;
#[path = "all/requests.rs"]
mod requests;
#[path = "all/results.rs"]
mod results;
#[path = "all/roles.rs"]
mod roles;
#[path = "all/sessions.rs"]
mod sessions;
#[path = "all/slow.rs"]
mod slow;
#[path = "all/smtp.rs"]
mod smtp;
#[path = "all/statistics.rs"]
mod statistics;
#[path = "all/web.rs"]
mod web;
#[path = "all/wire.rs"]
mod wire;
