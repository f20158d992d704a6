"""What the fuzzer does with each call: half of them are about things that exist, and none ends the
session that all calls are made with. The statuses are counted."""

import atexit
import base64
import collections
import gzip
import io
import json
import os
import tarfile
import threading
import urllib.request

import schemathesis

TOLD = json.loads(os.environ["FUZZ"])
COUNTS = collections.defaultdict(collections.Counter)
CALLS = collections.Counter()
LOCK = threading.Lock()
DELETES = ("delete_request", "delete_user")
# These end the session they are sent with, take it over, or give it another secret.
ENDINGS = ("log_out", "log_in", "legacy_log_out", "legacy_log_in", "legacy_refresh")


def folder():
    """One that a hub takes."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, text in {
            "model.toml": 'version = "1"\nkind = "python"\nexample = ["CCO"]\n[card]\ntitle = "Pushed"\n'
            '[input]\nname = "text"\n[[outputs]]\nname = "n"\nkind = "integer"\n',
            "predict.py": "def predict(inputs):\n    return [{'n': len(one)} for one in inputs]\n",
        }.items():
            header = tarfile.TarInfo(name)
            header.size = len(text)
            archive.addfile(header, io.BytesIO(text.encode()))
    return packed.getvalue()


FOLDER = folder()


@schemathesis.serializer("application/gzip")
def packed(_context, value):
    """Nobody makes a folder by chance: half of what is sent as one is gzip at least."""
    content = value if isinstance(value, bytes) else str(value).encode(errors="replace")
    is_packed = content == FOLDER or len(content) % 2 == 0
    return content if is_packed else gzip.compress(content)


@atexit.register
def write_down():
    with open(TOLD["counts"], "w") as file:
        json.dump(COUNTS, file)


def anonymous():
    request = urllib.request.Request(TOLD["url"] + "/api/v1/sessions", b"", method="POST")
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["token"]


def authorization(token, name):
    """Existing clients send the session object."""
    if not name.startswith("legacy_"):
        return f"Bearer {token}"
    session = json.dumps({"session_token": token}).encode()
    return "ErsiliaUser " + base64.b64encode(session).decode()


def thing(path, call, name):
    """The id of something that exists, for this path. The last two are there to be deleted, the one
    before them to be disabled."""
    only = {"requeue_request": "failed", "move_request_to_front": "waiting"}.get(name)
    if only in TOLD["things"]:
        return TOLD["things"][only][call % 3]
    for kind, known in TOLD["things"].items():
        if f"{kind}/" in path and known:
            if name in DELETES:
                return known[-1 - call % 2]
            return known[-3] if name == "disable" else known[call % (len(known) - 3)]
    if "/catalogue/" in path:
        return "gone" if name == "delete_model" else ("far", "lengths")[call % 2]
    if "/models/" in path:
        return "lengths"
    return None


@schemathesis.hook
def before_call(context, case, kwargs):
    operation = case.operation
    name = operation.definition.raw.get("operationId", "")
    with LOCK:
        CALLS[name] += 1
        call = CALLS[name] // 2
        real = CALLS[name] % 2 == 0
    token = anonymous() if name in ENDINGS else TOLD["token"]
    case.headers["Authorization"] = authorization(token, name)
    if isinstance(case.query, dict) and str(case.query.get("wait", "0")).isdigit():
        # Waiting is tested elsewhere.
        if "wait" in case.query and len(str(case.query["wait"])) <= 2:
            case.query["wait"] = "0"
    if name == "find_instance_log" and isinstance(case.query, dict):
        # So is following, which lasts as long as the instance.
        if str(case.query.get("follow")).lower() == "true":
            case.query["follow"] = "false"
    if case.path_parameters and "id" in case.path_parameters:
        # The fuzzer finds ids in answers. What one does to oneself ends the session.
        own = case.path_parameters["id"] in TOLD["mine"]
        known = thing(operation.path, call, name) if real or own else None
        if known:
            case.path_parameters["id"] = known
    if not real:
        return
    if name in ("edit_model", "delete_model"):
        case.headers["If-Match"] = "*"
    if name == "submit_request" and isinstance(case.body, dict) and "model" in case.body:
        case.body["model"] = "lengths"
    if name == "submit_request" and isinstance(case.query, dict) and "model" in case.query:
        case.query["model"] = "lengths"
    if name == "legacy_submit_request" and isinstance(case.body, dict) and "model_id" in case.body:
        case.body["model_id"] = "lengths"
    if name == "push_model_version":
        case.path_parameters["id"], case.body, case.query = "pushed", FOLDER, {}
        kwargs.pop("params", None)
    if name == "create_model" and isinstance(case.body, dict) and "address" in case.body:
        case.body["address"] = "http://127.0.0.1:9/x"


@schemathesis.hook
def after_call(context, case, response):
    name = case.operation.definition.raw.get("operationId", "")
    with LOCK:
        COUNTS[name][str(response.status_code)] += 1
