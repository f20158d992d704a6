//! The echo model as a process of its own.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::Result;
use crate::hub::address_in;

const START: Duration = Duration::from_secs(10);

pub struct EchoServer {
    child: Child,
    pub address: SocketAddr,
}

impl EchoServer {
    /// `own` is this program; what the server has to say goes to a file in `folder`.
    pub async fn start(own: &Path, folder: &Path, flags: &[&str]) -> Result<Self> {
        let port_file = folder.join("echo-port");
        if port_file.exists() {
            fs::remove_file(&port_file)?;
        }
        let log = File::options().create(true).append(true).open(folder.join("echo.log"))?;
        let mut command = Command::new(own);
        command.arg("echo").arg("--port-file").arg(&port_file).args(flags);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let mut server = Self { child: command.spawn()?, address: ([127, 0, 0, 1], 0).into() };
        let address = address_in(&port_file, &mut server.child, START).await;
        server.address = address.map_err(|error| format!("the echo model: {error}"))?;
        Ok(server)
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }
}

impl Drop for EchoServer {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait().map(drop)) {
            eprintln!("the echo model is left running: {error}");
        }
    }
}
