"""Asks a hub so many times a second through what stands before it, whether it has answered or not, and counts what comes of it.

load.py ADDRESS PORT TOKEN FILE EACH_SECOND: until FILE.stop is there, then FILE has what came of it as JSON. A
request is due at its moment, and takes as long as from then to its answer.
Every second asker keeps its connection. One that breaks or is refused counts as broken, and what was asked is sent again
under the same key, as the documentation tells clients to.
"""
import http.client
import json
import os
import sys
import threading
import time

ADDRESS, PORT, TOKEN, FILE, EACH_SECOND = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], float(sys.argv[5])
# More than are under way at once.
ASKERS = 120
LOCK = threading.Lock()
ANSWERED, BROKEN, WRONG = [], [], []


def ask(held, keep, number, due):
    text = "x" * (number % 50 + 1) + str(number)
    body = json.dumps({"model": "lengths", "inputs": [text]})
    headers = {
        "Host": "localhost",
        "Authorization": f"Bearer {TOKEN}",
        "Content-Type": "application/json",
        "Idempotency-Key": f"load-{number}",
    }
    begun = time.monotonic()
    while True:
        try:
            if held[0] is None:
                held[0] = http.client.HTTPConnection(ADDRESS, PORT, timeout=60)
            held[0].request("POST", "/api/v1/requests?wait=30", body, headers)
            answer = held[0].getresponse()
            said = answer.read()
        except (OSError, http.client.HTTPException) as error:
            held[0] = None
            with LOCK:
                BROKEN.append(f"{time.time():.3f} {error!r}")
            if time.monotonic() - begun > 60:
                return
            time.sleep(0.1)
            continue
        if not keep or answer.headers.get("connection") == "close":
            held[0].close()
            held[0] = None
        break
    told = json.loads(said)
    # What a killed hub had begun is begun again when its lease is over: one asks on, as the documentation says.
    path, asked_on = f"/api/v1/requests/{told.get('id')}", 0
    while "phase" in told and "result" not in told and asked_on < 5:
        asked_on += 1
        try:
            more = http.client.HTTPConnection(ADDRESS, PORT, timeout=60)
            if told["phase"] == "completed":
                more.request("GET", f"{path}/result?format=json", headers=headers)
                told["result"] = json.loads(more.getresponse().read())
            else:
                more.request("GET", f"{path}?wait=30", headers=headers)
                told = json.loads(more.getresponse().read())
        except (OSError, ValueError, http.client.HTTPException) as error:
            with LOCK:
                BROKEN.append(f"{time.time():.3f} {error!r}")
    took = time.monotonic() - due
    if answer.status == 401:
        # What became of the session, by the hub that does not know it.
        renew = http.client.HTTPConnection(ADDRESS, PORT)
        renew.request("POST", "/api/v1/session/renew", "", headers)
        said += renew.getresponse().read()
    with LOCK:
        if answer.status not in (200, 201) or (told.get("result") or [{}])[0].get("length") != len(text):
            WRONG.append(f"{time.time():.3f} {answer.headers.get('x-request-id')} {answer.status} {said[:900]!r}")
        else:
            ANSWERED.append((time.time() - took, took, told["id"]))


def run(first):
    held, number = [None], first
    while not os.path.exists(FILE + ".stop"):
        due = BEGUN + number / EACH_SECOND
        time.sleep(max(0, due - time.monotonic()))
        ask(held, first % 2 == 0, number, due)
        number += ASKERS


BEGUN = time.monotonic()
threads = [threading.Thread(target=run, args=(first,)) for first in range(ASKERS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
with open(FILE + ".part", "w") as file:
    json.dump({"answered": ANSWERED, "broken": BROKEN, "wrong": WRONG}, file)
os.rename(FILE + ".part", FILE)
