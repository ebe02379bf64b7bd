"""A desktop in a cluster of tests/cluster, for scripts that run in its network: deskd, and what is drawn."""
import http.client
import json
import os
import socket
import subprocess
import threading
import time

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "../.."))
WINDOW_S_MAX = 60


def script(name, *arguments, **options):
    return subprocess.run([f"{ROOT}/tests/cluster/{name}", *arguments], check=True, **options)


class Deskd:
    """One kept connection to deskd."""

    def __init__(self, address, token):
        self.connection = http.client.HTTPConnection(address, 29791)
        self.token = token
        self.headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def open(self):
        """Anew if it was closed: deskd lets go of a connection that is idle for some seconds."""
        self.connection.close()
        self.connection.connect()
        self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, method, path, body=None):
        self.connection.request(method, path, body and json.dumps(body), self.headers)
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise SystemExit(f"{method} {path}: {answer.status} {text.decode()}")
        return json.loads(text) if text[:1] in (b"{", b"[") else text.decode()


class Windows:
    """When windows are mapped on the display."""

    def __init__(self, display, xauthority):
        environment = dict(os.environ, DISPLAY=display, XAUTHORITY=xauthority)
        command = ["stdbuf", "-oL", "xev", "-root", "-event", "substructure"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        self.mapped = threading.Condition()
        self.times = []
        threading.Thread(target=self.watch, daemon=True).start()

    def watch(self):
        for line in self.process.stdout:
            if line.startswith("MapNotify"):
                with self.mapped:
                    self.times.append(time.monotonic())
                    self.mapped.notify_all()

    def first_after(self, begun, count=1):
        """Milliseconds until the first one since then, or the so-many-th."""
        deadline = time.monotonic() + WINDOW_S_MAX
        with self.mapped:
            while len(since := [at for at in self.times if at > begun]) < count:
                if not self.mapped.wait(deadline - time.monotonic()):
                    raise SystemExit("no window came")
            self.times.clear()
        return (since[count - 1] - begun) * 1000
