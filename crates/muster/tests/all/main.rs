//! The muster binary as a person and a script use it: real hubs, real models, real processes.

mod clearing;
mod commands;
mod crashes;
mod documents;
mod existing;
mod exits;
mod faults;
mod folders;
mod people;
mod processes;
mod results;
mod servers;
mod serving;
mod support;
mod uploads;
