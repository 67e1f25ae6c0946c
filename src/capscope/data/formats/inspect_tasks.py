"""Agent and task data of an Inspect log: scaffold, tools, environment, costs, confidence."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from capscope.data.columns import shown
from capscope.data.formats.eval_archive import InspectLog
from capscope.data.formats.scored_log import (
    as_object,
    as_objects,
    optional_list,
    optional_object,
    required_name,
    text_of,
)
from capscope.data.tables import CONFIDENCE
from capscope.errors import InputError, counted, first_few

BESIDE_THE_AGENT = (
    "system_message",
    "user_message",
    "assistant_message",
    "prompt_template",
    "use_tools",
    "submit_tool",
)
"""Plan steps that only prepare a sample; plans that differ in these alone are the same scaffold."""
LOOP = "_loop"
"""End of the name of the step in which `basic_agent` runs."""
SUBMIT = "submit"
"""The tool by which agents of Inspect hand in an answer; it is no part of the task."""
LIMITS = {
    "message_limit": "messages",
    "token_limit": "tokens",
    "time_limit": "seconds",
    "working_limit": "seconds of work",
}
"""Limits on a sample by their names in the settings of a run."""

USAGE = {"tokens": "total_tokens", "usd": "total_cost"}
"""Costs of a sample by their names in a log's usage."""


@dataclass(frozen=True)
class LoggedPlan:
    """Task, model and solver plan of one log."""

    task: str
    """The task."""
    model: str
    """Name of the model."""
    steps: tuple[str, ...]
    """The solvers of the plan that make the agent; empty where the log holds no plan."""
    named: bool
    """Whether the log names its scaffold: the solver was given when the run was started."""


NO_MODEL = "none/none"
"""Model of a log whose task names its models by roles alone."""


def log_model(path: Path, spec: dict[str, Any]) -> str:
    """Return the model of a log; one that ran by roles alone is called by the model of all its roles.

    Args:
        path: The log.
        spec: Its `eval`.

    Raises:
        InputError: Several models have roles, or none.
    """
    name = required_name(path, spec, "model", "eval")
    if name != NO_MODEL:
        return name
    roles = optional_object(path, spec, "model_roles", "eval").values()
    listed = [one for role in roles for one in (role if isinstance(role, list) else [role])]
    names = {required_name(path, as_object(path, one, "model_roles"), "model", "model_roles") for one in listed}
    if len(names) != 1:
        raise InputError(
            f"{path}: its task ran without a model, with {len(names)} in roles; say who answered with --model"
        )
    return names.pop()


def log_facets(path: Path, spec: dict[str, Any]) -> dict[str, str]:
    """Return the conditions that hold for a whole log: solver and reasoning effort.

    Args:
        path: File of the log, for messages.
        spec: Its field ``eval``.
    """
    effort = optional_object(path, spec, "model_generate_config", "eval").get("reasoning_effort")
    named = {"scaffold": spec.get("solver"), "effort": effort}
    return {facet: text_of(value) or "" for facet, value in named.items() if value}


def plan_steps(log: InspectLog) -> tuple[str, ...]:
    """Return the solvers of a log's plan, without those that only prepare a sample."""
    plan = optional_object(log.path, log.header, "plan", "the log")
    steps = as_objects(log.path, optional_list(log.path, plan, "steps", "plan"), "steps of the plan")
    names = [str(step["solver"]).removesuffix(LOOP) for step in steps if step.get("solver")]
    return tuple(name for name in names if name not in BESIDE_THE_AGENT) or tuple(names)


def scaffolds_by_plan(plans: Sequence[LoggedPlan]) -> tuple[list[str], tuple[str, ...]]:
    """Name scaffolds by plans where one model ran a task with several plans, which makes several agents.

    Args:
        plans: One for each log.

    Returns:
        The scaffold of each log, empty where there is one plan; and a remark.
    """
    by_run: dict[tuple[str, str], set[tuple[str, ...]]] = {}
    for plan in plans:
        if plan.steps and not plan.named:
            by_run.setdefault((plan.task, plan.model), set()).add(plan.steps)
    several = [run for run, steps in by_run.items() if len(steps) > 1]
    if not several:
        return [""] * len(plans), ()
    last = {steps: steps[-1] for of_run in by_run.values() for steps in of_run}
    unique = len(set(last.values())) == len(last)
    names = {steps: name if unique else ", ".join(steps) for steps, name in last.items()}
    task, model = several[0]
    ran = sorted(names[steps] for steps in by_run[several[0]])
    note = (
        f"'{model}' ran '{task}' with {counted(len(ran), 'plan')} of solvers ({first_few(ran)}), which count as"
        " several agents, not as repeated runs: the facet 'scaffold' names them"
    )
    return [names.get(plan.steps, "") if not plan.named else "" for plan in plans], (note,)


def task_tools(log: InspectLog) -> str | None:
    """Return the tools that the samples of a log can call, one a line, as the first sample offers them to the model.

    Args:
        log: The log; its samples are not used up.

    Returns:
        Lines such as ``refund(order): Refund an order.``; None where no tool is offered.
    """
    sample = log.first()
    if sample is None:
        return None
    for event in optional_list(log.path, sample, "events", "sample 1"):
        if isinstance(event, dict) and event.get("event") == "model":
            tools = event.get("tools")
            offered = [_tool(tool) for tool in tools if isinstance(tool, dict)] if isinstance(tools, list) else []
            return "\n".join(line for line in offered if line) or None
    return None


def _tool(tool: Mapping[str, Any]) -> str:
    name = str(tool.get("name") or "")
    if not name or name == SUBMIT:
        return ""
    parameters = tool.get("parameters")
    properties = parameters.get("properties") if isinstance(parameters, dict) else None
    arguments = ", ".join(map(str, properties)) if isinstance(properties, dict) else ""
    about = " ".join(str(tool.get("description") or "").split())
    return f"{name}({arguments}): {about}" if about else f"{name}({arguments})"


def task_environment(spec: Mapping[str, Any], sample: Mapping[str, Any], *, has_tools: bool) -> str | None:
    """Return the description of a task's environment: metadata, sandbox and limits.

    Args:
        spec: What was run: `sandbox`, `config`.
        sample: A sample, or its summary.
        has_tools: Whether the samples can call tools; limits are returned for such tasks only.
    """
    metadata = sample.get("metadata")
    described = metadata.get("environment") if isinstance(metadata, dict) else None
    parts = [described.strip()] if isinstance(described, str) and described.strip() else []
    sandbox, config = spec.get("sandbox"), spec.get("config")
    if isinstance(sandbox, dict) and sandbox.get("type"):
        file = sandbox.get("config")
        parts.append(f"Sandbox: {sandbox['type']}" + (f" ({PurePath(file).name})." if isinstance(file, str) else "."))
    if (has_tools or parts) and isinstance(config, dict):
        limits = [f"{config[name]} {unit}" for name, unit in LIMITS.items() if config.get(name)]
        parts += [f"Limit: {', '.join(limits)}."] if limits else []
    return " ".join(parts) or None


def sample_costs(sample: Mapping[str, Any], model: str) -> dict[str, float]:
    """Return the costs of a sample: tokens and dollars of the evaluated model (without graders), and seconds.

    Args:
        sample: A sample, or its summary.
        model: Name of the model; where no usage is recorded under it, that of all models is summed.
    """
    by_model = sample.get("model_usage")
    used = [one for one in by_model.values() if isinstance(one, dict)] if isinstance(by_model, dict) else []
    if isinstance(by_model, dict) and isinstance(by_model.get(model), dict):
        used = [by_model[model]]
    costs = {name: [_amount(one.get(key)) for one in used] for name, key in USAGE.items()}
    sums = {name: sum(values) for name, values in costs.items() if values and not any(map(math.isnan, values))}
    seconds = [_amount(sample.get(key)) for key in ("working_time", "total_time")]
    known = [value for value in seconds if not math.isnan(value)]
    return sums | ({"seconds": known[0]} if known else {})


def stated_confidence(scores: Mapping[str, Any]) -> tuple[dict[str, float], list[str]]:
    """Return the first confidence of 0 to 1 in the metadata of a sample's scores, and those that are none."""
    unreadable: list[str] = []
    for score in scores.values():
        metadata = score.get("metadata") if isinstance(score, dict) else None
        stated = metadata.get(CONFIDENCE) if isinstance(metadata, dict) else None
        value = _amount(stated)
        if value <= 1:
            return {CONFIDENCE: value}, unreadable
        unreadable += [] if stated is None else [shown(stated)]
    return {}, unreadable


def stated_answer(scores: Mapping[str, Any]) -> str | None:
    """Return the answer that a scorer read off the sample, white space and letter case aside; None where none did."""
    for score in scores.values():
        answer = score.get("answer") if isinstance(score, dict) else None
        if isinstance(answer, str) and answer.strip():
            return " ".join(answer.lower().split())
    return None


def self_agreement(answers: Sequence[tuple[str, str | None]]) -> list[float | None]:
    """Return for each sample the share of the other samples of its item that gave the same answer.

    Args:
        answers: Item and answer of each sample; None for an answer that is not known.

    Returns:
        Shares from 0 to 1; None where a sample has no answer, or its item no other.
    """
    counts = Counter(pair for pair in answers if pair[1] is not None)
    total = Counter(item for item, answer in answers if answer is not None)
    return [
        (counts[item, answer] - 1) / (total[item] - 1) if answer is not None and total[item] > 1 else None
        for item, answer in answers
    ]


def _amount(value: object) -> float:
    """Return a number of at least 0, NaN for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    return float(value) if math.isfinite(value) and value >= 0 else math.nan
