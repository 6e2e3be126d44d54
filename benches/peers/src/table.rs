//! Runs the clients in turn and prints medians.

use crate::KINDS;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Calls under valgrind: the difference of two runs leaves out what start-up costs.
const COUNTED: [u64; 2] = [1_000, 3_000];

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

    /// The two figures that a client prints.
    fn measure(&self, program: &Path, kind: &str, in_flight: u64, calls: u64) -> [f64; 2] {
        let output = Command::new(program).args(self.arguments(kind, in_flight, calls)).output().unwrap();
        assert!(output.status.success(), "{kind}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let numbers: Vec<f64> = text.split_whitespace().map(|number| number.parse().unwrap()).collect();
        numbers.try_into().unwrap()
    }

    /// Instructions for each call; none without valgrind.
    fn instructions(&self, kind: &str, in_flight: u64) -> Option<f64> {
        let count = |calls| {
            let mut valgrind = Command::new("valgrind");
            valgrind.args(["--tool=none", "--log-file=/dev/null", "--version"]);
            if !valgrind.output().ok()?.status.success() {
                return None;
            }
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

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

pub fn run(rounds: u64, calls: u64) {
    let server = Server::start();
    let counting = this().with_file_name("allocations");
    for in_flight in [1, 64] {
        let calls = if in_flight == 1 { calls / 5 } else { calls };
        let mut measured = vec![Vec::new(); KINDS.len()];
        for _ in 0..rounds {
            for (kind, measured) in KINDS.iter().zip(&mut measured) {
                measured.push(server.measure(&this(), kind, in_flight, calls));
            }
        }
        println!("\n{in_flight} in flight, {calls} calls, medians of {rounds} interleaved rounds\n");
        println!("| channel | CPU µs/call | × | calls/s | allocations | bytes | instructions | × |");
        println!("|---|---|---|---|---|---|---|---|");
        let mut reference = None;
        for (kind, measured) in KINDS.iter().zip(&measured) {
            let column = |at: usize| median(measured.iter().map(|run| run[at]).collect());
            let [allocations, bytes] = server.measure(&counting, kind, in_flight, 2_000);
            let instructions = server.instructions(kind, in_flight);
            let (cpu, count) = (column(0), instructions.unwrap_or(f64::NAN));
            let (reference_cpu, reference_count) = *reference.get_or_insert((cpu, count));
            println!(
                "| {kind} | {cpu:.1} | {:.2} | {:.0} | {allocations:.1} | {bytes:.0} | {:.1}k | {:.2} |",
                cpu / reference_cpu,
                1.0 / column(1),
                count / 1_000.0,
                count / reference_count,
            );
        }
    }
}
