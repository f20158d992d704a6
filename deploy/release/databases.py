"""Both databases of a hub, as texts that make them anew and as numbers of rows."""

import contextlib
import os
import pwd
import shutil
import sqlite3
import subprocess
import tempfile
import time
from pathlib import Path

from .common import Refused, free_port, read, run

SCHEMA = "muster"


class Sqlite:
    """In the data folder of a hub."""

    name = "sqlite"

    def __init__(self, work):
        self.file = work / "data/muster.db"

    def environment(self):
        return {}

    def dump(self):
        with contextlib.closing(sqlite3.connect(self.file)) as connection:
            return "\n".join(connection.iterdump()) + "\n"

    def load(self, text):
        self.file.parent.mkdir(parents=True)
        with contextlib.closing(sqlite3.connect(self.file)) as connection:
            connection.executescript(text)

    def ask(self, statement):
        with contextlib.closing(sqlite3.connect(self.file)) as connection:
            rows = connection.execute(statement).fetchall()
            connection.commit()
            return [str(row[0]) for row in rows]

    def tables(self):
        return self.ask("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY 1")


class Postgres:
    """A server that runs."""

    name = "postgres"

    def __init__(self, bin, folder, port, database):
        self.bin, self.folder, self.port, self.database = bin, folder, port, database
        self.url = f"postgres://muster@127.0.0.1:{port}/{database}"

    def environment(self):
        return {"MUSTER_DATABASE_URL": self.url, "MUSTER_DATABASE_SCHEMA": SCHEMA}

    def dump(self):
        """Without what says when and by what it was written."""
        text = read(self.bin / "pg_dump", "--inserts", "--no-owner", "--no-privileges", "--schema", SCHEMA, self.url)
        return "".join(line for line in text.splitlines(True) if line.strip() and not line.startswith(("--", "\\", "SET ")))

    def load(self, text):
        written = self.folder / f"{self.database}.sql"
        written.write_text(text)
        run(self.bin / "psql", "-q", "-v", "ON_ERROR_STOP=1", "--single-transaction", "-f", written, self.url)

    def ask(self, statement):
        return read(self.bin / "psql", "-qAt", "-c", f"SET search_path TO {SCHEMA}", "-c", statement, self.url).splitlines()

    def tables(self):
        return self.ask(f"SELECT tablename FROM pg_tables WHERE schemaname = '{SCHEMA}' ORDER BY 1")


def counts(database):
    """Rows, by table."""
    tables = database.tables()
    rows = database.ask(" UNION ALL ".join(f"SELECT '{table} ' || count(*) FROM {table}" for table in tables))
    return {table: int(number) for table, number in (row.split() for row in rows)}


@contextlib.contextmanager
def postgres():
    """A server of its own for a while; gives what makes an empty database in it."""
    run("scripts/need-postgres")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    bin = found[-1] if found else Path(shutil.which("postgres") or "").parent
    # It does not run as root: there it is the user's that its package made.
    user = pwd.getpwnam("postgres") if os.getuid() == 0 else None
    who = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
    folder = Path(tempfile.mkdtemp(prefix="muster-release-"))
    if user:
        os.chown(folder, user.pw_uid, user.pw_gid)
    port = free_port()
    process = None
    try:
        run(bin / "initdb", "-D", folder / "data", "-U", "muster", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync", cwd=folder, **who)
        process = subprocess.Popen(
            [bin / "postgres", "-D", folder / "data", "-p", str(port), "-k", folder, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"],
            cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **who,
        )
        begun = time.monotonic()
        while subprocess.run([bin / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]).returncode != 0:
            if process.poll() is not None or time.monotonic() - begun > 30:
                raise Refused("PostgreSQL does not start.")
            time.sleep(0.1)

        def empty(name):
            run(bin / "createdb", "-h", "127.0.0.1", "-p", port, "-U", "muster", name)
            return Postgres(bin, folder, port, name)

        yield empty
    finally:
        if process:
            # At once: nothing in it is kept.
            process.send_signal(3)
            process.wait()
        shutil.rmtree(folder)
