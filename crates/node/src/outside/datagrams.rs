//! Datagrams to and from one address outside, which the machine writes and reads as messages.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4},
};

use tokio::net::{
    UdpSocket, UnixStream,
    unix::{OwnedReadHalf, OwnedWriteHalf},
};

use super::{
    Bounds, Reach,
    ask::{read_message, write_message},
    may_connect, not_reached,
};

/// The longest datagram.
const LONGEST: usize = 1 << 16;

/// A socket that speaks with one address alone, within some bounds: what others send to it is not heard.
pub(super) async fn connect(
    to: SocketAddrV4,
    bounds: Bounds,
    reach: &Reach,
) -> io::Result<UdpSocket> {
    let instead = reach.instead.get(&(to.ip().to_string(), to.port()));
    let address = match instead {
        Some(address) => *address,
        None if may_connect((*to.ip()).into(), (bounds, false), reach) => to.into(),
        None => return Err(not_reached(to.ip())),
    };
    let here = match address {
        SocketAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind((here, 0)).await?;
    socket.connect(address).await?;
    Ok(socket)
}

/// Carries until the machine wants no more.
pub(super) async fn carry(machine: UnixStream, outside: &UdpSocket) -> io::Result<()> {
    let (mut sent, mut answers) = machine.into_split();
    tokio::select! {
        ended = send(&mut sent, outside) => ended,
        ended = receive(outside, &mut answers) => ended,
    }
}

async fn send(machine: &mut OwnedReadHalf, outside: &UdpSocket) -> io::Result<()> {
    loop {
        let payload = read_message(machine).await?;
        // What the network does not take, be it for what came of an earlier one, is lost: who sends datagrams
        // counts on that.
        let _lost = outside.send(&payload).await;
    }
}

async fn receive(outside: &UdpSocket, machine: &mut OwnedWriteHalf) -> io::Result<()> {
    loop {
        outside.readable().await?;
        let mut payload = Vec::with_capacity(LONGEST);
        // An error is of what was sent before, or there is nothing yet.
        if outside.try_recv_buf(&mut payload).is_ok() {
            payload.shrink_to_fit();
            write_message(machine, &payload).await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(to: &str, reach: &Reach) -> io::Result<UdpSocket> {
        connect(to.parse().unwrap(), Bounds::Public, reach).await
    }

    #[tokio::test]
    async fn only_who_was_asked_is_heard() {
        let [asked, stranger] = [
            UdpSocket::bind("127.0.0.1:0").await.unwrap(),
            UdpSocket::bind("127.0.0.1:0").await.unwrap(),
        ];
        let instead = (("8.8.8.8".to_owned(), 53), asked.local_addr().unwrap());
        let reach = Reach {
            instead: [instead].into(),
            ..Reach::default()
        };
        let outside = check("8.8.8.8:53", &reach).await.unwrap();
        let (mut machine, theirs) = UnixStream::pair().unwrap();
        let client = outside.local_addr().unwrap();
        let carried = tokio::spawn(async move { carry(theirs, &outside).await });
        for word in ["one", "two"] {
            write_message(&mut machine, word.as_bytes()).await.unwrap();
            let mut heard = [0; 9];
            let (length, from) = asked.recv_from(&mut heard).await.unwrap();
            assert_eq!(
                (&heard[..length], from.port()),
                (word.as_bytes(), client.port())
            );
            let there = SocketAddr::from(([127, 0, 0, 1], client.port()));
            stranger.send_to(b"forged", there).await.unwrap();
            asked.send_to(word.as_bytes(), from).await.unwrap();
            assert_eq!(read_message(&mut machine).await.unwrap(), word.as_bytes());
        }
        drop(machine);
        let ended = carried.await.unwrap();
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn what_may_not_be_reached_is_not() {
        for to in [
            "127.0.0.1:53",
            "10.1.2.3:53",
            "169.254.169.254:80",
            "192.168.0.1:53",
        ] {
            let refused = check(to, &Reach::default()).await.unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied, "{to}");
        }
    }
}
