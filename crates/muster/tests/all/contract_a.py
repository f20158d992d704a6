"""A model server as published images have them: no proof of who it is, no /livez, jobs in memory.

contract_a.py ADDRESS PORT [SECONDS]: the length of each text, after so many seconds.
"""
import json
import sys
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ADDRESS, PORT = sys.argv[1], int(sys.argv[2])
SECONDS = float(sys.argv[3]) if len(sys.argv) > 3 else 0
JOBS = {}


def run(texts):
    print("runs", len(texts), flush=True)
    time.sleep(SECONDS)
    return [{"length": len(text)} for text in texts]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, value, status=200):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        path = self.path.split("?")[0]
        job = JOBS.get(path.rsplit("/", 1)[-1])
        if path == "/healthz":
            self.answer({"status": "ok"})
        elif path.startswith("/job/") and job:
            done = "result" in job
            status = {"job_id": job["id"], "status": "completed" if done else "pending"}
            self.answer(job["result"] if done and "/result/" in path else status)
        else:
            self.answer({"detail": "Job not found"}, 404)

    def do_POST(self):
        texts = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))))
        if self.path.startswith("/job/submit"):
            job = {"id": str(uuid.uuid4())}
            JOBS[job["id"]] = job
            work = lambda: job.update(result=run(texts))
            threading.Thread(target=work, daemon=True).start()
            self.answer({"job_id": job["id"], "message": "submitted"})
        elif self.path.startswith("/run"):
            self.answer(run(texts))
        else:
            self.answer({"detail": "Not Found"}, 404)

    def log_message(self, *_):
        pass


ThreadingHTTPServer((ADDRESS, PORT), Handler).serve_forever()
