"""A target: the standard library's ThreadingHTTPServer. Gives back what it gets, in the framing that the path asks for."""

import gzip
import socketserver
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def body(self):
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(pieces)

    def do_GET(self):
        body = self.body() or PAGES.get(self.path, (b"hello from python\n", "text/plain"))[0]
        self.send_response(200)
        self.send_header("Content-Type", PAGES.get(self.path, (b"", "text/plain"))[1])
        if self.path == "/gzip":
            body = gzip.compress(body, mtime=0)
            self.send_header("Content-Encoding", "gzip")
        if self.path == "/chunked":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for at in range(0, len(body), 1000):
                piece = body[at : at + 1000]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
            return
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_POST = do_PUT = do_GET

    def log_message(self, *_):
        pass


PAGE = b"""<!DOCTYPE html><title>page</title><link rel="stylesheet" href="/style.css">
<script>let images = 0; function loaded() { document.getElementById("images").textContent = ++images + " images"; }</script>
<p id="script">no script</p><p id="fetched">not fetched</p><p id="images"></p>
<img src="/1.svg" onload="loaded()"><img src="/2.svg" onload="loaded()"><img src="/3.svg" onload="loaded()">
<script src="/script.js"></script>
"""
SCRIPT = b"""document.getElementById("script").textContent = "script ran";
fetch("/echo", {method: "POST", body: "x".repeat(100000)}).then(r => r.text())
    .then(t => document.getElementById("fetched").textContent = "fetched " + t.length);
"""
PICTURE = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>'
PAGES = {
    "/page": (PAGE, "text/html"),
    "/style.css": (b"p { color: green }\n", "text/css"),
    "/script.js": (SCRIPT, "application/javascript"),
    **{f"/{number}.svg": (PICTURE, "image/svg+xml") for number in (1, 2, 3)},
}


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def server_bind(self):
        # Its own looks for the address's name, which takes seconds where no name service answers.
        socketserver.TCPServer.server_bind(self)


Server((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
