"""The Debian package: program, user, folders, and a service that stays as it was configured."""

import gzip
import hashlib
import os
import shutil

from . import archive
from .common import ROOT, SUMMARY, committed_at, run

FILES = ROOT / "deploy/debian"


def make(version, built, licences, work, out):
    root = work / "deb"
    archive.lay_out(root / "usr", version, built, licences)
    for page in (root / "usr/share/man/man1").iterdir():
        # No name and no time in it.
        page.with_name(page.name + ".gz").write_bytes(gzip.compress(page.read_bytes(), mtime=0))
        page.unlink()
    place(FILES / "muster.service", root / "usr/lib/systemd/system/muster.service")
    place(FILES / "muster.toml", root / "etc/muster/muster.toml")
    place(FILES / "sysusers.conf", root / "usr/lib/sysusers.d/muster.conf")
    control = root / "DEBIAN"
    control.mkdir()
    (control / "conffiles").write_text("/etc/muster/muster.toml\n")
    for script in ("postinst", "prerm", "postrm"):
        place(FILES / script, control / script, 0o755)
    files = sorted(path for path in root.rglob("*") if path.is_file() and control not in path.parents)
    size = sum(path.stat().st_size for path in files) // 1024
    (control / "md5sums").write_text(
        "".join(f"{hashlib.md5(path.read_bytes()).hexdigest()}  {path.relative_to(root)}\n" for path in files)
    )
    # What apt orders: 1.0.0-rc.1 comes before 1.0.0.
    number = version.replace("-", "~")
    (control / "control").write_text(
        f"""Package: muster-hub
Version: {number}
Section: science
Priority: optional
Architecture: amd64
Depends: libc6 (>= {built.glibc}), libgcc-s1, ca-certificates, adduser
Recommends: python3, python3-venv
Installed-Size: {size}
Maintainer: The Muster authors <noreply@muster.invalid>
Description: {SUMMARY}
 Muster queues requests, starts an instance of a model only when someone needs
 it, keeps the results, and lets the instance go when it is idle.
"""
    )
    run(
        "dpkg-deb", "--root-owner-group", "-Zxz", "-z1" if built.is_given else "-z6", "--build", root, out / f"muster-hub_{number}_amd64.deb",
        env={**os.environ, "SOURCE_DATE_EPOCH": str(committed_at())},
    )


def place(source, to, mode=0o644):
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, to)
    os.chmod(to, mode)
