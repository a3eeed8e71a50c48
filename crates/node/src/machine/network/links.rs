//! Links of pods, addresses and routes, made through netlink.
//!
//! Each pod has a link of its own to the machine, and no other: whatever it sends, be it to a pod of
//! its own cell, goes through the machine and by its rules. Both ends know each other's hardware
//! address and ask nobody, so there is nobody whose question could be answered falsely.

use std::{net::Ipv4Addr, path::Path};

use nlink::{
    Connection, Error, Route,
    netlink::{
        MessageBuilder,
        addr::Ipv4Address,
        link::{LinkConfig, VethLink},
        namespace,
        neigh::Neighbor,
        route::Ipv4Route,
        types::route::{RouteScope, RouteType},
    },
};

use super::kernel::Sender;
use crate::machine::{GATEWAYS, PROGRAMS, short_digest};

/// The name of the link inside a pod.
const POD_LINK: &str = "eth0";
/// The machine's own link, which has its addresses.
const OWN_LINK: &str = "lo";
/// The link that leads out of the network, and its far end.
pub(super) const WAY_OUT: &str = "out";
pub(super) const FAR_END: &str = "far";
/// Who would be at the far end: nobody, since nothing there is for whoever is there.
const NOBODY: [u8; 6] = [0x02, 0xce, 0, 0, 0, 2];
/// How wide it is: as long as packets get.
const WIDEST: u32 = 65_535;
/// The attribute of a link that says how many packets may go over it as one (`IFLA_GSO_MAX_SEGS`).
const MOST_SEGMENTS: u16 = 40;
/// The hardware address of the machine on every link.
pub(super) const MACHINE: [u8; 6] = [0x02, 0xce, 0, 0, 0, 1];
/// The routing table of what is the machine's own.
const LOCAL: u32 = 255;
/// The addresses of the network of cells, Services and Gateways.
const CELLS: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 0, 0, 0), 8);
/// The length of a single address.
const SINGLE: u8 = 32;

/// Settings of a pod's network namespace.
const POD_SYSCTLS: [(&str, &str); 6] = [
    ("net.ipv6.conf.all.disable_ipv6", "1"),
    ("net.ipv6.conf.default.disable_ipv6", "1"),
    ("net.ipv4.conf.all.accept_redirects", "0"),
    ("net.ipv4.conf.default.accept_redirects", "0"),
    // Programs without privileges serve port 80 too.
    ("net.ipv4.ip_unprivileged_port_start", "0"),
    // Every group may ping, which needs no raw sockets.
    ("net.ipv4.ping_group_range", "0 0"),
];

/// Makes the machine's own link work, and leads to it what has no other way: there the rules refuse it.
pub(super) async fn start_own(connection: &Connection<Route>) -> Result<(), Error> {
    connection.set_link_up(OWN_LINK).await?;
    let nowhere = Ipv4Route::default_route().dev(OWN_LINK);
    connection.add_route(nowhere).await
}

/// Makes the link that leads out, and leads to it what is for no address of the network of cells; a network namespace
/// has its far end.
pub(super) async fn add_way_out(
    connection: &Connection<Route>,
    beyond: Ipv4Addr,
    netns: &Path,
) -> Result<(), Error> {
    namespace::create_path(netns)?;
    namespace::set_sysctls_path(netns, &POD_SYSCTLS)?;
    let link = VethLink::new(WAY_OUT, FAR_END).mtu(WIDEST).address(MACHINE);
    let link = link.peer_netns_fd(namespace::open_path(netns)?);
    connection.add_link(PacketByPacket(link)).await?;
    connection.set_link_up(WAY_OUT).await?;
    let inside = Connection::<Route>::new_in(netns)?;
    inside.set_link_up(FAR_END).await?;
    let neighbor = Neighbor::new_v4(WAY_OUT, beyond).lladdr(NOBODY);
    connection.replace_neighbor(neighbor.permanent()).await?;
    let there = Ipv4Route::from_addr(beyond, SINGLE).dev(WAY_OUT);
    connection.add_route(there.scope(RouteScope::Link)).await?;
    let (first, prefix) = CELLS;
    let nowhere = Ipv4Route::from_addr(first, prefix).dev(OWN_LINK);
    connection.add_route(nowhere).await?;
    let elsewhere = Ipv4Route::default_route().gateway(beyond);
    connection.replace_route(elsewhere.dev(WAY_OUT)).await
}

/// A link that takes one packet at a time: what a program has sent as many at once (`UDP_SEGMENT`) goes through the
/// machine as one, and is cut here.
#[derive(Debug)]
struct PacketByPacket(VethLink);

impl LinkConfig for PacketByPacket {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn kind(&self) -> &str {
        self.0.kind()
    }

    fn peer_name(&self) -> Option<&str> {
        self.0.peer_name()
    }

    fn creation_error(&self) -> Option<&str> {
        self.0.creation_error()
    }

    fn write_to(&self, builder: &mut MessageBuilder, parent: Option<u32>) {
        self.0.write_to(builder, parent);
        builder.append_attr_u32(MOST_SEGMENTS, 1);
    }
}

/// Gives the machine an address.
pub(super) async fn add_own(
    connection: &Connection<Route>,
    address: Ipv4Addr,
) -> Result<(), Error> {
    connection
        .add_address_by_name(OWN_LINK, address.into(), SINGLE)
        .await
}

/// Takes an address from the machine.
pub(super) async fn remove_own(
    connection: &Connection<Route>,
    address: Ipv4Addr,
) -> Result<(), Error> {
    connection.del_address_v4(OWN_LINK, address, SINGLE).await
}

/// Makes a network namespace and the link to it; nothing passes yet.
pub(super) async fn add(
    connection: &Connection<Route>,
    sender: &Sender,
    netns: &Path,
) -> Result<(), Error> {
    namespace::create_path(netns)?;
    namespace::set_sysctls_path(netns, &POD_SYSCTLS)?;
    let link = VethLink::new(sender.link.as_str(), POD_LINK)
        .address(MACHINE)
        .peer_address(sender.hardware)
        .peer_netns_fd(namespace::open_path(netns)?);
    connection.add_link(link).await
}

/// Lets packets pass between the machine, as `gateway`, and the other end of a link.
pub(super) async fn open(
    connection: &Connection<Route>,
    sender: &Sender,
    gateway: Ipv4Addr,
    netns: &Path,
) -> Result<(), Error> {
    let link = sender.link.as_str();
    // Its own, beside that of the machine: what the machine sends here comes from there.
    connection
        .add_address_by_name(link, gateway.into(), SINGLE)
        .await?;
    connection.set_link_up(link).await?;
    let route = Ipv4Route::from_addr(sender.address, SINGLE).dev(link);
    connection
        .replace_route(route.scope(RouteScope::Link))
        .await?;
    let neighbor = Neighbor::new_v4(link, sender.address);
    let neighbor = neighbor.lladdr(sender.hardware).permanent();
    connection.replace_neighbor(neighbor).await?;
    let inside = Connection::<Route>::new_in(netns)?;
    inside.set_link_up(OWN_LINK).await?;
    let address = Ipv4Address::new(POD_LINK, sender.address, SINGLE);
    inside.add_address(address).await?;
    inside.set_link_up(POD_LINK).await?;
    let machine = Neighbor::new_v4(POD_LINK, gateway);
    inside
        .replace_neighbor(machine.lladdr(MACHINE).permanent())
        .await?;
    let route = Ipv4Route::from_addr(gateway, SINGLE).dev(POD_LINK);
    inside.add_route(route.scope(RouteScope::Link)).await?;
    inside
        .add_route(Ipv4Route::default_route().gateway(gateway))
        .await
}

/// Leads to a link whatever is sent to Gateways that lead out, and takes it for the link's own there: which
/// of them there are, and who may call them, is a matter of rules.
pub(super) async fn add_gateways(
    connection: &Connection<Route>,
    sender: &Sender,
    netns: &Path,
) -> Result<(), Error> {
    let (first, prefix) = GATEWAYS;
    let there = Ipv4Route::from_addr(first, prefix).gateway(PROGRAMS);
    connection
        .replace_route(there.dev(sender.link.as_str()))
        .await?;
    let inside = Connection::<Route>::new_in(netns)?;
    let own = Ipv4Route::from_addr(first, prefix).route_type(RouteType::Local);
    let own = own.table(LOCAL).scope(RouteScope::Host);
    inside.replace_route(own.dev(OWN_LINK)).await
}

/// Removes a link and its network namespace, as far as they are there.
pub(super) async fn remove(
    connection: &Connection<Route>,
    uid: &str,
    netns: &Path,
) -> Result<(), Error> {
    connection.del_link_if_exists(name(uid).as_str()).await?;
    if netns.exists() {
        namespace::delete_path(netns)
    } else {
        Ok(())
    }
}

/// What the link of a pod speaks with.
pub(super) fn sender(uid: &str, address: Ipv4Addr) -> Sender {
    let [a, b, c, d] = address.octets();
    Sender {
        link: name(uid),
        hardware: [0x02, 0xc0, a, b, c, d],
        address,
    }
}

/// Link names are short; a hash keeps them apart.
fn name(uid: &str) -> String {
    format!("v{}", short_digest(uid.as_bytes()))
}
