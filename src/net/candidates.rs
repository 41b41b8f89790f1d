//! Which addresses a player offers to the opponent.
//!
//! What must hold: none that only this machine, its containers or one link of its network can reach, unless the server
//! is reached by it; the likeliest first, at most [`CANDIDATES_MAX`].

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::seam::Interface;
use crate::model::limits::CANDIDATES_MAX;

/// The addresses under which `port` of this machine may be reached, likeliest first: that of the `route` to the server
/// (where the opponent has come along as well), then IPv4, then IPv6, each in the order of the `interfaces`. A server
/// on this machine is reached by loopback, which is offered first: the opponent may be here, or anywhere else.
#[must_use]
pub fn candidates(interfaces: &[Interface], route: Option<IpAddr>, port: u16) -> Vec<SocketAddr> {
    let route = route.map(|addr| addr.to_canonical()).filter(|addr| !addr.is_unspecified() && !addr.is_multicast());
    let mut found: Vec<IpAddr> = interfaces.iter().filter_map(offered).collect();
    // It is stable, so the order of the interfaces stays.
    found.sort_by_key(IpAddr::is_ipv6);
    let mut chosen = Vec::new();
    for addr in route.into_iter().chain(found) {
        if chosen.len() < CANDIDATES_MAX && !chosen.contains(&addr) {
            chosen.push(addr);
        }
    }
    chosen.into_iter().map(|addr| SocketAddr::new(addr, port)).collect()
}

/// The address of an interface that is offered besides the route.
fn offered(interface: &Interface) -> Option<IpAddr> {
    let addr = interface.addr.to_canonical();
    (is_of_a_network(addr) && !is_virtual(&interface.name)).then_some(addr)
}

/// Whether other machines beyond the next router may have a way to it.
const fn is_of_a_network(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(addr) => {
            !(addr.is_unspecified()
                || addr.is_loopback()
                || addr.is_link_local()
                || addr.is_multicast()
                || addr.is_broadcast())
        }
        IpAddr::V6(addr) => is_global(addr) || addr.is_unique_local(),
    }
}

/// The block that global addresses are given out of (RFC 4291).
const fn is_global(addr: Ipv6Addr) -> bool {
    addr.segments()[0] & 0xe000 == 0x2000
}

/// Whether the interface leads to containers, virtual machines or through a tunnel.
fn is_virtual(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    VIRTUAL.iter().any(|kind| name.starts_with(kind))
}

/// How such interfaces are called, in lower case. Not `br0`, `bond0` or `vlan3`: these are often the way to the LAN.
const VIRTUAL: [&str; 33] = [
    "docker",
    "br-",
    "veth",
    "virbr",
    "vnet",
    "cni",
    "flannel",
    "cali",
    "cilium",
    "weave",
    "kube",
    "podman",
    "lxc",
    "lxd",
    "vmnet",
    "vmware",
    "vboxnet",
    "virtualbox",
    "tun",
    "tap",
    "utun",
    "wg",
    "wireguard",
    "openvpn",
    "tailscale",
    "zt",
    "zerotier",
    "nordlynx",
    "proton",
    "ipsec",
    "ppp",
    "awdl",
    "llw",
];

#[cfg(test)]
mod tests {
    use super::*;

    const PORT: u16 = 4000;

    /// What is offered of `name=address` pairs, without the port.
    fn offer(interfaces: &[&str], route: Option<&str>) -> Vec<String> {
        let interface = |text: &&str| {
            let (name, addr) = text.split_once('=').unwrap();
            Interface { name: name.to_owned(), addr: addr.parse().unwrap() }
        };
        let interfaces: Vec<_> = interfaces.iter().map(interface).collect();
        let offered = candidates(&interfaces, route.map(|addr| addr.parse().unwrap()), PORT);
        assert!(offered.iter().all(|addr| addr.port() == PORT));
        offered.into_iter().map(|addr| addr.ip().to_string()).collect()
    }

    const LAPTOP: [&str; 7] = [
        "lo=127.0.0.1",
        "lo=::1",
        "wlan0=2001:db8::7",
        "wlan0=fe80::7",
        "eth0=192.168.1.20",
        "docker0=172.17.0.1",
        "wlan0=10.0.0.7",
    ];

    #[test]
    fn the_route_comes_first_then_ipv4_then_ipv6() {
        let cases: [(Option<&str>, &[&str]); 4] = [
            (None, &["192.168.1.20", "10.0.0.7", "2001:db8::7"]),
            (Some("10.0.0.7"), &["10.0.0.7", "192.168.1.20", "2001:db8::7"]),
            (Some("2001:db8::7"), &["2001:db8::7", "192.168.1.20", "10.0.0.7"]),
            // Gone from the interfaces since, or not shown to us.
            (Some("10.9.9.9"), &["10.9.9.9", "192.168.1.20", "10.0.0.7", "2001:db8::7"]),
        ];
        for (route, expected) in cases {
            assert_eq!(offer(&LAPTOP, route), expected, "{route:?}");
        }
    }

    #[test]
    fn beside_a_server_on_this_machine_loopback_comes_first() {
        for route in ["127.0.0.1", "::1", "127.0.0.3"] {
            let offered = offer(&LAPTOP, Some(route));
            assert_eq!(offered[0], route);
            assert_eq!(offered[1..], offer(&LAPTOP, None), "and then as ever");
        }
        assert_eq!(offer(&[], Some("127.0.0.1")), ["127.0.0.1"]);
    }

    #[test]
    fn what_no_other_machine_reaches_is_offered_as_the_route_alone() {
        let unreachable =
            ["127.0.0.1", "::1", "169.254.3.4", "fe80::1", "febf::1", "255.255.255.255", "fec0::1", "::7"];
        for addr in unreachable {
            let of_eth0 = format!("eth0={addr}");
            assert_eq!(offer(&[&of_eth0], None), [""; 0], "{addr}");
            assert_eq!(offer(&[&of_eth0], Some("10.0.0.7")), ["10.0.0.7"], "{addr}");
            assert_eq!(offer(&[&of_eth0], Some(addr)), [addr], "{addr}");
        }
    }

    #[test]
    fn what_no_machine_has_is_never_offered() {
        for addr in ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "::ffff:0.0.0.0"] {
            let of_eth0 = format!("eth0={addr}");
            assert_eq!(offer(&[&of_eth0], Some(addr)), [""; 0], "{addr}");
        }
    }

    #[test]
    fn global_and_unique_local_addresses_of_both_families_are_offered() {
        for addr in ["192.0.2.1", "10.1.2.3", "172.16.0.1", "2000::1", "3fff::1", "fc00::1", "fdff::1"] {
            assert_eq!(offer(&[&format!("eth0={addr}")], None), [addr]);
        }
    }

    #[test]
    fn interfaces_of_containers_and_tunnels_are_offered_as_the_route_alone() {
        let names = [
            "docker0",
            "br-1a2b3c",
            "veth12@if3",
            "virbr0",
            "cni0",
            "flannel.1",
            "cali123",
            "podman1",
            "lxcbr0",
            "tun0",
            "tap0",
            "wg0",
            "tailscale0",
            "ztabc",
            "utun4",
            "ppp0",
            "vmnet8",
            "vboxnet0",
            "vEthernet (WSL)",
            "Tailscale",
        ];
        for name in names {
            let interface = format!("{name}=10.8.0.2");
            assert_eq!(offer(&[&interface], None), [""; 0], "{name}");
            assert_eq!(offer(&[&interface], Some("10.8.0.2")), ["10.8.0.2"], "{name}");
        }
        for name in
            ["eth0", "enp3s0", "en0", "wlan0", "wlp2s0", "wwan0", "br0", "bond0", "vlan3", "Wi-Fi", "Ethernet 2"]
        {
            assert_eq!(offer(&[&format!("{name}=10.8.0.2")], None), ["10.8.0.2"], "{name}");
        }
    }

    #[test]
    fn an_address_is_offered_once_and_ipv4_as_ipv4() {
        let twice = ["eth0=10.0.0.7", "eth1=10.0.0.7", "eth2=::ffff:10.0.0.7"];
        assert_eq!(offer(&twice, None), ["10.0.0.7"]);
        assert_eq!(offer(&twice, Some("::ffff:10.0.0.7")), ["10.0.0.7"]);
        assert_eq!(offer(&LAPTOP, Some("::ffff:127.0.0.1"))[0], "127.0.0.1");
    }

    #[test]
    fn no_more_than_the_limit_are_offered_and_the_least_likely_are_left_out() {
        let many = |count: usize| -> Vec<String> { (1..=count).map(|last| format!("eth0=10.0.0.{last}")).collect() };
        let offer_of = |many: &[String], route| offer(&many.iter().map(String::as_str).collect::<Vec<_>>(), route);
        assert_eq!(offer_of(&many(CANDIDATES_MAX - 1), None).len(), CANDIDATES_MAX - 1);
        assert_eq!(offer_of(&many(CANDIDATES_MAX), None).len(), CANDIDATES_MAX);
        assert_eq!(offer_of(&many(CANDIDATES_MAX + 1), None).len(), CANDIDATES_MAX);

        let last = format!("10.0.0.{}", CANDIDATES_MAX + 1);
        let offered = offer_of(&many(CANDIDATES_MAX + 1), Some(&last));
        assert_eq!(offered.len(), CANDIDATES_MAX);
        assert_eq!((offered[0].as_str(), offered[1].as_str()), (last.as_str(), "10.0.0.1"));

        // Some machines have a dozen IPv6 addresses for a while.
        let mut six: Vec<String> = (1..=CANDIDATES_MAX).map(|last| format!("eth0=fd00::{last}")).collect();
        six.push("eth0=10.0.0.7".to_owned());
        assert_eq!(offer_of(&six, None)[..2], ["10.0.0.7", "fd00::1"]);
    }
}
