#!/usr/bin/env python3
"""Auto Scaling groups of AWS, by the `aws` command line. NOT RUN BY OUR TESTS: no account is theirs.

Each instance of a group starts a hub when it boots, with its instance id as `local.node`. AWS_GROUPS names a
TOML file; the contract of providers is in docs/providers.md:

    [gpu]                              # the group's name at AWS and in nodes.groups
    template = { cpu = 8, memory_mib = 60000, gpus = 1 }
    price = 526                        # of an hour, in whatever unit all groups have

Nothing else may resize the groups: leave their scaling policies out, and suspend AZRebalance.
"""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

STATES = {
    "Pending": "booting", "Pending:Wait": "booting", "Pending:Proceed": "booting",
    "InService": "running",
    "Terminating": "leaving", "Terminating:Wait": "leaving", "Terminating:Proceed": "leaving",
}
CLASSES = {
    "InsufficientInstanceCapacity": "capacity", "InstanceLimitExceeded": "quota", "LimitExceeded": "quota",
    "VcpuLimitExceeded": "quota", "AccessDenied": "credentials", "UnauthorizedOperation": "credentials",
    "ExpiredToken": "credentials", "Throttling": "throttled", "RequestLimitExceeded": "throttled",
}


class Refused(Exception):
    pass


def aws(*words):
    ran = subprocess.run(["aws", "autoscaling", *words, "--output", "json"], capture_output=True, text=True)
    if ran.returncode != 0:
        raise Refused(ran.stderr.strip())
    return json.loads(ran.stdout or "{}")


def kind(message):
    return next((kind for word, kind in CLASSES.items() if word in message), "other")


def groups(known):
    told = aws("describe-auto-scaling-groups", "--auto-scaling-group-names", *known)["AutoScalingGroups"]
    found = []
    for group in told:
        name = group["AutoScalingGroupName"]
        machines = [
            {"id": it["InstanceId"], "node": it["InstanceId"], "state": STATES.get(it["LifecycleState"], "booting")}
            for it in group["Instances"]
        ]
        sizes = {"min": group["MinSize"], "max": group["MaxSize"], "target": group["DesiredCapacity"]}
        found.append({"id": name, "machines": machines} | sizes | known[name])
    return {"groups": found}


def answer(known, asked):
    if asked["do"] == "groups":
        return groups(known)
    if asked["do"] == "resize":
        # An absolute size: the same order twice is one.
        to = str(asked["to"])
        name = ["--auto-scaling-group-name", asked["group"]]
        aws("set-desired-capacity", *name, "--desired-capacity", to, "--no-honor-cooldown")
        return {}
    there = [it for group in groups(known)["groups"] for it in group["machines"]]
    for machine in there:
        # One that goes already has lowered the size already.
        if machine["id"] in asked["machines"] and machine["state"] != "leaving":
            one = ["--instance-id", machine["id"], "--should-decrement-desired-capacity"]
            aws("terminate-instance-in-auto-scaling-group", *one)
    return {}


def main():
    known = tomllib.loads(Path(os.environ["AWS_GROUPS"]).read_text())
    try:
        said = answer(known, json.load(sys.stdin))
    except Refused as refused:
        said = {"error": {"class": kind(str(refused)), "message": str(refused)}}
    print(json.dumps(said))
    return 1 if "error" in said else 0


if __name__ == "__main__":
    sys.exit(main())
