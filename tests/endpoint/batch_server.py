"""A scripted endpoint that speaks /v1/files and /v1/batches beside chat completions."""

import json
import re
from collections.abc import Callable

from endpoint.server import Answer, Call, error


class BatchScript:
    """Keeps files and batches; answers the requests of a batch with a chat script when told to finish it."""

    def __init__(self, chat: Callable[[Call], Answer]) -> None:
        self.chat = chat
        self.files: dict[str, str] = {}
        self.batches: dict[str, dict] = {}
        self.lose_next_creation = False
        self.refuse_next = 0

    def __call__(self, call: Call) -> Answer:
        path = call.path.split("?")[0]
        if path.endswith("/chat/completions"):
            return self.chat(call)
        if self.refuse_next:
            self.refuse_next -= 1
            return Answer(error("busy"), 503)
        if path.endswith("/files"):
            return self.upload(call)
        if found := re.search(r"/files/([\w-]+)/content$", path):
            return Answer(self.files[found[1]], headers={"Content-Type": "application/octet-stream"})
        if path.endswith("/batches"):
            return self.create(call) if call.method == "POST" else self.listing()
        return Answer(self.batches[path.split("/")[-1]])

    def upload(self, call: Call) -> Answer:
        boundary = call.headers["content-type"].split("boundary=")[1].encode()
        parts = [part for part in call.raw.split(b"--" + boundary) if b"filename=" in part]
        name = f"file-{len(self.files)}"
        self.files[name] = parts[0].split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n").decode()
        return Answer({"id": name, "object": "file", "bytes": 1, "created_at": 1, "filename": "x", "purpose": "batch"})

    def create(self, call: Call) -> Answer:
        name = f"batch-{len(self.batches)}"
        self.batches[name] = {
            "id": name,
            "object": "batch",
            "endpoint": "/v1/chat/completions",
            "input_file_id": call.body["input_file_id"],
            "completion_window": "24h",
            "status": "in_progress",
            "created_at": 1,
            "metadata": call.body["metadata"],
        }
        if self.lose_next_creation:
            self.lose_next_creation = False
            return Answer(drop=True)
        return Answer(self.batches[name])

    def listing(self) -> Answer:
        return Answer({"object": "list", "data": list(self.batches.values()), "has_more": False})

    def rows(self, name: str) -> list[dict]:
        return [json.loads(line) for line in self.files[self.batches[name]["input_file_id"]].splitlines()]

    def finish(self, name: str, status: str = "completed", answered: float = 1.0, refused: int = 0) -> None:
        """End a batch: some rows answered, in reverse order, some refused, the rest expired."""
        rows = self.rows(name)
        limit = round(answered * len(rows))
        good, bad = [], []
        for number, row in enumerate(rows):
            head = {"id": f"r{number}", "custom_id": row["custom_id"]}
            if number < refused:
                response = {"status_code": 400, "request_id": "x", "body": {"error": {"message": "refused"}}}
                bad.append({**head, "response": response, "error": None})
            elif number < limit:
                answer = self.chat(Call("POST", "/v1/chat/completions", {}, json.dumps(row["body"]).encode()))
                good.append(
                    {**head, "response": {"status_code": 200, "request_id": "x", "body": answer.body}, "error": None}
                )
            else:
                bad.append({**head, "response": None, "error": {"code": "batch_expired", "message": "expired"}})
        batch = self.batches[name]
        batch["status"] = status
        for key, lines in (("output_file_id", good), ("error_file_id", bad)):
            if lines:
                batch[key] = f"file-{key}-{name}"
                self.files[batch[key]] = "\n".join(json.dumps(line) for line in reversed(lines)) + "\n"
