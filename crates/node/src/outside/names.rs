//! Names outside, asked for at the resolvers of this host.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use hickory_proto::{
    op::{Message, MessageType, OpCode},
    rr::{RData, Record, RecordType},
};
use tokio::net::{TcpStream, UdpSocket};

use super::{
    ask::{read_message, write_message},
    reach::is_public,
};

/// Where this host says which resolvers it asks.
const SETTINGS: &str = "/etc/resolv.conf";
/// How many of them are asked, and how long each is waited for.
const MOST: usize = 3;
const PATIENCE: Duration = Duration::from_secs(3);
/// The longest datagram that is read.
const LONGEST: usize = 4096;

/// The answer to a question. Addresses that are not public are left out, whoever answers with them: no name
/// leads to what is inside. So are those of IPv6, which the network of cells has not.
pub(super) async fn ask(question: &[u8], resolvers: &[SocketAddr]) -> io::Result<Vec<u8>> {
    let asked = Message::from_vec(question).map_err(io::Error::other)?;
    let [query] = asked.queries.as_slice() else {
        return Err(io::Error::other("not one question"));
    };
    // Nothing but the question is handed on.
    let mut clean = Message::new(rand::random(), MessageType::Query, OpCode::Query);
    clean.metadata.recursion_desired = true;
    clean.add_query(query.clone());
    let clean = clean.to_vec().map_err(io::Error::other)?;
    let of_this_host;
    let resolvers = if resolvers.is_empty() {
        of_this_host = read(&tokio::fs::read_to_string(SETTINGS).await?);
        &of_this_host
    } else {
        resolvers
    };
    let mut last = io::Error::other(format!("{SETTINGS} names no resolver"));
    for resolver in resolvers.iter().take(MOST) {
        match tokio::time::timeout(PATIENCE, at(*resolver, &clean)).await {
            Ok(Ok(mut answer)) => {
                answer.metadata.id = asked.metadata.id;
                answer.answers.retain(may_be_told);
                answer.additionals.retain(may_be_told);
                return answer.to_vec().map_err(io::Error::other);
            }
            Ok(Err(error)) => last = error,
            Err(late) => last = late.into(),
        }
    }
    Err(last)
}

/// The resolvers that a host's settings name.
fn read(settings: &str) -> Vec<SocketAddr> {
    let named = settings
        .lines()
        .filter_map(|line| line.strip_prefix("nameserver"));
    let addresses = named.filter_map(|address| address.trim().parse::<IpAddr>().ok());
    addresses.map(|address| (address, 53).into()).collect()
}

/// What one resolver says, all of it.
async fn at(resolver: SocketAddr, question: &[u8]) -> io::Result<Message> {
    let here: IpAddr = match resolver {
        SocketAddr::V4(_) => [0; 4].into(),
        SocketAddr::V6(_) => [0; 16].into(),
    };
    let socket = UdpSocket::bind((here, 0)).await?;
    // Datagrams of others are not heard.
    socket.connect(resolver).await?;
    socket.send(question).await?;
    let mut buffer = vec![0; LONGEST];
    let answer = loop {
        let length = socket.recv(&mut buffer).await?;
        let heard = Message::from_vec(&buffer[..length]);
        if let Some(answer) = heard.ok().filter(|heard| answers(question, heard)) {
            break answer;
        }
    };
    if !answer.metadata.truncation {
        return Ok(answer);
    }
    let mut stream = TcpStream::connect(resolver).await?;
    write_message(&mut stream, question).await?;
    let bytes = read_message(&mut stream).await?;
    let answer = Message::from_vec(&bytes).map_err(io::Error::other)?;
    if answers(question, &answer) {
        Ok(answer)
    } else {
        Err(io::Error::other("the answer is to another question"))
    }
}

fn answers(question: &[u8], heard: &Message) -> bool {
    let asked = Message::from_vec(question);
    asked.is_ok_and(|asked| {
        heard.metadata.id == asked.metadata.id
            && heard.metadata.message_type == MessageType::Response
            && heard.queries == asked.queries
    })
}

fn may_be_told(record: &Record) -> bool {
    if let RData::A(address) = &record.data {
        return is_public(address.0.into());
    }
    // The last two hint at addresses as well.
    let unknown = [RecordType::AAAA, RecordType::HTTPS, RecordType::SVCB];
    !unknown.contains(&record.record_type())
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, str::FromStr as _};

    use hickory_proto::{
        op::Query,
        rr::{
            Name,
            rdata::{A, AAAA},
        },
    };

    use super::*;

    #[test]
    fn resolvers_are_read() {
        let settings =
            "# a comment\nnameserver 192.0.2.1\nsearch x\nnameserver ::1\nnameserver no\n";
        let found: Vec<_> = read(settings).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["192.0.2.1:53", "[::1]:53"]);
    }

    #[tokio::test]
    async fn private_addresses_are_left_out_of_answers() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let resolver = server.local_addr().unwrap();
        let name = Name::from_str("a.example.com.").unwrap();
        let owner = name.clone();
        tokio::spawn(async move {
            let mut buffer = vec![0; LONGEST];
            let (length, client) = server.recv_from(&mut buffer).await.unwrap();
            let asked = Message::from_vec(&buffer[..length]).unwrap();
            let mut answer = Message::response(asked.metadata.id, OpCode::Query);
            answer.add_queries(asked.queries.clone());
            for data in [
                RData::A(A(Ipv4Addr::new(10, 0, 0, 1))),
                RData::A(A(Ipv4Addr::new(8, 8, 8, 8))),
                RData::AAAA(AAAA("2001:4860:4860::8888".parse().unwrap())),
            ] {
                answer.add_answer(Record::from_rdata(owner.clone(), 60, data));
            }
            // Somebody else's answer is not heard.
            let mut forged = answer.clone();
            forged.metadata.id = forged.metadata.id.wrapping_add(1);
            for message in [forged, answer] {
                let bytes = message.to_vec().unwrap();
                server.send_to(&bytes, client).await.unwrap();
            }
        });
        let mut question = Message::new(7, MessageType::Query, OpCode::Query);
        question.add_query(Query::query(name, RecordType::A));
        let answer = ask(&question.to_vec().unwrap(), &[resolver]).await.unwrap();
        let answer = Message::from_vec(&answer).unwrap();
        assert_eq!(answer.metadata.id, 7);
        let said: Vec<_> = answer
            .answers
            .iter()
            .map(|one| one.data.to_string())
            .collect();
        assert_eq!(said, ["8.8.8.8"]);
    }
}
