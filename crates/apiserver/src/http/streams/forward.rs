//! Connections to ports over SPDY: for each, the client opens a stream of errors and one of data, which
//! a number of its own holds together.
//!
//! SPDY as these clients speak it has no flow control, so a connection that takes no data holds up the
//! client's others: for a while, then it is given up.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
    task::JoinSet,
    time::timeout,
};

use super::{
    super::spdy::{self, Encoder, Frame, Headers},
    PATIENCE,
    link::{Frames, Out},
    offer::Carrier,
};
use crate::access::{Input, Output, PodPorts, Session};

/// Connections that one client may have at once.
const MOST: usize = 128;
/// Pieces of data that wait for a connection.
pub(super) const WAITING: usize = 4;

/// Carries frames between a client and ports until the client goes.
pub(super) async fn talk(
    reader: impl AsyncRead + Unpin,
    writer: impl AsyncWrite + Unpin,
    carrier: Carrier,
    ports: Arc<dyn PodPorts>,
) -> std::io::Result<()> {
    let (out, queue) = Out::new(carrier);
    let mut frames = Frames::new(reader, out.clone());
    let talking = async move {
        let mut connections = Connections::new(ports, out);
        while let Some(frame) = frames.next().await? {
            connections.take(frame).await?;
        }
        Ok(())
    };
    tokio::try_join!(talking, queue.write(writer)).map(|_| ())
}

/// A connection of which the client has opened one stream at least.
#[derive(Clone, Copy, Debug)]
struct Pair {
    port: u16,
    error: Option<u32>,
    data: Option<u32>,
}

/// What a stream is for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Purpose {
    /// Which connection it is of.
    request: String,
    port: u16,
    data: bool,
}

impl Purpose {
    fn of(headers: &Headers) -> Option<Self> {
        let data = match headers.get("streamtype")? {
            "data" => true,
            "error" => false,
            _ => return None,
        };
        let port: u16 = headers.get("port")?.parse().ok()?;
        let request = headers.get("requestid")?.to_owned();
        (port > 0).then_some(Self {
            request,
            port,
            data,
        })
    }
}

/// The connections of a client.
struct Connections {
    ports: Arc<dyn PodPorts>,
    out: Out,
    encoder: Encoder,
    /// Those of which a stream is missing.
    halves: BTreeMap<String, Pair>,
    /// Where data goes, by stream.
    inputs: BTreeMap<u32, mpsc::Sender<Input>>,
    /// Ends with this.
    tasks: JoinSet<()>,
}

impl Connections {
    fn new(ports: Arc<dyn PodPorts>, out: Out) -> Self {
        Self {
            ports,
            out,
            encoder: Encoder::default(),
            halves: BTreeMap::new(),
            inputs: BTreeMap::new(),
            tasks: JoinSet::new(),
        }
    }

    async fn take(&mut self, frame: Frame) -> std::io::Result<()> {
        match frame {
            Frame::Open {
                stream,
                headers,
                last,
            } => self.open(stream, &headers, last).await,
            Frame::Data {
                stream,
                bytes,
                last,
            } => {
                if !bytes.is_empty() {
                    self.feed(stream, Input::Data(bytes)).await?;
                }
                if last {
                    self.feed(stream, Input::End).await?;
                    self.inputs.remove(&stream);
                }
                Ok(())
            }
            Frame::Reset { stream } => {
                self.inputs.remove(&stream);
                Ok(())
            }
            Frame::Ping(_) | Frame::GoAway => Ok(()),
        }
    }

    async fn open(&mut self, stream: u32, headers: &Headers, last: bool) -> std::io::Result<()> {
        while self.tasks.try_join_next().is_some() {}
        self.inputs.retain(|_, input| !input.is_closed());
        let room = self.tasks.len() + self.halves.len() < MOST;
        let Some(pair) = Purpose::of(headers)
            .filter(|purpose| room || self.halves.contains_key(&purpose.request))
            .and_then(|purpose| self.join(stream, purpose))
        else {
            return self.out.send(spdy::reset(stream)).await;
        };
        self.out.send(self.encoder.reply(stream)).await?;
        let Pair {
            port,
            error: Some(error),
            data: Some(data),
        } = pair
        else {
            return Ok(());
        };
        let (input, fed) = mpsc::channel(WAITING);
        if !(last && stream == data) {
            self.inputs.insert(data, input);
        }
        let (ports, out) = (Arc::clone(&self.ports), self.out.clone());
        self.tasks.spawn(async move {
            // A client that is gone misses nothing.
            let _gone = connect(&*ports, port, [error, data], fed, &out).await;
        });
        Ok(())
    }

    /// Puts a stream beside the other of its connection; nothing if it has no place there.
    fn join(&mut self, stream: u32, purpose: Purpose) -> Option<Pair> {
        let Purpose {
            request,
            port,
            data,
        } = purpose;
        let mut pair = self.halves.get(&request).copied().unwrap_or(Pair {
            port,
            error: None,
            data: None,
        });
        let free = if data {
            &mut pair.data
        } else {
            &mut pair.error
        };
        if free.replace(stream).is_some() || pair.port != port {
            return None;
        }
        if pair.error.is_some() && pair.data.is_some() {
            self.halves.remove(&request);
        } else {
            self.halves.insert(request, pair);
        }
        Some(pair)
    }

    /// Gives a connection what is meant for it; what is meant for none any more is dropped.
    async fn feed(&mut self, stream: u32, input: Input) -> std::io::Result<()> {
        let Some(sender) = self.inputs.get(&stream) else {
            return Ok(());
        };
        if timeout(PATIENCE, sender.send(input)).await.is_err() {
            self.inputs.remove(&stream);
            self.out.send(spdy::reset(stream)).await?;
        }
        Ok(())
    }
}

/// One connection from its beginning to its end, which its streams tell.
async fn connect(
    ports: &dyn PodPorts,
    port: u16,
    [error, data]: [u32; 2],
    fed: mpsc::Receiver<Input>,
    out: &Out,
) -> std::io::Result<()> {
    let why = match ports.connect(port).await {
        Ok(session) => carry(session, fed, out, |bytes| spdy::data(data, bytes)).await?,
        Err(refused) => Some(refused.to_string()),
    };
    if let Some(why) = why {
        let why = format!("error forwarding port {port}: {why}");
        out.send(spdy::data(error, why.as_bytes())).await?;
    }
    out.send(spdy::end(error)).await?;
    out.send(spdy::end(data)).await
}

/// Carries data until the pod ends the connection or the client gives it up; why, if it broke.
pub(super) async fn carry(
    session: Session,
    mut fed: mpsc::Receiver<Input>,
    out: &Out,
    frame: impl Fn(&[u8]) -> Bytes,
) -> std::io::Result<Option<String>> {
    let Session { input, mut output } = session;
    let feeding = async {
        while let Some(one) = fed.recv().await {
            let last = one == Input::End;
            if input.send(one).await.is_err() || last {
                return true;
            }
        }
        false
    };
    let saying = async {
        loop {
            match output.recv().await {
                Some(Output::Out(bytes) | Output::Err(bytes)) => {
                    out.send(frame(&bytes)).await?;
                }
                Some(Output::Ended(_)) => return Ok(None),
                Some(Output::Failed(why)) => return Ok(Some(why)),
                None => return Ok(Some("the connection was lost".to_owned())),
            }
        }
    };
    tokio::pin!(feeding, saying);
    tokio::select! {
        outcome = &mut saying => outcome,
        open = &mut feeding => if open {
            // The client said all it had to say, and still listens.
            saying.await
        } else {
            Ok(None)
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_say_what_they_are_for() {
        let check = |kind, port, expected| {
            let headers = [("streamtype", kind), ("port", port), ("requestid", "7")];
            let purpose = Purpose::of(&Headers::of(&headers));
            assert_eq!(
                purpose.map(|one| (one.port, one.data)),
                expected,
                "{kind} {port}"
            );
        };
        check("data", "80", Some((80, true)));
        check("error", "65535", Some((65535, false)));
        check("stdin", "80", None);
        check("data", "0", None);
        check("data", "65536", None);
        assert_eq!(Purpose::of(&Headers::of(&[("streamtype", "data")])), None);
    }
}
