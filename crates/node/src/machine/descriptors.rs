//! Descriptors: how many there may be, and those that are handed from one process of the machine to another, over a
//! Unix socket.

use std::{
    io::{self, IoSlice, IoSliceMut},
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd as _, OwnedFd, RawFd},
};

use nix::{
    cmsg_space,
    errno::Errno,
    sys::{
        resource::{Resource, getrlimit, setrlimit},
        socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg},
    },
};

/// The most descriptors that come with one message.
const MOST: usize = 3;

/// Lets this process have as many as it may be given.
pub(super) fn allow_many() -> nix::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
}

/// Sends bytes, as few as are taken at once, and descriptors with them.
pub(super) fn send(socket: impl AsFd, bytes: &[u8], with: &[BorrowedFd<'_>]) -> io::Result<()> {
    let numbers: Vec<RawFd> = with.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&numbers)];
    let rights = if with.is_empty() { &[][..] } else { &rights };
    let payload = [IoSlice::new(bytes)];
    let flags = MsgFlags::MSG_NOSIGNAL;
    let number = socket.as_fd().as_raw_fd();
    uninterrupted(|| sendmsg::<()>(number, &payload, rights, flags, None))?;
    Ok(())
}

/// Calls again what a signal has interrupted: those of children that end come at any time.
fn uninterrupted<T>(mut call: impl FnMut() -> nix::Result<T>) -> nix::Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            outcome => return outcome,
        }
    }
}

/// Takes what was sent, as far as it fits into `bytes`: how many of these there are, none at the end,
/// and the descriptors that came along.
pub(super) fn receive(socket: impl AsFd, bytes: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut room = cmsg_space!([RawFd; MOST]);
    let mut payload = [IoSliceMut::new(bytes)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let number = socket.as_fd().as_raw_fd();
    uninterrupted(|| {
        let message = recvmsg::<()>(number, &mut payload, Some(&mut room), flags)?;
        let mut received = Vec::new();
        for control in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(numbers) = control {
                received.extend(numbers.into_iter().map(owned));
            }
        }
        Ok((message.bytes, received))
    })
    .map_err(io::Error::from)
}

#[expect(
    unsafe_code,
    reason = "descriptors that are received have no owner yet"
)]
fn owned(number: RawFd) -> OwnedFd {
    // SAFETY: the kernel has just made this descriptor for this process, and nobody else was told of it.
    unsafe { OwnedFd::from_raw_fd(number) }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        os::unix::net::UnixStream,
    };

    use super::*;

    #[test]
    fn descriptors_arrive_with_their_byte() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let (mut reader, writer) = io::pipe().unwrap();
        ours.write_all(b"T").unwrap();
        send(&ours, b"A", &[writer.as_fd()]).unwrap();
        drop((ours, writer));
        let next = || {
            let mut byte = [0];
            let (length, with) = receive(&theirs, &mut byte).unwrap();
            (length, byte[0], with)
        };
        assert!(matches!(next(), (1, b'T', with) if with.is_empty()));
        let (length, byte, mut with) = next();
        assert_eq!((length, byte, with.len()), (1, b'A', 1));
        let mut writer = std::fs::File::from(with.remove(0));
        writer.write_all(b"through").unwrap();
        drop(writer);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "through");
        assert_eq!(next().0, 0);
    }
}
