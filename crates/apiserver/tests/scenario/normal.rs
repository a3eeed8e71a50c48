//! Takes out of answers what no two servers have in common: identities, times,
//! versions, drawn names. Equal things stay equal: the UID of `web` becomes
//! `<uid of web>` wherever it stands, its second version `<version 2 of web>`.

use std::{collections::BTreeMap, sync::LazyLock};

use regex::Regex;
use serde_json::{Map, Value, json};

static UID: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").unwrap()
});
static TIME: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?<fraction>\.\d+)?(?:Z|[+-]\d{2}:\d{2})")
        .unwrap()
});
static AGE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^\d+m?s$").unwrap());
static ADDRESS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\b10\.\d+\.\d+\.\d+\b").unwrap());

/// What has been seen of one server.
#[derive(Default)]
pub(crate) struct Names {
    /// Identities, and the names they are known by.
    uids: Vec<(String, String)>,
    /// Versions, by what they are versions of.
    versions: BTreeMap<String, Vec<String>>,
    /// Drawn names and what stands for each.
    drawn: Vec<(String, String)>,
}

impl Names {
    /// The answer as any server would have given it.
    pub(crate) fn normal(&mut self, value: &mut Value) {
        self.draw(value);
        self.meet(value);
        self.walk(value);
    }

    /// Text of an answer, such as a header.
    pub(crate) fn text(&mut self, text: &str) -> String {
        let mut text = UID
            .replace_all(text, |found: &regex::Captures<'_>| {
                self.label(&found[0])
                    .map_or_else(|| found[0].to_owned(), |label| format!("<uid of {label}>"))
            })
            .into_owned();
        text = TIME
            .replace_all(&text, |found: &regex::Captures<'_>| {
                let fine = found.name("fraction").is_some();
                if fine { "<fine time>" } else { "<time>" }
            })
            .into_owned();
        for (name, stand_in) in &self.drawn {
            text = text.replace(name, stand_in);
        }
        ADDRESS.replace_all(&text, "<address>").into_owned()
    }

    /// Remembers drawn names before any of them is met outside its object.
    fn draw(&mut self, value: &Value) {
        match value {
            Value::Object(members) => {
                let text = |key| members.get(key).and_then(Value::as_str);
                if let (Some(prefix), Some(name)) = (text("generateName"), text("name"))
                    && name.len() > prefix.len()
                    && name.starts_with(prefix)
                    && !self.drawn.iter().any(|(known, _)| known == name)
                {
                    let length = name.len() - prefix.len();
                    let stand_in = format!("{prefix}<{length} drawn>");
                    self.drawn.push((name.into(), stand_in));
                }
                members.values().for_each(|member| self.draw(member));
            }
            Value::Array(items) => items.iter().for_each(|item| self.draw(item)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    /// Remembers which object each identity is of.
    fn meet(&mut self, value: &Value) {
        if let (Some(uid), Some(name)) = (value["uid"].as_str(), value["name"].as_str())
            && UID.is_match(uid)
            && self.label(uid).is_none()
        {
            let name = self.text(name);
            let same = |label: &str| label.split(" #").next() == Some(&name);
            let before = self.uids.iter().filter(|(_, label)| same(label)).count();
            let label = match before {
                0 => name,
                before => format!("{name} #{}", before + 1),
            };
            self.uids.push((uid.to_owned(), label));
        }
        match value {
            Value::Object(members) => {
                // An object before what it mentions.
                members
                    .get("metadata")
                    .into_iter()
                    .for_each(|member| self.meet(member));
                let mut keys: Vec<&String> = members.keys().collect();
                keys.sort();
                for key in keys {
                    self.meet(&members[key]);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.meet(item)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn label(&self, uid: &str) -> Option<String> {
        let mut known = self.uids.iter();
        let known = known.find(|(other, _)| other == uid);
        known.map(|(_, label)| label.clone())
    }

    fn walk(&mut self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.text(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.walk(item)),
            Value::Object(members) => self.members(members),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn members(&mut self, members: &mut Map<String, Value>) {
        let is_list = members.contains_key("items") || members.contains_key("rows");
        if let Some(Value::Object(metadata)) = members.get_mut("metadata") {
            self.metadata(metadata, is_list);
        }
        if let Some(Value::Array(cells)) = members.get_mut("cells") {
            for cell in cells {
                if cell.as_str().is_some_and(|text| AGE.is_match(text)) {
                    *cell = json!("<age>");
                }
            }
        }
        if let Some(Value::Array(causes)) = members.get_mut("causes") {
            // Among several owners of a field, the order is one of Go's maps.
            causes.sort_by_cached_key(|cause| {
                ["field", "message", "reason"].map(|key| cause[key].to_string())
            });
            // Some objects are checked twice.
            causes.dedup();
        }
        for key in ["nodePort", "healthCheckNodePort"] {
            if members.get(key).is_some_and(|port| port.as_i64() > Some(0)) {
                members.insert(key.into(), json!("<port>"));
            }
        }
        let mut keys: Vec<String> = members.keys().cloned().collect();
        keys.sort();
        for key in keys {
            if let Some(mut member) = members.remove(&key) {
                self.walk(&mut member);
                // Names of owned fields hold identities: `k:{"uid":"..."}`.
                members.insert(self.text(&key), member);
            }
        }
    }

    fn metadata(&mut self, metadata: &mut Map<String, Value>, is_list: bool) {
        let uid = metadata.get("uid").and_then(Value::as_str);
        let label = uid.and_then(|uid| self.label(uid)).filter(|_| !is_list);
        if let Some(Value::String(version)) = metadata.get_mut("resourceVersion") {
            // Between an object and its list anything may have been written.
            *version = match label {
                None => "<version>".into(),
                Some(label) => {
                    let known = self.versions.entry(label.clone()).or_default();
                    format!("<version {} of {label}>", index_in(known, version))
                }
            };
        }
        match metadata.get_mut("continue") {
            // Some lists say that there is no next page.
            Some(token) if token == "" => drop(metadata.remove("continue")),
            Some(token) => *token = json!("<continue>"),
            None => {}
        }
        if let Some(Value::Array(entries)) = metadata.get_mut("managedFields") {
            // Servers order them by time, and a second may pass anywhere.
            entries.sort_by_cached_key(|entry| {
                let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
                ["operation", "manager", "subresource", "apiVersion"].map(text)
            });
        }
    }
}

/// Which of the known this is, counted from 1.
fn index_in(known: &mut Vec<String>, text: &str) -> usize {
    let index = known.iter().position(|other| other == text);
    index.unwrap_or_else(|| {
        known.push(text.to_owned());
        known.len() - 1
    }) + 1
}
