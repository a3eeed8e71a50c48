//! Which setting of this host forbids what the machine needs, and what to do about it.

use std::{fs, io, path::Path};

use nix::unistd::geteuid;

use super::identity::in_user_namespace;

/// What is known of a host when a step failed.
struct Host<'a> {
    /// Whether this is root in the namespace that all others are in.
    root: bool,
    /// Reads a setting below /proc/sys.
    setting: &'a dyn Fn(&str) -> Option<String>,
}

/// What would help against an error on this host, if that is known.
pub(super) fn of_this_host(error: &io::Error) -> Option<String> {
    let setting = |key: &str| {
        let text = fs::read_to_string(Path::new("/proc/sys").join(key)).ok()?;
        Some(text.trim().to_owned())
    };
    let host = Host {
        root: geteuid().is_root() && !in_user_namespace(),
        setting: &setting,
    };
    advise(&host, error)
}

/// Settings by which a host forbids user namespaces: key, forbidding value, remedy.
const FORBIDDING: [(&str, &str, &str); 3] = [
    (
        "user/max_user_namespaces",
        "0",
        "user.max_user_namespaces is 0: set it higher (sysctl -w user.max_user_namespaces=15000)",
    ),
    (
        "kernel/unprivileged_userns_clone",
        "0",
        "kernel.unprivileged_userns_clone is 0: set it to 1 (sysctl -w \
         kernel.unprivileged_userns_clone=1)",
    ),
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "AppArmor forbids user namespaces: set kernel.apparmor_restrict_unprivileged_userns to 0 \
         (sysctl -w kernel.apparmor_restrict_unprivileged_userns=0)",
    ),
];

/// Kinds of namespaces and the settings that bound their number.
const BOUNDING: [&str; 6] = ["user", "mnt", "pid", "net", "ipc", "uts"];

fn advise(host: &Host<'_>, error: &io::Error) -> Option<String> {
    if host.root {
        return (error.raw_os_error() == Some(nix::libc::EPERM)).then(|| {
            "root lacks a capability here, as in most containers: it needs CAP_SYS_ADMIN and \
             CAP_NET_ADMIN; as a plain user no capability is needed"
                .to_owned()
        });
    }
    let is = |key: &str, value: &str| (host.setting)(key).is_some_and(|now| now == value);
    let forbidding = FORBIDDING.iter().find(|(key, value, _)| is(key, value));
    if let Some((_, _, remedy)) = forbidding {
        return Some(format!("{remedy}, or run the platform as root"));
    }
    if error.raw_os_error() == Some(nix::libc::ENOSPC) {
        let none = BOUNDING
            .iter()
            .find(|kind| is(&format!("user/max_{kind}_namespaces"), "0"));
        return Some(match none {
            Some(kind) => format!("user.max_{kind}_namespaces is 0: set it higher with sysctl"),
            None => {
                "this user's namespaces are used up: see the settings user.max_*_namespaces, and \
                     how deep this one is nested"
                    .to_owned()
            }
        });
    }
    (error.raw_os_error() == Some(nix::libc::EPERM)).then(|| {
        "a security module or a container's filter forbids namespaces to this user: run the \
         platform as root, or outside of that container"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(root: bool, settings: &[(&str, &str)], code: i32, expected: &str) {
        let setting = |key: &str| {
            let found = settings.iter().find(|(name, _)| *name == key);
            found.map(|(_, value)| (*value).to_owned())
        };
        let host = Host {
            root,
            setting: &setting,
        };
        let advice = advise(&host, &io::Error::from_raw_os_error(code)).unwrap_or_default();
        assert!(advice.contains(expected), "{advice:?} lacks {expected:?}");
    }

    #[test]
    fn the_setting_that_forbids_is_named_with_its_remedy() {
        use nix::libc::{ENOSPC, EPERM};
        let debian = ("kernel/unprivileged_userns_clone", "0");
        check(
            false,
            &[debian],
            EPERM,
            "kernel.unprivileged_userns_clone=1",
        );
        let ubuntu = ("kernel/apparmor_restrict_unprivileged_userns", "1");
        let open = ("kernel/unprivileged_userns_clone", "1");
        check(
            false,
            &[open, ubuntu],
            EPERM,
            "userns=0), or run the platform as root",
        );
        let rhel = ("user/max_user_namespaces", "0");
        check(false, &[rhel], ENOSPC, "user.max_user_namespaces=15000");
    }

    #[test]
    fn other_reasons_are_guessed_from_the_error() {
        use nix::libc::{EINVAL, ENOSPC, EPERM};
        let net = ("user/max_net_namespaces", "0");
        check(false, &[net], ENOSPC, "user.max_net_namespaces is 0");
        check(false, &[], ENOSPC, "used up");
        check(false, &[], EPERM, "security module");
        check(true, &[], EPERM, "CAP_SYS_ADMIN");
        check(false, &[], EINVAL, "");
    }
}
