"""The program: the same bytes in whatever folder it is built, for an old glibc."""

import datetime
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from .common import COMPILERS, GLIBC, ROOT, Refused, TARGET, TRIPLE, commit, committed_at, read, run


@dataclass
class Program:
    path: Path  # without symbols
    symbols: Path | None  # what was taken out of it
    glibc: str  # the newest one that it asks for
    is_given: bool = False  # built by somebody else: no list of its crates in it, and packed in a hurry


def build(version, work, given=None):
    if not given:
        run("scripts/web")
        given = compile_it()
    bare = work / "muster"
    shutil.copy(given, bare)
    os.chmod(bare, 0o755)
    symbols = work / f"muster-{version}.debug"
    run("objcopy", "--only-keep-debug", "--compress-debug-sections=zlib", bare, symbols)
    run("strip", bare)
    run("objcopy", f"--add-gnu-debuglink={symbols}", bare)
    glibc = newest_glibc(bare)
    said = read(bare, "--version")
    if f"muster {version} (" not in said:
        raise Refused(f"The program says `{said.strip()}`, not {version}.")
    return Program(bare, symbols, glibc, is_given=given is not None)


def compile_it():
    environment = {**os.environ, **settings(), "PATH": f"{COMPILERS}/bin:{os.environ['PATH']}"}
    environment.pop("RUSTC_WORKSPACE_WRAPPER", None)
    # Our own crates get the list of what is linked into them; the others are built as they are.
    run("cargo", "auditable", "zigbuild", "--release", "--locked", "-p", "muster", "--target", f"{TRIPLE}.{GLIBC}", env=environment)
    return TARGET / TRIPLE / "release" / "muster"


def settings():
    """No path of this machine and no time but the commit's goes in."""
    home = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"))
    crates = next((home / "registry/src").glob("*"), home / "registry/src")
    rust = Path(read("rustc", "--print", "sysroot").strip()) / "lib/rustlib/src/rust"
    day = datetime.datetime.fromtimestamp(committed_at(), datetime.timezone.utc).date()
    return {
        "RUSTFLAGS": f"--remap-path-prefix={crates}=/crates --remap-path-prefix={ROOT}=/muster --remap-path-prefix={rust}=/rust",
        "CFLAGS": f"-ffile-prefix-map={crates}=/crates",
        "SOURCE_DATE_EPOCH": str(committed_at()),
        "CARGO_INCREMENTAL": "0",
        "MUSTER_COMMIT": commit(),
        "MUSTER_COMMITTED_ON": day.isoformat(),
    }


def newest_glibc(program):
    """Of the versions that its symbols ask for."""
    versions = re.findall(r"\(GLIBC_(\d+(?:\.\d+)+)\)", read("objdump", "-T", program))
    return max(versions, key=lambda text: [int(part) for part in text.split(".")])
