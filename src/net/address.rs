//! A server's address as people type it: `HOST[:PORT][#ID]`.
//!
//! What must hold: what is printed parses to the same address, and two spellings of one host are one key in
//! `known_servers`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use crate::model::key::{BadServerId, ServerId};

/// The port of a server whose address names none.
pub const PORT_DEFAULT: u16 = 3000;

/// Where a server is, and perhaps who it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// A host name in lower case, or an IP address without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// The pin: the only server that is meant.
    pub id: Option<ServerId>,
}

/// The text is not `HOST[:PORT][#ID]`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadAddress {
    /// There is no host, or it holds a letter that no host has.
    #[error("{0:?} is not a host; an address is HOST, HOST:PORT or HOST:PORT#ID, such as 192.168.1.20:3000")]
    Host(String),
    /// The port is not a number from 1 to 65535.
    #[error("{0:?} is not a port: a number from 1 to 65535 is needed")]
    Port(String),
    /// What is in the brackets is no IPv6 address.
    #[error("{0:?} is not an IPv6 address; write it in brackets, such as [::1]:3000")]
    Ipv6(String),
    /// What follows `#` is no server id.
    #[error(transparent)]
    Id(#[from] BadServerId),
}

impl Address {
    /// The address without the pin: the key in `known_servers`.
    #[must_use]
    pub fn key(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }

    /// The same address, pinned.
    #[must_use]
    pub fn pinned(&self, id: ServerId) -> Self {
        Self { id: Some(id), ..self.clone() }
    }

    /// Whether it is on this machine whatever the resolver says.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.key())?;
        self.id.map_or(Ok(()), |id| write!(to, "#{id}"))
    }
}

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let (place, id) = match text.trim().split_once('#') {
            Some((place, id)) => (place, Some(id.parse()?)),
            None => (text.trim(), None),
        };
        let (host, port) = split_port(place)?;
        Ok(Self { host, port: port.map_or(Ok(PORT_DEFAULT), parse_port)?, id })
    }
}

/// Host and port of `HOST`, `HOST:PORT`, `[IPV6]`, `[IPV6]:PORT` and of an IPv6 address alone.
fn split_port(place: &str) -> Result<(String, Option<&str>), BadAddress> {
    if let Some(rest) = place.strip_prefix('[') {
        let (ip, after) = rest.split_once(']').ok_or_else(|| BadAddress::Ipv6(place.to_owned()))?;
        let port = match after.strip_prefix(':') {
            None if after.is_empty() => None,
            None => return Err(BadAddress::Port(after.to_owned())),
            Some(port) => Some(port),
        };
        return Ok((parse_ipv6(ip)?, port));
    }
    match place.split_once(':') {
        None => Ok((parse_host(place)?, None)),
        // More than one colon: an IPv6 address, which cannot be followed by a port without brackets.
        Some((_, port)) if port.contains(':') => Ok((parse_ipv6(place)?, None)),
        Some((host, port)) => Ok((parse_host(host)?, Some(port))),
    }
}

fn parse_host(host: &str) -> Result<String, BadAddress> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if (1..=HOST_BYTES_MAX).contains(&host.len()) && host.bytes().all(allowed) {
        Ok(host.to_ascii_lowercase())
    } else {
        Err(BadAddress::Host(host.to_owned()))
    }
}

/// An IPv6 address in its shortest spelling, with its zone (`fe80::1%eth0`) if it has one.
fn parse_ipv6(text: &str) -> Result<String, BadAddress> {
    let bad = || BadAddress::Ipv6(text.to_owned());
    let (ip, zone) = match text.split_once('%') {
        Some((ip, zone)) => (ip, Some(parse_host(zone).map(|_| zone).map_err(|_| bad())?)),
        None => (text, None),
    };
    let ip: Ipv6Addr = ip.parse().map_err(|_| bad())?;
    Ok(zone.map_or_else(|| ip.to_string(), |zone| format!("{ip}%{zone}")))
}

fn parse_port(text: &str) -> Result<u16, BadAddress> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port != 0).ok_or_else(|| BadAddress::Port(text.to_owned()))
}

/// The longest host name there is in DNS.
const HOST_BYTES_MAX: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(String, u16, bool), BadAddress> {
        text.parse().map(|Address { host, port, id }| (host, port, id.is_some()))
    }

    #[test]
    fn every_spelling_of_a_good_address_parses_and_prints() {
        let id = ServerId([9; 32]);
        for (text, host, port, pinned, printed) in [
            ("example.org", "example.org", 3000, false, "example.org:3000".to_owned()),
            ("Example.ORG:80", "example.org", 80, false, "example.org:80".to_owned()),
            (" my_host:65535 ", "my_host", 65535, false, "my_host:65535".to_owned()),
            ("192.168.1.20:3000", "192.168.1.20", 3000, false, "192.168.1.20:3000".to_owned()),
            ("[::1]", "::1", 3000, false, "[::1]:3000".to_owned()),
            ("[0:0:0:0:0:0:0:1]:4000", "::1", 4000, false, "[::1]:4000".to_owned()),
            ("::1", "::1", 3000, false, "[::1]:3000".to_owned()),
            ("[fe80::1%eth0]:1", "fe80::1%eth0", 1, false, "[fe80::1%eth0]:1".to_owned()),
            (&format!("h#{id}"), "h", 3000, true, format!("h:3000#{id}")),
            (&format!("[::1]:3000#{id}"), "::1", 3000, true, format!("[::1]:3000#{id}")),
            (&format!("h:1#{}", id.to_string().to_uppercase()), "h", 1, true, format!("h:1#{id}")),
        ] {
            assert_eq!(parse(text), Ok((host.to_owned(), port, pinned)), "{text:?}");
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), printed);
            assert_eq!(printed.parse(), Ok(address));
        }
    }

    #[test]
    fn bad_addresses_are_named() {
        let host = |text: &str| Err(BadAddress::Host(text.to_owned()));
        let port = |text: &str| Err(BadAddress::Port(text.to_owned()));
        let ipv6 = |text: &str| Err(BadAddress::Ipv6(text.to_owned()));
        let long = "x".repeat(254);
        for (text, error) in [
            ("", host("")),
            (":3000", host("")),
            ("a b", host("a b")),
            ("user@host", host("user@host")),
            ("http://host", port("//host")),
            ("h\u{1b}[31m", host("h\u{1b}[31m")),
            (&long, host(&long)),
            ("h:", port("")),
            ("h:0", port("0")),
            ("h:+1", port("+1")),
            ("h:65536", port("65536")),
            ("[::1]3000", port("3000")),
            ("[::1", ipv6("[::1")),
            ("[]:1", ipv6("")),
            ("[1.2.3.4]:1", ipv6("1.2.3.4")),
            ("[fe80::1%]:1", ipv6("fe80::1%")),
            ("1:2:3", ipv6("1:2:3")),
            ("h:1#", Err(BadAddress::Id(BadServerId))),
            ("h:1#k7", Err(BadAddress::Id(BadServerId))),
        ] {
            assert_eq!(parse(text), error, "{text:?}");
        }
    }

    #[test]
    fn only_addresses_that_cannot_leave_this_machine_are_loopback() {
        for here in ["localhost", "LOCALHOST:1", "127.0.0.1", "127.9.9.9:1", "[::1]:3000", "[::ffff:127.0.0.1]:1"] {
            assert!(here.parse::<Address>().unwrap().is_loopback(), "{here}");
        }
        for there in ["localhost.example.org", "10.0.0.1", "[::2]:1", "0.0.0.0"] {
            assert!(!there.parse::<Address>().unwrap().is_loopback(), "{there}");
        }
    }
}
