//! Where a connection comes from, and the client behind it. What a client says itself is believed only
//! of proxies that the operator named.

use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use http::HeaderMap;

use crate::http::share::Holder;

/// Addresses of proxies: one, or a network such as `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    first: Ipv6Addr,
    bits: u32,
}

impl FromStr for Addresses {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not an address or network such as 10.0.0.0/8");
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u32>().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        if bits > most {
            return Err(wrong());
        }
        Ok(Self { first: wide(address), bits: bits + 128 - most })
    }
}

impl Addresses {
    fn has(&self, address: IpAddr) -> bool {
        let shift = 128 - self.bits;
        let cut = |address: Ipv6Addr| u128::from(address).checked_shr(shift).unwrap_or(0);
        cut(self.first) == cut(wide(address))
    }
}

/// An IPv4 address as it is written in IPv6.
fn wide(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// Is it one of the proxies?
pub fn is_proxy(address: IpAddr, proxies: &[Addresses]) -> bool {
    proxies.iter().any(|proxy| proxy.has(address))
}

/// The last address on the way here that is not one of the proxies'.
pub fn client(peer: IpAddr, headers: &HeaderMap, proxies: &[Addresses]) -> IpAddr {
    if !is_proxy(peer, proxies) {
        return peer;
    }
    let values = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
    let hops: Vec<&str> = values.flat_map(|value| value.split(',')).map(str::trim).collect();
    let mut address = peer;
    for hop in hops.into_iter().rev() {
        if !is_proxy(address, proxies) {
            break;
        }
        let Ok(before) = hop.parse() else { break };
        address = before;
    }
    address
}

/// Its network, as it is limited.
pub fn holder(address: IpAddr) -> Holder {
    Holder::Network(network(address).into())
}

/// As it is counted: /24 or /64.
pub fn network(address: IpAddr) -> String {
    let wide = wide(address);
    match wide.to_ipv4_mapped() {
        Some(address) => {
            let [a, b, c, _] = address.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        None => format!("{}/64", Ipv6Addr::from(u128::from(wide) >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(peer: &str, forwarded: &[&str], proxies: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().expect("a value"));
        }
        let proxies: Vec<Addresses> = proxies.iter().map(|p| p.parse().expect("it fits")).collect();
        client(peer.parse().expect("an address"), &headers, &proxies).to_string()
    }

    #[test]
    fn only_named_proxies_are_believed() {
        assert_eq!(from("192.0.2.1", &["203.0.113.9"], &[]), "192.0.2.1");
        let proxies = ["10.0.0.0/8"];
        assert_eq!(from("10.1.2.3", &["203.0.113.9"], &proxies), "203.0.113.9");
        assert_eq!(from("10.1.2.3", &["6.6.6.6, 203.0.113.9"], &proxies), "203.0.113.9");
        let chain = ["6.6.6.6", "203.0.113.9, 10.9.9.9"];
        assert_eq!(from("10.1.2.3", &chain, &proxies), "203.0.113.9");
        assert_eq!(from("10.1.2.3", &["unknown"], &proxies), "10.1.2.3");
        assert_eq!(from("::ffff:10.1.2.3", &["203.0.113.9"], &proxies), "203.0.113.9");
        assert_eq!(from("11.1.2.3", &["203.0.113.9"], &proxies), "11.1.2.3");
    }

    #[test]
    fn networks_are_counted_together() {
        let of = |text: &str| network(text.parse().expect("an address"));
        assert_eq!(of("192.0.2.77"), "192.0.2.0/24");
        assert_eq!(of("::ffff:192.0.2.77"), "192.0.2.0/24");
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
    }

    #[test]
    fn addresses_are_read_or_refused() {
        for bad in ["", "10.0.0.0/33", "x", "10.0.0.0/", "::/129"] {
            assert!(bad.parse::<Addresses>().is_err(), "{bad}");
        }
        assert!("::/0".parse::<Addresses>().expect("all").has("1.2.3.4".parse().expect("it")));
    }
}
