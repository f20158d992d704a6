"""What people call a hub with from Python: requests, and pyarrow and openpyxl for results.

cases.py HUB FOLDER: the hub has the model `smiles`, the folder the files of the cases.
"""

import io
import sys
import time

import openpyxl
import pyarrow.ipc
import pyarrow.parquet
import requests

hub, folder = sys.argv[1:]
session = requests.Session()
token = session.post(f"{hub}/api/v1/sessions").json()["token"]
session.headers["Authorization"] = f"Bearer {token}"


def wait(request):
    while request["phase"] in ("waiting", "running"):
        answer = session.get(f"{hub}/api/v1/requests/{request['id']}", params={"wait": 50})
        if answer.status_code >= 500:
            time.sleep(1)
            continue
        request = answer.json()
    return request


def submit(name, **more):
    with open(f"{folder}/{name}", "rb") as file:
        answer = session.post(
            f"{hub}/api/v1/requests",
            params={"model": "smiles"},
            headers={"Content-Type": "text/csv"},
            data=file,
            **more,
        )
    assert answer.status_code == 201, answer.text
    return wait(answer.json())


def result(request, format):
    answer = session.get(f"{hub}/api/v1/requests/{request['id']}/result", params={"format": format})
    assert answer.status_code == 200, answer.text
    return answer


def tables(request):
    """The result in every format, as columns."""
    parquet = pyarrow.parquet.read_table(io.BytesIO(result(request, "parquet").content))
    arrow = pyarrow.ipc.open_stream(result(request, "arrow").content).read_all()
    rows = result(request, "json").json()
    assert parquet.column_names == arrow.column_names == list(rows[0])
    assert parquet.to_pylist() == arrow.to_pylist() == rows
    assert result(request, "csv").text.splitlines()[0] == ",".join(parquet.column_names)
    return parquet


# 13: a column `error` of one's own.
table = tables(submit("own_error_column.csv"))
assert table.column_names == ["smiles", "error", "note", "length", "error_2"], table.column_names
assert table["error"].to_pylist() == ["my remark", "another remark"]
assert table["error_2"].to_pylist() == [None, "this is not a valid SMILES"]

# 14: its result, mended, and another row bad.
text = result(submit("own_error_column.csv"), "csv").text
text = text.replace("notasmiles", "CC").replace("CCO", "stillnotasmiles")
answer = session.post(
    f"{hub}/api/v1/requests",
    params={"model": "smiles"},
    headers={"Content-Type": "text/csv"},
    data=text.encode(),
)
table = tables(wait(answer.json()))
names = ["smiles", "error", "note", "length", "error_2", "length_2", "error_3"]
assert table.column_names == names, table.column_names
assert table["error_3"].to_pylist() == ["this is not a valid SMILES", None]

# 29: a form with a file.
with open(f"{folder}/semicolon.csv", "rb") as file:
    answer = session.post(
        f"{hub}/api/v1/requests", data={"model": "smiles"}, files={"file": ("semicolon.csv", file)}
    )
assert answer.status_code == 201, answer.text
assert wait(answer.json())["failed"] == 0

# A download in two parts.
request = submit("semicolon.csv")
whole = result(request, "csv")
url = f"{hub}/api/v1/requests/{request['id']}/result"
rest = session.get(url, headers={"Range": "bytes=5-", "If-Range": whole.headers["ETag"]})
assert rest.status_code == 206 and rest.content == whole.content[5:]

# A workbook: the same rows and names, numbers as numbers, and nothing that Excel would work out or open.
evil = ["=1+1", "@SUM(A1)", "https://example.org/", "'quoted", "  spaces ", "0012", "\u00e9\U0001f9ea", "a\nb"]
request = session.post(f"{hub}/api/v1/requests", json={"model": "smiles", "inputs": [*evil, "C\x01C"]}).json()
request = wait(request)
for request in (request, submit("own_error_column.csv")):
    answer = result(request, "xlsx")
    book = openpyxl.load_workbook(io.BytesIO(answer.content))
    assert len(book.worksheets) == 1
    sheet = book.worksheets[0]
    cells = list(sheet.iter_rows())
    rows = result(request, "json").json()
    assert [cell.value for cell in cells[0]] == list(rows[0])
    for line, row in zip(cells[1:], rows, strict=True):
        for cell, value in zip(line, row.values(), strict=True):
            seen = cell.value
            if isinstance(seen, str):
                seen = openpyxl.utils.escape.unescape(seen)
            assert seen == (None if value == "" else value), (cell.coordinate, cell.value, value)
            assert cell.data_type == ("n" if not isinstance(value, str) else "s"), cell.data_type
            assert cell.hyperlink is None
    assert result(request, "xlsx").content == answer.content
print("good")
