//! Names of images, as the distribution project's grammar defines them: `[registry/]repository[:tag][@digest]`.
//!
//! The registry client has a parser of its own. It is one regular expression that takes 15 MB of
//! memory once compiled, a quarter of what the whole platform needs, and says only that a name is
//! invalid. This one says what is wrong with it.
//!
//! Source of the rules: github.com/distribution/reference, `regexp.go` and `normalize.go`.

use oci_client::Reference;

use super::Error;

/// Where an image is looked for when its name has no registry.
const DEFAULT_REGISTRY: &str = "docker.io";
/// The name that registry had once.
const LEGACY_REGISTRY: &str = "index.docker.io";
/// Where that registry keeps images whose name has one part.
const OFFICIAL: &str = "library";
/// The tag of a name that has neither tag nor digest.
const DEFAULT_TAG: &str = "latest";
/// Longest name of a repository.
const LONGEST_REPOSITORY: usize = 255;
/// Longest tag.
const LONGEST_TAG: usize = 128;
/// Algorithms of digests, with the number of hexadecimal digits each has.
const DIGESTS: [(&str, usize); 3] = [("sha256", 64), ("sha384", 96), ("sha512", 128)];

/// What is wrong with a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Malformed {
    #[error("it is empty")]
    Empty,
    #[error("the registry {0:?} is not a host name with an optional port")]
    Registry(String),
    #[error(
        "{0:?} in the repository's name is not made of lower-case letters and digits, \
         joined by dots, dashes or underscores"
    )]
    Component(String),
    #[error("the repository's name has more than {LONGEST_REPOSITORY} characters")]
    Long,
    #[error(
        "the tag {0:?} is not made of at most {LONGEST_TAG} letters, digits, underscores, dots \
         and dashes, of which the last two do not come first"
    )]
    Tag(String),
    #[error(
        "the digest {0:?} is not sha256, sha384 or sha512 with as many digits as it has to have"
    )]
    Digest(String),
}

/// Reads a name and fills in what it leaves out.
pub(super) fn parse(text: &str) -> super::Result<Reference> {
    read(text).map_err(|reason| Error::Reference {
        reference: text.to_owned(),
        reason: reason.to_string(),
    })
}

fn read(text: &str) -> Result<Reference, Malformed> {
    if text.is_empty() {
        return Err(Malformed::Empty);
    }
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(check_digest(digest)?)),
        None => (text, None),
    };
    // A colon before the last slash belongs to a port.
    let (name, tag) = match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(check_tag(tag)?)),
        _ => (rest, None),
    };
    let (registry, repository) = split_registry(name)?;
    repository.split('/').try_for_each(check_component)?;
    if repository.len() > LONGEST_REPOSITORY {
        return Err(Malformed::Long);
    }
    Ok(match (tag, digest) {
        (Some(tag), Some(digest)) => {
            Reference::with_tag_and_digest(registry, repository, tag.to_owned(), digest.to_owned())
        }
        (None, Some(digest)) => Reference::with_digest(registry, repository, digest.to_owned()),
        (tag, None) => {
            Reference::with_tag(registry, repository, tag.unwrap_or(DEFAULT_TAG).to_owned())
        }
    })
}

/// The registry and the repository of a name without tag and digest.
fn split_registry(name: &str) -> Result<(String, String), Malformed> {
    let (registry, repository) = match name.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => {
            check_registry(first)?;
            (first, rest)
        }
        _ => (DEFAULT_REGISTRY, name),
    };
    if registry != DEFAULT_REGISTRY && registry != LEGACY_REGISTRY {
        Ok((registry.to_owned(), repository.to_owned()))
    } else if repository.contains('/') {
        Ok((DEFAULT_REGISTRY.to_owned(), repository.to_owned()))
    } else {
        Ok((
            DEFAULT_REGISTRY.to_owned(),
            format!("{OFFICIAL}/{repository}"),
        ))
    }
}

fn check_registry(registry: &str) -> Result<(), Malformed> {
    let (host, port) = registry.split_once(':').unwrap_or((registry, "0"));
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let is_port = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    if is_port && host.split('.').all(is_label) {
        Ok(())
    } else {
        Err(Malformed::Registry(registry.to_owned()))
    }
}

/// Checks one part of a repository's name: runs of letters and digits, each pair joined by `.`, `_`,
/// `__` or any number of dashes.
fn check_component(component: &str) -> Result<(), Malformed> {
    let is_plain = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit();
    let joined_well = component
        .split(is_plain)
        .all(|joint| matches!(joint, "" | "." | "_" | "__") || joint.bytes().all(|b| b == b'-'));
    if component.starts_with(is_plain) && component.ends_with(is_plain) && joined_well {
        Ok(())
    } else {
        Err(Malformed::Component(component.to_owned()))
    }
}

fn check_tag(tag: &str) -> Result<&str, Malformed> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let begins_well = tag.bytes().next().is_some_and(is_word);
    let rest_is_well = tag
        .bytes()
        .all(|byte| is_word(byte) || matches!(byte, b'.' | b'-'));
    if begins_well && rest_is_well && tag.len() <= LONGEST_TAG {
        Ok(tag)
    } else {
        Err(Malformed::Tag(tag.to_owned()))
    }
}

fn check_digest(digest: &str) -> Result<&str, Malformed> {
    let is_well = digest.split_once(':').is_some_and(|(algorithm, digits)| {
        DIGESTS.contains(&(algorithm, digits.len()))
            && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    });
    if is_well {
        Ok(digest)
    } else {
        Err(Malformed::Digest(digest.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(text: &str) -> String {
        parse(text).unwrap().whole()
    }

    #[test]
    fn what_is_left_out_is_filled_in() {
        assert_eq!(whole("busybox"), "docker.io/library/busybox:latest");
        assert_eq!(whole("shop/web:1"), "docker.io/shop/web:1");
        assert_eq!(whole("index.docker.io/web"), "docker.io/library/web:latest");
        assert_eq!(whole("localhost/web"), "localhost/web:latest");
        assert_eq!(whole("host:5000/a/b"), "host:5000/a/b:latest");
        let digest = format!("sha256:{}", "0a".repeat(32));
        assert_eq!(
            whole(&format!("host.example/a:1@{digest}")),
            format!("host.example/a:1@{digest}")
        );
        assert_eq!(
            whole(&format!("a@{digest}")),
            format!("docker.io/library/a@{digest}")
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let name = |text: &str| read(text).unwrap_err();
        assert_eq!(name(""), Malformed::Empty);
        assert_eq!(name("Shop/web"), Malformed::Component("Shop".to_owned()));
        assert_eq!(name("shop//web"), Malformed::Component(String::new()));
        assert_eq!(name("shop/web:"), Malformed::Tag(String::new()));
        assert_eq!(name("shop/web:-1"), Malformed::Tag("-1".to_owned()));
        assert_eq!(
            name("-a.example/web"),
            Malformed::Registry("-a.example".to_owned())
        );
        assert_eq!(
            name("a@sha256:12"),
            Malformed::Digest("sha256:12".to_owned())
        );
        assert_eq!(name(&"a".repeat(256)), Malformed::Long);
    }

    proptest! {
        /// The registry client's parser is right, only large: where it accepts a name, so does
        /// this one, with the same meaning; except that it takes upper-case names of repositories,
        /// and registries with a `_`, which no host is called.
        #[test]
        fn agrees_with_the_registry_client(
            text in "((localhost|[a-z]{1,3}(\\.[a-z]{1,3}){0,2})(:[0-9]{1,4})?/)?\
                     [a-c0._-]{1,5}(/[a-c0._-]{1,5}){0,2}(:[A-Ba-b0_.-]{0,3})?(@sha256:[0-9a-f]{64})?"
        ) {
            let theirs = Reference::try_from(text.as_str()).ok();
            let theirs = theirs.filter(|one| !one.registry().contains('_'));
            prop_assert_eq!(parse(&text).ok(), theirs);
        }
    }
}
