//! The names of a definition: a group has every name of a resource and every kind once, so
//! that `kubectl get NAME` means one thing. Who comes later waits until the name is free.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::{
    core::Core,
    resource::Resource,
    schema::{strings, text},
};

/// The names that are taken in a group.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    resources: BTreeSet<String>,
    kinds: BTreeSet<String>,
}

impl Taken {
    /// What everything else than `plural` has taken of `group`.
    pub(crate) fn by_others(core: &Core, group: &str, plural: &str) -> Self {
        let catalog = core.catalog();
        let others = catalog
            .all()
            .filter(|other| other.group == group && other.plural != plural);
        let mut taken = Self::default();
        others.for_each(|other| taken.add(other));
        taken
    }

    fn add(&mut self, other: &Resource) {
        let names = [&other.plural, &other.singular].into_iter();
        self.resources
            .extend(names.chain(&other.short_names).cloned());
        self.kinds
            .extend([&other.kind, &other.list_kind].into_iter().cloned());
    }
}

/// What a definition is called from now on, and what stands in its way.
pub(super) struct Claim {
    pub(super) accepted: Map<String, Value>,
    /// Reason and message.
    pub(super) conflict: Option<(&'static str, String)>,
}

/// The names that are asked for as far as they are free, else those that were accepted before.
pub(super) fn claim(wanted: &Value, before: &Value, taken: &Taken) -> Claim {
    let mut claim = Claim {
        accepted: before.as_object().cloned().unwrap_or_default(),
        conflict: None,
    };
    claim.name("plural", "PluralConflict", wanted, &taken.resources);
    claim.name("singular", "SingularConflict", wanted, &taken.resources);
    claim.short_names(wanted, &taken.resources);
    claim.name("kind", "KindConflict", wanted, &taken.kinds);
    claim.name("listKind", "ListKindConflict", wanted, &taken.kinds);
    claim.take("categories", wanted);
    // These two must be there.
    for key in ["plural", "kind"] {
        claim.accepted.entry(key).or_insert_with(|| json!(""));
    }
    claim
}

impl Claim {
    fn name(&mut self, key: &str, reason: &'static str, wanted: &Value, taken: &BTreeSet<String>) {
        let name = text(wanted, key).unwrap_or_default();
        let known = self.accepted.get(key).and_then(Value::as_str);
        if known != Some(name) && taken.contains(name) {
            self.conflict = Some((reason, in_use(name)));
        } else {
            self.take(key, wanted);
        }
    }

    fn short_names(&mut self, wanted: &Value, taken: &BTreeSet<String>) {
        let before = Value::Object(self.accepted.clone());
        let own: BTreeSet<&str> = strings(&before, "shortNames").collect();
        let problems: Vec<String> = strings(wanted, "shortNames")
            .filter(|name| !own.contains(name) && taken.contains(*name))
            .map(in_use)
            .collect();
        match problems.as_slice() {
            [] => self.take("shortNames", wanted),
            [one] => self.conflict = Some(("ShortNamesConflict", one.clone())),
            all => {
                let all = format!("[{}]", all.join(", "));
                self.conflict = Some(("ShortNamesConflict", all));
            }
        }
    }

    fn take(&mut self, key: &str, wanted: &Value) {
        match wanted.get(key) {
            Some(value) => self.accepted.insert(key.to_owned(), value.clone()),
            None => self.accepted.remove(key),
        };
    }
}

fn in_use(name: &str) -> String {
    format!("{name:?} is already in use")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken() -> Taken {
        Taken {
            resources: ["things", "thing", "th"].map(str::to_owned).into(),
            kinds: ["Thing", "ThingList"].map(str::to_owned).into(),
        }
    }

    #[track_caller]
    fn check(wanted: &Value, before: &Value, reason: Option<&str>, accepted: &Value) {
        let claim = claim(wanted, before, &taken());
        let found = claim.conflict.as_ref().map(|(reason, _)| *reason);
        assert_eq!(found, reason, "{:?}", claim.conflict);
        assert_eq!(Value::Object(claim.accepted), *accepted);
    }

    #[test]
    fn free_names_are_accepted() {
        let names = json!({"plural": "others", "singular": "other", "shortNames": ["ot"],
            "kind": "Other", "listKind": "OtherList", "categories": ["all"]});
        check(&names, &Value::Null, None, &names);
    }

    #[test]
    fn the_names_of_others_are_not() {
        let names = json!({"plural": "others", "singular": "thing", "kind": "Other", "listKind": "OtherList"});
        let accepted = json!({"plural": "others", "kind": "Other", "listKind": "OtherList"});
        check(&names, &Value::Null, Some("SingularConflict"), &accepted);
    }

    #[test]
    fn what_was_accepted_stays() {
        let before = json!({"plural": "others", "singular": "other", "shortNames": ["ot"],
            "kind": "Other", "listKind": "OtherList"});
        let mut wanted = before.clone();
        wanted["shortNames"] = json!(["ot", "th"]);
        check(&wanted, &before, Some("ShortNamesConflict"), &before);
    }
}
