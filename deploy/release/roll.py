"""Hubs of two versions side by side on one PostgreSQL, while the older ones are replaced under load."""

import json
import threading
import urllib.request
from contextlib import ExitStack

from . import databases, upgrade
from .hubs import hub, want

SEQUENCE = "ACGTACGTACGTACGTACGT"


class Load:
    """Asks the hubs that are said to be there, one after the other, each time for a prediction."""

    def __init__(self, address):
        self.hubs = [address]
        self.token = ask(address, "/sessions", {})["token"]
        self.answered, self.wrong = [], []
        self.is_over = threading.Event()
        self.asks = threading.Thread(target=self.go)
        self.asks.start()

    def go(self):
        count = 0
        while not self.is_over.is_set():
            count += 1
            address = self.hubs[count % len(self.hubs)]
            try:
                said = ask(address, "/requests?wait=50", {"model": "primer-tm", "inputs": [SEQUENCE], "cache": False}, self.token)
            except OSError as why:
                self.wrong.append(f"{address}: {why}")
                continue
            self.answered.append(said["id"])
            if said["phase"] != "completed":
                self.wrong.append(str(said))

    def more(self, count):
        """Until so many more are answered."""
        until = len(self.answered) + count
        while len(self.answered) < until and self.asks.is_alive() and not self.wrong:
            self.is_over.wait(0.05)

    def end(self):
        self.is_over.set()
        self.asks.join()


def ask(address, path, body=None, token=None):
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{address}/api/v1{path}", data, headers), timeout=60) as answer:
        return json.loads(answer.read())


def roll(before, now, work):
    """The older ones are filled first. Then two of them become two newer ones, one at a time."""
    with databases.postgres() as empty, ExitStack() as stack:
        database = empty("roll")
        filled = work / "filled"
        filled.mkdir()
        upgrade.fill(before, filled, database)
        environment = upgrade.Person(before, filled, database, "root").environment

        def start(program, name):
            there = work / name
            there.mkdir()
            running = stack.enter_context(ExitStack())
            # Each is a machine of its own.
            address, _ = running.enter_context(hub([program], there, upgrade.models(there), env={**environment, "MUSTER_LOCAL_NODE": name}))
            return address, running

        old = [start(before, "old-1"), start(before, "old-2")]
        load = Load(old[0][0])
        try:
            load.hubs = [address for address, _ in old]
            load.more(50)
            for number, (address, running) in enumerate(old):
                newer, _ = start(now, f"new-{number}")
                load.hubs = [newer, *load.hubs]
                load.more(50)
                # As a balancer does that sees /readyz.
                load.hubs = [one for one in load.hubs if one != address]
                load.more(5)
                running.close()
                load.more(50)
        finally:
            load.end()
        want(not load.wrong, f"While hubs were replaced: {load.wrong[:3]}")
        there = {row for row in database.ask("SELECT id FROM request WHERE phase = 'completed'")}
        missing = [one for one in load.answered if one not in there]
        want(not missing, f"Of {len(load.answered)} requests that were answered {len(missing)} are not in the database.")
        return f"{len(load.answered)} answers by hubs of both versions, no error, none lost"
