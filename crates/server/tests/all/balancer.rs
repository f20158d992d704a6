//! A balancer before two hubs on one PostgreSQL, whose clocks are a minute apart: with
//! `MUSTER_TEST_HUBS=2` the tests of the API talk to it as if it were one hub.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

/// Do the tests run against two hubs?
pub fn two_hubs() -> bool {
    std::env::var_os("MUSTER_TEST_HUBS").is_some_and(|hubs| hubs == "2")
}

/// Takes connections for `hubs` in turns, until the runtime of the test ends.
pub async fn balance(hubs: [SocketAddr; 2]) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        for hub in hubs.into_iter().cycle() {
            let Ok((mut client, _)) = listener.accept().await else { return };
            tokio::spawn(async move {
                // A hub that is gone closes the connection, as behind every balancer.
                let Ok(mut hub) = TcpStream::connect(hub).await else { return };
                drop(copy_bidirectional(&mut client, &mut hub).await);
            });
        }
    });
    address
}
