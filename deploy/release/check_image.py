"""The images, unpacked and run without a builder or a daemon: as somebody who is nobody there, over a root that cannot be written."""

import contextlib
import json
import subprocess
import time
from pathlib import Path

from . import databases
from .common import ROOT, free_port, read, run, unpack
from .hubs import listens, predicts, want
from .image import settle
from .upgrade import PASSWORD, Person

USER = 1000730000


def image(folder, version, work):
    said = []
    for name in (f"muster-{version}", f"muster-one-{version}"):
        packed = folder / f"{name}.oci.tar"
        about = json.loads(read("skopeo", "inspect", f"oci-archive:{packed}"))
        labels = about["Labels"]
        want(labels["org.opencontainers.image.version"] == version, f"{name} is labelled {labels}.")
        want(len(labels["org.opencontainers.image.revision"]) == 40, f"{name} does not name its commit.")
        layout = work / f"{name}.oci"
        layout.mkdir()
        run("tar", "-xf", packed, "-C", layout)
        run("umoci", "unpack", "--image", f"{layout}:{version}", work / name)
        root = work / name / "rootfs"
        settled = json.loads((work / name / "config.json").read_text())["process"]
        want((settled["user"]["uid"], settled["args"]) == (65532, ["/usr/bin/muster", "serve"]), f"{name} runs {settled['args']} as {settled['user']}.")
        environment = dict(one.split("=", 1) for one in settled["env"])
        take = one_machine if name.startswith("muster-one") else shared
        took = take(root, environment, folder, version, work)
        said.append(f"{name} {packed.stat().st_size / 2**20:.1f} MiB, ready after {took * 1000:.0f} ms, a prediction")
    want(not list((work / f"muster-{version}/rootfs").glob("bin/*sh")), "There is a shell in the hub's image.")
    return "; ".join(said)


def one_machine(root, environment, folder, version, work):
    """With its own models, and nothing else."""
    person = work / "one"
    person.mkdir()
    with serves(root, environment, "--models", "/usr/share/muster/models") as (address, took):
        predicts([root / "usr/bin/muster"], address, person)
    return took


def on_base(base, unpacked, work):
    """deploy/Containerfile, on a root of somebody's."""
    settle()
    made = []
    try:
        made.append(read("buildah", "from", "scratch").strip())
        run("buildah", "add", "-q", made[0], base, "/")
        run("buildah", "commit", "-q", made[0], "localhost/muster-base:check")
        run("buildah", "bud", "-q", "-f", ROOT / "deploy/Containerfile", "--build-arg", "BASE=localhost/muster-base:check", "-t", "localhost/muster:check", unpacked)
        made.append(read("buildah", "from", "localhost/muster:check").strip())
        root = Path(read("buildah", "mount", made[1]).strip())
        person = work / "base"
        person.mkdir()
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/tmp", "MUSTER_DATA_DIR": "/data"}
        with serves(root, environment, "--models", "/usr/share/muster/models") as (address, _):
            predicts([root / "usr/bin/muster"], address, person)
    finally:
        for container in made:
            run("buildah", "rm", container)
        subprocess.run(["buildah", "rmi", "-f", "localhost/muster:check", "localhost/muster-base:check"], capture_output=True)


def shared(root, environment, folder, version, work):
    """On PostgreSQL, with a model server elsewhere."""
    muster = unpack(folder, version, work) / "bin/muster"
    there = work / "elsewhere"
    there.mkdir()
    with databases.postgres() as empty, model_server(muster, there) as model:
        database = empty("image")
        root_of = Person(muster, there, database, "root")
        (there / "password").write_text(PASSWORD + "\n")
        (there / "model.json").write_text(json.dumps({"id": "primer-tm", "address": model, "version": "1", "input": {"name": "sequence", "description": "A primer"}}))
        environment = {**environment, **database.environment(), "MUSTER_MODEL_ADDRESSES": model}
        with serves(root, environment) as (address, took):
            root_of.does("admin", "create", "root", "--email", "root@example.org", "--password-file", "password", "--data-dir", there / "data")
            root_of.logs_in(address)
            root_of.does("models", "add", "model.json", address=address)
            predicts([muster], address, there, env=root_of.environment)
    return took


@contextlib.contextmanager
def model_server(muster, work):
    port = work / "model"
    process = subprocess.Popen(
        [muster, "model-server", ROOT / "models/primer-tm", "--listen", "127.0.0.1:0", "--port-file", port, "--environments", work / "environments"],
        cwd=work, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    try:
        yield listens(process, port, lambda: "The model server does not start.")
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def serves(root, environment, *arguments):
    """The hub of an image; only /data and /tmp can be written."""
    address = f"127.0.0.1:{free_port()}"
    setting = (
        f'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && mount -t tmpfs tmpfs "$0/data" -o mode=0770,uid={USER} '
        '&& mount -t tmpfs tmpfs "$0/tmp" && mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" '
        f'&& cd / && exec chroot --userspec={USER}:0 "$0" /usr/bin/muster serve --data-dir /data --listen {address} "$@"'
    )
    process = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", setting, root, *arguments], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )
    try:
        begun = time.monotonic()
        while subprocess.run(["curl", "-sf", f"http://{address}/readyz"], capture_output=True).returncode != 0:
            want(process.poll() is None, f"The image's hub ended: {process.stdout.read()[-2000:] if process.poll() is not None else ''}")
            want(time.monotonic() - begun < 30, "The image's hub does not listen.")
            time.sleep(0.01)
        yield f"http://{address}", time.monotonic() - begun
        process.terminate()
        want(process.wait(30) == 0, "The image's hub did not end well.")
    finally:
        process.kill()
        process.wait()
