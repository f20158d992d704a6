"""What is inside: licences of what is linked in, and bills of materials (CycloneDX)."""

import json
import os
import tomllib
from pathlib import Path

from .common import ROOT, Refused, TRIPLE, read, tool
from .ready import section

# Files that say under which terms a crate may be copied.
NAMES = ("license", "licence", "copying", "notice", "unlicense")


def crates(with_macros=False):
    """Crates of others that are linked into the program on this platform, with their folders; or also what ran while it was compiled."""
    said = json.loads(read("cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", TRIPLE))
    packages = {one["id"]: one for one in said["packages"]}
    nodes = {one["id"]: one for one in said["resolve"]["nodes"]}
    (start,) = [one["id"] for one in said["packages"] if one["name"] == "muster" and not one["source"]]
    seen, open_ = set(), [start]
    while open_:
        here = open_.pop()
        if here in seen:
            continue
        seen.add(here)
        for dep in nodes[here]["deps"]:
            # What only builds or tests it is not in it; nor is a macro.
            is_linked = any(kind["kind"] is None for kind in dep["dep_kinds"])
            is_macro = any("proc-macro" in target["kind"] for target in packages[dep["pkg"]]["targets"])
            if is_linked and (with_macros or not is_macro):
                open_.append(dep["pkg"])
    linked = [packages[one] for one in seen if packages[one]["source"]]
    return sorted(linked, key=lambda one: (one["name"], one["version"]))


def licences(work):
    """One text: for each crate its terms, as its authors wrote them; equal texts once."""
    texts, heads, without = {}, [], []
    for crate in crates():
        folder = Path(crate["manifest_path"]).parent
        found = sorted(path for path in folder.iterdir() if path.is_file() and path.name.lower().startswith(NAMES))
        if crate["license_file"]:
            found.append(folder / crate["license_file"])
        name = f"{crate['name']} {crate['version']}"
        heads.append(f"{name}: {crate['license'] or 'see its text'}")
        if not found and not crate["license"]:
            raise Refused(f"Nobody says under which terms {name} may be copied.")
        if not found:
            without.append(name)
        for path in found:
            text = path.read_text(errors="replace").strip()
            texts.setdefault(text, []).append(name)
    parts = ["Muster has these crates in it, under these terms.", "\n".join(heads)]
    if without:
        parts.append("Without a text of their own, under the terms named above: " + ", ".join(without) + ".")
    for text, names in texts.items():
        parts.append("=" * 78 + "\n" + ", ".join(dict.fromkeys(names)) + "\n" + "=" * 78 + "\n" + text)
    parts.append(web_licences())
    return "\n\n".join(part for part in parts if part) + "\n"


def web_licences():
    """What the build of the web app gathered of its packages."""
    path = ROOT / "web/.build/app/3rdpartylicenses.txt"
    if not path.is_file():
        raise Refused(f"There is no {path.relative_to(ROOT)}, which the build of the web app writes: run `make web`.")
    return "The web app has these packages in it.\n\n" + path.read_text()


def write(version, built, licences, work, out):
    (out / "THIRD-PARTY-LICENCES.txt").write_text(licences)
    found = section(version)
    (out / "CHANGES.md").write_text(f"# Muster {version}\n\n{found[1] if found else 'No section of the changelog yet.'}\n")
    (out / "openapi.json").write_text(read(built.path, "openapi"))
    if not built.is_given:
        (out / f"muster-{version}.cdx.json").write_text(program_bill(built.path, version))
    images = work / "image"
    if images.is_dir():
        for folder in sorted(images.glob("*.oci")):
            bill = out / f"{folder.stem.replace(version, f'image-{version}')}.cdx.json"
            bill.write_text(plain(scan(f"oci-dir:{folder}", folder.stem.removesuffix(f"-{version}"), version)))
    web_bill(out, version)


def scan(what, name, version):
    """A bill of it, by a name that is not the folder it was made in."""
    quiet = {**os.environ, "SYFT_CHECK_FOR_APP_UPDATE": "false"}
    return read(tool("syft"), "scan", what, "--source-name", name, "--source-version", version, "-q", "-o", "cyclonedx-json@1.6", env=quiet)


def program_bill(program, version):
    """The list that cargo-auditable left in the program, compared with what cargo says it links."""
    bill = scan(f"file:{program}", "muster", version)
    listed = {(one["name"], one["version"]) for one in json.loads(bill)["components"] if one["type"] == "library"}
    ours = {member["name"] for member in members()}
    listed = {one for one in listed if one[0] not in ours}
    # Of some macros the program's list does not tell that they only ran while it was compiled.
    linked = names(crates())
    more, less = listed - names(crates(with_macros=True)), linked - listed
    if more or less:
        raise Refused(
            f"The program's list of crates is not what cargo links. Only in the program: {sorted(more)[:5]}; only in cargo's: {sorted(less)[:5]}."
        )
    return plain(without(json.loads(bill), listed - linked))


def names(crates):
    return {(one["name"], one["version"]) for one in crates}


def without(bill, gone):
    """A bill that does not list these."""
    refs = {one["bom-ref"] for one in bill["components"] if (one["name"], one.get("version")) in gone}
    bill["components"] = [one for one in bill["components"] if one["bom-ref"] not in refs]
    for one in bill.get("dependencies", ()):
        one["dependsOn"] = [ref for ref in one.get("dependsOn", ()) if ref not in refs]
    bill["dependencies"] = [one for one in bill.get("dependencies", ()) if one["ref"] not in refs]
    return json.dumps(bill)


def members():
    return [tomllib.loads(path.read_text())["package"] for path in (*ROOT.glob("crates/*/Cargo.toml"), ROOT / "bench/Cargo.toml")]


def plain(bill):
    """Without a number and a time of their own, so that two are equal."""
    bill = json.loads(bill)
    bill.pop("serialNumber", None)
    bill.get("metadata", {}).pop("timestamp", None)
    about = bill["metadata"]["component"]
    return json.dumps(bill, indent=2).replace(f'"{about["bom-ref"]}"', f'"{about["name"]}"') + "\n"


def web_bill(out, version):
    """What the lock file says the app is built from."""
    lock = json.loads((ROOT / "web/package-lock.json").read_text())
    parts = []
    for path, one in sorted(lock["packages"].items()):
        if not path or one.get("dev") or one.get("optional"):
            continue
        name = path.rpartition("node_modules/")[2]
        entry = {"type": "library", "name": name, "version": one["version"], "purl": f"pkg:npm/{name.replace('@', '%40')}@{one['version']}"}
        if one.get("license"):
            entry["licenses"] = [{"expression": one["license"]}]
        parts.append(entry)
    bill = {
        "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
        "metadata": {"component": {"type": "application", "name": "muster-web", "version": version}},
        "components": parts,
    }
    (out / f"muster-web-{version}.cdx.json").write_text(json.dumps(bill, indent=2) + "\n")
