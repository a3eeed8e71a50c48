//! Names that are derived from other names, and short hashes.
//!
//! A derived name keeps a piece of every part, so that a person recognises it, and ends in a hash
//! of the parts as they were given, so that shortening never makes two of them equal.

use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fmt::Write as _;

/// The longest name of an object.
pub const OBJECT_LIMIT: usize = 253;
/// The longest name of a namespace, service, label value or volume.
pub const LABEL_LIMIT: usize = 63;
/// The longest name of a cron job.
pub const CRON_JOB_LIMIT: usize = 52;

const HASH_LENGTH: usize = 8;

/// The name made of `parts`, at most `limit` bytes long.
pub fn kubernetes_name<S: AsRef<str>>(limit: usize, parts: &[S]) -> String {
    hashed(limit, parts, &original(parts))
}

/// The name made of `parts`, whose hash also covers `extra`.
pub fn kubernetes_name_with<S: AsRef<str>>(limit: usize, parts: &[S], extra: &str) -> String {
    hashed(limit, parts, &format!("{}-{extra}", original(parts)))
}

/// The namespace of a cell on its data plane.
pub fn cell_namespace(namespace: &str, project: &str, environment: &str) -> String {
    kubernetes_name(LABEL_LIMIT, &["dp", namespace, project, environment])
}

/// The name that the objects of a component in an environment share.
pub fn component_name(component: &str, environment: &str) -> String {
    kubernetes_name(OBJECT_LIMIT, &[component, environment])
}

/// What stands between the name of a component and that of its track. No name of an object ends or
/// begins with any of it, so that no name made of what a line is called is also one of the main line.
const TRACK: &str = "--";

/// What a line of a component is called, wherever the component would be by its name: on the main
/// line the component, on a track `COMPONENT--TRACK`.
pub fn line<'n>(component: &'n str, track: Option<&str>) -> Cow<'n, str> {
    match track {
        None => Cow::Borrowed(component),
        Some(track) => Cow::Owned(format!("{component}{TRACK}{track}")),
    }
}

/// The track of a component that is called `line`.
pub fn track_of<'n>(component: &str, line: &'n str) -> Option<&'n str> {
    let track = line.strip_prefix(component)?.strip_prefix(TRACK)?;
    (!track.is_empty()).then_some(track)
}

/// The component of the track that is called `line`; a component's own name is left as it is.
pub fn component_of<'n>(line: &'n str, track: &str) -> &'n str {
    let component = line
        .strip_suffix(track)
        .and_then(|it| it.strip_suffix(TRACK));
    component.unwrap_or(line)
}

/// What tells a line of a component from every other of the namespace: no component is called like
/// a track.
pub fn line_id<'n>(component: &'n str, track: Option<&str>) -> Cow<'n, str> {
    match track {
        None => Cow::Borrowed(component),
        Some(track) => Cow::Owned(format!("{component}/{track}")),
    }
}

/// The rendered release of a component in an environment, and its binding when made for it.
pub fn component_binding(component: &str, environment: &str) -> String {
    format!("{component}-{environment}")
}

/// The rendered release of the objects that go to the observability plane.
pub fn observability_release(component: &str, environment: &str) -> String {
    format!("{component}-{environment}-observability")
}

/// The rendered release of a project in an environment.
pub fn project_rendered_release(project: &str, environment: &str) -> String {
    kubernetes_name(
        OBJECT_LIMIT,
        &[format!("p_{project}").as_str(), environment],
    )
}

/// The name that the objects of a managed resource in an environment share, and its rendered
/// release.
pub fn resource_name(resource: &str, environment: &str) -> String {
    kubernetes_name(
        OBJECT_LIMIT,
        &[format!("r_{resource}").as_str(), environment],
    )
}

/// The binding of a managed resource when made for it.
pub fn resource_binding(resource: &str, environment: &str) -> String {
    format!("{resource}-{environment}")
}

/// The rendered release of an API in an environment.
pub fn api_release(api: &str, environment: &str) -> String {
    kubernetes_name(OBJECT_LIMIT, &[format!("a_{api}").as_str(), environment])
}

/// What the objects of an API are named by, beside those of components.
pub fn api_stem(api: &str) -> String {
    kubernetes_name(LABEL_LIMIT, &["api", api])
}

/// The Secret of a cell that holds the keys of an API.
pub fn api_secret(api: &str) -> String {
    format!("{}-keys", api_stem(api))
}

/// The entry of a store of secrets that holds the keys of an API in an environment.
pub fn api_keys(namespace: &str, api: &str, environment: &str) -> String {
    kubernetes_name(OBJECT_LIMIT, &["api-keys", namespace, api, environment])
}

/// The record of a deployment through a binding: names sort like deployments.
pub fn deployment_record(binding: &str, uid: &str, sequence: i64) -> String {
    const ROOM: usize = OBJECT_LIMIT - 18;
    let binding = binding.get(..ROOM).unwrap_or(binding);
    format!("{binding}-{}-{sequence:06}", fnv1a(uid))
}

/// The namespace of workflow runs on their plane.
pub fn workflow_namespace(namespace: &str) -> String {
    format!("workflows-{namespace}")
}

/// The id of an object within a rendered release.
pub fn manifest_id(kind: &str, name: &str) -> String {
    let mut id = String::with_capacity(kind.len() + 1 + name.len());
    id.extend([kind, "-", name]);
    id[..kind.len()].make_ascii_lowercase();
    if id.len() <= LABEL_LIMIT {
        id
    } else {
        kubernetes_name(LABEL_LIMIT, &[&id[..kind.len()], name])
    }
}

/// FNV-1a over the bytes of `text`, as eight hexadecimal digits.
pub fn fnv1a(text: &str) -> String {
    format!("{:08x}", fnv1a_32(text.as_bytes()))
}

/// FNV-1a over `bytes`.
pub fn fnv1a_32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

/// A hash of `bytes` in letters and digits that spell no words, for the names of releases.
pub fn release_hash(bytes: &[u8]) -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    fnv1a_32(bytes)
        .to_string()
        .bytes()
        .map(|digit| char::from(ALPHABET[usize::from(digit) % ALPHABET.len()]))
        .collect()
}

fn original<S: AsRef<str>>(parts: &[S]) -> String {
    let length: usize = parts.iter().map(|part| part.as_ref().len() + 1).sum();
    let mut text = String::with_capacity(length);
    for part in parts {
        text.push_str(part.as_ref());
        text.push('-');
    }
    text.pop();
    text
}

fn hashed<S: AsRef<str>>(limit: usize, parts: &[S], original: &str) -> String {
    let digest = Sha256::digest(original.as_bytes());
    let first = digest
        .iter()
        .take(4)
        .fold(0u32, |sum, byte| (sum << 8) | u32::from(*byte));
    let budget = limit.saturating_sub(HASH_LENGTH + parts.len());
    let count = parts.len().max(1);
    let length: usize = parts.iter().map(|part| part.as_ref().len() + 1).sum();
    let mut name = String::with_capacity(length + HASH_LENGTH);
    for (index, part) in parts.iter().enumerate() {
        let room = budget / count + usize::from(index < budget % count);
        let part = sanitised(part.as_ref());
        name.push_str(part.get(..room).unwrap_or(&part));
        name.push('-');
    }
    // Writing to a string cannot fail.
    let _ = write!(name, "{first:08x}");
    let begin = name.find(|letter: char| letter.is_ascii_alphanumeric());
    name.drain(..begin.unwrap_or_default());
    name
}

/// `part` in the letters a name may have; all of them are single bytes.
fn sanitised(part: &str) -> Cow<'_, str> {
    let may_have = |letter: char| matches!(letter, 'a'..='z' | '0'..='9' | '-' | '.');
    if part.chars().all(may_have) {
        return Cow::Borrowed(part.trim_matches(['-', '.']));
    }
    let replaced: String = part
        .chars()
        .flat_map(char::to_lowercase)
        .map(|letter| if may_have(letter) { letter } else { '-' })
        .collect();
    Cow::Owned(replaced.trim_matches(['-', '.']).to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_those_of_the_reference() {
        let name = |parts: &[&str]| kubernetes_name(OBJECT_LIMIT, parts);
        assert_eq!(
            name(&["project", "component"]),
            "project-component-932d1646"
        );
        assert_eq!(
            name(&["My_Project$", "Component@Name"]),
            "my-project-component-name-40314333"
        );
        assert_eq!(name(&["", ""]), "3973e022");
        assert_eq!(
            component_name("doclet-collab", "development"),
            "doclet-collab-development-f576f569"
        );
        assert_eq!(
            project_rendered_release("doclet", "production"),
            "p-doclet-production-3252f300"
        );
    }

    #[test]
    fn cells_are_named_as_in_the_reference() {
        assert_eq!(
            cell_namespace("default", "online-store", "development"),
            "dp-default-online-store-development-07800d87"
        );
        assert_eq!(
            cell_namespace("dependencies-pending", "default", "development"),
            "dp-dependencies--default-development-189b4d98"
        );
    }

    #[test]
    fn parts_share_the_room() {
        assert_eq!(
            kubernetes_name(
                LABEL_LIMIT,
                &["http", "doclet-frontend", "development", "doclet"]
            ),
            "http-doclet-fronte-development-doclet-d19701c7"
        );
    }

    #[test]
    fn hashes_are_stable() {
        assert_eq!(fnv1a(""), "811c9dc5");
        assert_eq!(fnv1a("a"), "e40c292c");
        assert_eq!(release_hash(b"a").len(), fnv1a_32(b"a").to_string().len());
    }

    #[test]
    fn long_ids_are_shortened() {
        assert_eq!(manifest_id("Service", "web"), "service-web");
        assert!(manifest_id("ConfigMap", &"x".repeat(80)).len() <= LABEL_LIMIT);
    }

    proptest! {
        #[test]
        fn names_are_valid_and_short(parts in prop::collection::vec(".{0,80}", 1..6)) {
            let name = kubernetes_name(LABEL_LIMIT, &parts);
            prop_assert!(name.len() <= LABEL_LIMIT);
            prop_assert!(!name.is_empty());
            let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
            prop_assert!(name.bytes().all(allowed));
            prop_assert!(name.starts_with(|letter: char| letter.is_ascii_alphanumeric()));
        }
    }
}
