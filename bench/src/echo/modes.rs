//! What a call does wrong, chosen by its inputs or by a flag.

use std::time::Duration;

use clap::ValueEnum;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Takes half a second more, or as many milliseconds as the input says
    Slow,
    /// Never answers
    Hang,
    /// The process ends
    Crash,
    /// Something that is not JSON
    Garbage,
    /// One row too few
    Short,
    /// One row too many
    Long,
    /// The rows of two inputs change places
    Swapped,
    /// Rows without an end
    Endless,
    /// 409, come back in a second
    #[value(name = "409")]
    Conflict,
    /// 429, come back in a second
    #[value(name = "429")]
    TooMany,
    /// 503, come back in a second
    #[value(name = "503")]
    Unavailable,
    /// Two answers to one call
    Twice,
    /// One byte a second
    Drip,
}

/// A mode and its number, if it takes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    pub mode: Mode,
    pub pause: Duration,
}

const USUAL: Duration = Duration::from_millis(500);

impl Fault {
    pub fn of(mode: Mode) -> Self {
        Self { mode, pause: USUAL }
    }

    /// The first fault that one of the inputs asks for.
    pub fn asked_for<'i>(inputs: impl IntoIterator<Item = &'i str>) -> Option<Self> {
        inputs.into_iter().find_map(Self::in_input)
    }

    fn in_input(input: &str) -> Option<Self> {
        let mut words = input.strip_prefix('!')?.split(':');
        let mode = Mode::from_str(words.next()?, false).ok()?;
        let millis = words.next().and_then(|word| word.parse().ok());
        Some(Self { mode, pause: millis.map_or(USUAL, Duration::from_millis) })
    }

    pub fn status(self) -> Option<u16> {
        match self.mode {
            Mode::Conflict => Some(409),
            Mode::TooMany => Some(429),
            Mode::Unavailable => Some(503),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_says_what_its_call_does_wrong() {
        let fault = |input| Fault::asked_for(["plain", input]);
        assert_eq!(fault("plain"), None);
        assert_eq!(fault("!nothing:1"), None);
        assert_eq!(fault("!crash"), Some(Fault::of(Mode::Crash)));
        let slow = Fault { mode: Mode::Slow, pause: Duration::from_millis(20) };
        assert_eq!(fault("!slow:20:n1"), Some(slow));
        assert_eq!(fault("!503:x").and_then(Fault::status), Some(503));
    }
}
