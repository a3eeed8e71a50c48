//! Bridges, links of pods and routes, made through netlink.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use nlink::{
    Connection, Error, Route,
    netlink::{
        addr::Ipv4Address,
        link::{BridgeLink, BridgePortConfig, VethLink},
        namespace,
        route::Ipv4Route,
    },
};

use super::rules::bridge;
use crate::machine::{Cell, PodSandbox, short_digest};

/// The name of the link inside a pod.
const POD_LINK: &str = "eth0";

/// Settings of a pod's network namespace.
const POD_SYSCTLS: [(&str, &str); 4] = [
    ("net.ipv6.conf.all.disable_ipv6", "1"),
    ("net.ipv6.conf.default.disable_ipv6", "1"),
    // Programs without privileges serve port 80 too.
    ("net.ipv4.ip_unprivileged_port_start", "0"),
    // Every group may ping, which needs no raw sockets.
    ("net.ipv4.ping_group_range", "0 0"),
];

/// Makes the loopback link work.
pub(super) async fn start_loopback(connection: &Connection<Route>) -> Result<(), Error> {
    connection.set_link_up("lo").await
}

/// Makes a cell's bridge with its address.
pub(super) async fn add_bridge(connection: &Connection<Route>, cell: &Cell) -> Result<(), Error> {
    let name = bridge(cell);
    connection.del_link_if_exists(name.as_str()).await?;
    // A fixed hardware address: else it changes with the bridge's ports, and pods lose their gateway.
    let [high, low] = cell.index.to_be_bytes();
    let link = BridgeLink::new(name.as_str()).address([0x02, 0xce, 0x11, 0, high, low]);
    connection.add_link(link).await?;
    connection
        .add_address_by_name(name.as_str(), cell.gateway.into(), cell.prefix)
        .await?;
    connection.set_link_up(name.as_str()).await
}

/// Removes a cell's bridge.
pub(super) async fn remove_bridge(
    connection: &Connection<Route>,
    cell: &Cell,
) -> Result<(), Error> {
    connection
        .del_link_if_exists(bridge(cell).as_str())
        .await
        .map(|_| ())
}

/// Makes the addresses of Services routable for the machine itself; pods reach them by their default
/// route, and packets are redirected before they would leave.
pub(super) async fn route_service(
    connection: &Connection<Route>,
    address: Ipv4Addr,
    through: &Cell,
) -> Result<(), Error> {
    connection
        .replace_route(Ipv4Route::from_addr(address, 32).dev(bridge(through)))
        .await
}

/// Removes the route of a Service.
pub(super) async fn unroute_service(
    connection: &Connection<Route>,
    address: Ipv4Addr,
) -> Result<(), Error> {
    connection
        .del_route_v4_if_exists(address, 32)
        .await
        .map(|_| ())
}

/// Makes a pod's network namespace and the link between it and its cell's bridge.
pub(super) async fn add_pod(
    connection: &Connection<Route>,
    pod: &PodSandbox,
    cell: &Cell,
    netns: &Path,
) -> Result<(), Error> {
    namespace::create_path(netns)?;
    namespace::set_sysctls_path(netns, &POD_SYSCTLS)?;
    let outside = link_name(&pod.uid);
    let link = VethLink::new(outside.as_str(), POD_LINK)
        .peer_address(hardware_address(pod.address))
        .peer_netns_fd(namespace::open_path(netns)?);
    connection.add_link(link).await?;
    connection
        .enslave(outside.as_str(), bridge(cell).as_str())
        .await?;
    let port = BridgePortConfig::new().hairpin(true);
    connection.set_bridge_port(outside.as_str(), port).await?;
    connection.set_link_up(outside.as_str()).await?;
    let inside = Connection::<Route>::new_in(netns)?;
    inside.set_link_up("lo").await?;
    inside
        .add_address(Ipv4Address::new(POD_LINK, pod.address, cell.prefix))
        .await?;
    inside.set_link_up(POD_LINK).await?;
    inside
        .add_route(Ipv4Route::default_route().gateway(cell.gateway))
        .await
}

/// Removes a pod's link and network namespace, as far as they are there.
pub(super) async fn remove_pod(
    connection: &Connection<Route>,
    uid: &str,
    netns: PathBuf,
) -> Result<(), Error> {
    connection
        .del_link_if_exists(link_name(uid).as_str())
        .await?;
    if netns.exists() {
        namespace::delete_path(netns)
    } else {
        Ok(())
    }
}

/// Link names are short; a hash keeps them apart.
fn link_name(uid: &str) -> String {
    format!("v{}", short_digest(uid.as_bytes()))
}

/// The same address always has the same hardware address: neighbours need not ask again.
fn hardware_address(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x02, 0xc0, a, b, c, d]
}
