"""The wheel: `pipx run`, and `pip install` where there is no other way. It holds the program and no Python."""

import os
import shutil

from .common import LICENCE, ROOT, SUMMARY, committed_at, run, tool

# `muster` belongs to somebody else on PyPI.
NAME = os.environ.get("MUSTER_WHEEL", "muster-hub")


def make(version, built, licences, work, out):
    normal = NAME.replace("-", "_")
    # As PEP 440 has it: 1.0.0-rc.1 is 1.0.0rc1.
    number = version.replace("-rc.", "rc").replace("-beta.", "b").replace("-alpha.", "a")
    tree = work / "wheel"
    scripts = tree / f"{normal}-{number}.data/scripts"
    scripts.mkdir(parents=True)
    shutil.copy(built.path, scripts / "muster")
    about = tree / f"{normal}-{number}.dist-info"
    (about / "licenses").mkdir(parents=True)
    shutil.copy(ROOT / "LICENSE", about / "licenses/LICENSE")
    (about / "licenses/THIRD-PARTY-LICENCES.txt").write_text(licences)
    (about / "WHEEL").write_text(
        f"Wheel-Version: 1.0\nGenerator: muster\nRoot-Is-Purelib: false\nTag: py3-none-manylinux_{built.glibc.replace('.', '_')}_x86_64\n"
    )
    (about / "METADATA").write_text(
        f"""Metadata-Version: 2.4
Name: {NAME}
Version: {number}
Summary: {SUMMARY}
License-Expression: {LICENCE}
License-File: LICENSE
License-File: THIRD-PARTY-LICENCES.txt
Requires-Python: >=3.8
Description-Content-Type: text/markdown

The program `muster`: a hub for scientific models, and its command line. `muster --help` has examples.
"""
    )
    run(tool("wheel"), "pack", "--dest-dir", out, tree, env={**os.environ, "SOURCE_DATE_EPOCH": str(committed_at())})
