//! How a client wants to go on once it is let in: the protocols it offers, and the one that is taken.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header, request::Parts};
use hyper::upgrade::OnUpgrade;

use super::super::{
    answer::{self, Body},
    path::Talk,
    websocket,
};
use crate::status::{Failure, Result};

/// Names the protocols inside of SPDY.
const STREAM_PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");
/// What SPDY is called where protocols are changed.
const SPDY: &str = "SPDY/3.1";

/// How bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carrier {
    /// Messages of a WebSocket, each of which is of a channel.
    Channels,
    /// SPDY in messages of a WebSocket.
    Tunnel,
    /// SPDY; the version of the protocol inside of it.
    Spdy(u8),
}

/// A protocol: its name, and how it travels.
type Protocol = (&'static str, Carrier);

/// What is spoken over a WebSocket, the best first.
fn websockets(talk: Talk) -> &'static [Protocol] {
    match talk {
        Talk::Attach | Talk::Exec => &[
            ("v5.channel.k8s.io", Carrier::Channels),
            ("v4.channel.k8s.io", Carrier::Channels),
        ],
        Talk::PortForward => &[
            ("SPDY/3.1+portforward.k8s.io", Carrier::Tunnel),
            ("v4.channel.k8s.io", Carrier::Channels),
        ],
    }
}

/// What is spoken over SPDY, the best first.
fn spdy(talk: Talk) -> &'static [Protocol] {
    match talk {
        Talk::Attach | Talk::Exec => &[
            ("v4.channel.k8s.io", Carrier::Spdy(4)),
            ("v3.channel.k8s.io", Carrier::Spdy(3)),
            ("v2.channel.k8s.io", Carrier::Spdy(2)),
            ("channel.k8s.io", Carrier::Spdy(1)),
        ],
        Talk::PortForward => &[("portforward.k8s.io", Carrier::Spdy(1))],
    }
}

/// A client's wish to go on with something else than HTTP.
pub(super) struct Offer {
    protocol: &'static str,
    carrier: Carrier,
    /// What proves that a WebSocket was wanted.
    accept: Option<String>,
    upgrade: OnUpgrade,
}

impl Offer {
    /// Reads what the client offers.
    pub(super) fn read(parts: &Parts, talk: Talk) -> Result<Self> {
        let header = |name| {
            parts
                .headers
                .get(name)
                .and_then(|value| value.to_str().ok())
        };
        let wants = |name: &str| {
            header(header::UPGRADE).is_some_and(|wanted| wanted.eq_ignore_ascii_case(name))
        };
        let key = header(header::SEC_WEBSOCKET_KEY).filter(|_| wants("websocket"));
        let upgrade = parts.extensions.get::<OnUpgrade>().cloned();
        let (Some(upgrade), true) = (upgrade, key.is_some() || wants(SPDY)) else {
            return Err(Failure::bad_request("Upgrade request required"));
        };
        let (name, known) = match key {
            Some(_) => (header::SEC_WEBSOCKET_PROTOCOL, websockets(talk)),
            None => (STREAM_PROTOCOL, spdy(talk)),
        };
        let offered = parts.headers.get_all(name).iter();
        let offered: Vec<&str> = offered
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .collect();
        let found = known.iter().find(|(name, _)| offered.contains(name));
        let Some((protocol, carrier)) = found.copied() else {
            let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
            let why = format!(
                "unable to upgrade: unable to negotiate protocol: client supports {offered:?}, \
                 server accepts {names:?}"
            );
            return Err(Failure::bad_request(why));
        };
        Ok(Self {
            protocol,
            carrier,
            accept: key.map(websocket::accept),
            upgrade,
        })
    }

    /// What it becomes, and the answer that says so.
    pub(super) fn take(self) -> (Carrier, OnUpgrade, Response<Body>) {
        let mut response = answer::full(101, "", Bytes::new());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.clear();
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        let protocol = HeaderValue::from_static(self.protocol);
        if let Some(accept) = &self.accept {
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
            if let Ok(accept) = HeaderValue::from_str(accept) {
                headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
            }
        } else {
            headers.insert(header::UPGRADE, HeaderValue::from_static(SPDY));
            headers.insert(STREAM_PROTOCOL, protocol);
        }
        (self.carrier, self.upgrade, response)
    }
}
