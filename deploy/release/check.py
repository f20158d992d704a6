"""Is a release what it says? From its folder alone: each form is installed into an empty place and gives a prediction.

    scripts/release-check VERSION [--folder FOLDER] [--public-key KEY] [--twice] [--only archive,deb,..]
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from . import check_deb, check_image, kept, program, roll, upgrade
from .common import GLIBC, ROOT, Refused, TARGET, TRIPLE, read, run, tool, unpack
from .hubs import hub, predicts, want, within
from .image import digest

OLDEST = "bullseye"


def main():
    parser = argparse.ArgumentParser(prog="scripts/release-check", description=__doc__.split("\n")[0])
    parser.add_argument("version")
    parser.add_argument("--folder", type=Path, help="[default: target/release-VERSION]")
    parser.add_argument("--public-key", help="minisign's; without it the signature is not looked at")
    parser.add_argument("--before", type=Path, metavar="FILE", help="the program of the release before: its hubs are replaced under load")
    parser.add_argument("--twice", action="store_true", help="build the program again in another folder: the same bytes?")
    parser.add_argument("--only", default="sums,archive,old,deb,wheel,image,chart,inside,readme,verifying,upgrade,workflows")
    asked = parser.parse_args()
    folder = (asked.folder or TARGET / f"release-{asked.version}").resolve()
    if not folder.is_dir():
        raise Refused(f"There is no {folder}: `make release VERSION={asked.version}` makes it.")
    checks = {
        "sums": lambda work: sums(folder, asked.public_key),
        "archive": lambda work: archive(folder, asked.version, work),
        "old": lambda work: old(folder, asked.version, work),
        "deb": lambda work: deb(folder, asked.version, work),
        "wheel": lambda work: wheel(folder, asked.version, work),
        "image": lambda work: check_image.image(folder, asked.version, work),
        "chart": lambda work: chart(folder, asked.version),
        "inside": lambda work: inside(folder, asked.version),
        "readme": lambda work: readme(folder, work),
        "verifying": lambda work: verifying(folder, asked.version, asked.public_key),
        "upgrade": lambda work: upgraded(folder, asked.version, asked.before, work),
        "workflows": lambda work: workflows(),
    }
    for name in asked.only.split(","):
        if name not in checks:
            raise Refused(f"There is no check {name}: these are {', '.join(checks)}.")
        begun = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="muster check ") as work:
            os.chmod(work, 0o755)
            said = checks[name](Path(work))
        print(f"  {time.monotonic() - begun:5.1f} s  {name}: {said}", flush=True)
    if asked.twice:
        print(f"  twice: {twice(folder, asked.version)}", flush=True)


def one(folder, pattern):
    found = sorted(folder.glob(pattern))
    want(len(found) == 1, f"There should be one {pattern} in {folder}, not {len(found)}.")
    return found[0]


def sums(folder, public_key):
    named = {}
    for line in (folder / "SHA256SUMS").read_text().splitlines():
        known, name = line.split("  ", 1)
        named[name] = known
    there = {path.name for path in folder.iterdir()} - {"SHA256SUMS", "SHA256SUMS.minisig"}
    want(set(named) == there, f"SHA256SUMS names {sorted(set(named) ^ there)} and the folder does not, or the other way round.")
    for name, known in named.items():
        with (folder / name).open("rb") as file:
            want(hashlib.file_digest(file, "sha256").hexdigest() == known, f"{name} is not what SHA256SUMS says: it was changed or cut.")
    if public_key:
        run("minisign", "-V", "-P", public_key, "-m", folder / "SHA256SUMS")
        return f"{len(named)} files, signed"
    return f"{len(named)} files; the signature was not looked at (--public-key)"


def archive(folder, version, work):
    tree = unpack(folder, version, work)
    muster = tree / "bin/muster"
    want(f"muster {version} (" in read(muster, "--version"), f"It says {read(muster, '--version').strip()}.")
    for file in ("share/man/man1/muster-run.1", "share/bash-completion/completions/muster", "share/doc/muster/THIRD-PARTY-LICENCES.txt"):
        want((tree / file).stat().st_size > 500, f"{file} is empty.")
    want("no symbols" in read("objdump", "--syms", muster), "It has its symbols in it.")
    debuglink = one(folder, f"muster-{version}-*.debug").name.encode()
    want(debuglink in muster.read_bytes(), f"A debugger does not find {debuglink.decode()}: the program names another file.")
    with hub([muster], work, tree / "share/muster/models") as (address, took):
        predicts([muster], address, work)
    return f"{muster.stat().st_size / 2**20:.1f} MiB; listens after {took * 1000:.0f} ms; a prediction"


def old(folder, version, work):
    """In a root of the oldest Debian that can be had."""
    muster = unpack(folder, version, work) / "bin/muster"
    newest = program.newest_glibc(muster)
    want(not program.is_newer(newest, GLIBC), f"It asks for glibc {newest}; {GLIBC} was promised.")
    root = work / "root"
    run("mmdebstrap", "--mode=root", "--variant=minbase", "--include=python3,python3-venv", "--quiet", OLDEST, root)
    check_image.on_base(root, muster.parents[1], work)
    inner = root / "muster"
    shutil.copytree(muster.parents[1], inner)
    call = within(root)
    glibc = read(*call, "ldd", "--version").splitlines()[0].rpartition(" ")[2]
    there = Path("/work")
    (root / "work").mkdir()
    with hub([*call, "/muster/bin/muster"], root / "work", "/muster/share/muster/models", seen=there) as (address, _):
        predicts([*call, "/muster/bin/muster"], address, root / "work", seen=there)
    return f"asks for glibc {newest}; a prediction on {OLDEST}, which has {glibc}, and in an image of it by deploy/Containerfile"


def deb(folder, version, work):
    package = one(folder, "muster-hub_*_amd64.deb")
    return f"{package.stat().st_size / 2**20:.1f} MiB; {check_deb.deb(package, work)}; unit {exposure(work, package)}"


def exposure(work, package):
    if not shutil.which("systemd-analyze"):
        return "not measured (no systemd-analyze)"
    run("dpkg-deb", "-x", package, work / "files")
    unit = work / "files/usr/lib/systemd/system/muster.service"
    said = subprocess.run(["systemd-analyze", "security", "--offline=true", str(unit)], capture_output=True, text=True).stdout
    lines = [line for line in said.splitlines() if "Overall exposure" in line]
    return lines[0].split(":", 1)[1].strip() if lines else "not measured (this systemd cannot)"


def wheel(folder, version, work):
    run(sys.executable, "-m", "venv", work / "venv")
    run(work / "venv/bin/pip", "install", "-q", "--no-index", "--disable-pip-version-check", one(folder, "*.whl"))
    muster = work / "venv/bin/muster"
    want(f"muster {version} (" in read(muster, "--version"), "It says another version.")
    with hub([muster], work, ROOT / "models") as (address, _):
        predicts([muster], address, work)
    return "pip installs it; a prediction"


def chart(folder, version):
    """Linted and rendered as a package; its image is the one beside it."""
    run("scripts/need-helm")
    helm = TARGET / "tmp/helm/bin/helm"
    package = one(folder, f"muster-{version}.tgz")
    values = ["--set", "image.repository=registry.example.org/lab/muster"]
    run(helm, "lint", "--strict", package, *values)
    (asked,) = set(re.findall(r"image: .*?(registry\.example\.org\S*?)\"?$", read(helm, "template", "muster", package, "--kube-version", "1.35", *values), re.M))
    archive = folder / f"muster-{version}.oci.tar"
    wanted = f"@{digest(archive)}" if archive.exists() else f":{version}"
    want(asked == f"registry.example.org/lab/muster{wanted}", f"The chart asks for {asked}, not for {wanted}.")
    return f"asks for its image by {wanted[:20]}"


# Its schema, with the formats of what it names.
VALID = """import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
sys.exit(str(JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1]).read()) or "") or None)"""


def inside(folder, version):
    counts = []
    for bill in sorted(folder.glob("*.cdx.json")):
        listed = json.loads(bill.read_text())
        want(listed["components"], f"{bill.name} lists nothing.")
        run(tool("python"), "-c", VALID, bill)
        counts.append(f"{bill.name} {len(listed['components'])}")
    want("MIT" in (folder / "THIRD-PARTY-LICENCES.txt").read_text(), "No licences of others.")
    api = json.loads((folder / "openapi.json").read_text())
    want(api["info"]["version"] == version, f"openapi.json is of {api['info']['version']}.")
    return ", ".join(counts)


def readme(folder, work):
    """The lines for installing name files of the folder, each one file; the first is run as it stands."""
    lines = (ROOT / "README.md").read_text().split("## Install", 1)[1].split("```")[1].strip().splitlines()
    for line in lines:
        (pattern,) = re.findall(r"[\w.-]*\*[\w.*-]*", line.split("#")[0])
        one(folder, pattern)
    run("sh", "-c", lines[0].replace(" -xf ", f" -C '{work}' -xf "), cwd=folder)
    want(len(list(work.glob("muster-*/bin/muster"))) == 1, "README's first line does not unpack the program.")
    return f"{len(lines)} lines name what is there"


def verifying(folder, version, public_key):
    """The lines of the page, as they stand there."""
    count = 0
    for block in (ROOT / "docs/verifying.md").read_text().split("```")[1::2]:
        for line in block.strip().splitlines():
            if not public_key and "MUSTER_PUBLIC_KEY" in line:
                continue
            run("bash", "-euo", "pipefail", "-c", line.replace("0.1.0", version), cwd=folder, env={**os.environ, "MUSTER_PUBLIC_KEY": public_key or ""})
            count += 1
    return f"{count} lines of docs/verifying.md were run"


def upgraded(folder, version, before, work):
    """The databases that each release left, since people leave some out; and the program of the last one if it is given."""
    muster = unpack(folder, version, work) / "bin/muster"
    said = []
    for old in kept.until(version):
        place = work / old["version"]
        place.mkdir()
        said.append(f"{old['version']}: {upgrade.check(muster, kept.databases_of(old['version']), place)}")
    if before:
        said.append(roll.roll(before.resolve(), muster, work))
    return "; ".join(said) or "nothing was released before"


def workflows():
    """For services that are not at hand here: they were never run."""
    run(tool("actionlint"), ROOT / "deploy/ci/github.yml")
    run(tool("zizmor"), "--offline", "--no-progress", "--strict-collection", ROOT / "deploy/ci/github.yml")
    run(tool("check-jsonschema"), "--builtin-schema", "vendor.gitlab-ci", ROOT / "deploy/ci/gitlab.yml")
    return "nothing found by actionlint, zizmor and GitLab's schema"


def twice(folder, version):
    """Once more, in another folder, from the commit that the program names."""
    with tempfile.TemporaryDirectory(prefix="muster again ") as work:
        work = Path(work)
        run("git", "clone", "-q", ROOT, work / "tree")
        made_of = re.search(r"\(([0-9a-f]{7}),", read(unpack(folder, version, work) / "bin/muster", "--version"))
        want(made_of, "The program names no commit.")
        run("git", "checkout", "-q", made_of[1], cwd=work / "tree")
        # The tools are the same.
        (work / "target").mkdir()
        (work / "target/tmp").symlink_to(TARGET / "tmp")
        run("make", "release-quick", f"VERSION={version}", "FORMS=archive", cwd=work / "tree", env={**os.environ, "CARGO_TARGET_DIR": str(work / "target")})
        name = f"muster-{version}-{TRIPLE}.tar.zst"
        first, second = folder / name, work / f"target/release-{version}" / name
        if first.read_bytes() != second.read_bytes():
            kept_at = folder.with_name(f"{folder.name}-again.tar.zst")
            shutil.copy(second, kept_at)
            raise Refused(f"{name} is not the same when it is built again: `diffoscope {first} {kept_at}` shows where.")
    return "the same bytes"


if __name__ == "__main__":
    try:
        main()
    except Refused as why:
        sys.exit(f"Not good: {why}")
