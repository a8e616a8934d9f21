"""Writers turn one kind of delta into one kind of item: they open it, write its events, and close it.

A writer knows no numbers; the accumulator adds them. Each item is closed exactly once, with the status that it earned.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from tools_runtime import ids
from tools_runtime.engine.citations import CitationRewriter, Piece
from tools_runtime.protocol import events as ev
from tools_runtime.protocol.items import (
    Message,
    OutputText,
    Reasoning,
    ReasoningText,
    Refusal,
    SummaryText,
)
from tools_runtime.tools import Emit

Closing = Literal["completed", "incomplete"]
Phase = Literal["commentary", "final_answer"]


class MessageWriter:
    """An assistant message: text with its citations, refusals. ``rewriter`` makes the citation rewriter of one part:
    annotations count from the beginning of theirs."""

    def __init__(self, emit: Emit, rewriter: Callable[[], CitationRewriter], phase: Phase | None = None) -> None:
        self._emit = emit
        self.phase = phase
        self._new_rewriter = rewriter
        self._rewriter: CitationRewriter
        self._id = ids.new("msg")
        self._parts: list[OutputText | Refusal] = []
        self._pieces: list[str] = []
        self._raw: list[str] = []
        self._logprobs: list[dict[str, Any]] = []
        self._unsent_logprobs: list[dict[str, Any]] = []
        emit(ev.OutputItemAdded(item=self._message("in_progress", [])))

    @property
    def raw(self) -> str:
        """The text as the model wrote it, markers and all: what it is shown of itself in the next turn."""
        return "".join(self._raw)

    def text(self, text: str, logprobs: tuple[dict[str, Any], ...]) -> None:
        self._part(OutputText)
        self._raw.append(text)
        self._unsent_logprobs.extend(logprobs)
        for piece in self._rewriter.feed(text):
            self._put(piece)

    def refusal(self, text: str) -> None:
        self._part(Refusal)
        self._raw.append(text)
        self._pieces.append(text)
        self._emit(ev.RefusalDelta(item_id=self._id, content_index=self._index, delta=text))

    def close(self, status: Closing) -> None:
        self._end_part()
        self._emit(ev.OutputItemDone(item=self._message(status, list(self._parts))))

    @property
    def _index(self) -> int:
        return len(self._parts) - 1

    def _message(self, status: Literal["in_progress", "completed", "incomplete"], content: list[Any]) -> Message:
        message = Message(id=self._id, status=status, role="assistant", content=content)
        if self.phase is not None:
            message.phase = self.phase
        return message

    def _part(self, kind: type[OutputText] | type[Refusal]) -> None:
        """Makes the open part one of ``kind``."""
        if self._parts and isinstance(self._parts[-1], kind):
            return
        self._end_part()
        part = OutputText(text="") if kind is OutputText else Refusal(refusal="")
        self._parts.append(part)
        self._pieces.clear()
        self._logprobs, self._unsent_logprobs = [], []
        self._rewriter = self._new_rewriter()
        self._emit(ev.ContentPartAdded(item_id=self._id, content_index=self._index, part=part.model_copy(deep=True)))

    def _put(self, piece: Piece) -> None:
        part = self._parts[-1]
        assert isinstance(part, OutputText)
        if isinstance(piece, str):
            self._pieces.append(piece)
            logprobs, self._unsent_logprobs = self._unsent_logprobs, []
            self._logprobs.extend(logprobs)
            self._emit(ev.OutputTextDelta(item_id=self._id, content_index=self._index, delta=piece, logprobs=logprobs))
        else:
            part.annotations.append(piece)
            self._emit(
                ev.AnnotationAdded(
                    item_id=self._id,
                    content_index=self._index,
                    annotation_index=len(part.annotations) - 1,
                    annotation=piece,
                )
            )

    def _end_part(self) -> None:
        if not self._parts:
            return
        part = self._parts[-1]
        if isinstance(part, OutputText):
            for piece in self._rewriter.end():
                self._put(piece)
            part.text = "".join(self._pieces)
            part.logprobs = self._logprobs + self._unsent_logprobs
            self._emit(
                ev.OutputTextDone(item_id=self._id, content_index=self._index, text=part.text, logprobs=part.logprobs)
            )
        else:
            part.refusal = "".join(self._pieces)
            self._emit(ev.RefusalDone(item_id=self._id, content_index=self._index, refusal=part.refusal))
        self._emit(ev.ContentPartDone(item_id=self._id, content_index=self._index, part=part))


class ReasoningWriter:
    """A reasoning item: the model's own text as content, or summaries of it, in parts."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._id = ids.new("rs")
        self._texts: list[str] = []
        self._summaries: list[str] = []
        self._open: tuple[Literal["text", "summary"], int] | None = None
        self._pieces: list[str] = []
        emit(ev.OutputItemAdded(item=Reasoning(id=self._id, summary=[])))

    def delta(self, text: str, kind: Literal["text", "summary"], part: int) -> None:
        if self._open != (kind, part):
            self._end_part()
            self._open = (kind, part)
            self._begin_part(kind)
        self._pieces.append(text)
        if kind == "text":
            self._emit(ev.ReasoningTextDelta(item_id=self._id, content_index=len(self._texts), delta=text))
        else:
            self._emit(ev.SummaryTextDelta(item_id=self._id, summary_index=len(self._summaries), delta=text))

    def close(self, status: Closing, encrypted_content: str | None = None) -> Reasoning:
        """Closes the item and returns it."""
        self._end_part()
        item = Reasoning(id=self._id, summary=[SummaryText(text=text) for text in self._summaries])
        if self._texts:
            item.content = [ReasoningText(text=text) for text in self._texts]
        if encrypted_content is not None:
            item.encrypted_content = encrypted_content
        if status == "incomplete":
            item.status = status
        self._emit(ev.OutputItemDone(item=item))
        return item

    def _begin_part(self, kind: Literal["text", "summary"]) -> None:
        if kind == "text":
            self._emit(
                ev.ContentPartAdded(item_id=self._id, content_index=len(self._texts), part=ReasoningText(text=""))
            )
        else:
            self._emit(
                ev.SummaryPartAdded(item_id=self._id, summary_index=len(self._summaries), part=SummaryText(text=""))
            )

    def _end_part(self) -> None:
        if self._open is None:
            return
        text = "".join(self._pieces)
        self._pieces.clear()
        if self._open[0] == "text":
            index = len(self._texts)
            self._texts.append(text)
            self._emit(ev.ReasoningTextDone(item_id=self._id, content_index=index, text=text))
            self._emit(ev.ContentPartDone(item_id=self._id, content_index=index, part=ReasoningText(text=text)))
        else:
            index = len(self._summaries)
            self._summaries.append(text)
            self._emit(ev.SummaryTextDone(item_id=self._id, summary_index=index, text=text))
            self._emit(ev.SummaryPartDone(item_id=self._id, summary_index=index, part=SummaryText(text=text)))
        self._open = None
