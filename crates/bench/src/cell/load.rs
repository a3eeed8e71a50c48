//! Requests through the gateway, and beside it through two Envoys that are configured by hand: one with as little as
//! serves, one with what the gateway does for each request. All three are measured in turn, in short rounds, so that
//! whatever else the machine does falls on all alike. Clients come over TCP at a loopback address, each in the network
//! where that is.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use http::StatusCode;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinSet,
};

use super::{
    by_hand::{ByHand, Kind},
    home::{HOST, Home, PATH},
};
use crate::{
    api::{client::Connection, load::Times},
    figure::{Figure, median},
    process,
    run::Trouble,
};

/// How often each of them is measured, in turn.
const ROUNDS: usize = 9;
/// How many percent fewer requests in a second the gateway may serve.
const GOAL: f64 = 3.0;

/// The gateway, and who is beside it.
pub(super) struct Load<'a> {
    home: &'a Home,
    gateway: u32,
    plain: ByHand,
    equal: ByHand,
}

/// What requests go through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Gateway,
    Plain,
    Equal,
}

impl Way {
    const ALL: [Self; 3] = [Self::Gateway, Self::Plain, Self::Equal];

    fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Plain => "plain-envoy",
            Self::Equal => "equal-envoy",
        }
    }
}

/// What one round came to.
#[derive(Debug, Clone, Copy, Default)]
struct Round {
    /// Requests in a second.
    rate: f64,
    /// Of the times that requests took, in milliseconds.
    p50: f64,
    p99: f64,
    /// What Envoy used of a processor for each request, in microseconds.
    work: f64,
}

impl<'a> Load<'a> {
    /// Starts who is beside the gateway.
    pub(super) async fn prepare(home: &'a Home, server: IpAddr) -> Result<Self, Trouble> {
        let gateway = gateways_envoy(home)?;
        let folder = home.folder.path();
        Ok(Self {
            home,
            gateway,
            plain: ByHand::start(Kind::Plain, gateway, server, folder).await?,
            equal: ByHand::start(Kind::Equal, gateway, server, folder).await?,
        })
    }

    /// What requests cost over so many connections, in rounds of so many seconds.
    pub(super) async fn measure(
        &self,
        connections: usize,
        seconds: u64,
    ) -> Result<Vec<Figure>, Trouble> {
        let lasting = Duration::from_secs(seconds);
        let mut rounds = Way::ALL.map(|_| Vec::new());
        for round in 0..ROUNDS {
            // Who comes first, and who after whom, is another one each time.
            for turn in 0..Way::ALL.len() {
                let place = (round + turn) % Way::ALL.len();
                let (Some(way), Some(all)) = (Way::ALL.get(place), rounds.get_mut(place)) else {
                    continue;
                };
                all.push(self.round(*way, connections, lasting).await?);
            }
        }
        Ok(figures(connections, &rounds))
    }

    async fn round(
        &self,
        way: Way,
        connections: usize,
        lasting: Duration,
    ) -> Result<Round, Trouble> {
        let mut open = Vec::new();
        for _ in 0..connections {
            open.push(self.connect(way).await?);
        }
        let busy = || process::busy(self.pid(way)).map_err(Trouble::io(way.name()));
        let before = busy()?;
        let times = run(open, lasting).await?;
        let used = busy()?.saturating_sub(before);
        self.equal.forget()?;
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let count = times.len().max(1) as f64;
        let times = Times::new(times);
        Ok(Round {
            rate: count / lasting.as_secs_f64(),
            p50: times.at(0.5),
            p99: times.at(0.99),
            work: used.as_secs_f64() * 1e6 / count,
        })
    }

    async fn connect(&self, way: Way) -> Result<Connection<TcpStream>, Trouble> {
        match way {
            Way::Gateway => Connection::plain(&self.home.gateway(), HOST).await,
            Way::Plain => self.plain.connect(),
            Way::Equal => self.equal.connect(),
        }
    }

    fn pid(&self, way: Way) -> u32 {
        match way {
            Way::Gateway => self.gateway,
            Way::Plain => self.plain.pid(),
            Way::Equal => self.equal.pid(),
        }
    }
}

/// The middle of all rounds of each way, and how the gateway's compare with those that were beside them.
fn figures(connections: usize, rounds: &[Vec<Round>; 3]) -> Vec<Figure> {
    let middle = |all: &[Round], of: fn(&Round) -> f64| {
        median(all.iter().map(of).collect()).unwrap_or_default()
    };
    let mut figures = Vec::new();
    for (way, all) in Way::ALL.iter().zip(rounds) {
        let name = |what: &str| format!("{}-{connections}-connections-{what}", way.name());
        let rate = middle(all, |round| round.rate);
        figures.push(Figure::new(name("requests"), rate, "1/s"));
        figures.push(Figure::new(
            name("p50"),
            middle(all, |round| round.p50),
            "ms",
        ));
        figures.push(Figure::new(
            name("p99"),
            middle(all, |round| round.p99),
            "ms",
        ));
        figures.push(Figure::new(
            name("work"),
            middle(all, |round| round.work),
            "us",
        ));
    }
    let [gateway, beside @ ..] = rounds;
    for (way, all) in Way::ALL.iter().skip(1).zip(beside) {
        let fewer = gateway.iter().zip(all);
        let fewer = fewer.map(|(ours, theirs)| (1.0 - ours.rate / theirs.rate) * 100.0);
        let fewer = median(fewer.collect()).unwrap_or_default();
        let name = format!(
            "gateway-{connections}-connections-fewer-than-{}",
            way.name()
        );
        figures.push(Figure::new(name, fewer, "%").at_most(GOAL));
    }
    figures
}

/// How long requests took, one after the other on each connection.
async fn run<S>(open: Vec<Connection<S>>, lasting: Duration) -> Result<Vec<Duration>, Trouble>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut tasks = JoinSet::new();
    let end = Instant::now() + lasting;
    for mut connection in open {
        tasks.spawn(async move {
            let mut times = Vec::new();
            while Instant::now() < end {
                let began = Instant::now();
                let status = connection.status(PATH).await?;
                if status != StatusCode::OK {
                    return Err(Trouble::Output(PATH.to_owned(), status.to_string()));
                }
                times.push(began.elapsed());
            }
            Ok(times)
        });
    }
    let mut all = Vec::new();
    while let Some(done) = tasks.join_next().await {
        let done = done.map_err(|error| Trouble::Output("a task".to_owned(), error.to_string()))?;
        all.extend(done?);
    }
    Ok(all)
}

/// The Envoy of the platform's gateway.
fn gateways_envoy(home: &Home) -> Result<u32, Trouble> {
    let found = process::started_by(home.pid, "envoy");
    let found = found.map_err(Trouble::io("looking for processes"))?;
    found.into_iter().min().ok_or_else(|| {
        let why = "the platform has started none".to_owned();
        Trouble::Output("the gateway's Envoy".to_owned(), why)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(rates: [f64; 3]) -> Vec<Round> {
        let round = |rate| Round {
            rate,
            ..Round::default()
        };
        rates.map(round).to_vec()
    }

    #[test]
    fn rounds_are_compared_with_those_beside_them() {
        // The second round had half of the machine.
        let all = [
            rounds([99.0, 48.0, 97.0]),
            rounds([100.0, 50.0, 100.0]),
            rounds([99.0, 48.0, 97.0]),
        ];
        let figures = figures(16, &all);
        let value = |name: &str| {
            let found = figures.iter().find(|figure| figure.name == name);
            found.map(|figure| figure.value.round())
        };
        assert_eq!(value("gateway-16-connections-requests"), Some(97.0));
        let fewer = "gateway-16-connections-fewer-than";
        assert_eq!(value(&format!("{fewer}-plain-envoy")), Some(3.0));
        assert_eq!(value(&format!("{fewer}-equal-envoy")), Some(0.0));
    }
}
