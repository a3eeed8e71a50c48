//! The exit codes of the command line. Scripts rely on them, so they live in one place, are listed
//! in `docs/reference/exit-codes.md`, and a test keeps both the same.

use std::process::ExitCode;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done.
    Ok = 0,
    /// Something failed that no other code describes.
    Failed = 1,
    /// The command line itself is wrong.
    Usage = 2,
    /// What was named does not exist.
    NotFound = 3,
    /// A file or a value was refused.
    Invalid = 4,
    /// Something is not ready, or was not in time.
    NotReady = 5,
    /// No platform runs on this data folder.
    NotRunning = 6,
    /// The current state is in the way: already running, changed meanwhile, not allowed from here.
    Conflict = 7,
    /// The machine lacks something: a free port, namespaces, Envoy, space.
    Machine = 8,
    /// A plan found changes.
    Changes = 9,
    /// A record of a deployment was changed, or is missing.
    Broken = 10,
    /// A promotion waits for somebody's approval, or for a freeze to end.
    Waiting = 11,
}

impl Exit {
    /// Every code.
    pub(crate) const ALL: [Self; 12] = [
        Self::Ok,
        Self::Failed,
        Self::Usage,
        Self::NotFound,
        Self::Invalid,
        Self::NotReady,
        Self::NotRunning,
        Self::Conflict,
        Self::Machine,
        Self::Changes,
        Self::Broken,
        Self::Waiting,
    ];

    /// The code another choreo ended with.
    pub(crate) fn from_code(code: Option<i32>) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|exit| Some(i32::from(*exit as u8)) == code)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documentation_lists_every_code() {
        let page = include_str!("../../../docs/reference/exit-codes.md");
        for exit in Exit::ALL {
            let row = format!("| {} | `{exit:?}` |", exit as u8);
            assert!(page.contains(&row), "no row {row}");
        }
        assert_eq!(page.matches("\n| ").count(), Exit::ALL.len() + 1);
    }
}
