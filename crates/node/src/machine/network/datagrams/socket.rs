//! The socket at the far end of the link that leads out: it takes and gives whole frames (packet(7)), since what
//! arrives there is for addresses that nobody here has.

use std::{
    io,
    os::fd::{AsRawFd as _, OwnedFd},
    path::PathBuf,
};

use nix::{
    errno::Errno,
    libc,
    net::if_::if_nametoindex,
    sys::socket::{
        AddressFamily, MsgFlags, SockFlag, SockType, recv, send, setsockopt, socket,
        sockopt::{RcvBuf, RcvBufForce},
    },
};
use nlink::netlink::namespace;
use tokio::io::{Interest, unix::AsyncFd};

/// Bytes of frames that wait to be read, as far as the kernel grants them.
const WAITING: usize = 4 << 20;

/// A socket for frames of IPv4.
#[derive(Debug)]
pub(super) struct Socket(AsyncFd<OwnedFd>);

impl Socket {
    /// Opens it at a link of a network namespace, which has to be up.
    #[expect(unsafe_code, reason = "tokio asks for a promise about the descriptor")]
    pub(super) async fn open(netns: PathBuf, link: &'static str) -> io::Result<Self> {
        // A socket stays in the namespace it was made in; the thread goes back.
        let made = tokio::task::spawn_blocking(move || {
            namespace::execute_in_path(netns, || open_here(link))
        });
        let made = made.await?.map_err(io::Error::other)??;
        // SAFETY: an `OwnedFd` names one descriptor, open until it is dropped with what is made here.
        let registered = unsafe { AsyncFd::register_with_interest(made, Interest::READABLE) };
        Ok(Self(registered?))
    }

    /// Waits for a frame: its length, and the buffer has it.
    pub(super) async fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0
            .async_io(Interest::READABLE, |socket| {
                Ok(recv(socket.as_raw_fd(), buffer, MsgFlags::empty())?)
            })
            .await
    }

    /// Sends a frame, or loses it, as any link may.
    pub(super) fn send(&self, frame: &[u8]) -> io::Result<()> {
        let socket = self.0.get_ref().as_raw_fd();
        send(socket, frame, MsgFlags::MSG_DONTWAIT)?;
        Ok(())
    }
}

fn open_here(link: &str) -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    // Without a protocol it hears nothing before it is bound.
    let socket = socket(AddressFamily::Packet, SockType::Raw, flags, None)?;
    // Without rights over the host it is as much as the host gives everybody.
    if setsockopt(&socket, RcvBufForce, &WAITING).is_err() {
        setsockopt(&socket, RcvBuf, &WAITING)?;
    }
    bind(&socket, if_nametoindex(link)?)?;
    join_fragments(&socket)?;
    Ok(socket)
}

/// Binds to packets of IPv4 at a link.
#[expect(unsafe_code, reason = "nix has no addresses of links to bind to")]
fn bind(socket: &OwnedFd, link: u32) -> io::Result<()> {
    let address = libc::sockaddr_ll {
        sll_family: number(libc::AF_PACKET)?,
        sll_protocol: number::<u16>(libc::ETH_P_IP)?.to_be(),
        sll_ifindex: link.try_into().map_err(io::Error::other)?,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let length = libc::socklen_t::try_from(size_of_val(&address)).map_err(io::Error::other)?;
    // SAFETY: the address is as long as it is said to be, and read during the call only.
    let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) };
    Errno::result(bound)?;
    Ok(())
}

/// Lets the kernel put fragments together: a datagram may be longer than the links of pods are wide. It does that
/// for groups of sockets that share packets, of which one socket is the smallest.
#[expect(unsafe_code, reason = "nix does not know this option")]
fn join_fragments(socket: &OwnedFd) -> io::Result<()> {
    // The number of the group, which is alone in its namespace, and what the group is.
    let group = (libc::PACKET_FANOUT_HASH | libc::PACKET_FANOUT_FLAG_DEFRAG) << 16 | 1;
    let length = libc::socklen_t::try_from(size_of_val(&group)).map_err(io::Error::other)?;
    // SAFETY: the value is as long as it is said to be, and read during the call only.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_FANOUT,
            (&raw const group).cast(),
            length,
        )
    };
    Errno::result(set)?;
    Ok(())
}

fn number<T: TryFrom<i32>>(value: i32) -> io::Result<T>
where
    T::Error: std::error::Error + Send + Sync + 'static,
{
    T::try_from(value).map_err(io::Error::other)
}
