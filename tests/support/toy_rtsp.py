"""A camera: an RTSP server on this machine that sends an MPEG transport stream (RFC 2326, 2250)."""

import socketserver
import struct
import threading

TS_PACKET, TOGETHER = 188, 7
SDP = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=door\r\nt=0 0\r\nm=video 0 RTP/AVP 33\r\na=control:track0\r\n"


class Camera:
    """Sends the stream to each who plays it, then hangs up. played: how often it was played."""

    def __init__(self, stream: bytes) -> None:
        self.played = 0
        camera = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                while request := self._request():
                    method, headers = request
                    answers = {"DESCRIBE": f"Content-Type: application/sdp\r\nContent-Length: {len(SDP)}\r\n\r\n{SDP}"}
                    answers["SETUP"] = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n"
                    said = answers.get(method, "Public: DESCRIBE, SETUP, PLAY\r\n\r\n")
                    self._send(f"RTSP/1.0 200 OK\r\nCSeq: {headers['cseq']}\r\nSession: 1\r\n{said}".encode())
                    if method == "PLAY":
                        camera.played += 1
                        self._play()
                        return

            def _request(self) -> tuple[str, dict[str, str]] | None:
                lines = []
                while line := self.rfile.readline().decode().strip():
                    lines.append(line)
                if not lines:
                    return None
                fields = (line.partition(":") for line in lines[1:])
                return lines[0].split()[0], {name.lower(): value.strip() for name, _, value in fields}

            def _play(self) -> None:
                step = TS_PACKET * TOGETHER
                for number, start in enumerate(range(0, len(stream), step)):
                    header = struct.pack(">BBHII", 0x80, 33, number % 65536, 90 * 40 * number, 1)
                    data = header + stream[start : start + step]
                    self._send(b"$\0" + struct.pack(">H", len(data)) + data)

            def _send(self, data: bytes) -> None:
                self.wfile.write(data)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"rtsp://ann:secret@127.0.0.1:{self._server.server_address[1]}/door"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()
