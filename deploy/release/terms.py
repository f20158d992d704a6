"""Terms and origins of the crates that builds and tests take on this platform, held against deny.toml, which cargo-deny reads as well."""

import json
import re
import shutil
import tomllib

from .common import ROOT, Refused, TRIPLE, read

REGISTRY = "registry+https://github.com/rust-lang/crates.io-index"


def check():
    rules = tomllib.loads((ROOT / "deny.toml").read_text())
    # Crates of other platforms are not fetched, and what they say is not known.
    said = json.loads(read("cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", TRIPLE))
    taken = {one["id"] for one in said["resolve"]["nodes"]}
    wrong = [words for package in said["packages"] if package["id"] in taken for words in faults(package, rules)]
    if wrong:
        raise Refused("\n".join(["deny.toml does not allow what Cargo.lock has:", *wrong]))


def faults(package, rules):
    """What there is to say of one crate."""
    name = f"{package['name']} {package['version']}"
    if package["source"] and package["source"] != REGISTRY:
        yield f"{name} is from {package['source']}"
    if package["name"] in [one["crate"] for one in rules["bans"]["deny"]]:
        yield f"{name} is banned"
    terms = package["license"]
    if terms and not is_allowed(terms, rules["licenses"]["allow"]):
        yield f"{name} is under {terms}"
    elif not terms and not package["license_file"]:
        yield f"{name} says no terms"


def is_allowed(expression, allowed):
    """SPDX: OR is a choice, AND is not, WITH belongs to its licence; a slash is an old way of writing OR."""
    words = re.findall(r"[()]|[\w.+-]+(?: WITH [\w.-]+)?", expression.replace("/", " OR "))

    def either():
        found = both()
        while words and words[0] == "OR":
            words.pop(0)
            found |= both()
        return found

    def both():
        found = one()
        while words and words[0] == "AND":
            words.pop(0)
            found &= one()
        return found

    def one():
        word = words.pop(0)
        if word != "(":
            return word in allowed
        found = either()
        words.pop(0)
        return found

    return either()


def advisories():
    """Known faults, where there is cargo-deny with a copy of their database."""
    why = "cargo-deny is not installed"
    if shutil.which("cargo-deny"):
        try:
            read("cargo-deny", "check", "--disable-fetch", "advisories")
            return
        except Refused as said:
            if "advisory-db" not in str(said) and "advisory database" not in str(said):
                raise
            why = "there is no copy of their database here"
    print(f"Known advisories were not looked at: {why}.", flush=True)
