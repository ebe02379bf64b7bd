"""The API server of a cluster of tests/cluster, for scripts that run in its network."""
import base64
import http.client
import json
import re
import socket
import ssl
import tempfile


class Api:
    """One kept connection to the API server, as the administrator."""

    def __init__(self, directory):
        text = open(f"{directory}/admin.kubeconfig", encoding="ascii").read()
        field = lambda name: base64.b64decode(re.search(rf"{name}: (\S+)", text)[1])
        context = ssl.create_default_context(cadata=field("certificate-authority-data").decode())
        with tempfile.NamedTemporaryFile() as pair:
            pair.write(field("client-certificate-data") + b"\n" + field("client-key-data"))
            pair.flush()
            context.load_cert_chain(pair.name)
        self.connection = http.client.HTTPSConnection("10.96.0.1", context=context)
        self.connection.connect()
        self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, method, path, body=None, kind="application/json"):
        self.connection.request(method, path, body and json.dumps(body), {"Content-Type": kind})
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise SystemExit(f"{method} {path}: {answer.status} {text.decode()}")
        return json.loads(text)
