//! Which system calls containers and programs of the platform may make: those that ordinary programs need,
//! as the default profiles of container runtimes have it. What is left out reaches far into the kernel and
//! is of no use without rights that they do not have: namespaces, mounts, modules, keys, tracing, `io_uring`.
//!
//! The filter is a program for the kernel's packet filter machine, made here so that no C library is
//! needed, and installed by the process that becomes the container's program.

mod calls;

use std::{
    io,
    os::fd::{FromRawFd as _, OwnedFd},
};

use nix::{
    errno::Errno,
    libc::{self, SYS_clone, SYS_clone3, SYS_personality, SYS_socket, c_long, sock_filter},
};

/// What the kernel is told to do with a call.
const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
/// `EPERM`.
const DENY: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM.cast_unsigned();
/// Whoever holds the filter's descriptor answers the call.
const ASK: u32 = libc::SECCOMP_RET_USER_NOTIF;
/// `ENOSYS`: programs fall back on something older.
const UNKNOWN: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned();

/// The machine's own calls; those of another kind of machine are unknown.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xC000_00B7;

/// Numbers from here on are those of programs with short pointers.
const SHORT_POINTERS: u32 = 0x4000_0000;
/// Calls above were made after this list was.
const NEWEST: u32 = 462;
/// Flags of `clone` that make namespaces.
const NAMESPACES: u32 = 0x7E02_0000;
/// Sockets to the machine that hosts this one, and to the kernel's cryptography.
const SOCKETS: [u32; 2] = [libc::AF_VSOCK.cast_unsigned(), libc::AF_ALG.cast_unsigned()];
/// Behaviours of other systems that programs may ask for, and to be told which one they have.
const PERSONALITIES: [u32; 5] = [0, 0x8, 0x2_0000, 0x2_0008, u32::MAX];

/// Calls that a held program has answered, because they say which address a socket gets.
const ASKED: [c_long; 2] = [libc::SYS_bind, libc::SYS_connect];
/// Calls by which a held program could have another process of its user make them.
const REACHING: [c_long; 3] = [
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
];
/// Calls that send, and the place of their flags among the arguments.
const SENDING: [(c_long, u32); 3] = [
    (libc::SYS_sendto, 3),
    (libc::SYS_sendmsg, 2),
    (libc::SYS_sendmmsg, 3),
];
/// The flag that makes sending connect as well.
const CONNECTING: u32 = libc::MSG_FASTOPEN.cast_unsigned();
/// The first of the requests of `ioctl` that tell of a socket's network, and the first after them.
const NETWORK: [u32; 2] = [0x8900, 0x8A00];

/// Where the kernel shows a call's number, its kind of machine and (the lower half of) its first
/// argument; the others follow.
const NUMBER: u32 = 0;
const KIND: u32 = 4;
const ARGUMENT: u32 = 16;
const ARGUMENT_LENGTH: u32 = 8;

const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
const IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const IF_AT_LEAST: u32 = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
const IF_ANY: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;

/// Holds this process to the calls of containers, for good.
pub(super) fn hold_container() -> io::Result<()> {
    install(program(&[]), 0).map(drop)
}

/// Holds this process, and what it becomes and starts, to the calls of containers, for good, and has those by
/// which sockets get addresses answered by whoever holds the descriptor. No other of its calls connects.
pub(super) fn hold_program() -> io::Result<OwnedFd> {
    let program = program(&held());
    // What the program was not protected from before, at a price, it need not be now.
    let speculative = libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | speculative;
    // So that no signal has a call answered twice; kernels before 5.19 do not know it.
    let patient = flags | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    let number = match install(program.clone(), patient) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => install(program, flags),
        other => other,
    }?;
    #[expect(unsafe_code, reason = "the descriptor has no owner yet")]
    // SAFETY: the kernel has just made this descriptor for this process, and nobody else was told of it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Installs a filter; what the kernel answers is the descriptor of its listener, if the flags ask for one.
#[expect(
    unsafe_code,
    reason = "the filter is handed to the kernel by a raw call"
)]
fn install(mut program: Vec<sock_filter>, flags: libc::c_ulong) -> io::Result<i32> {
    let filter = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(io::Error::other)?,
        filter: program.as_mut_ptr(),
    };
    let mode = libc::SECCOMP_SET_MODE_FILTER;
    // SAFETY: the kernel copies the program during the call; pointer and length are of a live vector.
    let outcome = unsafe { libc::syscall(libc::SYS_seccomp, mode, flags, &raw const filter) };
    let outcome = Errno::result(outcome)?;
    i32::try_from(outcome).map_err(io::Error::other)
}

/// The filter; `first` is decided before all else.
fn program(first: &[sock_filter]) -> Vec<sock_filter> {
    let refuse = |verdict| [step(RETURN, verdict)];
    let mut program = vec![step(LOAD, KIND)];
    program.extend(unless(IF_EQUAL, ARCHITECTURE, &refuse(UNKNOWN)));
    program.push(step(LOAD, NUMBER));
    program.extend(when(IF_AT_LEAST, SHORT_POINTERS, &refuse(UNKNOWN)));
    program.extend(first);
    for call in calls::allowed() {
        program.extend(when(IF_EQUAL, number(call), &[step(RETURN, ALLOW)]));
    }
    program.extend(when(IF_EQUAL, number(SYS_clone3), &refuse(UNKNOWN)));
    let namespaces = when(IF_ANY, NAMESPACES, &refuse(DENY));
    program.extend(look_at((SYS_clone, 0), &namespaces, ALLOW));
    program.extend(look_at((SYS_socket, 0), &any(&SOCKETS, DENY), ALLOW));
    let known = any(&PERSONALITIES, ALLOW);
    program.extend(look_at((SYS_personality, 0), &known, DENY));
    program.extend(when(IF_AT_LEAST, NEWEST + 1, &refuse(UNKNOWN)));
    program.push(step(RETURN, DENY));
    program
}

/// What is different for a held program. Sending comes first: it is the most frequent by far.
fn held() -> Vec<sock_filter> {
    let connecting = when(IF_ANY, CONNECTING, &[step(RETURN, DENY)]);
    let sending = SENDING.iter();
    let mut first: Vec<sock_filter> = sending
        .flat_map(|call| look_at(*call, &connecting, ALLOW))
        .collect();
    for (calls, verdict) in [(&ASKED[..], ASK), (&REACHING, DENY)] {
        for call in calls {
            first.extend(when(IF_EQUAL, number(*call), &[step(RETURN, verdict)]));
        }
    }
    let [begin, end] = NETWORK;
    let mut network = when(IF_AT_LEAST, end, &[step(RETURN, ALLOW)]);
    network.push(step(RETURN, DENY));
    let network = when(IF_AT_LEAST, begin, &network);
    first.extend(look_at((libc::SYS_ioctl, 1), &network, ALLOW));
    first
}

/// The checks of a call by one of its arguments, and what holds if none of them decides.
fn look_at(
    (call, argument): (c_long, u32),
    checks: &[sock_filter],
    otherwise: u32,
) -> Vec<sock_filter> {
    let mut body = vec![step(LOAD, ARGUMENT + argument * ARGUMENT_LENGTH)];
    body.extend(checks);
    body.push(step(RETURN, otherwise));
    when(IF_EQUAL, number(call), &body)
}

/// A verdict on each of these values.
fn any(values: &[u32], verdict: u32) -> Vec<sock_filter> {
    let each = |value: &u32| when(IF_EQUAL, *value, &[step(RETURN, verdict)]);
    values.iter().flat_map(each).collect()
}

/// Steps that are taken when the value that was loaded passes a test.
fn when(test: u32, value: u32, steps: &[sock_filter]) -> Vec<sock_filter> {
    branch(test, value, steps, |length| (0, length))
}

/// Steps that are taken when it does not.
fn unless(test: u32, value: u32, steps: &[sock_filter]) -> Vec<sock_filter> {
    branch(test, value, steps, |length| (length, 0))
}

fn branch(
    test: u32,
    value: u32,
    steps: &[sock_filter],
    skips: fn(u8) -> (u8, u8),
) -> Vec<sock_filter> {
    // All of them are short: the longest are those of one call.
    let (jt, jf) = skips(u8::try_from(steps.len()).unwrap_or(u8::MAX));
    let jump = sock_filter {
        jt,
        jf,
        ..step(test, value)
    };
    [jump].into_iter().chain(steps.iter().copied()).collect()
}

fn step(code: u32, value: u32) -> sock_filter {
    sock_filter {
        // The codes of the machine have sixteen bits.
        code: u16::try_from(code).unwrap_or_default(),
        jt: 0,
        jf: 0,
        k: value,
    }
}

/// A call's number as the kernel shows it.
fn number(call: c_long) -> u32 {
    u32::try_from(call).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a filter says of a call, as the kernel would run it.
    fn judge(program: &[sock_filter], kind: u32, call: u32, arguments: [u32; 4]) -> u32 {
        let (mut at, mut loaded) = (0, 0);
        loop {
            let step = program[at];
            let code = u32::from(step.code);
            at += 1;
            let passes = match code {
                LOAD => {
                    loaded = match step.k {
                        NUMBER => call,
                        KIND => kind,
                        place => arguments[((place - ARGUMENT) / ARGUMENT_LENGTH) as usize],
                    };
                    continue;
                }
                RETURN => return step.k,
                IF_EQUAL => loaded == step.k,
                IF_AT_LEAST => loaded >= step.k,
                IF_ANY => loaded & step.k != 0,
                other => panic!("does {other}"),
            };
            at += usize::from(if passes { step.jt } else { step.jf });
        }
    }

    fn check(call: c_long, argument: u32, expected: u32) {
        let arguments = [argument, 0, 0, 0];
        let found = judge(&program(&[]), ARCHITECTURE, number(call), arguments);
        assert_eq!(found, expected, "call {call} of {argument:#x}");
    }

    /// The same of the filter of a held program.
    fn check_held(call: c_long, arguments: [u32; 4], expected: u32) {
        let found = judge(&program(&held()), ARCHITECTURE, number(call), arguments);
        assert_eq!(found, expected, "call {call} of {arguments:x?}");
    }

    #[test]
    fn ordinary_calls_are_made() {
        for call in [
            libc::SYS_read,
            libc::SYS_execve,
            libc::SYS_openat,
            libc::SYS_seccomp,
        ] {
            check(call, 0, ALLOW);
        }
        check(SYS_clone, 0x11, ALLOW);
        check(SYS_socket, 2, ALLOW);
        check(SYS_personality, 8, ALLOW);
    }

    #[test]
    fn calls_that_reach_far_are_not() {
        let far = [
            libc::SYS_unshare,
            libc::SYS_setns,
            libc::SYS_mount,
            libc::SYS_keyctl,
            libc::SYS_bpf,
            libc::SYS_perf_event_open,
            libc::SYS_userfaultfd,
            libc::SYS_io_uring_setup,
            libc::SYS_init_module,
            libc::SYS_kexec_load,
            libc::SYS_open_by_handle_at,
        ];
        for call in far {
            check(call, 0, DENY);
        }
        check(SYS_clone, 0x1000_0000, DENY);
        check(SYS_socket, 40, DENY);
        check(SYS_personality, 0x4000_0000, DENY);
    }

    #[test]
    fn what_is_unknown_is_said_to_be() {
        check(SYS_clone3, 0, UNKNOWN);
        check(1000, 0, UNKNOWN);
        check(c_long::from(SHORT_POINTERS), 0, UNKNOWN);
        assert_eq!(
            judge(&program(&[]), 0x4000_0003, 0, [0; 4]),
            UNKNOWN,
            "a call of another machine"
        );
    }

    #[test]
    fn held_programs_connect_by_calls_that_are_answered_only() {
        for call in ASKED {
            check(call, 0, ALLOW);
            check_held(call, [0; 4], ASK);
        }
        let fast = CONNECTING | 0x4000;
        for (call, arguments) in [
            (libc::SYS_sendto, [1, 2, 3, fast]),
            (libc::SYS_sendmsg, [1, 2, fast, 0]),
            (libc::SYS_sendmmsg, [1, 2, 3, fast]),
        ] {
            check_held(call, arguments, DENY);
            check_held(call, arguments.map(|a| a & !CONNECTING), ALLOW);
        }
        for call in REACHING {
            check_held(call, [0; 4], DENY);
        }
        for (request, verdict) in [
            (0x541B, ALLOW),
            (0x8912, DENY),
            (0x894C, DENY),
            (0x8A00, ALLOW),
        ] {
            check_held(libc::SYS_ioctl, [3, request, 0, 0], verdict);
        }
        check_held(libc::SYS_accept4, [0; 4], ALLOW);
        check_held(libc::SYS_io_uring_setup, [0; 4], DENY);
        // Taking over a descriptor of another process.
        check_held(438, [0; 4], DENY);
    }

    #[test]
    fn the_kernel_takes_programs_of_this_length() {
        assert!(program(&held()).len() <= 4096);
    }
}
