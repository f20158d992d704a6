"""Two images (OCI archives): the hub alone, and the hub with Python and the sample models for one machine."""

import os
import shutil
import subprocess

from .common import LICENCE, ROOT, SUMMARY, commit, committed_at, read, run

# Packages of Debian below the program. No shell in the first.
HUB = "libc6,libgcc-s1,tzdata,ca-certificates"
WORKSTATION = "python3,python3-venv,libc6,libgcc-s1,libstdc++6,tzdata,ca-certificates"
USER = "65532:65532"
SUITE = "bookworm"


def make(version, built, licences, work, out):
    folder = work / "image"
    folder.mkdir()
    settle()
    base(folder / "hub", HUB, shell=False)
    base(folder / "one", WORKSTATION, shell=True)
    models = folder / "one/usr/share/muster"
    for name in read("git", "ls-files", "models", "examples/molecules.csv").split():
        (models / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, models / name)
    listen = "MUSTER_LISTEN=0.0.0.0:8080"
    put(folder, "hub", f"muster-{version}", built, licences, version, [listen])
    put(folder, "one", f"muster-one-{version}", built, licences, version, [listen, "MUSTER_MODELS=/usr/share/muster/models"])
    for name in (f"muster-{version}", f"muster-one-{version}"):
        run("skopeo", "copy", "-q", f"oci:{folder}/{name}.oci", f"oci-archive:{out}/{name}.oci.tar:{version}")
        repack(out / f"{name}.oci.tar", folder)


def settle():
    """Buildah without a daemon, overlay and name spaces: works as root in a container too."""
    os.environ.update(BUILDAH_ISOLATION="chroot", STORAGE_DRIVER="vfs")


# What it is made of, where scanners look for it in images without dpkg.
LISTED = """set -e; list="$1/var/lib/dpkg/status.d"; mkdir -p "$list"
for package in "$1"/var/cache/apt/archives/*.deb; do dpkg-deb --field "$package" >"$list/$(dpkg-deb --field "$package" Package)"; done"""


def base(to, packages, shell):
    """A root file system of Debian packages that are unpacked."""
    run(
        "mmdebstrap", "--mode=root", "--variant=extract", f"--include={packages}", "--quiet", f"--extract-hook={LISTED}", SUITE, to,
        env={**os.environ, "SOURCE_DATE_EPOCH": str(committed_at())},
    )
    bundle = to / "etc/ssl/certs"
    bundle.mkdir(parents=True, exist_ok=True)
    certificates = sorted((to / "usr/share/ca-certificates/mozilla").glob("*.crt"))
    (bundle / "ca-certificates.crt").write_text("".join(path.read_text() for path in certificates))
    (to / "etc/passwd").write_text("root:x:0:0:root:/root:/sbin/nologin\nmuster:x:65532:65532:Muster:/data:/sbin/nologin\n")
    (to / "etc/group").write_text("root:x:0:\nmuster:x:65532:\n")
    for gone in ("var/cache", "var/log", "usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "usr/share/lintian", "dev"):
        shutil.rmtree(to / gone, ignore_errors=True)
    for name in ("var/lib/apt", "var/cache", "var/log", "dev"):
        shutil.rmtree(to / name, ignore_errors=True)
        (to / name).mkdir(parents=True)
    for name in ("proc", "sys"):
        (to / name).mkdir(exist_ok=True)
    for path in (to / "tmp", to / "var/tmp"):
        path.mkdir(parents=True, exist_ok=True)
        os.chmod(path, 0o1777)
    if shell and not (to / "usr/bin/python3").exists():
        os.symlink("python3.11", to / "usr/bin/python3")
    data = to / "data"
    data.mkdir()
    # A platform may run it as any user.
    os.chown(data, 65532, 0)
    os.chmod(data, 0o770)


def put(folder, root, name, built, licences, version, environment):
    tree = folder / root
    shutil.copy(built.path, tree / "usr/bin/muster")
    about = tree / "usr/share/doc/muster"
    about.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "LICENSE", about / "LICENSE")
    (about / "THIRD-PARTY-LICENCES.txt").write_text(licences)
    for path in [tree, *tree.rglob("*")]:
        os.utime(path, (committed_at(), committed_at()), follow_symlinks=False)
    container = read("buildah", "from", "scratch").strip()
    try:
        mounted = read("buildah", "mount", container).strip()
        run("cp", "-a", f"{tree}/.", mounted)
        labels = {
            "org.opencontainers.image.title": "Muster",
            "org.opencontainers.image.description": SUMMARY,
            "org.opencontainers.image.version": version,
            "org.opencontainers.image.revision": commit(),
            "org.opencontainers.image.licenses": LICENCE,
        }
        labelled = [part for key, value in labels.items() for part in ("--label", f"{key}={value}")]
        surroundings = [part for one in ["MUSTER_DATA_DIR=/data", "HOME=/tmp", "MIMALLOC_PURGE_DELAY=0", *environment] for part in ("--env", one)]
        run(
            "buildah", "config", *labelled, *surroundings, "--user", USER, "--workingdir", "/data", "--port", "8080",
            "--stop-signal", "TERM", "--entrypoint", '["/usr/bin/muster"]', "--cmd", "serve", container,
        )
        run("buildah", "commit", "-q", "--timestamp", committed_at(), "--disable-compression=false", container, f"oci:{folder}/{name}.oci")
    finally:
        subprocess.run(["buildah", "rm", container], capture_output=True)


def digest(archive):
    """What a registry calls it."""
    return read("skopeo", "inspect", "--format", "{{.Digest}}", f"oci-archive:{archive}").strip()


def repack(archive, folder):
    """The archive's own names and times, so that it is the same bytes twice."""
    tree = folder / "repacked"
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir()
    run("tar", "-xf", archive, "-C", tree)
    run("tar", "--sort=name", "--owner=0", "--group=0", "--numeric-owner", f"--mtime=@{committed_at()}", "-cf", archive, ".", cwd=tree)
