//! What the user sees: a table that is redrawn on a terminal, and printed step by step elsewhere.

use super::load::Summary;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::Write as _;

/// Events that are shown at a time.
const EVENTS: usize = 8;
const VERSIONS: [&str; 3] = ["v1", "v2", "v3"];

/// What the user sees.
#[derive(Debug)]
pub(super) struct Table {
    /// Whether it is redrawn.
    live: bool,
    rows: Vec<String>,
    events: VecDeque<String>,
    /// Lines that the next drawing replaces.
    drawn: usize,
}

impl Table {
    pub(super) fn new(live: bool) -> Self {
        let table = Self { live, rows: Vec::new(), events: VecDeque::new(), drawn: 0 };
        if !live {
            println!("{}", header());
        }
        table
    }

    /// Something happened.
    pub(super) fn event(&mut self, text: impl Into<String>) {
        let text = text.into();
        if !self.live {
            println!("      · {text}");
        }
        self.events.push_back(text);
        if self.events.len() > EVENTS {
            self.events.pop_front();
        }
    }

    /// A step is over.
    pub(super) fn row(&mut self, step: &str, summary: &Summary, version: &str, verdict: &str) {
        let row = format!("{}  {verdict}", row(step, summary, version));
        if !self.live {
            println!("{row}");
        }
        self.rows.push(row);
    }

    /// Shows how it stands now; only on a terminal.
    pub(super) fn draw(&mut self, step: &str, summary: &Summary, version: &str) {
        if !self.live {
            return;
        }
        let mut text = String::new();
        if self.drawn > 0 {
            // Up to the first line of the last drawing, and clear from there.
            let _ = write!(text, "\x1b[{}A\x1b[J", self.drawn);
        }
        let mut lines = vec![header()];
        lines.extend(self.rows.iter().cloned());
        lines.push(row(step, summary, version));
        lines.push(String::new());
        lines.extend(self.events.iter().map(|event| format!("  · {event}")));
        self.drawn = lines.len();
        // Long lines are cut while this is drawn: one that wraps would break the count.
        let _ = write!(text, "\x1b[?7l{}\n\x1b[?7h", lines.join("\n"));
        let mut out = std::io::stdout().lock();
        // Without a terminal to draw on there is nobody to tell.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

fn header() -> String {
    format!(
        "{:<42} {:>7} {:>7} {:>7} {:>7} {:>8} {:>8} {:>8}  {:<10}",
        "step", "v1", "v2", "v3", "pages/s", "success", "p50 ms", "p99 ms", "config"
    )
}

fn row(step: &str, summary: &Summary, version: &str) -> String {
    let mut row = format!("{step:<42}");
    for name in VERSIONS {
        let share = 100.0 * summary.with(name) as f64 / summary.len().max(1) as f64;
        let _ = write!(row, " {share:>6.1}%");
    }
    let ms = |share| 1e3 * summary.quantile(share).as_secs_f64();
    let _ = write!(
        row,
        " {:>7.0} {:>7.2}% {:>8.2} {:>8.2}  {version:<10}",
        summary.rate(),
        100.0 * summary.success(),
        ms(0.5),
        ms(0.99)
    );
    row
}
