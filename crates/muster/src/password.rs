//! Reading a password: from a file, from the person without showing it, or from standard input.

use std::io::{IsTerminal, Read};
use std::path::Path;

use console::Term;

use crate::failure::{Failure, io_failure};

/// Asks twice for a new one. A line end after it is not part of it.
pub fn read(file: Option<&Path>, new: bool) -> Result<String, Failure> {
    let mut text = String::new();
    match file {
        Some(path) => {
            text = std::fs::read_to_string(path).map_err(|error| {
                Failure::usage(format!("{} cannot be read: {error}", path.display()))
            })?;
        }
        None if std::io::stdin().is_terminal() => return ask(new),
        None => {
            let mut stdin = std::io::stdin().lock();
            stdin.read_to_string(&mut text).map_err(io_failure("standard input"))?;
        }
    }
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

fn ask(new: bool) -> Result<String, Failure> {
    let term = Term::stderr();
    let line = |what: &str| {
        let asked = term.write_str(what).and_then(|()| term.read_secure_line());
        asked.map_err(io_failure("the terminal"))
    };
    let password = line("Password: ")?;
    if new && line("Once more: ")? != password {
        return Err(Failure::usage("the two passwords are not the same"));
    }
    Ok(password)
}
