"""What a release refuses, and that what it writes is the same twice: python3 -m unittest deploy.release.tests"""

import json
import os
import subprocess
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from . import api, archive, check, kept, program, ready, sign, terms, upgrade, wheel
from .common import ROOT, Refused, settle, version_of_workspace
from .program import Program

VERSION = version_of_workspace()


def command(*arguments):
    done = subprocess.run([ROOT / "scripts/release", *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return done.returncode, done.stderr.strip()


class Refusals(unittest.TestCase):
    def refused(self, words, call, *arguments):
        with self.assertRaises(Refused) as said:
            call(*arguments)
        self.assertIn(words, str(said.exception))

    def test_what_is_no_version(self):
        for text, words in {
            "v" + VERSION: f"Without the v: {VERSION}",
            "one": "is no version",
            "1.2": "is no version",
            "01.2.3": "is no version",
            "99.0.0": f"Cargo.toml says {VERSION}. Set workspace.package.version to 99.0.0",
        }.items():
            self.refused(words, ready.named, text)
        self.assertEqual(command("v" + VERSION), (1, f"Refused: Without the v: {VERSION}."))

    def test_versions_have_an_order(self):
        order = ["0.9.9", "0.10.0-rc.1", "0.10.0", "1.0.0-beta.1", "1.0.0", "1.0.10", "1.1.0"]
        self.assertEqual(sorted(reversed(order), key=ready.key), order)

    def test_a_release_is_held_against_all_before_it(self):
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(ready, "RELEASED", Path(folder)):
            for version in ("0.10.0", "0.2.0", "0.9.0"):
                (Path(folder) / f"{version}.json").write_text(json.dumps({"version": version}))
            self.assertEqual([one["version"] for one in kept.until("0.9.0")], ["0.2.0", "0.9.0"])

    def test_what_was_released_is_kept(self):
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(ready, "RELEASED", Path(folder)):
            note = Path(folder) / "x.json"
            note.write_text(json.dumps({"version": "99.1.0", "migrations": ready.hashes()}))
            ready.migrations()
            self.refused("99.1.0 was released already", ready.named, VERSION)
            changed = {**ready.hashes(), "sqlite/0001_first.sql": "0" * 64}
            note.write_text(json.dumps({"version": "0.0.1", "migrations": changed}))
            self.refused("Migration sqlite/0001_first.sql was changed since 0.0.1", ready.migrations)
            note.write_text(json.dumps({"version": "0.0.1", "migrations": {"sqlite/0000_gone.sql": ""}}))
            self.refused("is gone since 0.0.1", ready.migrations)

    def test_a_changelog_of_another_day(self):
        self.refused("has no section `## 98.7.6", ready.changelog, "98.7.6")
        with mock.patch.object(ready, "section", lambda version: ("2001-01-01", "- Something.")):
            self.refused("says `## 1.0.0 (2001-01-01)`; today is", ready.changelog, "1.0.0")

    def test_a_form_and_a_key_that_are_not_there(self):
        for arguments, words in {
            ("--quick", "--only", "floppy"): "There is no form floppy: these are archive",
            ("--key", "/no/such/key"): "There is no key at /no/such/key",
            ("--program", "/bin/true"): "--program goes with --quick only",
        }.items():
            code, said = command(VERSION, *arguments)
            self.assertEqual(code, 1)
            self.assertIn(words, said)

    def test_what_breaks_clients_stands_in_the_changelog(self):
        before = json.loads((ROOT / "openapi.json").read_text())
        now = json.loads((ROOT / "openapi.json").read_text())
        self.assertEqual(api.breaking(before, now), {})
        schemas = before["components"]["schemas"]
        schemas["ModelSummary"]["properties"]["colour"] = {"type": "string"}
        schemas["SessionInfo"]["properties"]["id"] = {"type": "integer"}
        schemas["NewRequest"]["properties"]["colour"] = {"type": "string"}
        schemas["NewRequest"]["required"] = []
        before["paths"]["/api/v1/gone"] = {"get": {"responses": {}}}
        changes = {
            "ModelSummary.colour": "is gone",
            "NewRequest.colour": "is gone",
            "NewRequest.model": "is asked for",
            "SessionInfo.id": "may be string",
            "GET /api/v1/gone": "is gone",
        }
        self.assertEqual(api.breaking(before, now), changes)
        with tempfile.TemporaryDirectory() as folder, mock.patch.multiple(ready, RELEASED=Path(folder)), mock.patch.object(kept, "RELEASED", Path(folder)):
            (Path(folder) / "0.0.1").mkdir()
            (Path(folder) / "0.0.1/openapi.json").write_text(json.dumps({**now, "paths": {**now["paths"], "/api/v1/gone": {"get": {"responses": {}}}}}))
            (Path(folder) / "0.0.1.json").write_text(json.dumps({"version": "0.0.1"}))
            words = "names `GET /gone`"
            self.refused(words, kept.api_is_kept, VERSION)
            with mock.patch.object(kept, "section", lambda version: ("", "- `GET /gone` is no more.\n- Breaking: others.")):
                self.refused(words, kept.api_is_kept, VERSION)
            with mock.patch.object(kept, "section", lambda version: ("", "- **Breaking**: `GET /gone` is no more.\n- Others.")):
                kept.api_is_kept(VERSION)

    def test_terms_that_are_not_allowed(self):
        allowed = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "Unicode-3.0"]
        for expression, holds in {
            "MIT": True,
            "MIT/GPL-3.0": True,
            "GPL-3.0": False,
            "(MIT OR GPL-3.0) AND Unicode-3.0": True,
            "MIT AND GPL-3.0 OR GPL-2.0": False,
            "GPL-2.0 OR Apache-2.0 WITH LLVM-exception": True,
            "MIT WITH LLVM-exception": False,
        }.items():
            self.assertEqual(terms.is_allowed(expression, allowed), holds, expression)
        terms.check()
        rules = {"bans": {"deny": [{"crate": "openssl-sys"}]}, "licenses": {"allow": allowed}}
        crate = {"name": "openssl-sys", "version": "1.0.0", "source": "git+https://example.org", "license": None, "license_file": None}
        words = ["is from git+https://example.org", "is banned", "says no terms"]
        self.assertEqual(list(terms.faults(crate, rules)), [f"openssl-sys 1.0.0 {word}" for word in words])

    def test_a_newer_glibc_than_was_promised(self):
        for glibc, promised, newer in (("2.28", "2.28", False), ("2.4", "2.28", False), ("2.34", "2.28", True), ("2.36", "machine", False)):
            self.assertEqual(program.is_newer(glibc, promised), newer, (glibc, promised))

    def test_a_folder_that_is_there(self):
        with tempfile.TemporaryDirectory() as folder:
            code, said = command(VERSION, "--quick", "--to", folder)
            self.assertEqual(code, 1)
            self.assertIn("is there already. Remove it", said)

    def test_a_key_that_cannot_sign(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            made = ["minisign", "-G", "-p", folder / "public", "-s", folder / "secret"]
            subprocess.run([*made, "-W"], check=True, capture_output=True)
            sign.can_sign(folder / "secret")
            (folder / "out").mkdir()
            sign.sums(folder / "out")
            sign.sign(folder / "out", folder / "secret")
            self.assertIn("signed", check.sums(folder / "out", (folder / "public").read_text().split()[-1]))
            with self.assertRaisesRegex(Refused, "minisign did not sign"):
                sign.can_sign(folder / "public")
            # With a password, and no terminal to ask for it.
            subprocess.run([*made, "-f"], check=True, capture_output=True, input=b"word\nword\n")
            with mock.patch.object(sign, "STDIN", subprocess.DEVNULL), self.assertRaisesRegex(Refused, "no terminal"):
                sign.can_sign(folder / "secret")
            with self.assertRaisesRegex(Refused, "key id"):
                check.sums(folder / "out", (folder / "public").read_text().split()[-1])

    def test_a_byte_that_changed_is_found(self):
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder)
            (out / "a").write_bytes(b"whole")
            sign.sums(out)
            self.assertIn("1 files", check.sums(out, None))
            (out / "a").write_bytes(b"wh0le")
            self.refused("a is not what SHA256SUMS says", check.sums, out, None)
            (out / "b").write_bytes(b"")
            self.refused("SHA256SUMS names ['b']", check.sums, out, None)


@unittest.skipUnless(os.environ.get("MUSTER"), "MUSTER names no program")
class Upgrades(unittest.TestCase):
    def test_databases_of_a_release_are_taken_along_and_losses_are_seen(self):
        with tempfile.TemporaryDirectory(prefix="a place ") as work:
            work = Path(work)
            for name in ("filled", "old"):
                (work / name).mkdir()
            texts = upgrade.dumps(Path(os.environ["MUSTER"]), work / "filled")
            self.assertNotIn(str(work), "".join(texts.values()))
            said = upgrade.check(Path(os.environ["MUSTER"]), texts, work / "old")
            self.assertRegex(said, r"^sqlite \d\d rows, postgres \d\d rows$")
        rows = {"account": 2, "request": 2, "migration": 23}
        upgrade.lost(rows, {**rows, "migration": 24, "new": 5})
        for after, words in {
            (("account", 2), ("migration", 24)): "request is gone after the upgrade, and 2 rows",
            (("account", 1), ("request", 2), ("migration", 24)): "account had 2 rows, and has 1 after",
        }.items():
            with self.assertRaisesRegex(Refused, words):
                upgrade.lost(rows, dict(after))


class Same(unittest.TestCase):
    """Another place, time zone and umask change no byte."""

    def test_wheel_and_archive(self):
        made = []
        for umask, zone in ((0o022, "UTC"), (0o077, "Asia/Tokyo")):
            before = os.umask(umask)
            try:
                with tempfile.TemporaryDirectory(prefix="a place ") as work, mock.patch.dict(os.environ, TZ=zone):
                    settle()
                    made.append(self.make(Path(work)))
            finally:
                os.umask(before)
        self.assertEqual(made[0], made[1])

    def make(self, work):
        out = work / "out"
        out.mkdir()
        path = work / "program"
        path.write_text("#!/bin/sh\necho muster\n")
        path.chmod(0o755)
        built = Program(path, None, "2.28")
        wheel.make(VERSION, built, "MIT", work, out)
        tree = work / "tree-1"
        (tree / "bin").mkdir(parents=True)
        (tree / "bin/muster").write_bytes(path.read_bytes())
        (tree / "bin/muster").chmod(0o755)
        archive.pack(tree, out / "tree.tar.zst", "zstd -19 -T1 --no-progress")
        return {file.name: file.read_bytes() for file in out.iterdir()}


if __name__ == "__main__":
    unittest.main()
