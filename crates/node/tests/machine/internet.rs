//! An internet of this test's own: a network namespace with hosts in it, and one for the platform, which has a public
//! address there. No packet leaves either.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    os::fd::AsRawFd as _,
    path::PathBuf,
    sync::mpsc,
    time::Duration,
};

use nix::{
    net::if_::if_nametoindex,
    sched::{CloneFlags, unshare},
};
use nlink::{
    Connection, Route,
    netlink::{link::VethLink, route::Ipv4Route},
};

/// The link of the platform's host.
const LINK: &str = "internet";
const FAR: &str = "host";
/// The address of the platform's host, and who leads on.
pub(crate) const OWN: Ipv4Addr = Ipv4Addr::new(11, 0, 0, 2);
const NEXT: Ipv4Addr = Ipv4Addr::new(11, 0, 0, 1);
/// Hosts with public addresses, and one with a private one.
pub(crate) const HOSTS: [Ipv4Addr; 2] =
    [Ipv4Addr::new(11, 22, 33, 50), Ipv4Addr::new(11, 22, 33, 51)];
pub(crate) const PRIVATE: Ipv4Addr = Ipv4Addr::new(192, 168, 77, 1);
/// The ports that they answer at, and one that strangers speak from.
pub(crate) const PORTS: [u16; 4] = [53, 8080, 8081, 9999];
const STRANGE: u16 = 7;

/// Whether it is there.
pub(crate) fn is_there() -> bool {
    if_nametoindex(LINK).is_ok()
}

/// Moves this process, which has a single thread, to where there is one.
pub(crate) fn make() {
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    let (made, space) = mpsc::channel();
    let (connected, when_connected) = mpsc::channel();
    let (bound, when_bound) = mpsc::channel();
    std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let space = File::open("/proc/thread-self/ns/net").unwrap();
        made.send(space).unwrap();
        // A socket that is bound while its address comes may answer from another one.
        when_connected.recv().unwrap();
        let sockets = all().map(|address| UdpSocket::bind(address).unwrap());
        let sockets: Vec<_> = sockets.collect();
        let listeners = all().map(|address| TcpListener::bind(address).unwrap());
        let listeners: Vec<_> = listeners.collect();
        bound.send(()).unwrap();
        serve(sockets, listeners);
    });
    let space = space.recv().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(connect(&space)).unwrap();
    connected.send(()).unwrap();
    when_bound.recv().unwrap();
}

async fn connect(space: &File) -> nlink::Result<()> {
    let here = Connection::<Route>::new()?;
    here.set_link_up("lo").await?;
    here.add_link(VethLink::new(LINK, FAR).peer_netns_fd(space))
        .await?;
    here.add_address_by_name(LINK, OWN.into(), 24).await?;
    here.set_link_up(LINK).await?;
    here.add_route(Ipv4Route::default_route().gateway(NEXT))
        .await?;
    let there = Connection::<Route>::new_in(PathBuf::from(format!(
        "/proc/self/fd/{}",
        space.as_raw_fd()
    )))?;
    there.set_link_up("lo").await?;
    there.add_address_by_name(FAR, NEXT.into(), 24).await?;
    for host in HOSTS.into_iter().chain([PRIVATE]) {
        there.add_address_by_name(FAR, host.into(), 32).await?;
    }
    there.set_link_up(FAR).await
}

fn all() -> impl Iterator<Item = SocketAddr> {
    let hosts = HOSTS.into_iter().chain([PRIVATE]);
    hosts.flat_map(|host| PORTS.map(|port| SocketAddr::from((host, port))))
}

/// Answers as every host, until the process ends.
fn serve(sockets: Vec<UdpSocket>, listeners: Vec<TcpListener>) {
    let sockets = sockets.into_iter();
    let sockets = sockets.map(|socket| std::thread::spawn(move || answer(&socket)));
    let listeners = listeners.into_iter();
    let listeners = listeners.map(|listener| std::thread::spawn(move || greet(&listener)));
    let threads: Vec<_> = sockets.chain(listeners).collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

/// Says something to everybody.
fn greet(listener: &TcpListener) {
    loop {
        let Ok((mut stream, _)) = listener.accept() else {
            continue;
        };
        std::thread::spawn(move || {
            let _gone = stream.read(&mut [0; 1024]);
            let _gone = stream.write_all(b"hello");
        });
    }
}

/// Answers every datagram with itself. Some ask for more.
fn answer(socket: &UdpSocket) {
    let mut heard = vec![0; 1 << 16];
    loop {
        let Ok((length, client)) = socket.recv_from(&mut heard) else {
            continue;
        };
        let payload = &heard[..length];
        if payload.starts_with(b"strangers") {
            for host in HOSTS {
                let stranger = UdpSocket::bind((host, STRANGE)).unwrap();
                stranger.send_to(b"I was not asked", client).unwrap();
            }
        }
        if payload == b"stream" {
            let socket = socket.try_clone().unwrap();
            std::thread::spawn(move || stream(&socket, client));
        }
        let _gone = socket.send_to(payload, client);
    }
}

fn stream(socket: &UdpSocket, client: SocketAddr) {
    for _ in 0..500 {
        let _gone = socket.send_to(b"more", client);
        std::thread::sleep(Duration::from_millis(20));
    }
}
