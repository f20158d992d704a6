"""What all parts of a release need: where things are, how programs are called, which tools there have to be."""

import os
import shutil
import socket
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
TOOLS = TARGET / "tmp" / "release"
COMPILERS = TARGET / "tmp" / "release-program"
# The oldest glibc that the program runs with; `machine`: what this machine's linker makes of it.
GLIBC = os.environ.get("MUSTER_GLIBC", "2.28")
TRIPLE = "x86_64-unknown-linux-gnu"
LICENCE = "Apache-2.0"
SUMMARY = "A hub for scientific models: a CSV in, predictions out"


class Refused(Exception):
    """What is in the way, and what to do."""


def settle():
    """Whose machine it is changes nothing."""
    os.umask(0o022)
    os.environ.update(LC_ALL="C.UTF-8", TZ="UTC")


def bare():
    """The environment, without settings of a hub."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MUSTER_")}


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def unpack(folder, version, work):
    """The archive of a release."""
    name = f"muster-{version}-{TRIPLE}"
    run("tar", "--use-compress-program=zstd", "-xf", folder / f"{name}.tar.zst", "-C", work)
    return work / name


def run(*call, **more):
    """Runs a program; what it said is in the refusal if it failed."""
    more.setdefault("cwd", ROOT)
    done = subprocess.run([str(part) for part in call], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more)
    if done.returncode != 0:
        raise Refused(f"`{' '.join(str(part) for part in call[:4])} ..` failed ({done.returncode}):\n{done.stdout[-3000:]}")
    return done.stdout


def read(*call, **more):
    """What a program prints."""
    more.setdefault("cwd", ROOT)
    done = subprocess.run([str(part) for part in call], text=True, capture_output=True, **more)
    if done.returncode != 0:
        raise Refused(f"`{' '.join(str(part) for part in call[:4])} ..` failed ({done.returncode}):\n{done.stderr[-3000:]}")
    return done.stdout


def manifest():
    return tomllib.loads((ROOT / "Cargo.toml").read_text())


def version_of_workspace():
    return manifest()["workspace"]["package"]["version"]


def commit():
    return read("git", "rev-parse", "HEAD").strip()


def committed_at():
    """Seconds since 1970: the only time that goes into what is made."""
    return int(read("git", "log", "-1", "--format=%ct"))


def tool(name):
    found = TOOLS / "bin" / name
    return str(found) if found.exists() else shutil.which(name) or name


def need_tools(*what):
    """PyPI's into folders of their own, Debian's by apt."""
    run("scripts/need-release", *what)
