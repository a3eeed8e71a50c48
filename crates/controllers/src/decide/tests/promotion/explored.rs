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

/// What a story is about: it runs its first release in production, and its second is promoted there.
struct Subject {
    kind: &'static str,
    binding: &'static str,
    /// The fields of the binding that name its release and its configuration.
    fields: [&'static str; 2],
    releases: [&'static str; 2],
    /// The image of the second release.
    image: &'static str,
    promotion: &'static str,
    shop: fn(&str) -> Stage,
    rendered: fn() -> String,
    /// Another line of the component, with the release that somebody names there. Nobody asks for its
    /// promotion, so it stays as it is.
    neighbour: Option<(&'static str, &'static str)>,
}

const COMPONENT: &Subject = &Subject {
    kind: "ReleaseBinding",
    binding: "web-production",
    fields: ["releaseName", "componentTypeEnvironmentConfigs"],
    releases: ["web-1", "web-2"],
    image: "web:2",
    promotion: PROMOTION_WEB,
    shop: shop_with,
    rendered: || "web-production".to_owned(),
    neighbour: None,
};
const TRACK: &Subject = &Subject {
    kind: "ReleaseBinding",
    binding: "web--v2-production",
    fields: ["releaseName", "componentTypeEnvironmentConfigs"],
    releases: ["web--v2-1", "web--v2-2"],
    image: "web-v2:2",
    promotion: track::PROMOTION,
    shop: track::shop_with_track,
    rendered: || "web--v2-production".to_owned(),
    neighbour: Some(("web-production", "web-2")),
};
const RESOURCE: &Subject = &Subject {
    kind: "ResourceReleaseBinding",
    binding: "db-production",
    fields: ["resourceRelease", "resourceTypeEnvironmentConfigs"],
    releases: ["db-1", "db-2"],
    image: "db:2",
    promotion: resources::PROMOTION,
    shop: resources::with_database,
    rendered: resources::rendered,
    neighbour: None,
};

/// What the people of a story may do.
struct Story {
    subject: &'static Subject,
    /// Who approves. Ann asked for the promotion.
    approvers: &'static [&'static str],
    /// Who breaks the glass.
    breakers: &'static [&'static str],
    /// Whether somebody changes the plan.
    configured: bool,
    /// Whether somebody names the release in the binding.
    bound: bool,
    /// How often time passes.
    hours: usize,
}

impl Story {
    const fn of(subject: &'static Subject) -> Self {
        Self {
            subject,
            approvers: &[],
            breakers: &[],
            configured: false,
            bound: false,
            hours: 0,
        }
    }
}

/// A moment of a story.
#[derive(Clone)]
struct Moment {
    subject: &'static Subject,
    stage: Stage,
    /// Who approved which plan.
    approved: BTreeSet<(&'static str, String)>,
    /// Who broke the glass.
    broken: Option<&'static str>,
    hour: usize,
}

impl Moment {
    fn promotion(&self) -> &Value {
        self.stage.get("Promotion", "web")
    }

    fn binding(&self) -> &Value {
        self.stage.get(self.subject.kind, self.subject.binding)
    }

    /// What the neighbour is asked to run, and what it runs.
    fn neighbour(&self) -> Option<(&Value, Option<&str>)> {
        let (binding, _) = self.subject.neighbour?;
        let spec = &self.stage.get("ReleaseBinding", binding)["spec"];
        Some((&spec["releaseName"], self.stage.image(binding)))
    }

    fn plan(&self) -> Option<String> {
        let digest = self.promotion()["status"]["planDigest"].as_str();
        digest.map(str::to_owned)
    }

    fn is_configured(&self) -> bool {
        !self.binding()["spec"][self.subject.fields[1]].is_null()
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

    /// What tells it apart from other moments, as far as anything follows of it: not the order in
    /// which people approved, nor how long ago something was, nor what is only told to people.
    fn key(&self) -> String {
        let (promotion, binding) = (&self.promotion()["status"], self.binding());
        let name = (self.subject.rendered)();
        let rendered = self.stage.get("RenderedRelease", &name);
        let status = &binding["status"];
        let all = status["conditions"].as_array().into_iter().flatten();
        let mut ready = all.filter(|one| one["type"] == "Ready");
        let ready = ready
            .next()
            .map(|one| (&one["status"], &one["lastTransitionTime"]));
        let key = format!(
            "{:?}",
            (
                [
                    &promotion["phase"],
                    &promotion["planDigest"],
                    &promotion["plan"]
                ],
                (
                    &promotion["startedAt"],
                    &binding["spec"],
                    &binding["metadata"]["generation"]
                ),
                [
                    &status["release"],
                    &status["provenReleases"],
                    &status["observedGeneration"]
                ],
                (
                    ready,
                    &rendered["metadata"]["generation"],
                    &rendered["status"]["resources"]
                ),
                (
                    &rendered["status"]["observedGeneration"],
                    self.stage.image(&name)
                ),
                (&self.approved, self.broken, self.hour),
                self.neighbour(),
            )
        );
        let hours = TIMES.iter().enumerate();
        hours.fold(key, |key, (hour, time)| {
            key.replace(time, if hour == self.hour { "now" } else { "then" })
        })
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
                self.index.apply(Change::applied(object).unwrap());
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
}

impl Story {
    fn begin(&self) -> Moment {
        let subject = self.subject;
        let mut stage = (subject.shop)(BRAKES);
        stage.add(subject.promotion);
        Moment {
            subject,
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
        configure(&mut moment);
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
                holds(&plans, &moment, &happening, &next);
                let phase = next.stage.phase("web").to_owned();
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
    fn next(&self, moment: &Moment, mirror: &mut Mirror) -> Vec<(String, Moment)> {
        let mut all = self.people(moment);
        let subject = self.subject;
        let neighbour = subject
            .neighbour
            .map(|(binding, _)| ("ReleaseBinding", binding));
        let own = [("Promotion", "web"), (subject.kind, subject.binding)];
        for (kind, name) in own.into_iter().chain(neighbour) {
            let key = Stage::key(kind, name);
            let decision = mirror.decide(&moment.stage, &key);
            let parts = (1..=decision.writes.len()).map(Reach::Writes);
            for reach in parts.chain([Reach::All]) {
                let mut next = moment.clone();
                next.stage.carry_out(&key, &decision, reach);
                all.push((format!("{kind} decides, {reach:?}"), next));
            }
        }
        let mut runs = moment.clone();
        runs.stage.run(&(subject.rendered)(), "Healthy");
        all.push(("the objects run".to_owned(), runs));
        if moment.hour < self.hours {
            let mut passes = moment.clone();
            passes.hour += 1;
            passes.stage.now = TIMES[passes.hour].parse().unwrap();
            all.push(("time passes".to_owned(), passes));
        }
        all
    }

    /// What people can do at a moment.
    fn people(&self, moment: &Moment) -> Vec<(String, Moment)> {
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
            all.push((format!("{by} approves"), next));
        }
        for by in self.breakers.iter().filter(|_| moment.broken.is_none()) {
            let mut next = moment.clone();
            let promotion = next.stage.edit("Promotion", "web");
            promotion["spec"]["breakGlass"] = json!({ "by": by, "reason": "outage" });
            next.broken = Some(*by);
            all.push((format!("{by} breaks the glass"), next));
        }
        if self.configured && !moment.is_configured() {
            let mut next = moment.clone();
            configure(&mut next);
            all.push(("somebody configures".to_owned(), next));
        }
        let (subject, release) = (self.subject, self.subject.fields[0]);
        if self.bound && moment.binding()["spec"][release] == subject.releases[0] {
            let mut next = moment.clone();
            next.stage.apply(&json!({
                "kind": subject.kind,
                "metadata": { "name": subject.binding },
                "spec": { release: subject.releases[1] },
            }));
            all.push(("somebody binds".to_owned(), next));
        }
        if let Some((binding, release)) = subject.neighbour.filter(|_| self.bound)
            && moment
                .neighbour()
                .is_some_and(|(named, _)| named != release)
        {
            let mut next = moment.clone();
            next.stage.apply(&json!({
                "kind": "ReleaseBinding",
                "metadata": { "name": binding },
                "spec": { "releaseName": release },
            }));
            all.push(("somebody binds the other line".to_owned(), next));
        }
        all
    }
}

fn configure(moment: &mut Moment) {
    let subject = moment.subject;
    let configs = subject.fields[1];
    moment.stage.apply(&json!({
        "kind": subject.kind,
        "metadata": { "name": subject.binding },
        "spec": { configs: { "level": "high" } },
    }));
}

/// Asserts what must hold of everything that happens.
fn holds(plans: &[String; 2], before: &Moment, happening: &str, after: &Moment) {
    let free = before.is_broken() || before.hour != 1;
    let subject = before.subject;
    let rendered = (subject.rendered)();
    let image = |moment: &Moment| moment.stage.image(&rendered).map(str::to_owned);
    if image(before) != image(after) && image(after).as_deref() == Some(subject.image) {
        let plan = before.plan().unwrap_or_default();
        let entitled = before.is_broken() || before.is_approved(&plan);
        assert!(entitled, "{happening} rolls out what nobody approved");
        assert!(free, "{happening} rolls out in a freeze");
    }
    let beside = |moment: &Moment| {
        moment
            .neighbour()
            .map(|(_, image)| image.map(str::to_owned))
    };
    assert_eq!(
        beside(before),
        beside(after),
        "{happening} lets the other line through"
    );
    let bound = |moment: &Moment| moment.binding()["spec"][subject.fields[0]].clone();
    let by_promotion = happening.starts_with("Promotion");
    if by_promotion && bound(before) != bound(after) {
        // What counts is the plan as it is, not as anybody remembers it.
        let plan = &plans[usize::from(before.is_configured())];
        let entitled = before.is_broken() || before.is_approved(plan);
        assert!(entitled, "{happening} binds what nobody approved");
        assert!(free, "{happening} binds in a freeze");
    }
}

impl Seen {
    /// Asserts how far the story came: that it was told at all.
    fn reached(&self, phases: &[&str], moments: usize) {
        for phase in phases {
            assert!(self.phases.contains(*phase), "{phase} was never reached");
        }
        assert!(self.moments.len() > moments, "{}", self.moments.len());
    }
}

#[test]
fn no_way_leads_around_an_approval() {
    let story = Story {
        approvers: &["bob", "cid"],
        configured: true,
        bound: true,
        ..Story::of(COMPONENT)
    };
    story
        .explore()
        .reached(&["AwaitingApproval", "Deploying"], 300);
}

#[test]
fn nobody_approves_what_they_asked_for() {
    let story = Story {
        approvers: &["ann", "bob", "eve"],
        configured: true,
        bound: true,
        ..Story::of(COMPONENT)
    };
    let seen = story.explore();
    seen.reached(&["AwaitingApproval"], 100);
    assert!(
        !seen.phases.contains("Deploying"),
        "bob alone is not enough"
    );
}

#[test]
fn nothing_crosses_a_freeze() {
    let story = Story {
        approvers: &["bob", "cid"],
        bound: true,
        hours: 2,
        ..Story::of(COMPONENT)
    };
    let phases = ["AwaitingApproval", "Frozen", "Deploying", "Succeeded"];
    story.explore().reached(&phases, 300);
}

#[test]
fn the_glass_is_broken_only_by_who_may() {
    let story = Story {
        approvers: &["bob"],
        breakers: &["bob", "eve"],
        configured: true,
        bound: false,
        hours: 2,
        subject: COMPONENT,
    };
    let phases = ["AwaitingApproval", "Deploying", "Succeeded"];
    story.explore().reached(&phases, 300);
}

/// The stories of approvals and of a freeze, told of a subject.
fn goes_no_other_way(subject: &'static Subject, moments: usize) {
    let story = Story {
        approvers: &["bob", "cid"],
        configured: true,
        bound: true,
        ..Story::of(subject)
    };
    story
        .explore()
        .reached(&["AwaitingApproval", "Deploying"], moments);
    let story = Story {
        approvers: &["bob", "cid"],
        breakers: &["eve"],
        bound: true,
        hours: 2,
        ..Story::of(subject)
    };
    let phases = ["AwaitingApproval", "Frozen", "Deploying", "Succeeded"];
    story.explore().reached(&phases, moments);
}

#[test]
fn tracks_go_no_other_way() {
    goes_no_other_way(TRACK, 600);
}

#[test]
fn managed_resources_go_no_other_way() {
    goes_no_other_way(RESOURCE, 300);
}
