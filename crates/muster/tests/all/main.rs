//! The muster binary as a person and a script use it: real hubs, real models, real processes.

mod commands;
mod crashes;
mod documents;
mod existing;
mod exits;
mod faults;
mod folders;
mod instances;
mod people;
mod processes;
mod results;
mod servers;
mod serving;
mod support;
mod uploads;
