#!/usr/bin/env python3
"""Nodes on this machine: each is a process `muster serve` of its own.

For trying how nodes come and go, and as an example of a provider; the contract is in docs/providers.md.
POOL names a TOML file:

    group = "pool"                   # its name in nodes.groups
    max = 3                          # most processes
    template = { cpu = 2, memory_mib = 2048, gpus = 0 }
    state = "/var/lib/muster-pool"   # what is running, and a folder for each
    command = ["muster", "serve", "--config", "/etc/muster/node.toml"]
    environment = { MUSTER_LOCAL_LABELS = "pool=yes" }   # "{name}" is the machine's name
"""

import fcntl
import json
import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

KEPT_ORDERS = 100


def alive(machine):
    """Is it the process that was started, and not another one of its number?"""
    try:
        stat = Path(f"/proc/{machine['pid']}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return False
    return stat[0] != "Z" and stat[19] == machine["started"]


def started(pid):
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]


def start(pool, state):
    state["made"] += 1
    name = f"{pool['group']}-{state['made']}"
    folder = Path(pool["state"]) / name
    folder.mkdir()
    own = {key: text.replace("{name}", name) for key, text in pool.get("environment", {}).items()}
    environment = os.environ | own | {"MUSTER_LOCAL_NODE": name}
    command = pool["command"] + ["--data-dir", str(folder / "data"), "--port-file", str(folder / "port")]
    command += ["--listen", "127.0.0.1:0"]
    # Nothing of ours stays open in it: who called us waits until our output is closed.
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    state["machines"][name] = {"pid": process.pid, "started": started(process.pid), "leaving": False}


def tidy(state):
    """A process that was to go and has gone is forgotten."""
    gone = [name for name, it in state["machines"].items() if it["leaving"] and not alive(it)]
    for name in gone:
        del state["machines"][name]


def machine(pool, name, it):
    folder = Path(pool["state"]) / name
    if not alive(it):
        log = (folder / "log").read_text(errors="replace").strip().splitlines()
        message = log[-1] if log else "it ended and said nothing"
        return {"id": name, "state": "failed", "class": "other", "message": message}
    what = "leaving" if it["leaving"] else "running" if (folder / "port").exists() else "booting"
    return {"id": name, "node": name, "state": what}


def groups(pool, state):
    machines = [machine(pool, name, it) for name, it in state["machines"].items()]
    group = {"id": pool["group"], "max": pool["max"], "target": state["target"], "machines": machines}
    return {"groups": [group | {"template": pool["template"]}]}


def resize(pool, state, to):
    """Starts what is missing. Nothing that runs is stopped: that is for `remove`."""
    if to > pool["max"]:
        return refuse("quota", f"this machine may have {pool['max']} of them")
    state["target"] = to
    while sum(not it["leaving"] for it in state["machines"].values()) < to:
        start(pool, state)
    return {}


def remove(state, names):
    for name in names:
        it = state["machines"].get(name)
        if it is None or it["leaving"]:
            continue
        it["leaving"] = True
        state["target"] = max(0, state["target"] - 1)
        if alive(it):
            os.kill(it["pid"], signal.SIGTERM)
    return {}


def refuse(kind, message):
    return {"error": {"class": kind, "message": message}}


def answer(pool, state, asked):
    tidy(state)
    if asked["do"] == "groups":
        return groups(pool, state)
    if asked["group"] != pool["group"]:
        return refuse("other", f"there is no group {asked['group']}")
    # The same order again is done already.
    if asked["order"] in state["orders"]:
        return {}
    if asked["do"] == "resize":
        done = resize(pool, state, asked["to"])
    else:
        done = remove(state, asked["machines"])
    if "error" not in done:
        state["orders"] = (state["orders"] + [asked["order"]])[-KEPT_ORDERS:]
    return done


def main():
    pool = tomllib.loads(Path(os.environ["POOL"]).read_text())
    folder = Path(pool["state"])
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        file = folder / "state.json"
        empty = {"target": 0, "made": 0, "machines": {}, "orders": []}
        state = json.loads(file.read_text()) if file.exists() else empty
        said = answer(pool, state, json.load(sys.stdin))
        part = folder / "state.json.part"
        part.write_text(json.dumps(state))
        part.rename(file)
    print(json.dumps(said))
    return 1 if "error" in said else 0


if __name__ == "__main__":
    sys.exit(main())
