//! Connections to ports over a WebSocket: for each port the request names, a channel of data and one of
//! errors, as clients other than kubectl have it.

use std::sync::Arc;

use bytes::Buf as _;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
    task::JoinSet,
};

use super::{
    super::query::Query,
    channels::message,
    forward::{WAITING, carry},
    link::{Messages, Out},
    offer::Carrier,
};
use crate::{
    access::{Input, PodPorts},
    status::{Failure, Result},
};

/// The most ports of one request: half as many as a byte has channels for.
const MOST: usize = 64;

/// The ports that a request names.
pub(super) fn read(query: &Query) -> Result<Vec<u16>> {
    let named = query.all("ports").flat_map(|list| list.split(','));
    let port = |text: &str| match text.trim().parse() {
        Ok(0) | Err(_) => Err(Failure::bad_request(format!("{text:?} is no port"))),
        Ok(port) => Ok(port),
    };
    let ports: Vec<u16> = named.map(port).collect::<Result<_>>()?;
    if ports.len() > MOST {
        let why = format!("{} ports are too many: at most {MOST}", ports.len());
        return Err(Failure::bad_request(why));
    }
    Ok(ports)
}

/// Carries messages between a client and ports until all connections have ended, or the client goes.
pub(super) async fn talk(
    reader: impl AsyncRead + Unpin,
    writer: impl AsyncWrite + Unpin,
    ports: &Arc<dyn PodPorts>,
    wanted: &[u16],
) -> std::io::Result<()> {
    let (out, queue) = Out::new(Carrier::Channels);
    let mut messages = Messages::new(reader, out.clone());
    let talking = async move {
        let (mut inputs, mut tasks) = (Vec::new(), JoinSet::new());
        for (port, channel) in wanted.iter().copied().zip((0..).step_by(2)) {
            for channel in [channel, channel + 1] {
                out.send(message(channel, &port.to_le_bytes())).await?;
            }
            let (input, fed) = mpsc::channel(WAITING);
            inputs.push(input);
            let (ports, out) = (Arc::clone(ports), out.clone());
            tasks.spawn(async move {
                // A client that is gone misses nothing.
                let _gone = connect(&*ports, port, channel, fed, &out).await;
            });
        }
        let reading = async {
            while let Some(mut message) = messages.next().await? {
                let channel = message.try_get_u8().unwrap_or(u8::MAX);
                let input = inputs.get(usize::from(channel / 2));
                if let Some(input) = input.filter(|_| channel % 2 == 0 && !message.is_empty()) {
                    // What is meant for a connection that has ended is dropped.
                    let _ended = input.send(Input::Data(message)).await;
                }
            }
            Ok(())
        };
        tokio::select! {
            outcome = reading => outcome,
            () = async { while tasks.join_next().await.is_some() {} } => Ok(()),
        }
    };
    tokio::try_join!(talking, queue.write(writer)).map(|_| ())
}

async fn connect(
    ports: &dyn PodPorts,
    port: u16,
    channel: u8,
    fed: mpsc::Receiver<Input>,
    out: &Out,
) -> std::io::Result<()> {
    let why = match ports.connect(port).await {
        Ok(session) => carry(session, fed, out, |bytes| message(channel, bytes)).await?,
        Err(refused) => Some(refused.to_string()),
    };
    match why {
        Some(why) => {
            let why = format!("error forwarding port {port}: {why}");
            out.send(message(channel + 1, why.as_bytes())).await
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::access::{Output, PodError, Session};

    /// Port 7 says back the first it hears; others are closed.
    struct Echo;

    #[async_trait]
    impl PodPorts for Echo {
        async fn connect(&self, port: u16) -> std::result::Result<Session, PodError> {
            if port != 7 {
                return Err(PodError::Internal("refused".to_owned()));
            }
            let (input, mut heard) = mpsc::channel(1);
            let (said, output) = mpsc::channel(1);
            tokio::spawn(async move {
                if let Some(Input::Data(bytes)) = heard.recv().await {
                    said.send(Output::Out(bytes)).await.unwrap();
                }
                said.send(Output::Ended(0)).await
            });
            Ok(Session { input, output })
        }
    }

    #[test]
    fn ports_are_read_from_lists() {
        let check = |query: &str, expected: Option<&[u16]>| {
            let ports = read(&Query::parse(query).unwrap()).ok();
            assert_eq!(ports.as_deref(), expected, "{query}");
        };
        check("", Some(&[]));
        check("ports=80%2C81&ports=7", Some(&[80, 81, 7]));
        check("ports=0", None);
        check("ports=http", None);
    }

    #[tokio::test]
    async fn each_port_has_two_channels() {
        let (ours, theirs) = tokio::io::duplex(1 << 10);
        let (reader, writer) = tokio::io::split(theirs);
        let ports: Arc<dyn PodPorts> = Arc::new(Echo);
        let serving = tokio::spawn(async move { talk(reader, writer, &ports, &[7, 9]).await });
        let (mut reader, mut writer) = tokio::io::split(ours);
        // A message of channel 0 that is masked with zeros.
        let hello = [&[0x82, 0x83, 0, 0, 0, 0, 0][..], b"hi"].concat();
        writer.write_all(&hello).await.unwrap();
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).await.unwrap();
        let has = |message: &[u8]| bytes.windows(message.len()).any(|part| part == message);
        assert!(has(&[0x82, 3, 0, 7, 0]) && has(&[0x82, 3, 1, 7, 0]));
        assert!(has(&[0x82, 3, 2, 9, 0]) && has(&[0x82, 3, 3, 9, 0]));
        assert!(has(b"\x82\x03\x00hi"));
        assert!(has(b"\x03error forwarding port 9: refused"));
        assert_eq!(bytes.last_chunk(), Some(&[0x88, 2, 3, 0xe8]));
        serving.await.unwrap().unwrap();
    }
}
