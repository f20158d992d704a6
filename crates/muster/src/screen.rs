//! Progress of a request on standard error: a bar on a terminal, else now and then a line.

use std::cell::{Cell, RefCell};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::answer::Request;
use crate::human;

/// Between two lines where there is no bar.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Where a person sees what goes on.
pub struct Screen {
    mode: Mode,
    bar: RefCell<Option<ProgressBar>>,
    lines: Cell<Option<Instant>>,
    waiting: RefCell<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Bar,
    Lines,
    Quiet,
}

impl Screen {
    pub fn new(quiet: bool) -> Self {
        let mode = match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Mode::Quiet,
            (false, true) => Mode::Bar,
            (false, false) => Mode::Lines,
        };
        Self { mode, bar: RefCell::default(), lines: Cell::default(), waiting: RefCell::default() }
    }

    pub fn shows_a_bar(&self) -> bool {
        self.mode == Mode::Bar
    }

    /// A line that stays.
    pub fn say(&self, text: &str) {
        match (&*self.bar.borrow(), self.mode) {
            (_, Mode::Quiet) => {}
            (Some(bar), _) => bar.suspend(|| eprintln!("{text}")),
            (None, _) => eprintln!("{text}"),
        }
    }

    /// How far a request is.
    pub fn show(&self, request: &Request) {
        match self.mode {
            Mode::Quiet => {}
            Mode::Bar => self.draw(request),
            Mode::Lines => self.line(request),
        }
    }

    /// The bar goes away.
    pub fn clear(&self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn draw(&self, request: &Request) {
        let mut bar = self.bar.borrow_mut();
        let bar = bar.get_or_insert_with(|| new_bar(request));
        if request.done > 0 || request.phase != "waiting" {
            bar.set_position(request.done);
        }
        bar.set_message(match (&request.waiting_reason, request.failed) {
            (Some(_), _) => request.outlook(),
            (None, 0) => String::new(),
            (None, failed) => format!("{} failed", human::count(failed)),
        });
    }

    fn line(&self, request: &Request) {
        let reason = request.waiting_reason.clone().unwrap_or_default();
        if !reason.is_empty() && *self.waiting.borrow() != reason {
            eprintln!("{}: waiting: {}", request.model, request.outlook());
            self.waiting.replace(reason);
        }
        let begun = self.lines.get().unwrap_or_else(Instant::now);
        if request.done > 0 && begun.elapsed() >= LINE_EVERY {
            let done = human::count(request.done);
            eprintln!("{}: {done} of {}", request.model, human::counted(request.inputs, "input"));
            self.lines.set(Some(Instant::now()));
        } else {
            self.lines.set(Some(begun));
        }
    }
}

fn new_bar(request: &Request) -> ProgressBar {
    let bar = ProgressBar::new(request.inputs);
    let template =
        "{prefix} [{bar:30}] {human_pos}/{human_len} {per_sec:.dim} ETA {eta} {wide_msg}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_prefix(request.model.clone());
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
