#!/usr/bin/env python3
"""One workstation that sleeps while nobody needs it: it is woken over the network, and shut down over SSH.

The workstation starts a hub of its own when it boots, with `local.node` as `node` says here. WORKSTATION names
a TOML file; the contract of providers is in docs/providers.md:

    group = "workstation"              # its name in nodes.groups
    node = "ws1"                       # local.node of its hub
    host = "ws1.lab.example"           # for SSH, and to see whether it is up
    port = 22
    mac = "52:54:00:12:34:56"          # its network card, with wake-on-LAN enabled
    broadcast = "192.168.1.255:9"      # where the packet that wakes it is sent
    template = { cpu = 32, memory_mib = 120000, gpus = 1 }
    stop = ["ssh", "-o", "BatchMode=yes", "muster@ws1.lab.example", "sudo", "systemctl", "poweroff"]
    state = "/var/lib/muster/workstation.json"
"""

import json
import os
import socket
import subprocess
import sys
import tomllib
from pathlib import Path


def is_up(ws):
    try:
        socket.create_connection((ws["host"], ws["port"]), timeout=3).close()
        return True
    except OSError:
        return False


def wake(ws):
    """The magic packet: six bytes 0xFF, then the card's address sixteen times."""
    card = bytes.fromhex(ws["mac"].replace(":", ""))
    host, port = ws["broadcast"].rsplit(":", 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as packet:
        packet.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        packet.sendto(b"\xff" * 6 + card * 16, (host, int(port)))


def groups(ws, state):
    up = is_up(ws)
    machines = []
    if up or state["target"]:
        what = ("running" if state["target"] else "leaving") if up else "booting"
        machines = [{"id": ws["node"], "node": ws["node"], "state": what}]
    group = {"id": ws["group"], "min": 0, "max": 1, "target": state["target"], "machines": machines}
    return {"groups": [group | {"template": ws["template"]}]}


def answer(ws, state, asked):
    if asked["do"] == "groups":
        return groups(ws, state)
    # Waking what is awake and stopping what is off do nothing, so an order may come twice.
    if asked["do"] == "resize":
        if asked["to"] > 1:
            return {"error": {"class": "quota", "message": "there is one workstation"}}
        state["target"] = asked["to"]
        if asked["to"] == 1:
            wake(ws)
    elif ws["node"] in asked["machines"]:
        if is_up(ws):
            stopped = subprocess.run(ws["stop"], capture_output=True, text=True, timeout=30)
            # SSH ends with 255 also when the machine goes down under it.
            if stopped.returncode not in (0, 255):
                return {"error": {"class": "credentials", "message": stopped.stderr.strip()}}
        state["target"] = 0
    return {}


def main():
    ws = tomllib.loads(Path(os.environ["WORKSTATION"]).read_text())
    file = Path(ws["state"])
    state = json.loads(file.read_text()) if file.exists() else {"target": int(is_up(ws))}
    said = answer(ws, state, json.load(sys.stdin))
    part = file.with_suffix(".part")
    part.write_text(json.dumps(state))
    part.rename(file)
    print(json.dumps(said))
    return 1 if "error" in said else 0


if __name__ == "__main__":
    sys.exit(main())
