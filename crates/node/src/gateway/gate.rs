//! What Envoy may bind and connect to, as the platform answers its calls: the host's ports that Gateways ask for,
//! the platform's sockets in the gateway's folder, and whatever is in its own network.

use std::{
    path::{Component, Path},
    sync::Arc,
};

use nix::errno::Errno;
use tokio::net::UnixListener;

use super::{
    Error, Result, discovery::listen_privately, egress::REFUSAL_SOCKET, elsewhere, envoy,
    ports::Ports, relay::Sockets,
};
use crate::machine::{Address, Answer, Call, Program};

/// The socket at which a process that becomes Envoy comes first, relative to the gateway's folder.
pub(super) const SOCKET: &str = "gate.sock";
/// Refusals of one Envoy that are told in the log.
const TOLD: usize = 32;

/// Listens for programs.
pub(super) fn open(sockets: &Sockets) -> Result<UnixListener> {
    listen_privately(&sockets.path(SOCKET))
}

/// Answers the calls of every Envoy that comes, each in a thread of its own: Envoy waits for the answer, and must
/// not wait for whatever else the platform does.
pub(super) async fn serve(
    listener: UnixListener,
    ports: Arc<Ports>,
    sockets: Arc<Sockets>,
) -> Result<()> {
    let failed = |cause| Error::Io {
        doing: "wait for Envoy".to_owned(),
        cause,
    };
    loop {
        let (stream, _) = listener.accept().await.map_err(failed)?;
        let stream = stream.into_std().map_err(failed)?;
        stream.set_nonblocking(false).map_err(failed)?;
        let (ports, sockets) = (Arc::clone(&ports), Arc::clone(&sockets));
        std::thread::Builder::new()
            .name("gateway".to_owned())
            .spawn(move || {
                let outcome = Program::receive(&stream).and_then(|envoy| {
                    drop(stream);
                    answer(&envoy, &ports, &sockets)
                });
                if let Err(error) = outcome {
                    tracing::error!(%error, "the calls of the gateway's Envoy cannot be answered");
                }
            })
            .map_err(failed)?;
    }
}

fn answer(envoy: &Program, ports: &Ports, sockets: &Sockets) -> std::io::Result<()> {
    let turn = ports.begin();
    let mut told = 0;
    let outcome = envoy.serve(|call, address| {
        let give = |address| ports.give(turn, address);
        let answer = judge(call, address, give, sockets);
        if matches!(answer, Answer::Refused(_)) && told < TOLD {
            told += 1;
            tracing::warn!(
                ?call,
                ?address,
                "the gateway's Envoy asked for what it may not have"
            );
        }
        answer
    });
    ports.end(turn);
    outcome
}

fn judge(
    call: Call,
    address: &Address,
    give: impl Fn(std::net::SocketAddr) -> Option<std::os::fd::OwnedFd>,
    sockets: &Sockets,
) -> Answer {
    match (call, address) {
        (Call::Bind, Address::Internet(address)) => {
            give(*address).map_or(Answer::Made, Answer::Instead)
        }
        (Call::Connect, Address::Internet(_)) | (_, Address::Other) => Answer::Made,
        (_, Address::Path(path)) => match path.to_str().filter(|_| is_known(call, path)) {
            Some(name) => Answer::MadeAt(sockets.path(name)),
            None => Answer::Refused(Errno::EACCES),
        },
    }
}

/// Whether Envoy may listen or connect at a path: names in folders that are the platform's, so that no link of
/// Envoy's making leads elsewhere.
fn is_known(call: Call, path: &Path) -> bool {
    let mut components = path.components();
    let plain = path
        .components()
        .all(|one| matches!(one, Component::Normal(_)));
    let first = components.next().map(|one| one.as_os_str().to_os_string());
    let first = first.as_deref().and_then(|one| one.to_str());
    let depth = path.components().count();
    match call {
        _ if !plain => false,
        Call::Bind => depth == 2 && first == Some(envoy::WRITABLE),
        Call::Connect if depth == 1 => {
            matches!(first, Some(envoy::DISCOVERY_SOCKET | REFUSAL_SOCKET))
        }
        Call::Connect => depth == 2 && first == Some(elsewhere::FOLDER),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(call: Call, path: &str, expected: bool) {
        let folder = tempfile::tempdir().unwrap();
        let sockets = Sockets::open(folder.path()).unwrap();
        let answer = judge(call, &Address::Path(path.into()), |_| None, &sockets);
        let made = matches!(&answer, Answer::MadeAt(at) if *at == sockets.path(path));
        assert_eq!(made, expected, "{call:?} {path}: {answer:?}");
        assert!(made || matches!(answer, Answer::Refused(Errno::EACCES)));
    }

    #[test]
    fn envoy_has_the_sockets_that_it_is_told_of() {
        for path in [envoy::ADMIN_SOCKET, "live/127.0.0.1_53_udp.sock"] {
            check(Call::Bind, path, true);
            check(Call::Connect, path, false);
        }
        for path in [envoy::DISCOVERY_SOCKET, REFUSAL_SOCKET, "outlets/a.sock"] {
            check(Call::Connect, path, true);
            check(Call::Bind, path, false);
        }
        for path in [
            SOCKET,
            "/run/docker.sock",
            "../api.sock",
            "outlets/../gate.sock",
            "outlets/a/b",
            "live/../gate.sock",
            "./discovery.sock",
            "outlets",
        ] {
            check(Call::Bind, path, false);
            check(Call::Connect, path, false);
        }
    }
}
