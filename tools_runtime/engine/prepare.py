"""Everything that can be refused is refused here, before the first event."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from pydantic import ValidationError

from tools_runtime import ids
from tools_runtime.engine.approvals import Approvals
from tools_runtime.engine.client_tools import Names
from tools_runtime.engine.compaction import Compactor
from tools_runtime.engine.content import ContentLoader
from tools_runtime.engine.echo import first_response
from tools_runtime.engine.foreign import tools_in
from tools_runtime.engine.log import EventLog
from tools_runtime.engine.prompt import PromptBuilder, Reader, check_calls
from tools_runtime.engine.recent import Recent
from tools_runtime.engine.request_items import History, RequestItems, without_cut_off
from tools_runtime.engine.toolbox import ForeignRule, Given, Resolver, Toolbox
from tools_runtime.errors import ApiError
from tools_runtime.protocol.codec import read_tool
from tools_runtime.protocol.foreign_items import CompactionTrigger
from tools_runtime.protocol.items import Item
from tools_runtime.protocol.mcp_items import McpApprovalRequest
from tools_runtime.protocol.prompt import Choice, Function, Prompt, PromptItem
from tools_runtime.protocol.request import CreateResponse
from tools_runtime.stores import Lease
from tools_runtime.tools import HostedTool, Scope
from tools_runtime.tools.sources import Sources
from tools_runtime.upstreams import Upstream

logger = logging.getLogger(__name__)

_UNSUPPORTED = ("prompt", "moderation", "audio")


class Upstreams(Protocol):
    """Picks the model server; raises ``ApiError`` for a model that nobody serves."""

    async def pick(self, model: str | None) -> tuple[Upstream, str]: ...


@dataclass(frozen=True)
class Ticket:
    """What is settled of a response before its request is prepared. ``lease``: its run's, or its conversation's lock.
    The rest is of one that was queued by another process: when, and the input as it was stored."""

    response_id: str = field(default_factory=lambda: ids.new("resp"))
    lease: Lease | None = None
    created_at: int | None = None
    input: Sequence[Item] | None = None


@dataclass(frozen=True)
class Prepared:
    """A request that will run: nothing in it can be refused any more. ``old_items`` and then ``new_items``, which the
    stores lack, are the chain so far."""

    request: CreateResponse
    owner: str
    log: EventLog
    upstream: Upstream
    model: str
    toolbox: Toolbox
    sources: Sources
    items: list[PromptItem]
    old_items: list[Item]
    new_items: list[Item]
    approved: list[McpApprovalRequest]
    """Calls that the user has allowed, to be made first."""
    compactor: Compactor
    compacts: bool
    """The request wants the context compacted, and no answer."""
    generate: bool
    """Whether the model is to answer; where not, the response only prepares the next."""
    lease: Lease | None = None
    """The lock on its conversation, if it has one."""

    def prompt(
        self,
        items: Sequence[PromptItem],
        choice: Choice,
        *,
        functions: tuple[Function, ...] | None = None,
        max_output_tokens: int | None = None,
    ) -> Prompt:
        """What a model is shown in one turn. ``functions`` are the toolbox's unless given."""
        return Prompt(
            model=self.model,
            request=self.request,
            items=tuple(items),
            instructions=self.instructions,
            functions=self.toolbox.functions if functions is None else functions,
            native=self.toolbox.native,
            choice=choice,
            max_output_tokens=max_output_tokens,
        )

    @property
    def instructions(self) -> str | None:
        """The request's instructions, and what the tools have to tell the model."""
        parts = [self.request.instructions, *self.toolbox.instructions]
        return "\n\n".join(part for part in parts if part) or None


@dataclass(frozen=True)
class Rules:
    """What becomes of what this server does not know."""

    foreign_tools: ForeignRule = "drop"
    unknown_parameters: Literal["ignore", "refuse"] = "ignore"


class Preparer:
    """Turns requests into ``Prepared`` ones."""

    def __init__(
        self,
        history: History,
        upstreams: Upstreams,
        tools: Sequence[HostedTool],
        loader: ContentLoader,
        compactor: Compactor,
        rules: Rules | None = None,
    ) -> None:
        self._request_items = RequestItems(history)
        self._upstreams = upstreams
        self._tools = tools
        self._loader = loader
        self._compactor = compactor
        self._rules = rules or Rules()

    async def prepare(
        self,
        request: CreateResponse,
        owner: str,
        recent: Recent | None = None,
        *,
        generate: bool = True,
        ticket: Ticket | None = None,
    ) -> Prepared:
        """``recent`` is asked before the stores for what the request goes on from. Raises ``ApiError`` for whatever is
        wrong with the request."""
        ticket = ticket or Ticket()
        _refuse_unsupported(request)
        self._judge_unknown(request)
        remembered = recent.find(request.previous_response_id or "") if recent else None
        old = without_cut_off(remembered.items if remembered else await self._request_items.old(request, owner))
        new = await self._request_items.new(request, owner) if ticket.input is None else list(ticket.input)
        check_calls([*old, *new])
        upstream, model = await self._upstreams.pick(request.model)
        given = _given(request, old, new, upstream.takes)
        hosted = [tool.shown_to(model) for tool in self._tools]
        tools = [tool for tool in hosted if not _left_to_the_server(tool, upstream.takes)]
        approvals = Approvals(old, new)
        sources, names = Sources(), Names([each.tool for each in given])
        reader = Reader(upstream.takes, names, approvals)
        by_item = {tool.item_type: tool for tool in tools}
        builder = PromptBuilder(owner, by_item, sources, self._loader, self._compactor, reader)
        items = await builder.build(old, new)
        scope = Scope(owner, ticket.response_id, request, (*old, *new), sources)
        resolver = Resolver(tools, upstream.takes, self._rules.foreign_tools)
        toolbox = await resolver.resolve(given, scope, names)
        approved = [] if upstream.takes("mcp") else approvals.granted(toolbox.servers)
        if not items and not approved and generate:
            raise ApiError("Missing required parameter: 'input'.", param="input", code="missing_required_parameter")
        log = EventLog(first_response(scope, model, toolbox, ticket.created_at))
        if remembered and not remembered.stored:
            old, new = [], [*old, *new]
        return Prepared(
            request=request,
            owner=owner,
            log=log,
            upstream=upstream,
            model=model,
            toolbox=toolbox,
            sources=sources,
            items=items,
            old_items=old,
            new_items=new,
            approved=approved,
            compactor=self._compactor,
            compacts=_triggers(request),
            generate=generate,
            lease=ticket.lease,
        )

    def _judge_unknown(self, request: CreateResponse) -> None:
        if name := next(request.unknown(), None):
            if self._rules.unknown_parameters == "refuse":
                raise ApiError(f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")
            logger.info("parameters that are not known here: %.200s", ", ".join(request.unknown()))


def _given(
    request: CreateResponse, old: Sequence[Item], new: Sequence[Item], takes: Callable[[str], bool]
) -> list[Given]:
    """The request's tools and, unless the model server reads them out of the items itself, those that items have added.
    Raises ``ApiError`` for a tool in this request's items that is none."""
    given = [Given(tool, f"tools[{index}]") for index, tool in enumerate(request.tools)]
    if takes("tool_search"):
        return given
    known = {(tool.type, getattr(tool, "name", None)) for tool in request.tools}
    for place, number, data in tools_in([*old, *new]):
        param = f"input[{place - len(old)}].tools[{number}]"
        try:
            tool = read_tool(data)
        except ValidationError as error:
            if place < len(old):
                continue
            raise ApiError(f"Invalid '{param}': {error.errors()[0]['msg']}.", param=param) from None
        key = tool.type, getattr(tool, "name", None)
        if key not in known:
            known.add(key)
            given.append(Given(tool, param, echoed=False))
    return given


def _left_to_the_server(tool: HostedTool, takes: Callable[[str], bool]) -> bool:
    """MCP servers are asked by the model server, if it does that."""
    return tool.item_type == "mcp_call" and takes("mcp")


def _refuse_unsupported(request: CreateResponse) -> None:
    for name in _UNSUPPORTED:
        if getattr(request, name):
            raise ApiError(
                f"Parameter '{name}' is not supported by this server.", param=name, code="unsupported_parameter"
            )
    _check_background(request)
    if any(modality != "text" for modality in request.modalities or ()):
        raise ApiError("This server answers in text only.", param="modalities", code="unsupported_parameter")
    if request.previous_response_id is not None and request.conversation is not None:
        raise ApiError(
            "Mutually exclusive parameters: 'previous_response_id' and 'conversation'.",
            param="previous_response_id",
            code="mutually_exclusive_parameters",
        )


def _check_background(request: CreateResponse) -> None:
    if request.background and not request.stored:
        raise ApiError("Background responses are stored: 'background' requires store=true.", param="store")
    if request.background_options and request.background_options.continuation_id is not None:
        name = "background_options.continuation_id"
        raise ApiError(f"Parameter '{name}' is not supported by this server.", param=name, code="unsupported_parameter")


def _triggers(request: CreateResponse) -> bool:
    return not isinstance(request.input, str) and any(isinstance(item, CompactionTrigger) for item in request.input)
