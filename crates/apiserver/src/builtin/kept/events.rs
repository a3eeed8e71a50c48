//! Events of `events.k8s.io` are kept as those of the core group, so that selectors need to know one
//! form only.

use serde_json::{Map, Value};

use super::Kept;

/// How events of `events.k8s.io` are kept.
pub(in crate::builtin) static EVENT: Kept = Kept {
    as_of: "v1",
    keep: |fields| {
        for (core, grouped) in NAMES {
            rename(fields, grouped, core);
        }
    },
    show: |fields| {
        for (core, grouped) in NAMES {
            rename(fields, core, grouped);
        }
    },
};

/// Names of fields: in the core group, and in `events.k8s.io`.
const NAMES: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

fn rename(fields: &mut Map<String, Value>, from: &str, to: &str) {
    if let Some(value) = fields.remove(from) {
        fields.insert(to.to_owned(), value);
    }
}
