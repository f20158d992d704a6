"""A script as people have them who used Muster's predecessor; only the address is another one.

    existing_client.py URL MODEL anonymous ID
    existing_client.py URL MODEL user NAME PASSWORD
"""

import json
import sys
from base64 import b64encode
from time import sleep, time

try:
    from requests import get, post
except ImportError:
    # The few things of `requests` that are used here.
    from urllib.error import HTTPError
    from urllib.parse import urlencode
    from urllib.request import Request, urlopen

    class Response:
        def __init__(self, answer):
            self.status_code, self.content = answer.status, answer.read()

        def json(self):
            return json.loads(self.content)

    def send(method, url, params=None, json=None, headers=None):
        headers = dict(headers or {})
        if params:
            url += "?" + urlencode(params, doseq=True)
        body = None
        if json is not None:
            body = sys.modules["json"].dumps(json).encode()
            headers["Content-Type"] = "application/json"
        request = Request(url, data=body, headers=headers, method=method)
        try:
            with urlopen(request) as answer:
                return Response(answer)
        except HTTPError as answer:
            return Response(answer)

    def get(url, **more):
        return send("GET", url, **more)

    def post(url, **more):
        return send("POST", url, **more)


API_BASE_URL, MODEL, WHO = sys.argv[1:4]
TIMEOUT = 60


def checked(response):
    if response.status_code != 200:
        raise Exception(f"HTTP:{response.status_code} - {response.json()['detail']}")
    return response.json()


def log_in():
    if WHO == "anonymous":
        return checked(post(f"{API_BASE_URL}/api/auth/anonymous-login/{sys.argv[4]}"))
    encoding = b64encode(":".join(sys.argv[4:6]).encode()).decode()
    login = {"encoding": encoding, "auth_type": "ErsiliaUser"}
    return checked(post(f"{API_BASE_URL}/api/auth/login", json=login))


def auth_header(session):
    encoded = b64encode(json.dumps(session).encode()).decode()
    return {"Authorization": f"{session['auth_type']} {encoded}"}


def submit(headers, entries):
    work = {"model_id": MODEL, "request_payload": {"entries": entries}}
    return checked(post(f"{API_BASE_URL}/api/work-requests", json=work, headers=headers))


def wait(headers, request_id):
    start = time()
    while time() < start + TIMEOUT:
        params = {"include_result": True, "csv_result": True}
        url = f"{API_BASE_URL}/api/work-requests/{request_id}"
        request = checked(get(url, params=params, headers=headers))
        if request["request_status"] == "FAILED":
            raise Exception(f"Job failed: {request['request_status_reason']}")
        if request["request_status"] == "COMPLETED":
            return request
        sleep(0.05)
    raise Exception("Request Time Out reached")


login = log_in()
print(login["user"]["username"], login["permissions"])
headers = auth_header(login["session"])

models = checked(get(f"{API_BASE_URL}/api/models", headers=headers))["items"]
assert any(model["id"] == MODEL and model["enabled"] for model in models), models

with open("entries.csv") as file:
    request_id = submit(headers, file.readlines())["id"]
request = wait(headers, request_id)
print("\n".join(request["result"]))
print(request["input_size"], request["metadata"]["header"])

refreshed = checked(post(f"{API_BASE_URL}/api/auth/session/refresh", headers=headers))
assert refreshed["session_id"] == login["session"]["session_id"], refreshed
headers = auth_header(refreshed)
filters = {"model_ids": [MODEL, "other"], "request_statuses": ["COMPLETED", "FAILED"], "limit": 500}
items = checked(get(f"{API_BASE_URL}/api/work-requests", params=filters, headers=headers))["items"]
print(len(items), items[0]["id"] == request_id)

print(checked(post(f"{API_BASE_URL}/api/auth/logout", headers=headers)))
print(get(f"{API_BASE_URL}/api/work-requests", headers=headers).status_code)
