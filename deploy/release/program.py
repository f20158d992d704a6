"""The program: the same bytes in whatever folder it is built, for an old glibc."""

import datetime
import os
import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

from .common import COMPILERS, GLIBC, ROOT, Refused, TARGET, TRIPLE, commit, committed_at, read, run

# mimalloc says when it was compiled; cargo does not compile it again for another commit.
TIMELESS = ("-Wno-builtin-macro-redefined", '-D__DATE__="-"', '-D__TIME__="-"')


@dataclass
class Program:
    path: Path  # without symbols
    symbols: Path | None  # what was taken out of it
    glibc: str  # the newest one that it asks for
    is_given: bool = False  # built by somebody else: no list of its crates in it, and packed in a hurry


def build(version, work, given=None):
    if given:
        compiled = given
    else:
        run("scripts/web")
        compiled = compile_it()
    bare = work / "muster"
    shutil.copy(compiled, bare)
    os.chmod(bare, 0o755)
    # A debugger looks for the name that stands in the program: the one it is published with.
    symbols = work / f"muster-{version}-{TRIPLE}.debug"
    run("objcopy", "--only-keep-debug", "--compress-debug-sections=zlib", bare, symbols)
    run("strip", bare)
    run("objcopy", f"--add-gnu-debuglink={symbols}", bare)
    glibc = newest_glibc(bare)
    if not given and is_newer(glibc, GLIBC):
        raise Refused(
            f"The program asks for glibc {glibc}, and {GLIBC} is promised. Where it cannot be linked for that, say what it needs: "
            f"MUSTER_GLIBC={glibc}, or MUSTER_GLIBC=machine to link as this machine does. The names of wheel and package then state it."
        )
    said = read(bare, "--version")
    if f"muster {version} (" not in said:
        raise Refused(f"The program says `{said.strip()}`, not {version}.")
    return Program(bare, symbols, glibc, is_given=given is not None)


def compile_it():
    fixed = always_there()
    environment = {**os.environ, **settings(), "PATH": f"{fixed}:{COMPILERS}/bin:{os.environ['PATH']}"}
    for ours in ("RUSTC_WORKSPACE_WRAPPER", "RUSTFLAGS"):
        environment.pop(ours, None)
    if GLIBC == "machine":
        linked = ["build", "--target", TRIPLE]
    else:
        linked = ["zigbuild", "--target", f"{TRIPLE}.{GLIBC}"]
        environment |= {"ZIG_GLOBAL_CACHE_DIR": str(TARGET / "zig"), "ZIG_LIB_DIR": str(fixed / "zig")}
        without_lines(linked, environment)
    # Our own crates get the list of what is linked into them; the others are built as they are.
    run("cargo", "auditable", *linked, "--release", "--locked", "-p", "muster", env=environment)
    return TARGET / TRIPLE / "release" / "muster"


def without_lines(linked, environment):
    """What zig itself adds to a program, start files and the unwinder, names folders of this machine in its debug lines. So it is
    made beforehand, for a program that does nothing, and the lines are taken out of what zig keeps."""
    nothing, done = TARGET / "nothing", TARGET / "zig/without-lines"
    if done.exists():
        return
    for old in (nothing, TARGET / "zig"):
        shutil.rmtree(old, ignore_errors=True)
    (nothing / "src").mkdir(parents=True)
    (nothing / "Cargo.toml").write_text('[package]\nname = "nothing"\nedition = "2024"\n\n[workspace]\n\n[profile.release]\ndebug = "line-tables-only"\n')
    (nothing / "src/main.rs").write_text("fn main() {}\n")
    run("cargo", *linked, "--release", cwd=nothing, env={**environment, "CARGO_TARGET_DIR": str(nothing / "target")})
    for path in (TARGET / "zig/o").glob("*/*.o"):
        run("strip", "--strip-debug", path)
    for path in (TARGET / "zig/o").glob("*/*.a"):
        members = read("ar", "t", path).splitlines()
        path.unlink()
        run("ar", "rcsD", path, *members)
    done.touch()


def always_there():
    """The folder of what is called by a path that is the same for each tree. Cargo hashes that of cargo-auditable into the names of
    our own crates, by which functions are ordered. Zig makes its parts again, with debug lines, where it is called from a folder
    that has its library in it."""
    place = Path("/var/tmp/muster-release")
    place.mkdir(mode=0o700, exist_ok=True)
    if place.is_symlink() or place.stat().st_uid != os.getuid():
        raise Refused(f"{place} is somebody else's: the release is built with a program from there. Remove it.")
    part = place / f".{os.getpid()}"
    shutil.copy2(COMPILERS / "bin/cargo-auditable", part)
    part.rename(place / "cargo-auditable")
    if GLIBC != "machine":
        part.symlink_to(next(COMPILERS.glob("lib/python3*/site-packages/ziglang/lib")))
        part.rename(place / "zig")
    return place


def settings():
    """No path of this machine and no time but the commit's goes in."""
    home = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"))
    crates = next((home / "registry/src").glob("*"), home / "registry/src")
    rust = Path(read("rustc", "--print", "sysroot").strip()) / "lib/rustlib/src/rust"
    day = datetime.datetime.fromtimestamp(committed_at(), datetime.timezone.utc).date()
    # Of several that fit the last one counts, and the target folder may be in the tree.
    places = {crates: "/crates", rust: "/rust", ROOT: "/muster", TARGET: "/target"}
    return {
        # Apart by a character that no path has: folders may have spaces in their names.
        "CARGO_ENCODED_RUSTFLAGS": "\x1f".join(f"--remap-path-prefix={place}={name}" for place, name in places.items()),
        "CFLAGS": shlex.join([*(f"-ffile-prefix-map={place}={name}" for place, name in places.items()), *TIMELESS]),
        "CC_SHELL_ESCAPED_FLAGS": "1",
        "SOURCE_DATE_EPOCH": str(committed_at()),
        "CARGO_INCREMENTAL": "0",
        "MUSTER_COMMIT": commit(),
        "MUSTER_COMMITTED_ON": day.isoformat(),
    }


def newest_glibc(program):
    """Of the versions that its symbols ask for."""
    versions = re.findall(r"\(GLIBC_(\d+(?:\.\d+)+)\)", read("objdump", "-T", program))
    return max(versions, key=numbers)


def numbers(text):
    return [int(part) for part in text.split(".")]


def is_newer(glibc, promised):
    """Than what is promised; a program that is linked as the machine does promises nothing else."""
    return promised != "machine" and numbers(glibc) > numbers(promised)
