//! Names of model servers, resolved to addresses that the hub may call (trap T15: a literal address
//! never comes here, and is checked where it is set).

use std::net::SocketAddr;

use muster_core::instance::never_called;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Leaves out addresses that are no model server's: a name that points to this machine or to a cloud's
/// metadata does not make the hub call it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Resolver;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let name = name.as_str().to_owned();
            let here = name == "localhost";
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name, 0))
                .await?
                .filter(|found| {
                    let ip = found.ip();
                    !never_called(ip) && (here || !ip.to_canonical().is_loopback())
                })
                .collect();
            if found.is_empty() {
                return Err("the name has no address that may be called".into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_localhost_is_this_machine() {
        let resolve = async |name: &str| {
            let found = Resolver.resolve(name.parse().expect("a name")).await;
            found.map(|found| found.count()).unwrap_or(0)
        };
        assert!(resolve("localhost").await > 0);
        // Numbers are names for the resolver, as they are for `getaddrinfo`.
        for name in ["127.0.0.1", "0.0.0.0", "169.254.169.254", "127.1", "2130706433"] {
            assert_eq!(resolve(name).await, 0, "{name}");
        }
    }
}
