//! Every way a promotion can go, tried out: people approve, change the plan, edit the binding, break
//! the glass; time goes into a freeze and out of it; decisions are carried out whole, in part or not
//! at all, in any order. Whatever happens, nobody gets around an approval, nobody approves what they
//! asked for, nothing stale counts, and nothing crosses a freeze unless the glass is broken.
//!
//! The real decisions are explored. What is right is told by what the people of the story did, not
//! by what the platform thinks of it.

use std::sync::Arc;

use super::*;

const BRAKES: &str = "approvals: { count: 2, users: [ann, bob, cid] }
    freezeWindows: [{ name: day, dated: { from: 2026-11-24, until: 2026-11-25 } }]";
/// Before the freeze, in it, and after it.
const TIMES: [&str; 3] = [NOON, "2026-11-24T12:00:00Z", "2026-11-25T12:00:00Z"];

/// What the people of a story may do.
struct Story {
    /// Who approves. Ann asked for the promotion.
    approvers: &'static [&'static str],
    /// Who breaks the glass.
    breakers: &'static [&'static str],
}

/// A moment of a story.
#[derive(Clone)]
struct Moment {
    stage: Stage,
    /// Who approved which plan.
    approved: BTreeSet<(&'static str, String)>,
    /// Who broke the glass.
    broken: Option<&'static str>,
    hour: usize,
}

/// Something that happens.
#[derive(Clone, Copy, Debug)]
enum Happening {
    Decides(&'static str, &'static str, Reach),
    Runs,
    Approves(&'static str),
    Breaks(&'static str),
    Configures,
    Binds,
    Passes,
}

impl Moment {
    fn promotion(&self) -> &Value {
        self.stage.get("Promotion", "web")
    }

    fn binding(&self) -> &Value {
        self.stage.get("ReleaseBinding", "web-production")
    }

    fn plan(&self) -> Option<String> {
        let digest = self.promotion()["status"]["planDigest"].as_str();
        digest.map(str::to_owned)
    }

    fn is_configured(&self) -> bool {
        !self.binding()["spec"]["componentTypeEnvironmentConfigs"].is_null()
    }

    /// Whether those who may and did not ask approved a plan.
    fn is_approved(&self, digest: &str) -> bool {
        ["bob", "cid"]
            .iter()
            .all(|by| self.approved.contains(&(*by, digest.to_owned())))
    }

    /// Whether somebody who may broke the glass.
    fn is_broken(&self) -> bool {
        self.broken == Some("bob")
    }

    /// What tells it apart from other moments; in which order people approved does not, nor does it
    /// matter how long ago something was.
    fn key(&self) -> String {
        let mut promotion = self.promotion().clone();
        promotion["spec"]["approvals"] = Value::Null;
        let rendered = self.stage.get("RenderedRelease", "web-production");
        let people = (&self.approved, self.broken);
        let key = format!("{promotion}{}{rendered}{people:?}", self.binding());
        let hours = TIMES.iter().enumerate();
        hours.fold(key, |key, (hour, time)| match hour == self.hour {
            true => key.replace(time, "now"),
            false => key.replace(time, "then"),
        }) + TIMES[self.hour]
    }
}

/// One index for all moments: going from one to another changes few objects.
struct Mirror {
    index: Index,
    shown: BTreeMap<Key, Arc<Value>>,
}

impl Mirror {
    fn decide(&mut self, stage: &Stage, key: &Key) -> Decision {
        for (key, object) in &stage.objects {
            let shown = self.shown.get(key);
            if shown.is_none_or(|shown| !Arc::ptr_eq(shown, object)) {
                self.index.apply(Change::Applied(Value::clone(object)));
                self.shown.insert(key.clone(), Arc::clone(object));
            }
        }
        decide_at(&self.index, key, stage.now)
    }
}

/// What was seen on all ways.
#[derive(Default)]
struct Seen {
    moments: BTreeSet<String>,
    phases: BTreeSet<String>,
    succeeded: u32,
}

impl Story {
    fn begin(&self) -> Moment {
        let mut stage = shop_with(BRAKES);
        stage.add(PROMOTION_WEB);
        Moment {
            stage,
            approved: BTreeSet::new(),
            broken: None,
            hour: 0,
        }
    }

    /// The digests of the plan without and with the configuration.
    fn plans(&self) -> [String; 2] {
        let mut moment = self.begin();
        moment.stage.step("Promotion", "web");
        let without = moment.plan().unwrap();
        configure(&mut moment.stage);
        moment.stage.step("Promotion", "web");
        let with = moment.plan().unwrap();
        assert_ne!(without, with);
        [without, with]
    }

    fn explore(&self) -> Seen {
        let plans = self.plans();
        let begin = self.begin();
        let mut mirror = Mirror {
            index: Index::default(),
            shown: BTreeMap::new(),
        };
        let mut seen = Seen::default();
        seen.moments.insert(begin.key());
        let mut open = vec![begin];
        while let Some(moment) = open.pop() {
            for (happening, next) in self.next(&moment, &mut mirror) {
                holds(&plans, &moment, happening, &next);
                let phase = next.stage.phase("web").to_owned();
                seen.succeeded += u32::from(phase == "Succeeded");
                seen.phases.insert(phase);
                if seen.moments.insert(next.key()) {
                    open.push(next);
                    assert!(seen.moments.len() < 100_000, "the story has no end");
                }
            }
        }
        seen
    }

    /// Everything that can happen at a moment, and what it leads to.
    fn next(&self, moment: &Moment, mirror: &mut Mirror) -> Vec<(Happening, Moment)> {
        let mut all = self.people(moment);
        for (kind, name) in [("Promotion", "web"), ("ReleaseBinding", "web-production")] {
            let key = Stage::key(kind, name);
            let decision = mirror.decide(&moment.stage, &key);
            let parts = (1..=decision.writes.len()).map(Reach::Writes);
            for reach in parts.chain([Reach::All]) {
                let mut next = moment.clone();
                next.stage.carry_out(&key, &decision, reach);
                all.push((Happening::Decides(kind, name, reach), next));
            }
        }
        let mut runs = moment.clone();
        runs.stage.run("web-production", "Healthy");
        all.push((Happening::Runs, runs));
        if moment.hour + 1 < TIMES.len() {
            let mut passes = moment.clone();
            passes.hour += 1;
            passes.stage.now = TIMES[passes.hour].parse().unwrap();
            all.push((Happening::Passes, passes));
        }
        all
    }

    /// What people can do at a moment.
    fn people(&self, moment: &Moment) -> Vec<(Happening, Moment)> {
        let mut all = Vec::new();
        for by in self.approvers {
            // Whether bob or cid comes first makes no difference.
            let plan = moment.plan().filter(|plan| {
                let first = moment.approved.contains(&("bob", plan.clone()));
                !moment.approved.contains(&(*by, plan.clone())) && (*by != "cid" || first)
            });
            let Some(plan) = plan else { continue };
            let mut next = moment.clone();
            next.stage.decided(by, &json!(plan), "approve");
            next.approved.insert((*by, plan));
            all.push((Happening::Approves(by), next));
        }
        for by in self.breakers.iter().filter(|_| moment.broken.is_none()) {
            let mut next = moment.clone();
            let promotion = next.stage.edit("Promotion", "web");
            promotion["spec"]["breakGlass"] = json!({ "by": by, "reason": "outage" });
            next.broken = Some(*by);
            all.push((Happening::Breaks(by), next));
        }
        if !moment.is_configured() {
            let mut next = moment.clone();
            configure(&mut next.stage);
            all.push((Happening::Configures, next));
        }
        if moment.binding()["spec"]["releaseName"] == "web-1" {
            let mut next = moment.clone();
            let mut binding =
                json!({ "kind": "ReleaseBinding", "spec": { "releaseName": "web-2" } });
            binding["metadata"]["name"] = json!("web-production");
            next.stage.apply(&binding);
            all.push((Happening::Binds, next));
        }
        all
    }
}

fn configure(stage: &mut Stage) {
    stage.apply(&json!({
        "kind": "ReleaseBinding",
        "metadata": { "name": "web-production" },
        "spec": { "componentTypeEnvironmentConfigs": { "level": "high" } },
    }));
}

/// Asserts what must hold of everything that happens.
fn holds(plans: &[String; 2], before: &Moment, happening: Happening, after: &Moment) {
    let free = before.is_broken() || before.hour != 1;
    let image = |moment: &Moment| moment.stage.image("web-production").map(str::to_owned);
    if image(before) != image(after) && image(after).as_deref() == Some("web:2") {
        let plan = before.plan().unwrap_or_default();
        let entitled = before.is_broken() || before.is_approved(&plan);
        assert!(entitled, "{happening:?} rolls out what nobody approved");
        assert!(free, "{happening:?} rolls out in a freeze");
    }
    let bound = |moment: &Moment| moment.binding()["spec"]["releaseName"].clone();
    let by_promotion = matches!(happening, Happening::Decides("Promotion", ..));
    if by_promotion && bound(before) != bound(after) {
        // What counts is the plan as it is, not as anybody remembers it.
        let plan = &plans[usize::from(before.is_configured())];
        let entitled = before.is_broken() || before.is_approved(plan);
        assert!(entitled, "{happening:?} binds what nobody approved");
        assert!(free, "{happening:?} binds in a freeze");
    }
}

#[test]
fn no_way_leads_around_an_approval() {
    let story = Story {
        approvers: &["ann", "bob", "cid"],
        breakers: &[],
    };
    let seen = story.explore();
    for phase in ["AwaitingApproval", "Frozen", "Deploying", "Succeeded"] {
        assert!(seen.phases.contains(phase), "{phase} was never reached");
    }
    assert!(seen.moments.len() > 1_000, "{}", seen.moments.len());
    assert!(seen.succeeded > 0);
}

#[test]
fn the_glass_is_broken_only_by_who_may() {
    let story = Story {
        approvers: &["ann", "bob"],
        breakers: &["bob", "eve"],
    };
    let seen = story.explore();
    assert!(seen.succeeded > 0, "the glass leads to the end");
    assert!(seen.phases.contains("AwaitingApproval"));
}
