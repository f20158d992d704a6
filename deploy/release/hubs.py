"""Hubs that are started to see whether a program works."""

import contextlib
import os
import subprocess
import time

from .common import Refused, run

# For the model `primer-tm`, which needs nothing but Python.
INPUTS = "sequence\nACGTACGTACGTACGTACGT\nGGGCCCATATATGGGCCC\n"
PREDICTIONS = [["55.22", "50.0", "20"], ["55.92", "66.7", "18"]]


def want(holds, otherwise):
    if not holds:
        raise Refused(otherwise)


def listens(process, port, otherwise):
    """The address that a program writes into this file once it listens."""
    begun = time.monotonic()
    while not (port.exists() and port.read_text().strip()):
        if process.poll() is not None or time.monotonic() - begun > 30:
            raise Refused(otherwise())
        time.sleep(0.02)
    return f"http://{port.read_text().strip()}"


@contextlib.contextmanager
def hub(call, work, models, *more, seen=None, env=None):
    """A hub that listens, from its start to its end; SIGTERM ends it with 0. `seen`: what the hub calls its folder."""
    port = work / "port"
    port.unlink(missing_ok=True)
    seen = seen or work
    arguments = ["serve", "--data-dir", seen / "data", "--models", models, "--listen", "127.0.0.1:0", "--port-file", seen / "port", *more]
    with (work / "log").open("w") as log:
        process = subprocess.Popen([str(part) for part in [*call, *arguments]], stdout=log, stderr=log, cwd=work, env=env)
    try:
        begun = time.monotonic()
        address = listens(process, port, lambda: f"The hub did not start:\n{(work / 'log').read_text()[-2000:]}")
        yield address, time.monotonic() - begun
        process.terminate()
        want(process.wait(30) == 0, f"The hub did not end well:\n{(work / 'log').read_text()[-2000:]}")
    finally:
        process.kill()
        process.wait()


def within(root):
    """The start of a call that runs inside a root, whose /proc and /dev nobody outside sees."""
    put = 'mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && exec chroot "$0" "$@"'
    return ["unshare", "--mount", "sh", "-c", put, root, "/usr/bin/env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/tmp"]


def predicts(call, address, work, seen=None, env=None):
    """Two primers to a file, from which the predictions are read."""
    (work / "in.csv").write_text(INPUTS)
    seen = seen or work
    environment = env or {**os.environ, "XDG_CONFIG_HOME": str(work / "config")}
    run(*call, "--hub", address, "run", "primer-tm", seen / "in.csv", "-o", seen / "out.csv", cwd=work, env=environment)
    rows = [line.split(",") for line in (work / "out.csv").read_text().splitlines()]
    got = [row[1:] for row in rows[1:]]
    want(got == PREDICTIONS, f"The predictions are {got}, not {PREDICTIONS}.")
