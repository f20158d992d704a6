"""The Helm chart, which asks for the hub's image of the same release by its digest."""

import shutil

from . import image
from .archive import pack
from .common import ROOT, Refused, TARGET, run

DIGEST = '  digest: ""\n'


def make(version, built, licences, work, out):
    run("scripts/need-helm")
    helm = TARGET / "tmp/helm/bin/helm"
    chart = work / "chart/muster"
    shutil.copytree(ROOT / "deploy/chart", chart)
    archive = out / f"muster-{version}.oci.tar"
    # A release without images has a chart that asks by the version.
    if archive.exists():
        values = chart / "values.yaml"
        text = values.read_text()
        if text.count(DIGEST) != 1:
            raise Refused("The chart's values have no place for the digest of the image.")
        values.write_text(text.replace(DIGEST, f'  digest: "{image.digest(archive)}"\n'))
    run(helm, "package", chart, "--version", version, "--app-version", version, "--destination", work)
    # Helm writes down when it packed.
    packed = work / "packed"
    packed.mkdir()
    run("tar", "-xf", work / f"muster-{version}.tgz", "-C", packed)
    pack(packed / "muster", out / f"muster-{version}.tgz", "gzip -n -9")
