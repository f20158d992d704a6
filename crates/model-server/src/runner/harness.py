"""Keeps a model's predict function loaded: a JSON list of inputs a line in, a JSON answer a line out.

An answer is `{"columns": names, "values": a list for each column}` if all rows have the same names and
plain values, else a list of rows."""

import importlib.util
import json
import math
import operator
import os
import sys
import traceback

# Only this program reads inputs and writes answers; what the model prints goes to the log, and its
# standard input is empty.
batches = os.fdopen(os.dup(0), "rb")
answers = os.fdopen(os.dup(1), "wb")
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
os.dup2(2, 1)

encode = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode
PLAIN = {int, float, str, bool, type(None)}


def say(line):
    answers.write(line + b"\n")
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


def in_columns(rows):
    """The answer by columns, or nothing if these rows do not go into any."""
    if not rows or set(map(type, rows)) != {dict}:
        return None
    names = list(rows[0])
    if not names or set(map(type, names)) != {str} or set(map(len, rows)) != {len(names)}:
        return None
    try:
        values = list(map(operator.itemgetter(*names), rows))
        values = [values] if len(names) == 1 else list(zip(*values))
        if any(not PLAIN.issuperset(map(type, column)) for column in values):
            return None
        return encode({"columns": names, "values": values}).encode()
    # A name that another row has not, a number that JSON has not, half of a surrogate pair.
    except (KeyError, ValueError):
        return None


def in_rows(rows):
    lines = []
    for row in rows:
        try:
            lines.append(encode(row).encode())
        except UnicodeEncodeError as error:
            text = "its prediction is not text: it holds half of a surrogate pair (%s)" % error
            lines.append(encode({"error": text.encode("ascii", "replace").decode()}).encode())
    return b"[" + b",".join(lines) + b"]"


def answer_to(predict, inputs):
    rows = predict(inputs)
    if not isinstance(rows, (list, tuple)):
        rows = list(rows)
    if len(rows) != len(inputs):
        raise ValueError("predict returned %d rows for %d inputs" % (len(rows), len(inputs)))
    line = in_columns(rows)
    if line is None:
        rows = [row_of(row) for row in rows]
        line = in_columns(rows)
    return in_rows(rows) if line is None else line


def load_function(path, name):
    sys.path.insert(0, os.path.dirname(path))
    spec = importlib.util.spec_from_file_location("muster_model", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["muster_model"] = module
    spec.loader.exec_module(module)
    return getattr(module, name)


def load_mlflow(folder, column, kind, outputs):
    import mlflow.pyfunc
    import pandas

    model = mlflow.pyfunc.load_model(folder)
    outputs = json.loads(outputs)

    def predict(inputs):
        number = int if kind.startswith("int") else float
        cells = inputs if kind == "text" else pandas.Series(map(number, inputs), dtype=kind)
        return named(model.predict(pandas.DataFrame({column or 0: cells})))

    def named(answer):
        if hasattr(answer, "to_dict") and hasattr(answer, "columns"):
            names = [str(name) for name in answer.columns]
            return [dict(zip(names, row)) for row in answer.itertuples(index=False, name=None)]
        rows = answer.tolist() if hasattr(answer, "tolist") else list(answer)
        return [row if isinstance(row, dict) else cells_of(row) for row in rows]

    def cells_of(row):
        cells = row if isinstance(row, (list, tuple)) else [row]
        if len(cells) == len(outputs):
            return dict(zip(outputs, cells))
        if len(cells) == 1:
            return {"prediction": cells[0]}
        return {"prediction_%d" % n: cell for n, cell in enumerate(cells)}

    return predict


def last_line():
    traceback.print_exc()
    kind, error, _ = sys.exc_info()
    return ("%s: %s" % (kind.__name__, error)).encode("utf-8", "replace").decode()


def main():
    try:
        load = {"function": load_function, "mlflow": load_mlflow}[sys.argv[1]]
        predict = load(*sys.argv[2:])
    except BaseException:
        say(encode({"failed": last_line()}).encode())
        return
    say(encode({"ready": True}).encode())
    for line in batches:
        try:
            say(answer_to(predict, json.loads(line)))
        except Exception:
            say(encode({"error": last_line()}).encode())


main()
