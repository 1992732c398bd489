"""Files of a folder as a store far away has them: ranges and listings as S3 gives them, each answer 30 ms late and then 200 MB/s
per connection. Counts requests and bytes; `GET /_count` tells and forgets them. What is put there is taken, on conditions too; of uploads
in parts only the size is kept.

    python benches/range_server.py FOLDER [PORT]
"""

import asyncio
import json
import mmap
import re
import sys
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

LATENCY_S = 0.030
BYTES_PER_S = 200e6
# Sent at a time, so that a connection is never faster for longer than a few milliseconds.
PIECE_BYTES = 1 << 20
LISTED = 1000
# Files of this size are mapped: the system holds them, as far as there is room.
MAPPED_BYTES = 256 << 20


class Thrown:
    """An object of which only the size is known."""

    def __init__(self, size: int):
        self.size = size

    def __len__(self) -> int:
        return self.size


def content(path: Path):
    if path.stat().st_size < MAPPED_BYTES:
        return path.read_bytes()
    with open(path, "rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


class Store:
    """The bucket `data`: the folder's files, held in memory so that no disk is measured."""

    def __init__(self, folder: Path):
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        self.objects = {path.relative_to(folder).as_posix(): content(path) for path in files}
        self.keys = sorted(self.objects)
        self.uploads = {}
        self.begun = self.requests = self.sent = 0

    def etag(self, key: str) -> str:
        return f'"{hash(key) & 0xFFFFFFFF:x}-{len(self.objects[key])}"'

    def keep(self, key: str, data) -> dict:
        self.objects[key] = data
        self.keys = sorted(self.objects)
        return {"ETag": self.etag(key)}

    def take(self, method: str, key: str, query: dict, headers: dict, body: bytes) -> tuple[str, dict, bytes]:
        """What changes the store."""
        upload = query.get("uploadId", [""])[0]
        if method == "POST" and "uploads" in query:
            self.begun += 1
            self.uploads[str(self.begun)] = 0
            return "200 OK", {}, f"<InitiateMultipartUploadResult><UploadId>{self.begun}</UploadId></InitiateMultipartUploadResult>".encode()
        if upload and upload not in self.uploads:
            return "404 Not Found", {}, b"<Error><Code>NoSuchUpload</Code></Error>"
        if method == "POST" and upload:
            about = self.keep(key, Thrown(self.uploads.pop(upload)))
            return "200 OK", {}, f"<CompleteMultipartUploadResult><ETag>{escape(about['ETag'])}</ETag></CompleteMultipartUploadResult>".encode()
        if method == "PUT" and upload:
            self.uploads[upload] += len(body)
            return "200 OK", {"ETag": f'"{len(body):x}"'}, b""
        if method == "PUT":
            if headers.get("if-none-match") == "*" and key in self.objects:
                return "412 Precondition Failed", {}, b""
            return "200 OK", self.keep(key, body), b""
        if upload:
            del self.uploads[upload]
        elif key in self.objects:
            del self.objects[key]
            self.keys = sorted(self.objects)
        return "204 No Content", {}, b""

    def listing(self, query: dict) -> bytes:
        prefix = query.get("prefix", [""])[0]
        after = query.get("continuation-token", [""])[0]
        keys = [key for key in self.keys if key.startswith(prefix) and key > after]
        shown = keys[:LISTED]
        more = f"<NextContinuationToken>{escape(shown[-1])}</NextContinuationToken>" if len(keys) > LISTED else ""
        contents = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>2026-11-30T10:00:00.000Z</LastModified>"
            f"<ETag>{escape(self.etag(key))}</ETag><Size>{len(self.objects[key])}</Size></Contents>"
            for key in shown
        )
        cut = str(len(keys) > LISTED).lower()
        return f"<?xml version='1.0'?><ListBucketResult><IsTruncated>{cut}</IsTruncated>{more}{contents}</ListBucketResult>".encode()

    def answer(self, method: str, target: str, headers: dict, body: bytes) -> tuple[str, dict, bytes]:
        url = urlsplit(target)
        if url.path == "/_count":
            body = json.dumps({"requests": self.requests, "bytes": self.sent}).encode()
            self.requests = self.sent = 0
            return "200 OK", {}, body
        key = unquote(url.path).removeprefix("/data").lstrip("/")
        self.requests += 1
        if method not in ("GET", "HEAD"):
            return self.take(method, key, parse_qs(url.query, keep_blank_values=True), headers, body)
        if not key:
            return "200 OK", {}, self.listing(parse_qs(url.query))
        data = self.objects.get(key)
        if data is None:
            return "404 Not Found", {}, b"<Error><Code>NoSuchKey</Code></Error>"
        about = {"ETag": self.etag(key), "Last-Modified": "Mon, 30 Nov 2026 10:00:00 GMT", "Accept-Ranges": "bytes"}
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", headers.get("range", ""))
        if method == "HEAD" or not asked:
            return "200 OK", about, data
        if isinstance(data, Thrown):
            return "403 Forbidden", {}, b"<Error><Code>AccessDenied</Code><Message>it was thrown away</Message></Error>"
        start, end = int(asked[1]), min(int(asked[2]) + 1, len(data))
        about["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}"
        return "206 Partial Content", about, memoryview(data)[start:end]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *rest = head.decode().split("\r\n")
                method, target, _ = first.split(" ")
                headers = {key.lower(): value for key, _, value in (line.partition(": ") for line in rest)}
                taken = await reader.readexactly(int(headers.get("content-length", 0)))
                status, about, body = self.answer(method, target, headers, taken)
                if not status.startswith("204"):
                    about["Content-Length"] = len(body)
                await asyncio.sleep(LATENCY_S)
                lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in about.items()), "", ""]
                writer.write("\r\n".join(lines).encode())
                if method != "HEAD":
                    await self.send(writer, body)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def send(self, writer: asyncio.StreamWriter, body: bytes) -> None:
        self.sent += len(body)
        clock = asyncio.get_running_loop().time
        due = clock()
        for start in range(0, len(body), PIECE_BYTES):
            piece = body[start : start + PIECE_BYTES]
            writer.write(bytes(piece))
            await writer.drain()
            due += len(piece) / BYTES_PER_S
            if (wait := due - clock()) > 0.001:
                await asyncio.sleep(wait)


async def main() -> None:
    store = Store(Path(sys.argv[1]))
    port = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    server = await asyncio.start_server(store.serve, "127.0.0.1", port, limit=1 << 20, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
