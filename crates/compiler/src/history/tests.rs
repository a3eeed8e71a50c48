use choreo_model::history::RecordedBinding;
use choreo_model::rendered::RenderedOwner;
use proptest::prelude::*;
use proptest::sample::Index;
use serde::de::DeserializeOwned;

use super::*;

const OUTCOMES: [Outcome; 4] = [
    Outcome::Succeeded,
    Outcome::Failed,
    Outcome::RolledBack,
    Outcome::Superseded,
];

/// A record of the binding `uid` that follows `before`, without an outcome.
fn open(uid: &str, before: Option<&DeploymentRecord>) -> DeploymentRecord {
    let sequence = before.map_or(1, |before| before.spec.sequence + 1);
    let name = names::deployment_record("web-production", uid, sequence);
    let spec = DeploymentRecordSpec {
        owner: RenderedOwner {
            project_name: "shop".to_owned(),
            component_name: Some("web".to_owned()),
            track_name: None,
            resource_name: None,
            api_name: None,
        },
        environment: "production".to_owned(),
        binding: RecordedBinding {
            kind: "ReleaseBinding".to_owned(),
            name: "web-production".to_owned(),
            uid: uid.to_owned(),
        },
        sequence,
        action: Action::Deploy,
        release: format!("web-{sequence}"),
        previous_release: String::new(),
        configuration: Some(json!({ "replicas": 10 * sequence, "ratio": 0.5, "on": true })),
        changed_by: "jane".to_owned(),
        reason: "CVE-2026-1, \"at once\" ü".to_owned(),
        plan_digest: plan_digest("[]"),
        started_at: "2026-01-02T03:04:05Z".to_owned(),
        pruned: None,
        previous_hash: before.map_or_else(String::new, |before| before.status.hash.clone()),
        hash: String::new(),
    };
    let spec = DeploymentRecordSpec {
        hash: hash("default", &name, &spec),
        ..spec
    };
    DeploymentRecord::new(Some("default"), &name, spec)
}

fn ended(mut record: DeploymentRecord) -> DeploymentRecord {
    let outcome = OUTCOMES[usize::try_from(record.spec.sequence).unwrap() % 4];
    record.status = end(
        &record.spec.hash,
        outcome,
        "2026-01-02T03:05:00Z",
        "a message",
    );
    record
}

fn chain(uid: &str, length: usize) -> Vec<DeploymentRecord> {
    let mut chain: Vec<DeploymentRecord> = Vec::new();
    for _ in 0..length {
        let next = ended(open(uid, chain.last()));
        chain.push(next);
    }
    chain
}

fn head(record: &DeploymentRecord) -> HistoryHead {
    let status = &record.status;
    HistoryHead {
        sequence: record.spec.sequence,
        hash: match status.outcome {
            Some(_) => status.hash.clone(),
            None => record.spec.hash.clone(),
        },
        outcome: status.outcome,
        finished_at: status.finished_at.clone(),
        message: status.message.clone(),
        ..HistoryHead::default()
    }
}

fn bound(uid: &str, head: Option<HistoryHead>) -> BTreeMap<String, Recorded> {
    let binding = Recorded {
        title: "ReleaseBinding web-production".to_owned(),
        head,
    };
    BTreeMap::from([(uid.to_owned(), binding)])
}

#[track_caller]
fn check_chain(
    records: &[DeploymentRecord],
    bindings: &BTreeMap<String, Recorded>,
    expected: &[&str],
) {
    let broken: Vec<String> = verify(records, bindings)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(broken.len(), expected.len(), "{broken:?}");
    for (found, expected) in broken.iter().zip(expected) {
        assert!(found.contains(expected), "{found}");
    }
}

#[test]
fn whole_histories_are_fine() {
    let records = chain("u", 4);
    check_chain(&records, &bound("u", Some(head(&records[3]))), &[]);
    check_chain(&[], &bound("u", None), &[]);
    let reversed: Vec<_> = records.iter().rev().cloned().collect();
    check_chain(&reversed, &bound("u", Some(head(&records[3]))), &[]);
}

#[test]
fn a_deployment_under_way_is_fine_at_every_step() {
    let mut records = chain("u", 1);
    let before = head(&records[0]);
    records.push(open("u", Some(&records[0])));
    let opened = head(&records[1]);
    check_chain(&records, &bound("u", Some(before.clone())), &[]);
    check_chain(&records, &bound("u", Some(opened)), &[]);
    let closed = head(&ended(records[1].clone()));
    check_chain(&records, &bound("u", Some(closed.clone())), &[]);
    records[1] = ended(records[1].clone());
    check_chain(&records, &bound("u", Some(closed)), &[]);
    check_chain(
        &records,
        &bound("u", Some(before)),
        &["another record, number 1"],
    );
}

#[test]
fn what_was_taken_away_is_missed() {
    let records = chain("u", 4);
    let bindings = bound("u", Some(head(&records[3])));
    let number = [
        "number 2 stands where number 1",
        "number 3 stands where number 2",
        "number 4 stands where number 3",
        "another record, number 4",
    ];
    for (gone, expected) in number.iter().enumerate() {
        let mut left = records.clone();
        left.remove(gone);
        check_chain(&left, &bindings, &[expected]);
    }
    check_chain(&[], &bindings, &["there are 4 records, and there are none"]);
}

#[test]
fn the_history_of_a_binding_that_is_gone_ends_with_its_deletion() {
    let mut records = chain("u", 2);
    check_chain(
        &records,
        &BTreeMap::new(),
        &["although its binding was deleted"],
    );
    let mut last = open("u", Some(&records[1]));
    last.spec.action = Action::Delete;
    last.spec.hash = hash("default", last.name(), &last.spec);
    records.push(ended(last));
    check_chain(&records, &BTreeMap::new(), &[]);
    records.push(ended(open("u", Some(&records[2]))));
    check_chain(&records, &BTreeMap::new(), &["follows the deletion"]);
}

#[test]
fn records_written_anew_do_not_fit_the_binding() {
    let records = chain("u", 3);
    let bindings = bound("u", Some(head(&records[2])));
    let mut forged = records;
    forged[1].spec.changed_by = "nobody".to_owned();
    for index in 1..3 {
        let (before, after) = forged.split_at_mut(index);
        let record = &mut after[0];
        record.spec.previous_hash = before[index - 1].status.hash.clone();
        record.spec.hash = hash("default", record.name(), &record.spec);
        *record = ended(record.clone());
    }
    check_chain(
        &forged,
        &bindings,
        &["history ends with another record, number 3"],
    );
}

/// Makes one byte of `value` another one.
fn change<T: Serialize + DeserializeOwned>(value: &T, at: Index, byte: u8) -> Option<T> {
    let mut bytes = serde_json::to_vec(value).unwrap();
    let at = at.index(bytes.len());
    bytes[at] = byte;
    // Where nothing can be made of it, whoever reads it tells so.
    serde_json::from_slice(&bytes).ok()
}

proptest! {
    /// Whatever single byte of whatever record becomes another one, the record is found broken.
    #[test]
    fn no_byte_can_be_changed(
        which in 0usize..3, part in 0..3, at in any::<Index>(), byte in any::<u8>(),
    ) {
        let mut records = chain("u", 3);
        let bindings = bound("u", Some(head(&records[2])));
        let before = records[which].clone();
        let record = &mut records[which];
        match part {
            0 => record.spec = change(&before.spec, at, byte).unwrap_or_else(|| before.spec.clone()),
            1 => record.status = change(&before.status, at, byte).unwrap_or_else(|| before.status.clone()),
            _ => record.metadata = change(&before.metadata, at, byte).unwrap_or_else(|| before.metadata.clone()),
        }
        let changed = *record != before;
        let names = [before.name(), records[which].name()].map(str::to_owned);
        let broken = verify(&records, &bindings);
        let found = broken.iter().any(|broken| names.contains(&broken.record));
        prop_assert_eq!(found, changed, "{:?} for {:?}", broken, &records[which]);
    }
}

/// A chain of six records, the last of which says that it begins after the third.
fn pruned_chain() -> Vec<DeploymentRecord> {
    let mut chain = chain("u", 5);
    let mut last = open("u", chain.last());
    last.spec.pruned = Some(Checkpoint {
        sequence: 3,
        hash: chain[2].status.hash.clone(),
    });
    last.spec.hash = hash("default", last.name(), &last.spec);
    chain.push(ended(last));
    chain
}

#[test]
fn a_history_may_begin_where_its_newest_record_says() {
    let chain = pruned_chain();
    let bindings = bound("u", Some(head(&chain[5])));
    check_chain(&chain[3..], &bindings, &[]);
    // What is not gone yet is no part of it.
    check_chain(&chain[1..], &bindings, &[]);
    check_chain(&chain, &bindings, &[]);
    check_chain(
        &chain[4..],
        &bindings,
        &["number 5 stands where number 4 belongs"],
    );
    check_chain(
        &chain[3..5],
        &bindings,
        &["number 4 stands where number 1 belongs"],
    );
}

#[test]
fn a_beginning_that_was_made_up_is_found() {
    let mut chain = pruned_chain();
    let bindings = bound("u", Some(head(&chain[5])));
    let mut other = chain.clone();
    other[5].spec.pruned = None;
    check_chain(&other[3..], &bindings, &["it was changed"]);
    // Also where the record is written anew: the binding knows its hash.
    let name = chain[5].name().to_owned();
    let spec = &mut chain[5].spec;
    let checkpoint = spec.pruned.as_mut().unwrap();
    *checkpoint = Checkpoint {
        sequence: 4,
        hash: spec.previous_hash.clone(),
    };
    spec.hash = hash("default", &name, spec);
    let last = ended(chain.remove(5));
    let mut short = chain.split_off(4);
    short.push(last);
    check_chain(&short, &bindings, &["it follows a record of the hash"]);
}
