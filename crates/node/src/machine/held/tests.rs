//! Threads that pass the gate, as programs do: a filter holds the thread that installs it and no other.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::net::UnixListener,
    sync::mpsc,
    thread,
};

use nix::{
    sched::{CloneFlags, unshare},
    sys::socket::{
        AddressFamily, MsgFlags, Shutdown, SockFlag, SockType, SockaddrIn, connect, listen, sendto,
        shutdown, socket,
    },
};

use super::*;

/// What a held thread comes to, and what it asked for meanwhile.
fn hold<T: Send + 'static>(
    program: impl FnOnce() -> T + Send + 'static,
    answer: impl FnMut(Call, &Address) -> Answer,
) -> (T, Vec<(Call, Address)>) {
    hold_in(|| (), program, answer)
}

/// The same, once the thread has gone where it should be.
fn hold_in<T: Send + 'static>(
    place: impl FnOnce() + Send + 'static,
    program: impl FnOnce() -> T + Send + 'static,
    mut answer: impl FnMut(Call, &Address) -> Answer,
) -> (T, Vec<(Call, Address)>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gate");
    let gate = UnixListener::bind(&path).unwrap();
    let (outcome, said) = mpsc::channel();
    let thread = thread::spawn(move || {
        let gate = Gate::open(&path).unwrap();
        place();
        gate.pass().unwrap();
        outcome.send(program()).unwrap();
    });
    let held = Program::receive(&gate.accept().unwrap().0).unwrap();
    let mut asked = Vec::new();
    held.serve(|call, address| {
        asked.push((call, address.clone()));
        answer(call, address)
    })
    .unwrap();
    thread.join().unwrap();
    (said.recv().unwrap(), asked)
}

fn check(raw: &[u8], expected: &Address) {
    assert_eq!(parse(raw), *expected, "{raw:?}");
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// A socket that does not wait.
fn stream() -> OwnedFd {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    socket(AddressFamily::Inet, SockType::Stream, flags, None).unwrap()
}

fn connect_to(socket: &OwnedFd, port: u16) -> nix::Result<()> {
    connect(socket.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, port))
}

#[test]
fn addresses_are_read_as_the_kernel_does() {
    let family = |number: i32| u16::try_from(number).unwrap().to_ne_bytes();
    let raw = |number: i32, rest: &[u8]| [&family(number)[..], rest].concat();
    check(
        &raw(libc::AF_INET, &[31, 144, 127, 0, 0, 1, 0, 0]),
        &Address::Internet(loopback(8080)),
    );
    let mut v6 = vec![0, 80, 0, 0, 0, 0];
    v6.extend(Ipv6Addr::LOCALHOST.octets());
    v6.extend(7_u32.to_ne_bytes());
    let expected = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 80, 0, 7);
    check(
        &raw(libc::AF_INET6, &v6),
        &Address::Internet(expected.into()),
    );
    check(&raw(libc::AF_UNIX, b"a/b\0c"), &Address::Path("a/b".into()));
    check(&raw(libc::AF_UNIX, b"a/b"), &Address::Path("a/b".into()));
    check(&raw(libc::AF_UNIX, b"\0abstract"), &Address::Other);
    check(&raw(libc::AF_UNSPEC, &[0; 14]), &Address::Other);
    for cut in [&[][..], &[2], &[2, 0, 31], &raw(libc::AF_INET6, &v6[..20])] {
        check(cut, &Address::Other);
    }
}

#[test]
fn a_socket_of_the_platform_takes_the_place_of_the_programs_own() {
    let ours = TcpListener::bind("127.0.0.1:0").unwrap();
    let there = ours.local_addr().unwrap();
    let program = || {
        let listener = TcpListener::bind("127.0.0.1:80").unwrap();
        let (mut client, from) = listener.accept().unwrap();
        client.write_all(b"hello").unwrap();
        (listener.local_addr().unwrap(), from)
    };
    let client = thread::spawn(move || {
        let mut client = TcpStream::connect(there).unwrap();
        let mut heard = String::new();
        client.read_to_string(&mut heard).unwrap();
        (client.local_addr().unwrap(), heard)
    });
    let ((at, from), asked) = hold(program, |_, _| {
        Answer::Instead(ours.try_clone().unwrap().into())
    });
    assert_eq!(asked, [(Call::Bind, Address::Internet(loopback(80)))]);
    assert_eq!(at, there);
    assert_eq!(client.join().unwrap(), (from, "hello".to_owned()));
}

#[test]
fn calls_are_made_on_the_programs_sockets_or_fail() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let program = move || {
        let own = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = stream();
        let slow = connect_to(&socket, port);
        let blocking = TcpStream::connect(("127.0.0.1", port));
        let at = UnixListener::bind("anywhere").map(|_| ());
        let refused = UnixListener::bind("elsewhere").map(|_| ());
        let unfit = UnixStream::connect("unfit").map(|_| ());
        (
            own.local_addr().unwrap().port(),
            slow,
            blocking.map(|_| ()),
            at,
            refused,
            unfit,
        )
    };
    let ((own, slow, blocking, at, refused, unfit), _) =
        hold(program, |_, address| match address {
            Address::Path(name) if name == Path::new("anywhere") => Answer::MadeAt(path.clone()),
            Address::Path(name) if name == Path::new("elsewhere") => {
                Answer::Refused(Errno::EADDRINUSE)
            }
            // Of other paths that is too much: they are the program's.
            Address::Path(_) | Address::Internet(_) | Address::Other => Answer::Made,
        });
    assert_ne!(own, 0);
    assert!(matches!(slow, Ok(()) | Err(Errno::EINPROGRESS)), "{slow:?}");
    let code = |outcome: io::Result<()>| outcome.unwrap_err().raw_os_error().unwrap();
    assert_eq!(code(blocking), libc::EACCES);
    at.unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(code(refused), libc::EADDRINUSE);
    assert_eq!(code(unfit), libc::EACCES);
}

/// What a program tries that means to leave its network by the sockets that it was given.
fn escape(port: u16) -> Vec<(&'static str, nix::Result<()>)> {
    let listener = TcpListener::bind("10.0.0.1:80").unwrap();
    let (accepted, _) = listener.accept().unwrap();
    accepted.set_nonblocking(true).unwrap();
    let accepted = OwnedFd::from(accepted);
    let disconnected = {
        let unspecified = [0; 16];
        notice::connect(&accepted, &unspecified)
    };
    let again = connect_to(&accepted, port);
    shutdown(listener.as_raw_fd(), Shutdown::Both).unwrap();
    let listener = OwnedFd::from(listener);
    let reused = connect_to(&listener, port);
    let to = SockaddrIn::new(127, 0, 0, 1, port);
    let fast = sendto(
        listener.as_raw_fd(),
        b"out",
        &to,
        MsgFlags::from_bits_retain(libc::MSG_FASTOPEN),
    )
    .map(drop);
    let rebound = nix::sys::socket::bind(accepted.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0));
    vec![
        ("disconnect", disconnected),
        ("connect again", again),
        ("connect what listened", reused),
        ("send at once", fast),
        ("bind again", rebound),
    ]
}

#[expect(clippy::print_stderr, reason = "a skipped test says so")]
#[test]
fn sockets_of_another_network_lead_nowhere() {
    let (can, told) = mpsc::channel();
    thread::spawn(move || can.send(unshare(CloneFlags::CLONE_NEWNET)));
    if let Err(error) = told.recv().unwrap() {
        eprintln!("skipped: no network can be made: {error}");
        return;
    }
    let ours = TcpListener::bind("127.0.0.1:0").unwrap();
    let there = ours.local_addr().unwrap();
    let secret = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = secret.local_addr().unwrap().port();
    let client = thread::spawn(move || TcpStream::connect(there).unwrap());
    let program = move || {
        let tried = escape(port);
        // Its own sockets are its own affair.
        let own = stream();
        let bound = nix::sys::socket::bind(own.as_raw_fd(), &SockaddrIn::new(0, 0, 0, 0, 0));
        listen(&own, nix::sys::socket::Backlog::MAXCONN).unwrap();
        (tried, bound, connect_to(&stream(), port))
    };
    let away = || unshare(CloneFlags::CLONE_NEWNET).unwrap();
    let wanted = Address::Internet("10.0.0.1:80".parse().unwrap());
    let answer = |_, address: &Address| {
        if *address == wanted {
            Answer::Instead(ours.try_clone().unwrap().into())
        } else {
            Answer::Made
        }
    };
    let ((tried, bound, own), _) = hold_in(away, program, answer);
    for (what, outcome) in tried {
        let denied = matches!(outcome, Err(Errno::EACCES | Errno::EPERM));
        assert!(denied, "{what}: {outcome:?}");
    }
    assert_eq!(bound, Ok(()));
    // Nothing is there.
    assert_ne!(own, Err(Errno::EACCES));
    secret.set_nonblocking(true).unwrap();
    assert!(secret.accept().is_err());
    drop(client.join().unwrap());
}
