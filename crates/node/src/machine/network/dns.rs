//! The name server of a cell: answers for the cell's names from memory, and for nothing else.

use std::{
    collections::BTreeMap,
    io,
    net::Ipv4Addr,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use hickory_proto::{
    op::{Message, MessageType, OpCode, Query, ResponseCode},
    rr::{DNSClass, RData, Record, RecordType, rdata::A},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::Semaphore,
    task::JoinHandle,
    time::timeout,
};

const PORT: u16 = 53;
/// How long an answer may be kept; short, since addresses of pods change.
const TTL: u32 = 5;
/// Longest answer over UDP without EDNS.
const UDP_LIMIT: usize = 512;
/// TCP connections served at once.
const CONNECTIONS: usize = 64;
/// How long a TCP connection may be silent.
const PATIENCE: Duration = Duration::from_secs(5);

type Names = BTreeMap<String, Vec<Ipv4Addr>>;

/// A running name server; it ends when it is dropped.
#[derive(Debug)]
pub(super) struct Server {
    names: Arc<RwLock<Names>>,
    tasks: [JoinHandle<()>; 2],
}

impl Server {
    /// Starts answering at an address of this machine.
    pub(super) async fn start(address: Ipv4Addr, names: Names) -> io::Result<Self> {
        let udp = UdpSocket::bind((address, PORT)).await?;
        let tcp = TcpListener::bind((address, PORT)).await?;
        let names = Arc::new(RwLock::new(names));
        let tasks = [
            tokio::spawn(serve_udp(udp, names.clone())),
            tokio::spawn(serve_tcp(tcp, names.clone())),
        ];
        Ok(Self { names, tasks })
    }

    /// Answers with these names from now on.
    pub(super) fn set(&self, names: Names) {
        *self.names.write().unwrap_or_else(PoisonError::into_inner) = names;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn serve_udp(socket: UdpSocket, names: Arc<RwLock<Names>>) {
    let mut buffer = vec![0; 4096];
    loop {
        // An error of one packet (an unreachable client) is not the end.
        let Ok((length, client)) = socket.recv_from(&mut buffer).await else {
            tokio::task::yield_now().await;
            continue;
        };
        if let Some(reply) = reply(&buffer[..length], &names, true) {
            // A client that went away asks again.
            let _unheard = socket.send_to(&reply, client).await;
        }
    }
}

async fn serve_tcp(listener: TcpListener, names: Arc<RwLock<Names>>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let names = names.clone();
        tokio::spawn(async move {
            // A broken conversation ends; the client asks again.
            let _ended = converse(stream, &names).await;
            drop(place);
        });
    }
}

async fn converse(mut stream: TcpStream, names: &RwLock<Names>) -> io::Result<()> {
    loop {
        let length = timeout(PATIENCE, stream.read_u16()).await??;
        let mut query = vec![0; length.into()];
        timeout(PATIENCE, stream.read_exact(&mut query)).await??;
        let Some(reply) = reply(&query, names, false) else {
            return Ok(());
        };
        let length = u16::try_from(reply.len()).map_err(io::Error::other)?;
        stream.write_u16(length).await?;
        stream.write_all(&reply).await?;
    }
}

/// The answer to a query, or nothing when it is not worth one.
fn reply(query: &[u8], names: &RwLock<Names>, datagram: bool) -> Option<Vec<u8>> {
    let query = Message::from_vec(query).ok()?;
    if query.metadata.message_type != MessageType::Query {
        return None;
    }
    let names = names.read().unwrap_or_else(PoisonError::into_inner);
    let message = answer(&query, &names);
    let bytes = message.to_vec().ok()?;
    let limit = query
        .edns
        .as_ref()
        .map_or(UDP_LIMIT, |_| usize::from(query.max_payload()));
    if datagram && bytes.len() > limit {
        message.truncate().to_vec().ok()
    } else {
        Some(bytes)
    }
}

fn answer(query: &Message, names: &Names) -> Message {
    let id = query.metadata.id;
    if query.metadata.op_code != OpCode::Query {
        return Message::error_msg(id, query.metadata.op_code, ResponseCode::NotImp);
    }
    let [question] = query.queries.as_slice() else {
        return Message::error_msg(id, OpCode::Query, ResponseCode::FormErr);
    };
    let mut message = Message::response(id, OpCode::Query);
    message.metadata.authoritative = true;
    message.metadata.recursion_desired = query.metadata.recursion_desired;
    message.metadata.recursion_available = true;
    message.add_query(question.clone());
    let Some(addresses) = find(question, names) else {
        message.metadata.response_code = ResponseCode::NXDomain;
        return message;
    };
    if matches!(question.query_type(), RecordType::A | RecordType::ANY) {
        let record = |address: &Ipv4Addr| {
            Record::from_rdata(question.name().clone(), TTL, RData::A(A(*address)))
        };
        message.add_answers(addresses.iter().map(record));
    }
    message
}

fn find<'a>(question: &Query, names: &'a Names) -> Option<&'a [Ipv4Addr]> {
    if question.query_class() != DNSClass::IN {
        return None;
    }
    let name = question.name().to_ascii().to_ascii_lowercase();
    names.get(name.trim_end_matches('.')).map(Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use std::str::FromStr as _;

    use hickory_proto::rr::Name;

    use super::*;

    fn ask(name: &str, kind: RecordType) -> Message {
        let names = [(
            "web.shop.svc.cluster.local".to_owned(),
            vec![Ipv4Addr::new(10, 200, 0, 1)],
        )];
        let mut query = Message::new(7, MessageType::Query, OpCode::Query);
        query.add_query(Query::query(Name::from_str(name).unwrap(), kind));
        let bytes = query.to_vec().unwrap();
        let reply = reply(&bytes, &RwLock::new(names.into()), true).unwrap();
        Message::from_vec(&reply).unwrap()
    }

    #[test]
    fn known_names_have_addresses() {
        let reply = ask("Web.shop.svc.cluster.local.", RecordType::A);
        assert_eq!(reply.metadata.response_code, ResponseCode::NoError);
        assert_eq!(reply.answers.len(), 1);
        assert_eq!(reply.answers[0].data, RData::A(A::new(10, 200, 0, 1)));
    }

    #[test]
    fn known_names_have_no_ipv6() {
        let reply = ask("web.shop.svc.cluster.local.", RecordType::AAAA);
        assert_eq!(reply.metadata.response_code, ResponseCode::NoError);
        assert!(reply.answers.is_empty());
    }

    #[test]
    fn other_names_do_not_exist() {
        let reply = ask("example.com.", RecordType::A);
        assert_eq!(reply.metadata.response_code, ResponseCode::NXDomain);
    }

    #[test]
    fn garbage_gets_no_answer() {
        assert_eq!(reply(b"nonsense", &RwLock::default(), true), None);
    }
}
