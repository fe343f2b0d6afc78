"""An HTTP server on this machine that sends a stream, as a test wishes."""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[[BaseHTTPRequestHandler, int], None]


class Server:
    """An HTTP server on this machine. answer: is given each request and its number, from 0 on."""

    def __init__(self, answer: Answer) -> None:
        self.requests = 0
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.requests += 1
                answer(self, server.requests - 1)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://ann:secret@127.0.0.1:{self.http.server_port}/door"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def close(self) -> None:
        """End it."""
        self.http.shutdown()
        self.http.server_close()


def send(request: BaseHTTPRequestHandler, data: bytes, length: int | None = None) -> None:
    """Answer with data, and close. length: what is promised."""
    request.send_response(200)
    request.send_header("Content-Type", "video/mp2t")
    if length is not None:
        request.send_header("Content-Length", str(length))
    request.end_headers()
    request.wfile.write(data)
