"""The Debian package on a machine that has booted: installed, configured, upgraded while it works, taken back, purged."""

import shutil
import subprocess
import time
from pathlib import Path

from .common import read, run
from .hubs import predicts, want
from .machine import booted

ADDRESS = "http://127.0.0.1:8080"
# Two seconds for an input: there is time to upgrade while it works.
SLOW = """import time
def predict(inputs):
    time.sleep(2 * len(inputs))
    return [{"length": len(text)} for text in inputs]
"""


def deb(package, work):
    root = work / "root"
    with booted("bookworm", "python3,python3-venv,adduser,ca-certificates,curl", root) as call:
        shutil.copy(package, root / "new.deb")
        older(package, work, root / "old.deb")
        run(*call, "dpkg", "-i", "/new.deb")
        data, setting = root / "var/lib/muster", root / "etc/muster/muster.toml"
        want(data.stat().st_uid != 0 and data.stat().st_mode & 0o777 == 0o750, "/var/lib/muster is not its user's alone.")
        setting.write_text(setting.read_text() + "\n# mine\n")
        run(*call, "muster", "config", "--config", "/etc/muster/muster.toml")
        models(root, call)
        (root / "trial").mkdir()
        muster = [*call, "/usr/bin/muster"]
        ready(call)
        predicts(muster, ADDRESS, root / "trial", seen=Path("/trial"))
        first = process(call)
        waited = upgraded_at_work(call, root, "/new.deb")
        want(process(call) != first, "The upgrade did not start the new program.")
        run(*call, "dpkg", "-i", "/old.deb")
        ready(call)
        predicts(muster, ADDRESS, root / "trial", seen=Path("/trial"))
        want("# mine" in setting.read_text(), "An upgrade took back what was configured.")
        run(*call, "dpkg", "--purge", "muster-hub")
        want(not data.exists() and not setting.exists(), "A purge left data or settings.")
        want(subprocess.run([*call, "pgrep", "-x", "muster"], capture_output=True).returncode != 0, "A purge left the hub running.")
    return f"its service gives a prediction; a job of {waited:.0f} s outlives the upgrade; downgraded, purged"


def older(package, work, to):
    """The same program under a version that is older."""
    files = work / "older"
    run("dpkg-deb", "-R", package, files)
    control = files / "DEBIAN/control"
    lines = ["Version: 0.0.1~" if line.startswith("Version: ") else line for line in control.read_text().splitlines()]
    control.write_text("\n".join(lines) + "\n")
    run("dpkg-deb", "-Zgzip", "-z1", "-b", files, to)


def models(root, call):
    there = root / "var/lib/muster/models"
    shutil.copytree(root / "usr/share/muster/models/primer-tm", there / "primer-tm")
    (there / "slow").mkdir()
    (there / "slow/model.toml").write_text('kind = "python"\nversion = "1"\nexample = ["abc"]\n')
    (there / "slow/predict.py").write_text(SLOW)
    run(*call, "chown", "-R", "muster:muster", "/var/lib/muster/models")
    run(*call, "systemctl", "restart", "muster")


def ready(call):
    begun = time.monotonic()
    while subprocess.run([*call, "curl", "-sf", f"{ADDRESS}/readyz"], capture_output=True).returncode != 0:
        want(time.monotonic() - begun < 30, f"The service does not listen:\n{journal(call)[-2000:]}")
        time.sleep(0.05)


def process(call):
    return read(*call, "systemctl", "show", "--property", "MainPID", "muster")


def journal(call):
    return read(*call, "journalctl", "--no-pager", "-u", "muster")


def upgraded_at_work(call, root, package):
    """An upgrade lets the job end, and who waits for it does not notice."""
    (root / "trial/slow.csv").write_text("input\nab\nabc\nabcd\n")
    begun = time.monotonic()
    waits = subprocess.Popen(
        [*call, "muster", "--hub", ADDRESS, "run", "slow", "/trial/slow.csv", "-o", "/trial/lengths.csv"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )
    while "an instance is ready model.id=slow" not in journal(call):
        want(waits.poll() is None and time.monotonic() - begun < 30, f"The slow model does not start:\n{journal(call)[-2000:]}")
        time.sleep(0.1)
    run(*call, "dpkg", "-i", package)
    said, _ = waits.communicate(timeout=60)
    want(waits.returncode == 0, f"An upgrade took a job with it:\n{said[-2000:]}")
    got = (root / "trial/lengths.csv").read_text().split()
    want(got == ["input,length", "ab,2", "abc,3", "abcd,4"], f"The predictions of an upgrade are {got}.")
    return time.monotonic() - begun
