//! The program that the containers of the machine's tests run: one file, no crates, linked statically.

use std::{
    io::{IsTerminal, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket},
    process::exit,
    time::Duration,
};

const PATIENCE: Duration = Duration::from_millis(1500);

fn main() {
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    let words = arguments.iter().map(String::as_str).collect::<Vec<_>>();
    match words.as_slice() {
        ["serve", port, name] => serve(port.parse().unwrap(), name),
        ["get", host, port] => get(resolve(host), port.parse().unwrap()),
        ["fetch", host, port, bytes] => fetch(host, port.parse().unwrap(), bytes),
        ["resolve", host] => println!("{}", resolve(host)),
        ["listen", ports @ ..] => listen(ports),
        ["speak", address] => speak(address),
        ["probe", targets @ ..] => probe(targets),
        ["talk", word, length, targets @ ..] => talk(word, length.parse().unwrap(), targets),
        ["burst", target] => burst(target),
        ["stream", target] => stream(target),
        ["many", count, rounds, target] => many(count.parse().unwrap(), rounds.parse().unwrap(), target),
        ["names", names @ ..] => look_up(names),
        ["raw"] => println!("{}", raw_socket().is_ok()),
        ["send", what @ ..] => send(what),
        ["say", out, err] => {
            println!("{out}");
            eprintln!("{err}");
        }
        ["exit", code] => exit(code.parse().unwrap()),
        ["eat"] => eat(),
        ["threads", most] => println!("{}", threads(most.parse().unwrap())),
        ["burn"] => println!("{}", burn(Duration::from_secs(1)).as_millis()),
        ["sleep"] => loop {
            std::thread::sleep(PATIENCE);
        },
        ["show", path] => print!("{}", std::fs::read_to_string(path).unwrap()),
        ["list", path] => {
            for entry in std::fs::read_dir(path).unwrap() {
                println!("{}", entry.unwrap().file_name().to_string_lossy());
            }
        }
        ["put", path, megabytes] => {
            std::fs::write(path, vec![1; megabytes.parse::<usize>().unwrap() << 20]).unwrap();
        }
        ["write", path] => std::fs::write(path, "written").unwrap(),
        ["fill", path, megabytes] => fill(path, megabytes.parse().unwrap()),
        ["fork"] => fork_on(),
        ["env", name] => println!("{}", std::env::var(name).unwrap()),
        ["until-asked"] => until_asked(),
        ["echo"] => echo(),
        ["terminal"] => terminal(),
        ["call", number, argument] => call(number.parse().unwrap(), argument.parse().unwrap()),
        ["cwd"] => println!("{}", std::env::current_dir().unwrap().display()),
        _ => exit(64),
    }
}

unsafe extern "C" {
    fn signal(number: i32, handler: extern "C" fn(i32)) -> usize;
    fn _exit(code: i32) -> !;
}

/// Serves until a signal asks it to end; its number is the exit code.
fn until_asked() {
    extern "C" fn asked(number: i32) {
        // SAFETY: it may be called in a handler.
        unsafe { _exit(number) }
    }
    for number in [2, 15] {
        // SAFETY: the handler only ends this process.
        unsafe { signal(number, asked) };
    }
    serve(8080, "asked");
}

unsafe extern "C" {
    fn syscall(number: i64, ...) -> i64;
}

/// Makes a system call and says what the kernel answers.
fn call(number: i64, argument: u64) {
    // SAFETY: the calls that are tried fail, or give nothing but a number.
    let outcome = unsafe { syscall(number, argument, 0_u64, 0_u64, 0_u64, 0_u64) };
    if outcome < 0 {
        println!("{}", std::io::Error::last_os_error().raw_os_error().unwrap());
    } else {
        println!("0");
    }
}

/// Writes a file of so many megabytes, and says why that cannot be.
fn fill(path: &str, megabytes: usize) {
    let written = std::fs::write(path, vec![1; megabytes << 20]);
    println!("{:?}", written.map_err(|error| error.kind()).unwrap_err());
}

unsafe extern "C" {
    fn fork() -> i32;
}

/// Makes processes that make processes, for ever.
fn fork_on() {
    loop {
        // SAFETY: it has a single thread, and does nothing but this afterwards.
        if unsafe { fork() } < 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Says what it reads, and when that is over.
fn echo() {
    for line in std::io::stdin().lines() {
        println!("read {}", line.unwrap());
    }
    println!("over");
}

/// Says what its terminal is, once it has read a line.
fn terminal() {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    let streams = [
        std::io::stdin().is_terminal(),
        std::io::stdout().is_terminal(),
        std::io::stderr().is_terminal(),
    ];
    println!("read {:?}, terminals {streams:?}", line.trim());
    let name = std::fs::read_link("/proc/self/fd/0").unwrap();
    let controls = std::fs::File::open("/dev/tty").is_ok();
    let opened = std::fs::File::options().read(true).write(true).open(&name);
    let (there, opens) = (name.exists(), opened.is_ok());
    println!("{} exists: {there}, controls: {controls}, opens: {opens}", name.display());
    println!("TERM is {}", std::env::var("TERM").unwrap_or_default());
    println!("{:?}", size());
}

unsafe extern "C" {
    fn ioctl(descriptor: i32, request: u64, ...) -> i32;
}

/// Rows and columns of the terminal.
fn size() -> [u16; 2] {
    const TIOCGWINSZ: u64 = 0x5413;
    let mut size = [0_u16; 4];
    // SAFETY: the kernel writes four numbers of this width, and keeps no pointer to them.
    unsafe { ioctl(0, TIOCGWINSZ, size.as_mut_ptr()) };
    [size[0], size[1]]
}

fn serve(port: u16, name: &str) {
    for stream in TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))
        .unwrap()
        .incoming()
    {
        let mut stream = stream.unwrap();
        let _ = stream.read(&mut [0; 4096]);
        let length = name.len();
        let _ = write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{name}"
        );
    }
}

fn get(address: Ipv4Addr, port: u16) {
    let answer =
        TcpStream::connect_timeout(&(address, port).into(), PATIENCE).and_then(|mut stream| {
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            Ok(text)
        });
    match answer {
        Ok(text) => print!("{}", text.rsplit('\n').next().unwrap()),
        Err(error) => {
            print!("{:?}", error.kind());
            exit(1);
        }
    }
}

/// Sends bytes, given in hexadecimal, to a host, and says what comes back, or why nothing does.
fn fetch(host: &str, port: u16, bytes: &str) {
    let settings = std::fs::read_to_string("/etc/resolv.conf").unwrap();
    let mut lines = settings.lines();
    let server = lines.find_map(|line| line.strip_prefix("nameserver ")).unwrap();
    let found = host.parse().ok().or_else(|| ask(server, host));
    let Some(address) = found else {
        return println!("no address");
    };
    let digits = |at: usize| u8::from_str_radix(&bytes[at..at + 2], 16).unwrap();
    let sent: Vec<u8> = (0..bytes.len()).step_by(2).map(digits).collect();
    let mut answer = Vec::new();
    let outcome =
        TcpStream::connect_timeout(&(address, port).into(), PATIENCE).and_then(|mut stream| {
            stream.set_read_timeout(Some(4 * PATIENCE))?;
            stream.write_all(&sent)?;
            stream.read_to_end(&mut answer)
        });
    match outcome {
        Err(error) if answer.is_empty() => println!("{:?}", error.kind()),
        _ => println!("got {}", String::from_utf8_lossy(&answer)),
    }
}

/// How many threads there can be, this one included.
fn threads(most: usize) -> usize {
    let sleeper = || std::thread::Builder::new().spawn(|| std::thread::sleep(PATIENCE));
    1 + (1..most).map_while(|_| sleeper().ok()).count()
}

/// Processor time that can be had in a while.
fn burn(length: Duration) -> Duration {
    let begun = std::time::Instant::now();
    while begun.elapsed() < length {
        std::hint::spin_loop();
    }
    let spent = std::fs::read_to_string("/proc/self/schedstat").unwrap();
    Duration::from_nanos(spent.split(' ').next().unwrap().parse().unwrap())
}

fn eat() {
    let mut eaten = Vec::new();
    loop {
        eaten.push(vec![1_u8; 1 << 20]);
        std::hint::black_box(&eaten);
    }
}

/// Asks the name server of /etc/resolv.conf, trying its search domains.
fn resolve(host: &str) -> Ipv4Addr {
    if let Ok(address) = host.parse() {
        return address;
    }
    let settings = std::fs::read_to_string("/etc/resolv.conf").unwrap();
    let field = |name: &str| {
        settings
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap()
            .trim()
            .to_owned()
    };
    let server = field("nameserver");
    let domains = field("search");
    let tries = domains.split(' ').map(|domain| format!("{host}.{domain}"));
    for name in tries.chain([host.to_owned()]) {
        if let Some(address) = ask(&server, &name) {
            return address;
        }
    }
    print!("NXDOMAIN");
    exit(2);
}

/// A question for the address of a name.
fn query(name: &str) -> Vec<u8> {
    let mut query = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        query.push(label.len() as u8);
        query.extend(label.as_bytes());
    }
    query.extend([0, 0, 1, 0, 1]);
    query
}

fn ask(server: &str, name: &str) -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.send_to(&query(name), (server, 53)).unwrap();
    let mut reply = [0; 512];
    let length = socket.recv(&mut reply).unwrap();
    let answers = u16::from_be_bytes([reply[6], reply[7]]);
    let last = reply[..length].last_chunk::<4>().unwrap();
    (answers > 0).then(|| Ipv4Addr::from(*last))
}

/// Listens on ports, such as `tcp:80` and `udp:53`: answers, and says what datagrams it gets.
/// Speaks on one connection until that is not possible any more, and says why.
fn speak(address: &str) {
    let address = address.parse::<std::net::SocketAddr>().unwrap();
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
    for _ in 0..500 {
        if let Err(error) = stream.write_all(b"word") {
            return println!("{:?}", error.kind());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    println!("heard");
}

fn listen(ports: &[&str]) {
    let threads = ports.iter().map(|port| {
        let (protocol, port) = port.split_once(':').unwrap();
        let address = (Ipv4Addr::UNSPECIFIED, port.parse::<u16>().unwrap());
        if protocol == "tcp" {
            let listener = TcpListener::bind(address).unwrap();
            std::thread::spawn(move || {
                // Connections stay open.
                let mut all = Vec::new();
                for stream in listener.incoming() {
                    let mut stream = stream.unwrap();
                    let _ = stream.write_all(b"hello");
                    println!("called");
                    all.push(stream);
                }
            })
        } else {
            let socket = UdpSocket::bind(address).unwrap();
            std::thread::spawn(move || {
                let mut text = [0; 256];
                while let Ok((length, from)) = socket.recv_from(&mut text) {
                    println!("got {} from {from}", String::from_utf8_lossy(&text[..length]));
                    let _ = socket.send_to(&text[..length], from);
                }
            })
        }
    });
    let threads: Vec<_> = threads.collect();
    println!("listening");
    for thread in threads {
        let _ = thread.join();
    }
}

/// Tries to reach each of `tcp:ADDRESS:PORT` and `udp:ADDRESS:PORT`, all at once, and says what came of
/// it.
fn probe(targets: &[&str]) {
    let threads = targets.iter().map(|target| {
        let target = (*target).to_owned();
        std::thread::spawn(move || {
            let outcome = match reach(&target) {
                Ok(()) => "open".to_owned(),
                Err(error) => format!("{:?}", error.kind()),
            };
            println!("{target} {outcome}");
        })
    });
    for thread in threads.collect::<Vec<_>>() {
        thread.join().unwrap();
    }
}

fn reach(target: &str) -> std::io::Result<()> {
    let (protocol, address) = target.split_once(':').unwrap();
    let address = address.parse::<std::net::SocketAddr>().unwrap();
    let mut answer = [0; 64];
    let length = if protocol == "tcp" {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        stream.read(&mut answer)?
    } else {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.connect(address)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.send(b"probe")?;
        socket.recv(&mut answer)?
    };
    if length == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

/// Asks the name server for each name as it is, and says the answer's code, or the last address of it.
fn look_up(names: &[&str]) {
    let settings = std::fs::read_to_string("/etc/resolv.conf").unwrap();
    let server = settings
        .lines()
        .find_map(|line| line.strip_prefix("nameserver "))
        .unwrap();
    for name in names {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut reply = [0; 512];
        let outcome = socket
            .connect((server, 53))
            .and_then(|()| socket.send(&query(name)))
            .and_then(|_| socket.recv(&mut reply));
        let said = match outcome {
            Err(error) => format!("{:?}", error.kind()),
            Ok(length) => match (reply[3] & 15, u16::from_be_bytes([reply[6], reply[7]])) {
                (0, 0) => "nothing".to_owned(),
                (0, _) => Ipv4Addr::from(*reply[..length].last_chunk::<4>().unwrap()).to_string(),
                (3, _) => "NXDOMAIN".to_owned(),
                (5, _) => "REFUSED".to_owned(),
                (code, _) => format!("code {code}"),
            },
        };
        println!("{name} {said}");
    }
}

/// Sends a datagram that begins with a word to each target, all from one port, and says what comes back, from
/// where, whether it is what was sent.
fn talk(word: &str, length: usize, targets: &[&str]) {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    let mut payload: Vec<u8> = (0..length).map(|at| at as u8).collect();
    payload[..word.len()].copy_from_slice(word.as_bytes());
    for target in targets {
        if let Err(error) = socket.send_to(&payload, target) {
            println!("{target} {:?}", error.kind());
        }
    }
    let mut heard = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    while let Ok((length, from)) = socket.recv_from(&mut buffer) {
        let same = buffer[..length] == payload;
        heard.push(format!("{from} {length} {}", if same { "same" } else { "other" }));
        if heard.len() >= targets.len() {
            // Whoever was not asked may still speak.
            socket.set_read_timeout(Some(PATIENCE / 5)).unwrap();
        }
    }
    heard.sort();
    println!("{}", heard.join("\n"));
}

unsafe extern "C" {
    fn setsockopt(socket: i32, level: i32, name: i32, value: *const i32, length: u32) -> i32;
}

/// Sends many datagrams by one call, as programs that speak QUIC do, and says how many answers of which length come.
fn burst(target: &str) {
    use std::os::fd::AsRawFd as _;
    const SOL_UDP: i32 = 17;
    const UDP_SEGMENT: i32 = 103;
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    // SAFETY: the value is a number, as long as it is said to be.
    let set = unsafe { setsockopt(socket.as_raw_fd(), SOL_UDP, UDP_SEGMENT, &1000, 4) };
    assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
    socket.send_to(&[7; 10_000], target).unwrap();
    let mut answers = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    while answers.len() < 10 {
        let Ok((length, _)) = socket.recv_from(&mut buffer) else { break };
        answers.push(length);
    }
    println!("{answers:?}");
}

/// Asks for datagrams without an end, and says when there are no more.
fn stream(target: &str) {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.send_to(b"stream", target).unwrap();
    let mut heard = 0;
    while heard < 400 && socket.recv_from(&mut [0; 100]).is_ok() {
        heard += 1;
        if heard == 1 {
            println!("begins");
        }
    }
    println!("{}", if heard < 400 { "ends" } else { "goes on" });
}

/// Speaks from many ports at once, so many times with a pause between, and says how many were answered at last.
fn many(count: usize, rounds: usize, target: &str) {
    let sockets = (0..count).map(|_| UdpSocket::bind("0.0.0.0:0").unwrap());
    let sockets: Vec<_> = sockets.collect();
    let mut answered = 0;
    for round in 0..rounds {
        if round > 0 {
            // Until they are conversations.
            std::thread::sleep(Duration::from_millis(2500));
        }
        answered = 0;
        for socket in &sockets {
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket.send_to(b"one", target).unwrap();
            answered += usize::from(socket.recv(&mut [0; 100]).is_ok());
        }
    }
    let more = UdpSocket::bind("0.0.0.0:0").unwrap();
    more.set_read_timeout(Some(PATIENCE)).unwrap();
    more.send_to(b"more", target).unwrap();
    println!("{answered} and {}", usize::from(more.recv(&mut [0; 100]).is_ok()));
}

unsafe extern "C" {
    fn socket(domain: i32, kind: i32, protocol: i32) -> i32;
    fn sendto(
        socket: i32,
        bytes: *const u8,
        length: usize,
        flags: i32,
        address: *const u8,
        address_length: u32,
    ) -> isize;
    fn if_nametoindex(name: *const u8) -> u32;
}

/// A socket for whole frames, as root of a network may have.
fn raw_socket() -> std::io::Result<i32> {
    const AF_PACKET: i32 = 17;
    const SOCK_RAW: i32 = 3;
    let all = i32::from(3_u16.to_be());
    // SAFETY: the call takes numbers only.
    match unsafe { socket(AF_PACKET, SOCK_RAW, all) } {
        -1 => Err(std::io::Error::last_os_error()),
        socket => Ok(socket),
    }
}

/// Sends a datagram in a frame of its own making: hardware source, source, destination, port, text. The
/// frame goes to the machine's hardware address.
fn send(what: &[&str]) {
    let [hardware, from, to, port, text] = what else {
        exit(64)
    };
    let bytes = |text: &str| -> Vec<u8> {
        let parts = text.split(':');
        parts.map(|part| u8::from_str_radix(part, 16).unwrap()).collect()
    };
    let mut frame = bytes("02:ce:00:00:00:01");
    frame.extend(bytes(hardware));
    if from.contains("::") {
        frame.extend([0x86, 0xdd]);
        frame.extend(ipv6(from, to, text));
    } else {
        frame.extend([8, 0]);
        frame.extend(ipv4(from.parse().unwrap(), to.parse().unwrap(), port.parse().unwrap(), text));
    }
    transmit(&frame);
}

fn transmit(frame: &[u8]) {
    // SAFETY: the name ends with a zero byte.
    let link = unsafe { if_nametoindex(c"eth0".as_ptr().cast()) };
    let mut address = [0_u8; 20];
    address[..2].copy_from_slice(&17_u16.to_ne_bytes());
    address[4..8].copy_from_slice(&link.to_ne_bytes());
    address[11] = 6;
    address[12..18].copy_from_slice(&frame[..6]);
    let socket = raw_socket().unwrap();
    // SAFETY: both buffers are as long as it is told.
    let sent = unsafe {
        sendto(socket, frame.as_ptr(), frame.len(), 0, address.as_ptr(), 20)
    };
    assert_eq!(sent, frame.len() as isize, "{}", std::io::Error::last_os_error());
    println!("sent");
}

fn ipv4(from: Ipv4Addr, to: Ipv4Addr, port: u16, text: &str) -> Vec<u8> {
    let length = 28 + text.len() as u16;
    let mut packet = vec![0x45, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([0, 1, 0, 0, 64, 17, 0, 0]);
    packet.extend(from.octets());
    packet.extend(to.octets());
    let sum: u32 = packet
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend(4000_u16.to_be_bytes());
    packet.extend(port.to_be_bytes());
    packet.extend((8 + text.len() as u16).to_be_bytes());
    // A datagram needs no checksum.
    packet.extend([0, 0]);
    packet.extend(text.bytes());
    packet
}

fn ipv6(from: &str, to: &str, text: &str) -> Vec<u8> {
    let address = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().octets();
    let length = 8 + text.len() as u16;
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([17, 64]);
    packet.extend(address(from));
    packet.extend(address(to));
    packet.extend(4000_u16.to_be_bytes());
    packet.extend(8080_u16.to_be_bytes());
    packet.extend(length.to_be_bytes());
    packet.extend([0, 1]);
    packet.extend(text.bytes());
    packet
}
