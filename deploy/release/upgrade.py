"""What a release leaves in a database, and that the next one takes it along."""

import json
import os
import re
import shutil

from . import databases
from .common import ROOT, Refused, bare, read
from .hubs import PREDICTIONS, hub, predicts, want

PASSWORD = "tangible orchard 42 sings"
MODELS = ("primer-tm", "molecular-weight")
# Nothing is cleared because it is old: the data are as old as the release.
KEEP = {"MUSTER_CLEARING_EVERY": "0"}


class Person:
    """Whoever calls the command line, with a folder of settings of their own."""

    def __init__(self, program, work, database, name):
        self.program, self.work = program, work
        self.environment = {**bare(), **KEEP, **database.environment(), "XDG_CONFIG_HOME": str(work / name)}

    def does(self, *call, address=None):
        hub_of = ["--hub", address] if address else []
        return read(self.program, *hub_of, *call, cwd=self.work, env=self.environment)

    def logs_in(self, address):
        (self.work / "password").write_text(PASSWORD + "\n")
        self.does("login", "root", "--password-file", "password", address=address)


def models(work):
    for name in MODELS:
        shutil.copytree(ROOT / "models" / name, work / "models" / name, dirs_exist_ok=True)
    return work / "models"


def fill(program, work, database):
    """People, settings of models, and the main job, with and without an account."""
    root, nobody = (Person(program, work, database, name) for name in ("root", "nobody"))
    (work / "password").write_text(PASSWORD + "\n")
    for name in ("root", "ada"):
        root.does("admin", "create", name, "--email", f"{name}@example.org", "--password-file", "password", "--data-dir", work / "data")
    with hub([program], work, models(work), env=root.environment) as (address, _):
        root.logs_in(address)
        predicts([program], address, work, env=root.environment)
        predicts([program], address, work, env=nobody.environment)
        root.does("models", "disable", "molecular-weight", "--reason", "It is replaced.", address=address)
        (work / "change.json").write_text(json.dumps({"limits": {"idle_seconds": 77}}))
        root.does("models", "edit", "primer-tm", "change.json", address=address)


def dumps(program, work):
    """By database: the text that makes it anew, as a release leaves it."""
    with databases.postgres() as empty:
        made = {}
        for database in (databases.Sqlite(work / "sqlite"), empty("filled")):
            there = work / database.name
            there.mkdir()
            fill(program, there, database)
            # Whose machine it was is nobody's business.
            text = database.dump().replace(str(there), "/var/lib/muster")
            made[database.name] = text.replace(f"'{os.uname().nodename}'", "'lab1'")
        return made


def check(program, texts, work):
    """Each is taken along: no row is lost, statistics agree, people come in, results are there, and an older program stops."""
    said = []
    with databases.postgres() as empty:
        for database in (databases.Sqlite(work / "sqlite"), empty("old")):
            there = work / database.name
            there.mkdir()
            database.load(texts[database.name])
            said.append(f"{database.name} {takes_along(program, there, database)} rows")
            stops(program, there, database)
    return ", ".join(said)


def takes_along(program, work, database):
    root = Person(program, work, database, "root")
    before = databases.counts(database)
    # Opens the database, changes its schema, and reads.
    root.does("stats", "verify", "--data-dir", work / "data")
    after = databases.counts(database)
    lost(before, after)
    with hub([program], work, models(work), env=root.environment) as (address, _):
        root.logs_in(address)
        (request,) = json.loads(root.does("requests", "--json", address=address))["items"]
        rows = [line.split(",")[1:] for line in root.does("result", request["id"], address=address).splitlines()[1:]]
        want(rows == PREDICTIONS, f"A result is {rows} after the upgrade.")
        model = json.loads(root.does("models", "show", "primer-tm", "--json", address=address))
        want(model["limits"]["idle_seconds"] == 77, "A model is as it was before it was edited.")
        predicts([program], address, work, env=root.environment)
    return sum(before.values())


def lost(before, after):
    """Of the versions of the schema there are more."""
    for table, rows in before.items():
        if table not in after:
            raise Refused(f"The table {table} is gone after the upgrade, and {rows} rows with it.")
        if after[table] != rows and table != "migration":
            raise Refused(f"The table {table} had {rows} rows, and has {after[table]} after the upgrade.")


def stops(program, work, database):
    """An older program on a newer database says so."""
    database.ask("INSERT INTO migration SELECT max(version) + 1000, max(applied_at) FROM migration")
    try:
        Person(program, work, database, "root").does("stats", "verify", "--data-dir", work / "data")
    except Refused as why:
        want(re.search("use a newer muster", str(why)), f"On a newer database the program says: {why}")
    else:
        raise Refused("The program works on a database that is newer than itself.")
