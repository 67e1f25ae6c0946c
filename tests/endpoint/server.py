"""A real HTTP server on the loopback device, answered by a script; it speaks as much of the protocol as is asked."""

import asyncio
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Call:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    raw: bytes
    at: float = field(default_factory=time.monotonic)

    @property
    def body(self) -> dict:
        return json.loads(self.raw)

    @property
    def prompt(self) -> str:
        return self.body["messages"][-1]["content"]


@dataclass
class Answer:
    """What to send back."""

    body: str | bytes | dict = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    drop: bool = False
    drip: float = 0.0


def completion(
    content: str | None, finish_reason: str = "stop", tokens: tuple[int, int] = (100, 10), logprobs=None
) -> dict:
    """Write a chat completion."""
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": finish_reason}
    if logprobs is not None:
        choice["logprobs"] = {"content": logprobs}
    usage = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)}
    return {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}


def error(message: str) -> dict:
    """Write an error as endpoints do."""
    return {"error": {"message": message, "type": "invalid_request_error"}}


class ScriptedServer:
    """Serve on 127.0.0.1 in a thread of its own until closed."""

    def __init__(self, script: Callable[[Call], Answer], keep_calls: bool = True) -> None:
        self.script = script
        self.calls: list[Call] = []
        self.keep_calls = keep_calls
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "ScriptedServer":
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self.serve(0))
        self._loop.close()

    async def serve(self, port: int) -> None:
        self._stop = asyncio.Event()
        self._open: set[asyncio.Task] = set()
        server = await asyncio.start_server(self._connected, "127.0.0.1", port)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._open.add(task)
        try:
            while await self._exchange(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._open.discard(task)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in head[1:] if line)}
        raw = await reader.readexactly(int(headers.get("content-length", 0)))
        call = Call(method, path, headers, raw)
        if self.keep_calls:
            self.calls.append(call)
        answer = self.script(call)
        if answer.delay:
            await asyncio.sleep(answer.delay)
        if answer.drop:
            writer.transport.abort()
            return False
        body = json.dumps(answer.body) if isinstance(answer.body, dict) else answer.body
        payload = body.encode() if isinstance(body, str) else body
        lines = {"Content-Type": "application/json", "Content-Length": str(len(payload)), **answer.headers}
        text = f"HTTP/1.1 {answer.status} X\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items()) + "\r\n"
        writer.write(text.encode())
        for byte in payload if answer.drip else ():
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(answer.drip)
        writer.write(b"" if answer.drip else payload)
        await writer.drain()
        return True
