"""What has to be so before anything is made."""

import datetime
import hashlib
import json
import re

from . import terms
from .common import ROOT, Refused, read, run, version_of_workspace

# https://semver.org, without what comes after a plus.
SEMVER = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?")
MIGRATIONS = ROOT / "crates/store/migrations"
RELEASED = ROOT / "deploy/released"


def look(version, quick):
    """What costs nothing to look at comes first, before anything is fetched or built."""
    named(version)
    migrations()
    if quick:
        return
    if read("git", "status", "--porcelain"):
        raise Refused("The tree has changes that are not committed. Commit or remove them.")
    if read("git", "tag", "--list", f"v{version}").strip():
        raise Refused(f"There is a tag v{version} already: that version was made. The next one is a higher one.")
    changelog(version)


def prove():
    """What takes longer."""
    terms.check()
    terms.advisories()
    print("The tests (make test) ..", flush=True)
    run("make", "test")


def named(version):
    if version.startswith("v"):
        raise Refused(f"Without the v: {version[1:]}.")
    if not SEMVER.fullmatch(version):
        raise Refused(f"{version} is no version: 1.2.3 is one (https://semver.org).")
    stands = version_of_workspace()
    if version != stands:
        raise Refused(
            f"Cargo.toml says {stands}. Set workspace.package.version to {version}, run `cargo update --workspace`, commit, and try again."
        )
    for older in released():
        if key(older["version"]) > key(version):
            raise Refused(f"{older['version']} was released already, which is newer than {version}.")


def key(version):
    """For the order of versions: one with a suffix comes before the one without."""
    numbers, _, suffix = version.partition("-")
    return [int(number) for number in numbers.split(".")], suffix == "", suffix


def released():
    """The oldest first."""
    return sorted((json.loads(path.read_text()) for path in RELEASED.glob("*.json")), key=lambda one: key(one["version"]))


def hashes():
    """Of each migration, by its path."""
    return {
        str(path.relative_to(MIGRATIONS)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(MIGRATIONS.glob("*/*.sql"))
    }


def migrations():
    """A database that was made by a release has to come along with the next one."""
    now = hashes()
    for old in released():
        for path, known in old["migrations"].items():
            if now.get(path) != known:
                gone = "is gone" if path not in now else "was changed"
                raise Refused(f"Migration {path} {gone} since {old['version']}. Take that back; write a new one instead.")


def section(version):
    """What the changelog says of a version, without its head."""
    text = (ROOT / "CHANGELOG.md").read_text()
    found = re.search(rf"^## {re.escape(version)} \((.*?)\)\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    return found and (found.group(1), found.group(2).strip())


def changelog(version):
    today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    found = section(version)
    if not found:
        raise Refused(f"CHANGELOG.md has no section `## {version} ({today})`. Write one: what people notice, by hand.")
    if found[0] != today:
        raise Refused(f"CHANGELOG.md says `## {version} ({found[0]})`; today is {today}.")
    if not found[1]:
        raise Refused(f"The section of {version} in CHANGELOG.md is empty.")


def drift(program):
    """What the program says of itself is what is checked in."""
    if read(program, "openapi").strip() != (ROOT / "openapi.json").read_text().strip():
        raise Refused("openapi.json is not what the program says. `make fmt` writes it anew.")
