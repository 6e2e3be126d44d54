//! The walk: what is done in each step, and whether the traffic did what the YAML says.

use super::config::{ALL_V1, CANARY, Config, JASON, REVIEWS};
use super::control::Control;
use super::load::Load;
use super::services::{self, Clients, Replica};
use super::table::Table;
use super::{Options, Outcome};
use mesh_core::Mesh;
use mesh_core::clock::{Instant, now, sleep};
use mesh_core::error::BoxError;
use mesh_core::resource::Kind;
use mesh_core::telemetry::events::Event;
use mesh_hyper::Client;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::broadcast;

/// How long the control plane, the mesh, or one page may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often things are looked at.
const GLANCE: Duration = Duration::from_millis(20);
/// How often the table is drawn.
const REDRAW: Duration = Duration::from_millis(250);
/// Configuration that has not changed for this long is all there.
const SETTLED: Duration = Duration::from_millis(400);
/// A share may be off by so many standard deviations. With a few dozen pages and rare versions chance goes beyond that
/// once in hundreds of thousands of walks, with more it hardly ever does.
const DEVIATIONS: f64 = 6.0;

/// Everything that runs.
struct Walk {
    options: Options,
    replicas: Vec<Replica>,
    clients: Clients,
    config: Config,
    control: Control,
    mesh: Mesh,
    events: broadcast::Receiver<Event>,
    load: Load,
    table: Table,
    began: Instant,
    version: String,
    /// What did not go as it should.
    complaints: Vec<String>,
}

/// How far the mesh has come with the configuration.
#[derive(PartialEq)]
struct State {
    version: String,
    /// The number of the snapshot.
    snapshot: u64,
    /// Nothing that was asked for is still to come.
    whole: bool,
}

/// Walks through all steps.
pub(super) async fn walk(options: Options) -> Result<Outcome, BoxError> {
    let mut replicas = services::bind().await?;
    let config = Config::create(&replicas)?;
    let (control, mesh) = match &options.serve {
        Some(program) => Control::served(program, config.path()).await?,
        None => Control::embedded(config.path())?,
    };
    let clients = Clients::new(&mesh)?;
    for replica in &mut replicas {
        replica.start(&clients).await?;
    }
    let table = Table::new(options.live);
    let events = mesh.events();
    let began = now();
    let load = Load::start(Client::new(&mesh), options.rate);
    let mut walk = Walk {
        options,
        replicas,
        clients,
        config,
        control,
        mesh,
        events,
        load,
        table,
        began,
        version: String::new(),
        complaints: Vec::new(),
    };
    walk.steps().await?;
    Ok(walk.finish().await)
}

impl Walk {
    async fn steps(&mut self) -> Result<(), BoxError> {
        self.all_there("").await?;
        self.step("1 everybody to v1", &[("v1", 1.0)], &[("v1", 1.0)]).await;

        self.config.set_reviews(CANARY)?;
        self.taken_on().await?;
        let canary = [("v1", 0.9), ("v3", 0.1)];
        self.step("2 canary: 90 % v1, 10 % v3", &canary, &canary).await;

        self.config.set_reviews(JASON)?;
        self.taken_on().await?;
        self.step("3 jason to v2, everybody else to v1", &[("v2", 1.0)], &[("v1", 1.0)]).await;

        self.lose_and_regain().await?;
        self.edit().await
    }

    /// Kills a replica of the reviews and one of the ratings, and brings them back.
    async fn lose_and_regain(&mut self) -> Result<(), BoxError> {
        let victims = [self.find("reviews", "v1"), self.find("ratings", "v1")];
        for victim in victims {
            self.replicas[victim].kill().await;
            let replica = &self.replicas[victim];
            self.table.event(format!("killed {} {} at {}", replica.app, replica.version, replica.address));
        }
        let served = victims.map(|victim| self.replicas[victim].served());
        self.step("4 a reviews and a ratings endpoint dead", &[("v2", 1.0)], &[("v1", 1.0)]).await;
        if victims.map(|victim| self.replicas[victim].served()) != served {
            self.complain("a dead endpoint answered");
        }
        for victim in victims {
            self.replicas[victim].start(&self.clients).await?;
            let replica = &self.replicas[victim];
            self.table.event(format!("brought back {} at {}", replica.app, replica.address));
        }
        let step = "  both brought back";
        let (start, used) = (now(), |walk: &Self| {
            victims.iter().zip(served).all(|(&victim, before)| walk.replicas[victim].served() > before)
        });
        while !used(self) && now() < start + PATIENCE {
            self.glance(step, start).await;
        }
        if !used(self) {
            self.complain("an endpoint that came back is not used again");
        }
        self.step(step, &[("v2", 1.0)], &[("v1", 1.0)]).await;
        Ok(())
    }

    /// Edits the YAML where it lies: well, badly, and well again.
    async fn edit(&mut self) -> Result<(), BoxError> {
        let half =
            |text: String| text.replace("weight: 90", "weight: 50").replace("weight: 10", "weight: 50");
        self.config.set_reviews(CANARY)?;
        self.config.edit_reviews(half)?;
        self.taken_on().await?;
        let halves = [("v1", 0.5), ("v3", 0.5)];
        self.step("5 edited: half v1, half v3", &halves, &halves).await;

        let mut complaint = self.control.complaint();
        self.config.edit_reviews(|text| text.replace("weight:", "wieght:"))?;
        let in_force = self.version.clone();
        let told = tokio::time::timeout(PATIENCE, complaint.wait_for(|text| text.contains(REVIEWS))).await;
        match told {
            Ok(Ok(text)) => self.table.event(format!("refused: {}", text.as_str())),
            _ => self.complain("nobody complained about the invalid edit"),
        }
        self.step("  edited badly: the last good one stays", &halves, &halves).await;
        if self.state().await?.version != in_force {
            self.complain("the invalid edit made another configuration");
        }

        self.config.set_reviews(&ALL_V1.replace("subset: v1", "subset: v3"))?;
        self.taken_on().await?;
        self.step("  edited well again: everybody to v3", &[("v3", 1.0)], &[("v3", 1.0)]).await;
        Ok(())
    }

    /// Watches as many pages as a step takes, and compares the shares of the versions with what is expected.
    async fn step(&mut self, name: &str, jason: &[(&str, f64)], others: &[(&str, f64)]) {
        let start = now();
        let (mut count, mut since) = (0, start);
        while count < self.options.pages && now() < since + PATIENCE {
            self.glance(name, start).await;
            let before = std::mem::replace(&mut count, self.load.count(start));
            if count > before {
                since = now();
            }
        }
        let summary = self.load.since(start);
        let mut wrong = Vec::new();
        if summary.len() < self.options.pages {
            wrong.push(format!("only {} pages, and then none for {PATIENCE:?}", summary.len()));
        }
        for (who, got, expected) in [("jason", &summary.jason, jason), ("others", &summary.others, others)] {
            wrong.extend(compare(got, expected).into_iter().map(|why| format!("{who}: {why}")));
        }
        if !summary.failures.is_empty() {
            wrong.push(format!(
                "{} pages failed, the first: {}",
                summary.failures.len(),
                summary.failures[0]
            ));
        }
        let verdict = if wrong.is_empty() { "ok" } else { "WRONG" };
        self.table.row(name, &summary, &self.version, verdict);
        wrong.into_iter().for_each(|why| self.complain(&format!("{}: {why}", name.trim())));
    }

    fn complain(&mut self, what: &str) {
        self.table.event(format!("WRONG: {what}"));
        self.complaints.push(what.to_owned());
    }

    /// Waits a little, and shows how it stands.
    async fn glance(&mut self, step: &str, since: Instant) {
        let pause = if self.options.live { REDRAW } else { GLANCE };
        sleep(pause).await;
        while let Ok(event) = self.events.try_recv() {
            if !matches!(event, Event::Snapshot(_)) {
                self.table.event(event.to_string());
            }
        }
        if self.options.live {
            self.table.draw(step, &self.load.since(since), &self.version);
        }
    }

    /// Waits until configuration other than that in force is all there.
    async fn taken_on(&mut self) -> Result<(), BoxError> {
        let before = self.version.clone();
        self.all_there(&before).await?;
        self.table.event(format!("configuration {before} → {}", self.version));
        Ok(())
    }

    /// Waits until the configuration is another than `before`, and nothing is missing or changes any more.
    async fn all_there(&mut self, before: &str) -> Result<(), BoxError> {
        let start = now();
        let (mut seen, mut since) = (self.state().await?, now());
        loop {
            sleep(GLANCE).await;
            let state = self.state().await?;
            if state != seen {
                (seen, since) = (state, now());
            }
            if seen.whole && seen.version != before && now() >= since + SETTLED {
                self.version = seen.version;
                return Ok(());
            }
            if now() > start + PATIENCE {
                return Err(format!("no new configuration within {PATIENCE:?}").into());
            }
        }
    }

    async fn state(&self) -> Result<State, BoxError> {
        let report = self.mesh.report().await?;
        let snapshot = self.mesh.published().load().number;
        let whole = report.resources.iter().all(|resource| resource.status != "pending");
        let versions = report.control_plane.map(|control_plane| control_plane.versions).unwrap_or_default();
        let version = versions.into_iter().find(|(kind, _)| *kind == Kind::Route).map(|(_, version)| version);
        let whole = whole && version.is_some();
        Ok(State { version: version.unwrap_or_default(), snapshot, whole })
    }

    fn find(&self, app: &str, version: &str) -> usize {
        let is = |replica: &Replica| replica.app == app && replica.version == version;
        self.replicas.iter().position(is).unwrap_or_default()
    }

    async fn finish(mut self) -> Outcome {
        let lost = self.load.finish().await;
        if lost > 0 {
            self.complaints.push(format!("nothing came of {lost} pages"));
        }
        let all = self.load.since(self.began);
        let name = "all pages, changes included";
        match self.options.live {
            true => self.table.draw(name, &all, &self.version),
            false => self.table.row(name, &all, &self.version, ""),
        }
        if !all.failures.is_empty() {
            let mut reasons = BTreeMap::<_, usize>::new();
            for reason in &all.failures {
                *reasons.entry(reason.as_str()).or_default() += 1;
            }
            for (reason, count) in reasons {
                self.complaints.push(format!("{count} failed: {reason}"));
            }
        }
        Outcome { pages: all.len(), failed: all.failures.len() + lost, wrong: self.complaints }
    }
}

/// What is wrong with the shares of the versions, if anything is.
fn compare(got: &BTreeMap<String, usize>, expected: &[(&str, f64)]) -> Option<String> {
    let total = got.values().sum::<usize>() as f64;
    if total == 0.0 {
        return Some("no pages".to_owned());
    }
    if let Some(other) = got.keys().find(|version| !expected.iter().any(|(name, _)| name == version)) {
        return Some(format!("pages with {other}, which the YAML does not say: {got:?}"));
    }
    expected.iter().find_map(|&(version, share)| {
        let count = got.get(version).copied().unwrap_or(0) as f64;
        let allowed = DEVIATIONS * (total * share * (1.0 - share)).sqrt();
        let off = (count - total * share).abs() > allowed;
        off.then(|| {
            format!("{count} of {total} pages with {version}, expected {:.0} ± {allowed:.0}", total * share)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn got(counts: &[(&str, usize)]) -> BTreeMap<String, usize> {
        counts.iter().map(|(version, count)| ((*version).to_owned(), *count)).collect()
    }

    #[test]
    fn shares_may_be_off_by_chance_only() {
        let canary = [("v1", 0.9), ("v3", 0.1)];
        assert_eq!(compare(&got(&[("v1", 900), ("v3", 100)]), &canary), None);
        assert_eq!(compare(&got(&[("v1", 930), ("v3", 70)]), &canary), None);
        assert!(compare(&got(&[("v1", 990), ("v3", 10)]), &canary).unwrap().contains("990 of 1000"));
        assert!(compare(&got(&[("v1", 1000)]), &canary).is_some());
        assert!(compare(&got(&[]), &canary).is_some());
    }

    #[test]
    fn without_weights_there_is_no_chance() {
        assert_eq!(compare(&got(&[("v1", 3)]), &[("v1", 1.0)]), None);
        assert!(compare(&got(&[("v1", 300), ("v2", 1)]), &[("v1", 1.0)]).unwrap().contains("v2"));
    }
}
