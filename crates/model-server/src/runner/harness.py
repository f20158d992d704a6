"""Keeps a model's predict function loaded: a JSON list of inputs a line in, a JSON list of rows out."""

import importlib.util
import json
import math
import os
import sys
import traceback

# Only this program reads inputs and writes answers; what the model prints goes to the log, and its
# standard input is empty.
batches = os.fdopen(os.dup(0), "rb")
answers = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
os.dup2(2, 1)


def say(value):
    answers.write(json.dumps(value, allow_nan=False, ensure_ascii=True) + "\n")
    answers.flush()


def clean(value):
    if hasattr(value, "item") and not isinstance(value, (str, bytes)):
        try:
            value = value.item()
        except (ValueError, TypeError):
            value = value.tolist()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [clean(item) for item in value]
    return str(value)


def row_of(row):
    if row is None:
        return {"error": "the model gave no prediction"}
    if isinstance(row, BaseException):
        return {"error": str(row) or type(row).__name__}
    if not isinstance(row, dict):
        raise TypeError("predict has to return a list of dicts; it holds a " + type(row).__name__)
    return {str(name): clean(value) for name, value in row.items()}


def rows_of(predict, inputs):
    rows = predict(inputs)
    if not isinstance(rows, (list, tuple)):
        rows = list(rows)
    if len(rows) != len(inputs):
        raise ValueError("predict returned %d rows for %d inputs" % (len(rows), len(inputs)))
    return [row_of(row) for row in rows]


def load(path, name):
    sys.path.insert(0, os.path.dirname(path))
    spec = importlib.util.spec_from_file_location("muster_model", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["muster_model"] = module
    spec.loader.exec_module(module)
    return getattr(module, name)


def last_line():
    traceback.print_exc()
    kind, error, _ = sys.exc_info()
    return "%s: %s" % (kind.__name__, error)


def main():
    try:
        predict = load(sys.argv[1], sys.argv[2])
    except BaseException:
        say({"failed": last_line()})
        return
    say({"ready": True})
    for line in batches:
        try:
            say(rows_of(predict, json.loads(line)))
        except Exception:
            say({"error": last_line()})


main()
