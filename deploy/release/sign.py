"""Sums of all files, and a signature of the sums."""

import hashlib
import subprocess
import tempfile
from pathlib import Path

from .common import Refused

# Where a password is typed: this process's own.
STDIN = None


def sums(out):
    def line(path):
        with path.open("rb") as file:
            return f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {path.name}\n"

    (out / "SHA256SUMS").write_text("".join(line(path) for path in sorted(out.iterdir())))


def can_sign(key):
    """Before there is anything to sign: a wrong key is refused now, and not after the build."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "SHA256SUMS").touch()
        sign(Path(folder), key)


def sign(out, key):
    """The key's password is asked for at the terminal; without one a key with a password is refused."""
    call = ["minisign", "-S", "-s", str(key), "-m", str(out / "SHA256SUMS"), "-t", "SHA256SUMS of Muster"]
    done = subprocess.run(call, stdin=STDIN)
    if done.returncode != 0:
        raise Refused(f"minisign did not sign with {key}: a wrong password, no terminal to ask for it, or no key of minisign.")
