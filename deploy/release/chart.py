"""The Helm chart."""

from .common import ROOT, TARGET, run


def make(version, built, licences, work, out):
    run("scripts/need-helm")
    helm = TARGET / "tmp/helm/bin/helm"
    run(helm, "package", ROOT / "deploy/chart", "--version", version, "--app-version", version, "--destination", out)
