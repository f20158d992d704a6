"""Runs the contract: once for each kubectl, once for the Python client."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import by_kubectl  # noqa: E402
import by_python  # noqa: E402
from place import Place  # noqa: E402


def main() -> int:
    folder = Path(sys.argv[1])
    only = sys.argv[sys.argv.index("--only") + 1] if "--only" in sys.argv else ""
    suite = unittest.TestSuite()
    loader = unittest.TestLoader()
    places = []
    for name, case in [
        ("1.33", by_kubectl.Kubectl),
        ("1.37", by_kubectl.Kubectl),
        ("python", by_python.Python),
    ]:
        place = Place(folder / f"kubectl-{'1.37' if name == 'python' else name}", name)
        places.append(place)
        word = name.replace(".", "_")
        tests = loader.loadTestsFromTestCase(type(f"{case.__name__}_{word}", (case,), {"place": place}))
        for test in tests:
            if only in test.id():
                suite.addTest(test)
    try:
        for place in places:
            place.open()
        result = unittest.TextTestRunner(verbosity=2, stream=sys.stdout).run(suite)
    finally:
        for place in places:
            place.close()
    for test, why in result.skipped:
        print(f"left out: {test.id().rsplit('.', 1)[-1]}: {why}")
    return 0 if result.wasSuccessful() and result.testsRun else 1


if __name__ == "__main__":
    sys.exit(main())
