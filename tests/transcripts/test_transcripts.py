"""Plays the scenarios of this folder: what the model says goes in, one line an event comes out.

A transcript begins with a sentence on what it shows and the fields of the request; then come the turns of the model,
one delta a line; then, below a rule, the events that a streaming client reads: sequence number, output index, type
(without ``response.``) and what the event brings. To record a new one, write everything above the rule and copy what
the failing test prints.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from harness import harness
from harness.scenarios import DIED
from harness.tools import code_interpreter, file_search, web_search

from tools_runtime.upstreams import CallArguments, CallStarted, Finished, ReasoningDelta, RefusalDelta, TextDelta
from tools_runtime.upstreams.scripted import Step

TRANSCRIPTS = {path.stem: path.read_text() for path in sorted(Path(__file__).parent.glob("*.txt"))}
RULE = "\n---\n"


@pytest.mark.parametrize("name", TRANSCRIPTS)
async def test_transcript(name: str, tmp_path: Path) -> None:
    scenario, expected = TRANSCRIPTS[name].split(RULE)
    request, turns = parse(scenario)
    async with harness(tmp_path, turns, [web_search(), file_search(), code_interpreter()]) as house:
        events = await house.events(**request)
    assert "\n".join(map(line, events)) == expected.strip("\n")


def parse(scenario: str) -> tuple[dict[str, Any], list[list[Step]]]:
    """The request's fields and the turns."""
    _, request, *turns = scenario.strip().split("\n\n")
    return orjson.loads(request), [[step(line) for line in turn.splitlines()] for turn in turns]


def step(line: str) -> Step:
    kind, _, rest = line.partition(" ")
    first, _, second = rest.partition(" ")
    steps: dict[str, Any] = {
        "text": lambda: TextDelta(rest),
        "reasoning": lambda: ReasoningDelta(rest),
        "refusal": lambda: RefusalDelta(rest),
        "call": lambda: CallStarted(first, second),
        "arguments": lambda: CallArguments(first, second),
        "finished": lambda: Finished(rest),  # type: ignore[arg-type]
        "dies": lambda: DIED,
    }
    made: Step = steps[kind]()
    return made


def line(event: dict[str, Any]) -> str:
    kind = event["type"].removeprefix("response.")
    index = event.get("output_index", "")
    return f"{event['sequence_number']:>3} {index:>2}  {kind:<40}  {_detail(event)}".rstrip()


def _detail(event: dict[str, Any]) -> str:
    if "item" in event:
        return f"{event['item']['type']} {event['item'].get('status', '')}"
    if "response" in event:
        return " ".join([event["response"]["status"], *(item["type"] for item in event["response"]["output"])])
    if "annotation" in event:
        annotation = event["annotation"]
        where = annotation.get("index", f"{annotation.get('start_index')}:{annotation.get('end_index')}")
        return f"{annotation['type']} {where}"
    if "part" in event:
        return str(event["part"]["type"])
    if "error" in event:
        return str(event["error"]["message"])
    text = [event[name] for name in ("delta", "text", "refusal", "arguments", "code") if name in event]
    return orjson.dumps(text[0]).decode() if text else ""
