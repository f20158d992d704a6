//! The muster binary as a person and a script use it: real hubs, real models, real processes.

mod canaries;
mod cases;
mod cases_folders;
mod chart;
mod clearing;
#[path = "../../../store/tests/all/cluster.rs"]
#[expect(dead_code, reason = "only the store's own tests break it")]
mod cluster;
mod cluster_api;
mod commands;
mod crashes;
mod doctor;
mod documents;
mod dumps;
mod existing;
mod exits;
mod faults;
mod folders;
mod image_folders;
mod images;
mod instances;
mod mail;
mod nodes;
mod people;
mod pods;
mod pods_faults;
mod pods_folders;
mod processes;
mod providers;
mod pushing;
mod releases;
mod results;
mod servers;
mod serving;
#[path = "../../../server/tests/all/smtp.rs"]
mod smtp;
mod support;
mod upgrade;
mod uploads;
mod walls;
