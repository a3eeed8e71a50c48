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
        ["resolve", host] => println!("{}", resolve(host)),
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
        ["write", path] => std::fs::write(path, "written").unwrap(),
        ["fill", path, megabytes] => fill(path, megabytes.parse().unwrap()),
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

fn ask(server: &str, name: &str) -> Option<Ipv4Addr> {
    let mut query = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        query.push(label.len() as u8);
        query.extend(label.as_bytes());
    }
    query.extend([0, 0, 1, 0, 1]);
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.send_to(&query, (server, 53)).unwrap();
    let mut reply = [0; 512];
    let length = socket.recv(&mut reply).unwrap();
    let answers = u16::from_be_bytes([reply[6], reply[7]]);
    let last = reply[..length].last_chunk::<4>().unwrap();
    (answers > 0).then(|| Ipv4Addr::from(*last))
}
