"""A Debian that has booted, in name spaces of its own: systemd, its units and what they wall in are the real ones."""

import contextlib
import subprocess
import time
from pathlib import Path

from .common import Refused, run

# As containers with systemd are set up. Without pivot_root nobody inside may make user name spaces, which are the walls around models.
BOOT = """set -e; root=$1; mount --make-rprivate /; mount --bind "$root" "$root"; cd "$root"
mount -t proc proc proc; mount -t sysfs sysfs sys; mount -t tmpfs tmpfs run; mount -t tmpfs tmpfs tmp; mount -t tmpfs tmpfs dev
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mount -t cgroup2 cgroup2 sys/fs/cgroup
else
    mount -t tmpfs tmpfs sys/fs/cgroup; mkdir sys/fs/cgroup/systemd sys/fs/cgroup/unified
    mount -t cgroup2 cgroup2 sys/fs/cgroup/unified; mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd
fi
mkdir dev/pts dev/shm outside; mount -t devpts devpts dev/pts -o newinstance,ptmxmode=0666; ln -s pts/ptmx dev/ptmx; ln -s /proc/self/fd dev/fd
for device in null zero full random urandom tty; do touch dev/$device; mount --bind /dev/$device dev/$device; done
pivot_root . outside; umount -l /outside; rmdir /outside
exec env -i container=check PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --show-status=no"""


@contextlib.contextmanager
def booted(suite, packages, root):
    """The start of a call that runs on it as root."""
    run("mmdebstrap", "--mode=root", "--variant=minbase", f"--include=systemd,{packages}", "--quiet", suite, root)
    with (root.parent / "boot").open("w") as log:
        outer = subprocess.Popen(
            ["unshare", "--mount", "--net", "--pid", "--uts", "--ipc", "--cgroup", "--fork", "--kill-child", "sh", "-c", BOOT, "sh", root], stdout=log, stderr=log,
        )
    try:
        begun = time.monotonic()
        while True:
            if outer.poll() is not None or time.monotonic() - begun > 60:
                raise Refused(f"systemd does not start here, so the package was not tried:\n{(root.parent / 'boot').read_text()[-2000:]}")
            children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()
            call = ["nsenter", "--target", *children, "--all", "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "DEBIAN_FRONTEND=noninteractive"]
            state = children and subprocess.run([*call, "systemctl", "is-system-running"], capture_output=True, text=True).stdout.strip()
            if state in ("running", "degraded"):
                break
            time.sleep(0.1)
        yield call
    finally:
        outer.kill()
        outer.wait()
