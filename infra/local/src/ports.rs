//! TCP ports that stay ours: a part that is killed must find its port free when it starts again.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail, ensure};

/// A port on 127.0.0.1 that no other stack of this machine takes while this value lives.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _claim: Option<File>,
}

/// Below 32768, where Linux starts to hand out ports to outgoing connections: those would steal the
/// port of a part that is down for a moment.
const FREE: std::ops::Range<u16> = 12_000..32_000;

impl Port {
    /// `number` itself, or a free one when it is 0. `what` and `option` name the part and how to change
    /// its port, for the error.
    ///
    /// # Errors
    /// The port is taken.
    pub fn claim(number: u16, what: &str, option: &str) -> anyhow::Result<Self> {
        if number == 0 {
            return Self::free();
        }
        // Keeps it from parts that start at the same time, unless the claims are in somebody else's hands.
        let claim = claim(number).ok();
        ensure!(
            claim.as_ref().is_none_or(|claim| claim.try_lock().is_ok()) && is_free(number),
            "port {number} is occupied, {what} needs it: stop what listens there, or choose another with {option}"
        );
        Ok(Self { number, _claim: claim })
    }

    fn free() -> anyhow::Result<Self> {
        let span = u64::from(FREE.end - FREE.start);
        // Where to begin is a guess that keeps stacks which start together apart; the lock decides.
        let clock = SystemTime::now().duration_since(UNIX_EPOCH)?.subsec_nanos();
        let mut guess = u64::from(clock / 1000) + u64::from(std::process::id()) * 131;
        for _ in 0..span {
            guess = (guess + 1) % span;
            let number = FREE.start + guess as u16;
            let claim = claim(number)?;
            if claim.try_lock().is_ok() && is_free(number) {
                return Ok(Self { number, _claim: Some(claim) });
            }
        }
        bail!("no free port between {} and {}", FREE.start, FREE.end);
    }

    pub fn number(&self) -> u16 {
        self.number
    }
}

/// The file whose lock is the claim.
fn claim(number: u16) -> anyhow::Result<File> {
    let claims = std::env::temp_dir().join("the-eye-ports");
    std::fs::create_dir_all(&claims)?;
    let path = claims.join(number.to_string());
    File::create(&path).with_context(|| format!("cannot create {}", path.display()))
}

fn is_free(number: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_ports_differ_also_while_nobody_listens() {
        let ports: Vec<Port> = (0..20).map(|_| Port::claim(0, "it", "--port").unwrap()).collect();
        let mut numbers: Vec<u16> = ports.iter().map(Port::number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 20);
    }

    #[test]
    fn a_port_that_was_asked_for_is_claimed_also_while_nobody_listens() {
        let number = Port::claim(0, "it", "--port").unwrap().number();
        let first = Port::claim(number, "it", "--port").unwrap();
        assert!(Port::claim(number, "it", "--port").is_err());
        drop(first);
        Port::claim(number, "it", "--port").unwrap();
    }

    #[test]
    fn an_occupied_port_is_one_clear_line() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let error = Port::claim(port, "Kafka", "--kafka-port").unwrap_err().to_string();
        assert!(error.contains(&port.to_string()) && error.contains("--kafka-port"), "{error}");
        assert_eq!(error.lines().count(), 1);
    }
}
