"""What was released, as the next release is held against it: deploy/released."""

import json
import re
import shutil
import tempfile

from . import api, upgrade
from .common import ROOT, Refused, bare, commit, read
from .ready import RELEASED, hashes, key, released, section


def last():
    """The release before this one, if there is one."""
    return next(reversed(released()), None)


def until(version):
    """All releases that are not newer than this one, which is among them once it was made."""
    return [one for one in released() if key(one["version"]) <= key(version)]


def write(version, built, out, to, work):
    """Hashes, settings, API, and both databases as this program leaves them."""
    filled = work / "filled"
    filled.mkdir()
    texts = upgrade.dumps(built.path, filled)
    note = {
        "version": version,
        "commit": commit(),
        "glibc": built.glibc,
        "sums": {name: sum for sum, name in (line.split() for line in (out / "SHA256SUMS").read_text().splitlines())},
        "migrations": hashes(),
        "settings": settings(built.path),
    }
    (to / version).mkdir(parents=True)
    (to / f"{version}.json").write_text(json.dumps(note, indent=1) + "\n")
    (to / version / "openapi.json").write_text(json.dumps(json.loads((out / "openapi.json").read_text()), separators=(",", ":")) + "\n")
    for database, text in texts.items():
        (to / version / f"{database}.sql").write_text(text)


def keep(folder):
    """In the tree, for whoever makes the next one."""
    shutil.copytree(folder, RELEASED, dirs_exist_ok=True)


def databases_of(version):
    return {path.stem: path.read_text() for path in sorted((RELEASED / version).glob("*.sql"))}


def settings(program):
    """Their names."""
    return sorted(json.loads(read(program, "config", "--json", env=bare())))


def api_is_kept(version):
    """What breaks clients of the last release stands in the changelog, as what it is."""
    old = last()
    if not old:
        return
    before = json.loads((RELEASED / old["version"] / "openapi.json").read_text())
    announced = breaking_words(version)
    for where, what in api.breaking(before, json.loads((ROOT / "openapi.json").read_text())).items():
        name = where.replace("/api/v1", "")
        if f"`{name}`" not in announced:
            raise Refused(
                f"{where} {what} since {old['version']}, which breaks clients. Take that back, or write an entry with the word "
                f"Breaking into the section of {version} in CHANGELOG.md that names `{name}`."
            )


def settings_are_kept(version, program):
    """A setting that is gone is named by the program with what replaces it, and in the changelog."""
    old = last()
    if not old:
        return
    announced = breaking_words(version)
    for gone in sorted(set(old["settings"]) - set(settings(program))):
        if f"`{gone}`" not in announced:
            raise Refused(f"The setting {gone} of {old['version']} is gone. Name `{gone}` in an entry of CHANGELOG.md with the word Breaking.")
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
            file.write(f'{gone} = "1"\n')
            file.flush()
            try:
                read(program, "config", "--config", file.name, env=bare())
            except Refused as why:
                if f"{gone} is no setting any more" in str(why):
                    continue
            raise Refused(f"The setting {gone} of {old['version']} is gone, and the program does not say what replaces it: RETIRED in crates/muster/src/config/settings.rs.")


def breaking_words(version):
    """The entries of the changelog that say so."""
    found = section(version)
    entries = re.split(r"^- ", found[1] if found else "", flags=re.M)
    return "\n".join(entry for entry in entries if re.search(r"\bbreaking\b", entry, re.I))
