"""A client: the standard library's http.client. One connection, many requests, every answer compared."""

import http.client
import sys

connection = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=20)
connection.connect()
first = connection.sock
big = bytes(range(256)) * 4000

for number in range(200):
    path = ("/echo", "/chunked", "/gzip")[number % 3]
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == 200, (number, answer.status, body)
    if path == "/gzip":
        assert answer.headers["Content-Encoding"] == "gzip" and body[:2] == b"\x1f\x8b", body
    else:
        assert body == b"hello from python\n", body

for path in ("/echo", "/chunked"):
    connection.request("POST", path, body=big)
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == 200 and body == big, (path, answer.status, len(body), next((i for i, (a, b) in enumerate(zip(body, big)) if a != b), None))
    pieces = (big[at : at + 7777] for at in range(0, len(big), 7777))
    connection.request("POST", path, body=pieces, encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
    assert connection.getresponse().read() == big, path + " uploaded in chunks"
    connection.request("HEAD", path)
    assert connection.getresponse().read() == b"", path

assert connection.sock is first, "the connection was kept"
