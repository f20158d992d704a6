"""Makes a release: a folder with everything a person installs. See docs/releasing.md."""

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from . import archive, chart, deb, image, inside, kept, program, ready, sign, wheel
from .common import ROOT, Refused, TARGET, need_tools, settle

EXAMPLES = """
examples:
  scripts/release 0.1.0 --key ~/.minisign/muster.key     all of it, signed
  scripts/release 0.1.0 --quick                          no tests, not signed; what CI makes
  scripts/release 0.1.0 --quick --only archive,deb       only these forms
"""
FORMS = {"archive": archive.make, "deb": deb.make, "wheel": wheel.make, "image": image.make, "chart": chart.make}


def arguments():
    parser = argparse.ArgumentParser(
        prog="scripts/release", description=__doc__, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("version", help="which one, as it stands in Cargo.toml: 1.2.3, without a v")
    parser.add_argument("--key", type=Path, metavar="FILE", help="minisign's secret key; without it nothing is signed")
    parser.add_argument("--to", type=Path, metavar="FOLDER", help="where to [default: target/release-VERSION]")
    parser.add_argument("--quick", action="store_true", help="no tests, and the tree may be dirty: what is made is no release")
    parser.add_argument("--only", default=",".join(FORMS), help=f"forms to make, of {', '.join(FORMS)}")
    parser.add_argument("--program", type=Path, metavar="FILE", help="pack this program instead of building one (with --quick)")
    return parser.parse_args()


def main():
    asked = arguments()
    forms = [form for form in asked.only.split(",") if form]
    unknown = [form for form in forms if form not in FORMS]
    if unknown:
        raise Refused(f"There is no form {', '.join(unknown)}: these are {', '.join(FORMS)}.")
    # The chart asks for the image, which comes first.
    forms.sort(key=list(FORMS).index)
    if asked.program and not asked.quick:
        raise Refused("--program goes with --quick only: a release is built from its commit.")
    if asked.key and not asked.key.is_file():
        raise Refused(f"There is no key at {asked.key}. `minisign -G -s FILE` makes one.")
    ready.look(asked.version, asked.quick)
    if not asked.quick:
        kept.api_is_kept(asked.version)
    to = (asked.to or TARGET / f"release-{asked.version}").resolve()
    if to.exists():
        raise Refused(f"{to} is there already. Remove it, or name another folder with --to.")
    need_tools(*forms, *([] if asked.program else ["program"]), *(["signature"] if asked.key else []))
    if asked.key:
        sign.can_sign(asked.key)
    if not asked.quick:
        ready.prove()
    # Complete, or not there: the folder gets its name at the end.
    to.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".release-", dir=to.parent) as work:
        work = Path(work)
        out = work / "out"
        out.mkdir()
        begun = time.monotonic()
        built = program.build(asked.version, work, asked.program)
        ready.drift(built.path)
        if not asked.quick:
            kept.settings_are_kept(asked.version, built.path)
        step("licences", begun)
        licences = inside.licences(work)
        for form in forms:
            step(form, begun)
            FORMS[form](asked.version, built, licences, work, out)
        shutil.copy(built.symbols, out)
        step("what is inside", begun)
        inside.write(asked.version, built, licences, work, out)
        step("sums", begun)
        sign.sums(out)
        if asked.key:
            sign.sign(out, asked.key)
        if not asked.quick:
            step("what the next one is held against", begun)
            kept.write(asked.version, built, out, work / "released", work)
        os.chmod(out, 0o755)
        out.rename(to)
        if not asked.quick:
            kept.keep(work / "released")
    said(to, asked)


def step(what, begun):
    print(f"  {time.monotonic() - begun:5.0f} s  {what}", flush=True)


def said(to, asked):
    print(f"\nMade {to}:\n")
    for file in sorted(to.iterdir()):
        print(f"  {file.stat().st_size / 1e6:8.2f} MB  {file.name}")
    if not asked.key:
        print("\nIt is not signed: there was no --key.")
    if not asked.quick:
        print(f"\nWhat the next release is held against is in {ready.RELEASED.relative_to(ROOT)}: commit it.")
    if asked.quick:
        print("It is no release: no test was run, and the tree was not looked at (--quick).")


if __name__ == "__main__":
    settle()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        main()
    except Refused as why:
        sys.exit(f"Refused: {why}")
    except OSError as why:
        sys.exit(f"Stopped, nothing was made: {why}")
    except KeyboardInterrupt:
        sys.exit("Stopped: nothing was made.")
