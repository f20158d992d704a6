"""The Helm chart, where there is one."""

from .common import ROOT, TARGET, run, tool

CHART = ROOT / "deploy/chart"


def make(version, built, licences, work, out):
    if not (CHART / "Chart.yaml").is_file():
        print("           there is no chart yet", flush=True)
        return
    run(helm(), "package", CHART, "--version", version, "--app-version", version, "--destination", out)


def helm():
    """The one that the tests of the chart fetch."""
    run("scripts/need-helm")
    for place in sorted((TARGET / "tmp").glob("*/helm*")) + sorted((TARGET / "tmp").glob("*/bin/helm*")):
        if place.is_file():
            return place
    return tool("helm")
