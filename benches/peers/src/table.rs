//! Runs the clients in turn and prints medians.

use crate::KINDS;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Calls under valgrind: the difference of two runs leaves out what start-up costs.
const COUNTED: [u64; 2] = [1_000, 3_000];
/// Calls of which the allocations are counted.
const ALLOCATING: u64 = 2_000;

struct Server {
    process: Child,
    addresses: String,
    control_plane: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn this() -> PathBuf {
    std::env::current_exe().unwrap()
}

impl Server {
    fn start() -> Self {
        let mut process = Command::new(this()).arg("server").stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let (addresses, control_plane) = line.trim().split_once(' ').unwrap();
        Self { addresses: addresses.to_owned(), control_plane: control_plane.to_owned(), process }
    }

    fn arguments(&self, kind: &str, in_flight: u64, calls: u64) -> [String; 6] {
        [
            "client".to_owned(),
            kind.to_owned(),
            self.addresses.clone(),
            self.control_plane.clone(),
            in_flight.to_string(),
            calls.to_string(),
        ]
    }

    /// The two figures that a client prints, or why it failed.
    fn measure(&self, program: &Path, kind: &str, in_flight: u64, calls: u64) -> Result<[f64; 2], String> {
        let output = Command::new(program).args(self.arguments(kind, in_flight, calls)).output();
        let output = output.map_err(|error| format!("{}: {error}", program.display()))?;
        if !output.status.success() {
            return Err(reason(&output.stderr));
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let numbers: Vec<f64> = text.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        numbers.try_into().map_err(|_| format!("printed {text:?}"))
    }

    /// Instructions for each call; none without valgrind.
    fn instructions(&self, kind: &str, in_flight: u64) -> Option<f64> {
        let count = |calls| {
            let log = std::env::temp_dir().join(format!("peers-{}.log", std::process::id()));
            let output = Command::new("valgrind")
                .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
                .arg(format!("--log-file={}", log.display()))
                .arg(this())
                .args(self.arguments(kind, in_flight, calls))
                .output()
                .ok()?;
            let text = std::fs::read_to_string(&log).ok()?;
            let _ = std::fs::remove_file(&log);
            if !output.status.success() {
                return None;
            }
            let line = text.lines().find(|line| line.contains("Collected :"))?;
            line.rsplit(' ').next()?.parse::<f64>().ok()
        };
        Some((count(COUNTED[1])? - count(COUNTED[0])?) / (COUNTED[1] - COUNTED[0]) as f64)
    }
}

/// The line of what a process printed when it failed that says why.
fn reason(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines = text.lines().filter(|line| !line.starts_with("note:") && !line.trim().is_empty());
    lines.last().unwrap_or("no reason given").trim().to_owned()
}

/// The figures of one kind of channel.
#[derive(Default)]
struct Row {
    cpu: Vec<f64>,
    seconds: Vec<f64>,
    allocations: Option<[f64; 2]>,
    instructions: Option<f64>,
    failure: Option<String>,
}

/// The median, the least and the greatest.
fn spread(numbers: &[f64]) -> Option<[f64; 3]> {
    let mut numbers = numbers.to_vec();
    numbers.sort_by(f64::total_cmp);
    Some([*numbers.get(numbers.len() / 2)?, *numbers.first()?, *numbers.last()?])
}

/// Prints a table for one call in flight and one for many. Without rounds only what is exact is measured.
pub fn run(rounds: u64, calls: u64) {
    let server = Server::start();
    for in_flight in [1, 64] {
        let calls = if in_flight == 1 { calls / 5 } else { calls };
        print(rounds, calls, in_flight, &measure(&server, rounds, calls, in_flight));
    }
}

fn measure(server: &Server, rounds: u64, calls: u64, in_flight: u64) -> Vec<Row> {
    let counting = this().with_file_name("allocations");
    let mut rows: Vec<Row> = KINDS.iter().map(|_| Row::default()).collect();
    for (kind, row) in KINDS.iter().zip(&mut rows) {
        match server.measure(&counting, kind, in_flight, ALLOCATING) {
            Ok(figures) => row.allocations = Some(figures),
            Err(error) => row.failure = Some(error),
        }
    }
    for _ in 0..rounds {
        for (kind, row) in KINDS.iter().zip(&mut rows).filter(|(_, row)| row.failure.is_none()) {
            match server.measure(&this(), kind, in_flight, calls) {
                Ok([cpu, seconds]) => {
                    row.cpu.push(cpu);
                    row.seconds.push(seconds);
                }
                Err(error) => row.failure = Some(error),
            }
        }
    }
    for (kind, row) in KINDS.iter().zip(&mut rows).filter(|(_, row)| row.failure.is_none()) {
        row.instructions = server.instructions(kind, in_flight);
    }
    rows
}

fn print(rounds: u64, calls: u64, in_flight: u64, rows: &[Row]) {
    println!(
        "\n{in_flight} in flight; CPU and rate: medians of {rounds} interleaved rounds of {calls} calls\n"
    );
    println!(
        "| channel | instructions | × | allocations | bytes | CPU µs/call (least–greatest) | × | calls/s |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let figure = |figure: Option<f64>, digits: usize| {
        figure.map_or("–".into(), |figure| format!("{figure:.digits$}"))
    };
    let ratio = |a: Option<f64>, b: Option<f64>| a.zip(b).map(|(a, b)| a / b);
    let cpu = |row: &Row| spread(&row.cpu).map(|[median, ..]| median);
    for (kind, row) in KINDS.iter().zip(rows) {
        if let Some(failure) = &row.failure {
            println!("| {kind} | failed: {failure} | | | | | | |");
            continue;
        }
        let range =
            spread(&row.cpu).map(|[median, least, most]| format!("{median:.1} ({least:.1}–{most:.1})"));
        println!(
            "| {kind} | {} | {} | {} | {} | {} | {} | {} |",
            figure(row.instructions, 0),
            figure(ratio(row.instructions, rows[0].instructions), 3),
            figure(row.allocations.map(|[count, _]| count), 1),
            figure(row.allocations.map(|[_, bytes]| bytes), 0),
            range.unwrap_or("–".into()),
            figure(ratio(cpu(row), cpu(&rows[0])), 2),
            figure(spread(&row.seconds).map(|[median, ..]| 1.0 / median), 0),
        );
    }
}
