//! The last step of a container's process before it becomes its program.

use std::path::Path;

use libcontainer::{
    container::builder::ContainerBuilder,
    error::LibcontainerError,
    syscall::syscall::SyscallType,
    workload::{Executor, ExecutorError, ExecutorValidationError, default::DefaultExecutor},
};
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, signal, sigprocmask};
use oci_spec::runtime::Spec;

use crate::machine::seccomp;

/// The annotation of a description whose process may make any system call.
pub(super) const UNCONFINED: &str = "dev.choreo.unconfined";

fn is_unconfined(spec: &Spec) -> bool {
    let annotations = spec.annotations().as_ref();
    annotations.is_some_and(|annotations| annotations.contains_key(UNCONFINED))
}

/// What makes containers, and commands in them, with this step.
pub(super) fn builder(id: &str, state: &Path) -> Result<ContainerBuilder, LibcontainerError> {
    let builder = ContainerBuilder::new(id.to_owned(), SyscallType::default());
    let builder = builder.with_root_path(state)?;
    Ok(builder.with_executor(Program(DefaultExecutor {})))
}

/// Becomes the program, which finds signals as every program may expect them: what this process
/// ignores and holds back would stay so.
#[derive(Clone)]
struct Program(DefaultExecutor);

impl Executor for Program {
    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        restore_signals().map_err(|error| ExecutorError::Other(error.to_string()))?;
        if !is_unconfined(spec) {
            seccomp::hold_container().map_err(|error| {
                ExecutorError::Other(format!("filtering system calls: {error}"))
            })?;
        }
        self.0.exec(spec)
    }

    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        self.0.validate(spec)
    }
}

#[expect(
    unsafe_code,
    reason = "what a signal does is set for the whole process"
)]
fn restore_signals() -> nix::Result<()> {
    for one in Signal::iterator() {
        if !matches!(one, Signal::SIGKILL | Signal::SIGSTOP) {
            // SAFETY: the default is no function, so nothing unfit for a signal can be called.
            unsafe { signal(one, SigHandler::SigDfl) }?;
        }
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
}
