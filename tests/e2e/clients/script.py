"""The conversation that every client has: two turns, each with all three hosted tools, and what must come of it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from e2e.servers import Model, Server, Turn, call, say
from tools_runtime.protocol.items import FunctionCallOutput
from tools_runtime.protocol.prompt import Prompt

QUESTIONS = (
    "Who keeps the lighthouse at Cape Alder, how are tasks cancelled as a group, and what is 41 + 1?",
    "What was spent on paraffin, what does RewriteRule do, and what is twice x?",
)
KINDS = ["file_search", "web_search", "code_interpreter"]
"""The hosted calls of each turn, in their order."""

_FIRST_CODE = "x = 41\nopen('sum.csv', 'w').write(f'a\\n{x + 1}\\n')\nprint('the sum:', x + 1)"
_SECOND_CODE = "open('double.csv', 'w').write(f'a\\n{x * 2}\\n')\nprint('twice:', x * 2)"


@dataclass
class Answer:
    """What a client shows of one answer. None: this client does not show it."""

    text: str
    calls: list[str] | None
    urls: list[str] | None = None
    """Of citations of the web."""
    files: list[str] | None = None
    """Ids of files that are cited."""
    made: list[tuple[str, str]] | None = None
    """Container and file ids of files that are cited."""
    logs: str | None = None
    """What the code printed."""


class Talk(Protocol):
    """A conversation by some client. ``memory`` says what the model is shown of the first turn in the second: whole
    calls with their outputs, or the messages alone."""

    memory: Literal["calls", "messages"]

    def ask(self, question: str) -> Awaitable[Answer]: ...


@dataclass(frozen=True)
class Place:
    """Where a conversation takes place: ``url`` ends in ``/v1``; ``container`` is for clients that do not go on in
    the container of their last turn by themselves."""

    url: str
    store: str
    container: str
    streaming: bool

    @property
    def tools(self) -> list[Any]:
        """The tools as OpenAI's API has them."""
        return [
            {"type": "file_search", "vector_store_ids": [self.store]},
            {"type": "web_search"},
            {"type": "code_interpreter", "container": {"type": "auto"}},
        ]


INCLUDE: list[Any] = ["file_search_call.results", "web_search_call.action.sources", "code_interpreter_call.outputs"]


def turns() -> list[Turn]:
    """What the model does in the two turns."""
    first = [
        *call("file_search", "call_1f", queries=["keeper of Cape Alder"]),
        *call("web_search", "call_1w", queries=["asyncio task group cancellation"]),
        *call("code_interpreter", "call_1c", code=_FIRST_CODE),
    ]
    second = [
        *call("file_search", "call_2f", queries=["crowns spent on paraffin"]),
        *call("web_search", "call_2w", queries=["mod_rewrite RewriteRule flags"]),
        *call("code_interpreter", "call_2c", code=_SECOND_CODE),
    ]
    return [first, _first_answer, second, _second_answer]


def _first_answer(prompt: Prompt) -> Any:
    keeper, page = _marker(prompt, "Ingrid Solvang"), _marker(prompt, "asyncio-task.html")
    return say(f"Ingrid Solvang{keeper} 😀. Use a TaskGroup{page}. It is 42: [table](sandbox:/mnt/data/sum.csv).")


def _second_answer(prompt: Prompt) -> Any:
    spent, page = _marker(prompt, "48,200"), _marker(prompt, "apache.test")
    return say(f"48,200 crowns{spent}. It rewrites{page}. It is 82: [table](sandbox:/mnt/data/double.csv).")


def _marker(prompt: Prompt, wanted: str) -> str:
    """The citation marker of the last passage or hit that has ``wanted`` in it."""
    blocks = [block for text in outputs(prompt) for block in re.split(r"(?=【\d+】)", text) if wanted in block]
    assert blocks, f"{wanted} is nowhere in {outputs(prompt)}"
    found = re.match(r"【\d+】", blocks[-1])
    assert found, blocks[-1]
    return found[0]


def outputs(prompt: Prompt) -> list[str]:
    return [str(item.output) for item in prompt.items if isinstance(item, FunctionCallOutput)]


async def converse(talk: Talk, server: Server, model: Model) -> tuple[Answer, Answer]:
    """Has the conversation and checks what the client shows and what the model was shown."""
    model.plays(*turns())
    model.prompts.clear()
    first = await talk.ask(QUESTIONS[0])
    check(first, server, ["Ingrid Solvang 😀.", "TaskGroup", "It is 42"], "python.test", "the sum: 42", b"a\n42\n")
    second = await talk.ask(QUESTIONS[1])
    check(second, server, ["48,200 crowns.", "It rewrites", "It is 82"], "apache.test", "twice: 82", b"a\n82\n")
    remembered(talk, model.prompts[2])
    return first, second


def check(answer: Answer, server: Server, words: Iterable[str], host: str, logs: str, made: bytes) -> None:
    for part in words:
        assert part in answer.text
    assert "【" not in answer.text
    assert answer.calls in (None, KINDS)
    if answer.urls is not None:
        (url,) = answer.urls
        assert url.startswith(f"http://{host}:") and f"([{host}]({url}))" in answer.text
    if answer.files is not None:
        (file,) = answer.files
        assert server.client.files.retrieve(file).filename == "report.pdf"
    if answer.made is not None:
        ((container, file),) = answer.made
        assert server.client.containers.files.content.retrieve(file, container_id=container).read() == made
    if answer.logs is not None:
        assert logs in answer.logs


def remembered(talk: Talk, prompt: Prompt) -> None:
    """What the model was shown of the first turn when the second began."""
    texts = [str(item) for item in prompt.items]
    assert "TaskGroup ([python.test](http://python.test" in "".join(texts), "the first answer is missing"
    shown = outputs(prompt)
    if talk.memory == "messages":
        assert shown == []
        return
    assert len(shown) == len(KINDS)
    for fact in ("Ingrid Solvang", "asyncio-task.html", "the sum: 42"):
        assert any(fact in output for output in shown), fact


@dataclass
class Citations:
    """Collects the annotations of an answer, as OpenAI's API has them."""

    urls: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    made: list[tuple[str, str]] = field(default_factory=list)

    def add(self, annotation: dict[str, Any]) -> None:
        if annotation["type"] == "url_citation":
            self.urls.append(annotation["url"])
        elif annotation["type"] == "file_citation":
            self.files.append(annotation["file_id"])
        elif annotation["type"] == "container_file_citation":
            self.made.append((annotation["container_id"], annotation["file_id"]))
        else:
            raise AssertionError(annotation)


def from_output(items: Iterable[dict[str, Any]]) -> Answer:
    """The answer that the output items of a response are."""
    cited, calls, text, logs = Citations(), [], "", ""
    for item in items:
        if item["type"] == "message":
            for part in item["content"]:
                text += part["text"]
                for annotation in part["annotations"]:
                    cited.add(annotation)
        else:
            calls.append(item["type"].removesuffix("_call"))
            logs += "".join(output.get("logs", "") for output in item.get("outputs") or [])
    return Answer(text, calls, cited.urls, cited.files, cited.made, logs)
