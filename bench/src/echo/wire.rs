//! HTTP/1.1 by hand, so that answers can be as wrong as a broken server's.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Result;

const HEAD: usize = 64 << 10;
const BODY: usize = 512 << 20;

/// A request as far as the echo model needs it.
#[derive(Debug, PartialEq, Eq)]
pub struct Call {
    pub method: String,
    pub path: String,
    pub query: String,
    pub body: Bytes,
}

pub struct Wire {
    stream: TcpStream,
    buffer: BytesMut,
}

impl Wire {
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, buffer: BytesMut::with_capacity(16 << 10) }
    }

    /// The next request; `None` when the client closed the connection.
    pub async fn call(&mut self) -> Result<Option<Call>> {
        let head = loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break self.buffer.split_to(end + 4);
            }
            if self.buffer.len() > HEAD {
                return Err("a request head is too long".into());
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        };
        let (mut call, length) = read_head(std::str::from_utf8(&head)?)?;
        while self.buffer.len() < length {
            self.buffer.reserve(length - self.buffer.len());
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
        call.body = self.buffer.split_to(length).freeze();
        Ok(Some(call))
    }

    pub async fn answer(&mut self, status: u16, body: &[u8]) -> Result<()> {
        let again = if matches!(status, 409 | 429 | 503) { "retry-after: 1\r\n" } else { "" };
        let head = format!(
            "HTTP/1.1 {status} Echo\r\ncontent-type: application/json\r\n{again}\
             content-length: {}\r\n\r\n",
            body.len()
        );
        let mut whole = Buf::chain(head.as_bytes(), body);
        self.stream.write_all_buf(&mut whole).await?;
        Ok(())
    }

    /// One byte a second.
    pub async fn drip(&mut self, body: &[u8]) -> Result<()> {
        let head = format!("HTTP/1.1 200 Echo\r\ncontent-length: {}\r\n\r\n", body.len());
        self.stream.write_all(head.as_bytes()).await?;
        for byte in body {
            tokio::time::sleep(Duration::from_secs(1)).await;
            self.stream.write_all(&[*byte]).await?;
        }
        Ok(())
    }

    /// An array whose rows never end; returns when the client leaves.
    pub async fn endless(&mut self, row: &[u8]) -> Result<()> {
        let head = "HTTP/1.1 200 Echo\r\ntransfer-encoding: chunked\r\n\r\n1\r\n[\r\n";
        self.stream.write_all(head.as_bytes()).await?;
        let chunk = [format!("{:x}\r\n", row.len() + 1).as_bytes(), row, b",\r\n"].concat();
        loop {
            self.stream.write_all(&chunk).await?;
        }
    }
}

fn read_head(head: &str) -> Result<(Call, usize)> {
    let mut lines = head.lines();
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Err("not a request line".into());
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut length = 0;
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { continue };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse()?;
        }
        if name.eq_ignore_ascii_case("transfer-encoding") {
            return Err("bodies need a length".into());
        }
    }
    if length > BODY {
        return Err("the body is too long".into());
    }
    let call = Call {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        body: Bytes::new(),
    };
    Ok((call, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_method_path_query_and_length() {
        let text = "POST /run?orient=records HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\n";
        let (call, length) = read_head(text).expect("a head");
        assert_eq!((call.method.as_str(), call.path.as_str()), ("POST", "/run"));
        assert_eq!((call.query.as_str(), length), ("orient=records", 7));
        assert!(read_head("POST /run HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
    }
}
