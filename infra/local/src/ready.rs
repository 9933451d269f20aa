//! How to tell that a part answers.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long a part may take from its start to its first answer. Generous: the machine may be busy.
pub const START: Duration = Duration::from_secs(90);

/// How a process shows that it is ready for work.
#[derive(Debug, Clone)]
pub enum Ready {
    /// It runs: that is all.
    Started,
    /// It answers `GET path` with 200.
    Http(SocketAddr, String),
    /// It answers Kafka's `ApiVersions`, which a broker does only once it takes requests.
    Kafka(SocketAddr),
}

const PATIENCE: Duration = Duration::from_secs(2);

impl Ready {
    /// One try, over in a few seconds at most.
    pub fn check(&self) -> bool {
        match self {
            Self::Started => true,
            Self::Http(address, path) => answers_http(*address, path).unwrap_or(false),
            Self::Kafka(address) => answers_kafka(*address).unwrap_or(false),
        }
    }
}

fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn answers_http(address: SocketAddr, path: &str) -> std::io::Result<bool> {
    let mut stream = connect(address)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut status = [0; 12];
    stream.read_exact(&mut status)?;
    Ok(status.ends_with(b" 200"))
}

fn answers_kafka(address: SocketAddr) -> std::io::Result<bool> {
    let mut stream = connect(address)?;
    // Size 10; ApiVersions (18) version 0, correlation id 1, no client id.
    stream.write_all(&[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff])?;
    let mut answer = [0; 10];
    stream.read_exact(&mut answer)?;
    // After size and correlation id: error code 0.
    Ok(answer[4..] == [0, 0, 0, 1, 0, 0])
}
