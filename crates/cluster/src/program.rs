//! Runs a program of the machine and reads what it says.

use std::io;
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

pub(crate) struct Said {
    pub status: ExitStatus,
    pub out: String,
    pub err: String,
}

/// Runs it to its end. Whoever gives up waiting kills it, with all that it started. What is not UTF-8, or
/// longer than `longest` bytes, is no answer.
pub(crate) async fn run(mut command: Command, input: &str, longest: u64) -> io::Result<Said> {
    let piped = || Stdio::piped();
    command.stdin(if input.is_empty() { Stdio::null() } else { piped() });
    command.stdout(piped()).stderr(piped()).process_group(0).kill_on_drop(true);
    let mut child = command.spawn()?;
    let mut group = Group(child.id());
    let (mut out, mut err) = (String::new(), String::new());
    let stdin = child.stdin.take();
    let tell = async {
        let Some(mut stdin) = stdin else { return Ok(()) };
        match stdin.write_all(input.as_bytes()).await {
            // It need not read what it is told.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
            _ => Ok(()),
        }
    };
    tokio::try_join!(
        tell,
        read(child.stdout.take(), &mut out, longest),
        read(child.stderr.take(), &mut err, longest),
    )?;
    let status = child.wait().await?;
    // Its number may be another's from now on.
    group.0 = None;
    Ok(Said { status, out, err })
}

async fn read(
    pipe: Option<impl AsyncRead + Unpin>,
    text: &mut String,
    longest: u64,
) -> io::Result<()> {
    let Some(pipe) = pipe else { return Ok(()) };
    let length = pipe.take(longest).read_to_string(text).await?;
    if length as u64 == longest {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "its answer is too long"));
    }
    Ok(())
}

/// A hanging program is killed with all that it started.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        let group = self.0.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        if let Some(group) = group
            && let Err(error) = kill_process_group(group, Signal::KILL)
        {
            tracing::trace!(%error, "nothing of it is left");
        }
    }
}
