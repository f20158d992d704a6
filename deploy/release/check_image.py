"""The images, unpacked and run without a builder or a daemon: as somebody who is nobody there, over a root that cannot be written."""

import contextlib
import json
import subprocess
import time
from pathlib import Path

from . import databases
from .common import ROOT, free_port, read, run, unpack
from .hubs import predicts, want
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
        take = one_machine if name.startswith("muster-one") else shared
        took = take(root, environment_of(settled), folder, version, work)
        said.append(f"{name} {packed.stat().st_size / 2**20:.1f} MiB, ready after {took * 1000:.0f} ms, a prediction")
    want(not list((work / f"muster-{version}/rootfs").glob("bin/*sh")), "There is a shell in the hub's image.")
    return "; ".join(said) + ", by a model's image that `muster model image` built on the other"


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
    """On PostgreSQL, with a model server elsewhere, which is an image too, and with nothing to write to but /tmp."""
    muster = unpack(folder, version, work) / "bin/muster"
    there = work / "elsewhere"
    there.mkdir()
    model_root, described = model_image(muster, folder / f"muster-one-{version}.oci.tar", there)
    with databases.postgres() as empty, model_server(model_root) as model:
        database = empty("image")
        root_of = Person(muster, there, database, "root")
        (there / "password").write_text(PASSWORD + "\n")
        for of_pods in ("image", "port"):
            described.pop(of_pods)
        (there / "model.json").write_text(json.dumps({**described, "address": model}))
        environment = {**environment, **database.environment(), "MUSTER_MODEL_ADDRESSES": model}
        with serves(root, environment, data="/tmp/hub") as (address, took):
            root_of.does("admin", "create", "root", "--email", "root@example.org", "--password-file", "password", "--data-dir", there / "data")
            root_of.logs_in(address)
            root_of.does("models", "add", "model.json", address=address)
            predicts([muster], address, there, env=root_of.environment)
    return took


def model_image(muster, base, work):
    """What `muster model image` builds of a sample model: its root, and what it says to put into `muster models add`."""
    settle()
    names = {what: f"localhost/{what}:check" for what in ("muster-one", "primer-tm")}
    try:
        run("buildah", "tag", read("buildah", "pull", "-q", f"oci-archive:{base}").strip(), names["muster-one"])
        written = work / "written"
        run(muster, "model", "image", ROOT / "models/primer-tm", "--base", names["muster-one"], "--tag", names["primer-tm"], "--output", written, "--build", "--builder", "buildah")
        run("buildah", "push", "-q", names["primer-tm"], f"oci:{work}/model.oci:check")
    finally:
        subprocess.run(["buildah", "rmi", "-f", *names.values()], capture_output=True)
    run("umoci", "unpack", "--image", f"{work}/model.oci:check", work / "model")
    return work / "model", json.loads((written / "model.json").read_text())


@contextlib.contextmanager
def model_server(unpacked):
    """The model's image as it says to run it, but for its port, which may be taken here."""
    settled = json.loads((unpacked / "config.json").read_text())["process"]
    want(settled["user"]["uid"] == 65532, f"The model's image runs as {settled['user']}.")
    address = f"127.0.0.1:{free_port()}"
    arguments = [address if argument == "0.0.0.0:8080" else argument for argument in settled["args"]]
    want(address in arguments, f"The model's image runs {settled['args']}.")
    with runs(unpacked / "rootfs", environment_of(settled), arguments, f"http://{address}/healthz") as _:
        yield f"http://{address}"


def environment_of(settled):
    return dict(one.split("=", 1) for one in settled["env"])


@contextlib.contextmanager
def serves(root, environment, *arguments, data="/data"):
    """The hub of an image, and how long it takes until it is ready."""
    address = f"127.0.0.1:{free_port()}"
    call = ["/usr/bin/muster", "serve", "--data-dir", data, "--listen", address, *arguments]
    with runs(root, environment, call, f"http://{address}/readyz", data) as took:
        yield f"http://{address}", took


@contextlib.contextmanager
def runs(root, environment, call, asked, data=None):
    """A program of an image, as somebody without a name; only /tmp can be written, and /data if that is where its data goes."""
    volume = f'&& mount -t tmpfs tmpfs "$0/data" -o mode=0770,uid={USER} ' if data == "/data" else ""
    setting = (
        'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && mount -t tmpfs tmpfs "$0/tmp" && mount -t proc proc "$0/proc" '
        f'&& mount --rbind /dev "$0/dev" {volume}'
        f'&& cd / && exec chroot --userspec={USER}:0 "$0" "$@"'
    )
    process = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", setting, root, *call], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )
    try:
        begun = time.monotonic()
        while subprocess.run(["curl", "-sf", asked], capture_output=True).returncode != 0:
            want(process.poll() is None, f"{call[0]} of the image ended: {process.stdout.read()[-2000:] if process.poll() is not None else ''}")
            want(time.monotonic() - begun < 30, f"{call[0]} of the image does not listen.")
            time.sleep(0.01)
        yield time.monotonic() - begun
        process.terminate()
        want(process.wait(30) == 0, f"{call[0]} of the image did not end well.")
    finally:
        process.kill()
        process.wait()
