import asyncio
import json

import numpy as np
import pytest

from capscope.endpoint import ChatClient, EndpointSettings, Ledger, Sampling, find_capability
from capscope.errors import EndpointError
from endpoint.server import Answer, ScriptedServer, completion, error

LEVEL = json.dumps({"reasoning": "fruit", "level": 2})


def find(url, path, sampling=None):
    async def run():
        settings = EndpointSettings(base_url=url, api_key="k", first_pause=0.01, max_attempts=2)
        with Ledger(path) as ledger:
            async with ChatClient(settings, np.random.default_rng(0)) as client:
                return await find_capability(client, ledger, sampling or Sampling("m"))

    return asyncio.run(run())


def form(call):
    return call.body.get("response_format", {}).get("type", "text")


def test_the_strongest_form_is_found_once_and_recorded(tmp_path):
    with ScriptedServer(lambda _: Answer(completion(LEVEL))) as server:
        assert find(server.url, tmp_path / "l").format == "json_schema"
        asked = len(server.calls)
        assert find(server.url, tmp_path / "l").format == "json_schema"
        assert len(server.calls) == asked == 1


def test_a_server_that_fails_on_schemas_gets_json_objects(tmp_path):
    def script(call):
        return Answer("", 500) if form(call) == "json_schema" else Answer(completion('{"fruit": "fig"}'))

    with ScriptedServer(script) as server:
        assert find(server.url, tmp_path / "l").format == "json_object"


def test_a_server_that_ignores_forms_without_a_word_gets_text(tmp_path):
    with ScriptedServer(lambda _: Answer(completion("A fig."))) as server:
        assert find(server.url, tmp_path / "l").format == "text"


def test_a_server_that_obeys_json_but_not_its_schema_gets_json_objects(tmp_path):
    with ScriptedServer(lambda c: Answer(completion('{"a": 1}' if form(c) != "text" else "x"))) as server:
        assert find(server.url, tmp_path / "l").format == "json_object"


def test_parameters_that_are_refused_are_left_out(tmp_path):
    def script(call):
        for name in ("max_tokens", "temperature", "logprobs"):
            if name in call.body:
                return Answer(error(f"Unsupported parameter: '{name}' is not supported with this model."), 400)
        return Answer(completion(LEVEL))

    with ScriptedServer(script) as server:
        found = find(server.url, tmp_path / "l", Sampling("m", 0.0, 50, 5))
        assert (found.limit_name, found.temperature, found.logprobs) == ("max_completion_tokens", False, False)
        assert server.calls[-1].body["max_completion_tokens"] == 50


def test_an_endpoint_that_answers_nothing_is_an_error(tmp_path):
    with ScriptedServer(lambda _: Answer("", 500)) as server, pytest.raises(EndpointError, match="HTTP 500"):
        find(server.url, tmp_path / "l")
