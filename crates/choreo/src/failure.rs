//! What a command hands to `main` when it cannot do what was asked: one message, what to do about
//! it, and the exit code scripts see.

use std::{error::Error as StdError, fmt, io::ErrorKind};

use choreo_apiserver::store;

use crate::{exit::Exit, manifest::Problem};

/// Result of a command.
pub(crate) type Result<T = ()> = std::result::Result<T, Failure>;

/// A failure a person can act on. Boxed inside, so that results stay small.
#[derive(Debug)]
pub(crate) struct Failure(Box<Inner>);

#[derive(Debug)]
struct Inner {
    exit: Exit,
    message: String,
    hint: Option<String>,
    problems: Vec<Problem>,
    /// Everything was said already.
    told: bool,
    /// The code of a command that somebody had run, which is passed on.
    code: Option<u8>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Failure {
    /// A failure with its exit code and one sentence that names what failed.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            exit,
            message: message.into(),
            hint: None,
            problems: Vec::new(),
            told: false,
            code: None,
            source: None,
        }))
    }

    /// An ending of which the output says everything already.
    pub(crate) fn told(exit: Exit) -> Self {
        let mut failure = Self::new(exit, "");
        failure.0.told = true;
        failure
    }

    /// The ending of a command that was run in a container, and that said itself what went wrong.
    pub(crate) fn ended(code: u8) -> Self {
        let mut failure = Self::told(Exit::Failed);
        failure.0.code = Some(code);
        failure
    }

    /// The code of a command that was run in a container.
    pub(crate) fn code(&self) -> Option<u8> {
        self.0.code
    }

    /// Whether there is nothing left to say.
    pub(crate) fn is_told(&self) -> bool {
        self.0.told
    }

    /// What the user can do.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// The error underneath.
    #[must_use]
    pub(crate) fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Problems in files, found before anything was sent.
    pub(crate) fn invalid(problems: Vec<Problem>) -> Self {
        Self::of_problems(problems, "nothing was changed")
    }

    /// Problems the API found while objects were applied; `applied` of them were fine.
    pub(crate) fn refused(problems: Vec<Problem>, applied: usize) -> Self {
        let rest = match applied {
            0 => "nothing was changed".to_owned(),
            1 => "the other object was applied".to_owned(),
            _ => format!("the other {applied} objects were applied"),
        };
        Self::of_problems(problems, &rest)
    }

    fn of_problems(problems: Vec<Problem>, rest: &str) -> Self {
        let count = problems.len();
        let noun = if count == 1 { "problem" } else { "problems" };
        let mut failure = Self::new(Exit::Invalid, format!("{count} {noun} found; {rest}"));
        failure.0.problems = problems;
        failure
    }

    /// The message with everything that caused it, in one line.
    pub(crate) fn with_causes(&self) -> String {
        let mut text = self.to_string();
        let mut next = self.source();
        while let Some(cause) = next {
            text = format!("{text}: {cause}");
            next = cause.source();
        }
        text
    }

    /// The exit code.
    pub(crate) fn exit(&self) -> Exit {
        self.0.exit
    }

    /// What to do about it.
    pub(crate) fn help(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Problems in files, to be shown with excerpts.
    pub(crate) fn problems(&self) -> &[Problem] {
        &self.0.problems
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl StdError for Failure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        if let kube::Error::Api(status) = error {
            let exit = match status.code {
                404 => Exit::NotFound,
                409 => Exit::Conflict,
                400 | 413 | 415 | 422 => Exit::Invalid,
                507 => Exit::Machine,
                _ => Exit::Failed,
            };
            return Self::new(exit, status.message);
        }
        if matches!(error, kube::Error::BuildRequest(_)) {
            return Self::new(
                Exit::Invalid,
                "a name has characters that names cannot have",
            )
            .hint("names are made of lower-case letters, digits, `-` and `.`");
        }
        if is_refused(&error) {
            return Self::new(Exit::NotRunning, "the platform does not answer")
                .hint("`choreo up` starts it");
        }
        Self::new(
            Exit::Failed,
            "the platform's API did not answer as expected",
        )
        .because(error)
    }
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        use store::Error;
        let exit = match &error {
            Error::Newer { .. } | Error::InUse { .. } | Error::Exists { .. } => Exit::Conflict,
            Error::Full { .. } => Exit::Machine,
            Error::Damaged { .. } => Exit::Invalid,
            Error::File { source, .. } if source.kind() == ErrorKind::NotFound => Exit::NotFound,
            Error::File { .. }
            | Error::Key { .. }
            | Error::Locked { .. }
            | Error::Database { .. }
            | Error::Thread(_) => Exit::Failed,
        };
        Self::new(exit, error.to_string())
    }
}

/// Whether nobody listens at the address (anywhere in the chain of causes).
fn is_refused(error: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<std::io::Error>()
            && io.kind() == ErrorKind::ConnectionRefused
        {
            return true;
        }
        next = error.source();
    }
    false
}

/// An input or output error with what was being done.
pub(crate) fn io(doing: impl fmt::Display) -> impl FnOnce(std::io::Error) -> Failure {
    move |error| {
        let kind = error.kind();
        let full = matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
        let exit = if full || kind == ErrorKind::PermissionDenied {
            Exit::Machine
        } else if kind == ErrorKind::NotFound {
            Exit::NotFound
        } else {
            Exit::Failed
        };
        let failure = Failure::new(exit, format!("{doing} failed")).because(error);
        if full {
            failure.hint("free some space and try again")
        } else {
            failure
        }
    }
}
