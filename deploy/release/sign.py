"""Sums of all files, and a signature of the sums."""

import hashlib
import subprocess

from .common import Refused


def sums(out):
    def line(path):
        with path.open("rb") as file:
            return f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {path.name}\n"

    (out / "SHA256SUMS").write_text("".join(line(path) for path in sorted(out.iterdir())))


def sign(out, key):
    """The key's password is asked for at the terminal; without one a key with a password is refused."""
    call = ["minisign", "-S", "-s", str(key), "-m", str(out / "SHA256SUMS"), "-t", "SHA256SUMS of Muster"]
    done = subprocess.run(call)
    if done.returncode != 0:
        raise Refused(f"minisign did not sign with {key}: a wrong password, no terminal to ask for it, or no key of minisign.")
