"""The archive: unpack it anywhere, and `bin/muster` works."""

import os
import shutil

from .common import ROOT, TRIPLE, committed_at, read, run


def make(version, built, licences, work, out):
    name = f"muster-{version}-{TRIPLE}"
    tree = work / name
    lay_out(tree, version, built, licences)
    pack(tree, out / f"{name}.tar.zst", f"zstd -{3 if built.is_given else 19} -T1 --no-progress")


def lay_out(tree, version, built, licences):
    """The same files that the Debian package has, at their places below a prefix."""
    (tree / "bin").mkdir(parents=True)
    shutil.copy(built.path, tree / "bin/muster")
    documents = tree / "share/doc/muster"
    documents.mkdir(parents=True)
    for file in ("LICENSE", "CHANGELOG.md", "README.md"):
        shutil.copy(ROOT / file, documents / file)
    (documents / "THIRD-PARTY-LICENCES.txt").write_text(licences)
    pages = tree / "share/man/man1"
    pages.mkdir(parents=True)
    run(built.path, "man", pages)
    for shell, path in {
        "bash": "bash-completion/completions/muster",
        "zsh": "zsh/site-functions/_muster",
        "fish": "fish/vendor_completions.d/muster.fish",
    }.items():
        script = tree / "share" / path
        script.parent.mkdir(parents=True)
        script.write_text(read(built.path, "completions", shell))
    models = tree / "share/muster/models"
    names = read("git", "ls-files", "models").split()
    for name in names:
        (models.parent / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, models.parent / name)
    examples = tree / "share/muster/examples"
    examples.mkdir()
    shutil.copy(ROOT / "examples/molecules.csv", examples / "molecules.csv")


def pack(tree, archive, compress):
    """The same bytes each time: names in order, no owner, one time."""
    run(
        "tar", "--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mode=u+rwX,go+rX,go-w",
        f"--mtime=@{committed_at()}", f"--use-compress-program={compress}", "-cf", archive, tree.name,
        cwd=tree.parent, env={**os.environ},
    )
