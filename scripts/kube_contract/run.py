"""Runs the contract: once for each kubectl and once for the Python client, all at the same time."""

import argparse
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import by_kubectl  # noqa: E402
import by_python  # noqa: E402
from place import Place  # noqa: E402

CLIENTS = {"1.33": by_kubectl.Kubectl, "1.37": by_kubectl.Kubectl, "python": by_python.Python}


def ask(folder: Path, name: str, only: str) -> int:
    """Everything that one client asks, in a namespace of its own."""
    place = Place(folder / f"kubectl-{'1.37' if name == 'python' else name}", name)
    case = type(name.replace(".", "_"), (CLIENTS[name],), {"place": place})
    tests = unittest.TestLoader().loadTestsFromTestCase(case)
    suite = unittest.TestSuite(test for test in tests if only in test.id())
    place.open()
    try:
        result = unittest.TextTestRunner(verbosity=2, stream=sys.stdout).run(suite)
    finally:
        place.close()
    for test, why in result.skipped:
        print(f"left out: {test.id().rsplit('.', 1)[-1]}: {why}")
    return 0 if result.testsRun and result.wasSuccessful() else 1


def main() -> int:
    arguments = argparse.ArgumentParser(prog="kube-contract")
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--only", default="", metavar="WORD", help="tests with this in their name")
    arguments.add_argument("--client", choices=CLIENTS, help="one client alone")
    asked = arguments.parse_args()
    if asked.client:
        return ask(asked.folder, asked.client, asked.only)
    started = {
        name: subprocess.Popen([sys.executable, *sys.argv, "--client", name], text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for name in CLIENTS
    }
    for name, process in started.items():
        print(f"== {name}\n{process.communicate()[0]}")
    return int(any(process.returncode for process in started.values()))


if __name__ == "__main__":
    sys.exit(main())
