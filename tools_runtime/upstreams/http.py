"""The HTTP that all model servers share: requests, retries, time-outs, and the words for what goes wrong.

Knows JSON and server-sent events, but neither prompts nor deltas. Proxies of the environment are not used: a model
server stands where its URL says, and prompts must not leave by a way that nobody configured.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
from collections.abc import AsyncGenerator, Callable, Container, Iterator
from contextlib import AbstractContextManager
from typing import Any

import aiohttp
import orjson
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential
from yarl import URL

from tools_runtime.settings import Settings, UpstreamSettings
from tools_runtime.upstreams import CONTEXT_OVERFLOW, UpstreamError
from tools_runtime.upstreams.refusals import blamed_status, error_fields, is_overflow, may_pass, retry_after, text
from tools_runtime.upstreams.replies import MAX_BODY_BYTES, EventStream, Reply, read_up_to
from tools_runtime.upstreams.sse import EventTooLarge

log = logging.getLogger(__name__)

_MAX_ERROR_BYTES = 64 * 2**10
_MAX_MESSAGE_CHARS = 2000
_MAX_RETRY_AFTER_SECONDS = 30
"""A server that asks for more patience than this is believed, but not waited for."""
_AIOHTTP_LARGE_BYTES = 2**20
"""aiohttp wants larger bodies than this as a file, so as to write them piece by piece."""


_Explained = Callable[[], AbstractContextManager[None]]


class Transient(UpstreamError):
    """A failure that may pass: worth another attempt as long as nothing was received."""


class ModelServer:
    """One model server, by HTTP. Opens its connections at the first request and keeps them alive."""

    def __init__(self, server: UpstreamSettings, settings: Settings) -> None:
        url = URL(server.url.rstrip("/"))
        key = server.key.get_secret_value() if server.key else None
        # aiohttp refuses two kinds of credentials at once; the key that was configured as such wins.
        self._url = url.with_user(None) if key else url
        self._headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        self._secrets = [secret for secret in (key, url.password) if secret]
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None
        self.name = server.name

    async def events(
        self, path: str, body: dict[str, Any], last: Container[Any] = ()
    ) -> AsyncGenerator[dict[str, Any]]:
        """Posts ``body`` and yields the JSON object of each event of the stream that answers it.

        Ends at ``[DONE]``, after an event whose ``type`` is in ``last``, or with the stream. Retries only until the
        first event has come. Raises ``UpstreamError``. Closing it early aborts the request.
        """
        stream, payloads = await self._begin(path, orjson.dumps(body))
        try:
            while payloads:
                for payload in payloads:
                    if payload == b"[DONE]":
                        await stream.drain()
                        return
                    event = self._object(payload)
                    yield event
                    if event.get("type") in last:
                        await stream.drain()
                        return
                with self._explained():
                    async with asyncio.timeout(self._settings.upstream_idle_seconds):
                        payloads = await stream.read()
        finally:
            stream.close()

    async def get(self, path: str) -> Any:
        """The JSON that the server answers a GET with. No retries. Raises ``UpstreamError``."""
        with self._explained():
            async with (
                asyncio.timeout(self._settings.upstream_idle_seconds),
                self._client().get(self._target(path), allow_redirects=False) as response,
            ):
                await self._check(response)
                return self._json(await read_up_to(response, MAX_BODY_BYTES))

    async def post(self, path: str, body: dict[str, Any]) -> Any:
        """The JSON that the server answers a POST with. No retries. Raises ``UpstreamError``."""
        with self._explained():
            async with asyncio.timeout(self._settings.upstream_idle_seconds):
                response = await self._post(path, orjson.dumps(body))
                try:
                    return self._json(await read_up_to(response, MAX_BODY_BYTES))
                finally:
                    response.release()

    async def relay(self, path: str, body: bytes) -> Reply:
        """Posts ``body`` as it stands; the reply, once its status is known to be 200. No retries: the client that wrote
        the body has its own. Raises ``UpstreamError``."""
        with self._explained():
            async with asyncio.timeout(self._settings.upstream_first_delta_seconds):
                return Reply(await self._post(path, body), self._settings.upstream_idle_seconds, self._explained)

    async def models(self) -> list[str]:
        """Names of the models that ``GET /models`` lists. Raises ``UpstreamError``."""
        try:
            return [str(model["id"]) for model in (await self.get("/models"))["data"]]
        except (KeyError, TypeError) as error:
            raise self.invalid("a list of models of an unexpected shape.") from error

    async def aclose(self) -> None:
        """Closes the connections."""
        if self._session:
            await self._session.close()

    def error(self, body: Any, status: int | None = None, kind: type[UpstreamError] = UpstreamError) -> UpstreamError:
        """The server's own error object, or whatever it sent in its place, as an error of ours.

        ``status`` is that of the HTTP reply. Inside a stream there is none: the error's own fields have to tell whether
        the request is to blame.
        """
        fields = error_fields(body)
        code, type_, param = (text(fields.get(name)) for name in ("code", "type", "param"))
        status = status or blamed_status(fields.get("code"), type_)
        message = (text(fields.get("message")) or f"It answered with status {status}.")[:_MAX_MESSAGE_CHARS]
        if not 400 <= status < 500:
            return self.failure(f"failed: {message}", "upstream_error", kind=kind)
        if is_overflow(type_, message):
            code = CONTEXT_OVERFLOW
        type_ = type_ or "invalid_request_error"
        return kind(self._redacted(message), status=status, type=type_, param=param, code=code)

    def failure(
        self, what: str, code: str, *, status: int = 502, kind: type[UpstreamError] = UpstreamError
    ) -> UpstreamError:
        """An error that the server, not the request, is to blame for."""
        message = self._redacted(f"The model server '{self.name}' {what}")
        return kind(message, status=status, type="server_error", code=code)

    def invalid(self, what: str) -> UpstreamError:
        """The server sent something that makes no sense."""
        return self.failure(f"sent an invalid reply: {what}", "upstream_invalid_response")

    # --- one attempt -------------------------------------------------------------------------------------------------

    async def _begin(self, path: str, body: bytes) -> tuple[EventStream, list[bytes]]:
        """The open stream and its first payloads; none if it ended without any."""
        retrying = AsyncRetrying(
            retry=retry_if_exception(_worth_retrying),
            stop=stop_after_attempt(self._settings.upstream_retries + 1),
            wait=_wait,
            before_sleep=self._report_retry,
            reraise=True,
        )
        async for attempt in retrying:
            with attempt:
                return await self._attempt(path, body)
        raise AssertionError("tenacity returns or raises")

    async def _attempt(self, path: str, body: bytes) -> tuple[EventStream, list[bytes]]:
        with self._explained(before_first_event=True):
            async with asyncio.timeout(self._settings.upstream_first_delta_seconds):
                response = await self._post(path, body)
                try:
                    stream = EventStream(response)
                    if response.content_type == "application/json":
                        # Some servers do not stream, or not when tools are there: the whole reply is one event.
                        return stream, [await read_up_to(response, MAX_BODY_BYTES)]
                    return stream, await stream.read()
                except BaseException:
                    response.release()
                    raise

    async def _post(self, path: str, body: bytes) -> aiohttp.ClientResponse:
        """The reply, whose status is 200 and whose body is still to be read."""
        data = body if len(body) < _AIOHTTP_LARGE_BYTES else io.BytesIO(body)
        response = await self._client().post(self._target(path), data=data, allow_redirects=False)
        try:
            await self._check(response)
        except BaseException:
            response.release()
            raise
        return response

    async def _check(self, response: aiohttp.ClientResponse) -> None:
        if response.status == 200:
            return
        raw = await read_up_to(response, _MAX_ERROR_BYTES)
        try:
            body = orjson.loads(raw)
        except orjson.JSONDecodeError:
            # Pages of proxies say nothing to an API's client; a line of text may.
            body = raw.decode(errors="replace").strip() if response.content_type == "text/plain" else None
        error = self.error(body, response.status, Transient if may_pass(response.status, raw) else UpstreamError)
        if isinstance(error, Transient):
            error.retry_after = retry_after(response.headers.get("Retry-After"))
        raise error

    # --- helpers -----------------------------------------------------------------------------------------------------

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                headers=self._headers,
                # How many requests run at once is decided before they get here.
                connector=aiohttp.TCPConnector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, connect=self._settings.upstream_connect_seconds),
                trust_env=False,
            )
        return self._session

    def _target(self, path: str) -> URL:
        return self._url.with_path(self._url.path.rstrip("/") + path, keep_query=True)

    def _json(self, raw: bytes) -> Any:
        try:
            return orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            raise self.invalid("not JSON.") from error

    def _object(self, payload: bytes) -> dict[str, Any]:
        event = self._json(payload)
        if not isinstance(event, dict):
            raise self.invalid("an event that is not an object.")
        return event

    @contextlib.contextmanager
    def _explained(self, *, before_first_event: bool = False) -> Iterator[None]:
        """Turns what aiohttp raises into ``UpstreamError``s; before the first event, a lost connection is transient."""
        try:
            yield
        except aiohttp.ConnectionTimeoutError as error:
            what = "did not accept a connection in time."
            raise self.failure(what, "upstream_timeout", status=504, kind=Transient) from error
        except TimeoutError as error:
            raise self.failure("did not answer in time.", "upstream_timeout", status=504) from error
        except aiohttp.ClientConnectorError as error:
            raise self.failure("cannot be reached.", "upstream_unreachable", kind=Transient) from error
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, ConnectionError) as error:
            kind = Transient if before_first_event else UpstreamError
            what = "closed the connection before it had finished."
            raise self.failure(what, "upstream_disconnected", kind=kind) from error
        except (aiohttp.ClientError, EventTooLarge) as error:
            raise self.invalid(f"{type(error).__name__}.") from error

    def _redacted(self, message: str) -> str:
        for secret in self._secrets:
            message = message.replace(secret, "***")
        return message

    def _report_retry(self, state: RetryCallState) -> None:
        log.warning("%s Trying again.", state.outcome and state.outcome.exception())


def _worth_retrying(error: BaseException) -> bool:
    return isinstance(error, Transient) and (error.retry_after or 0) <= _MAX_RETRY_AFTER_SECONDS


_back_off = wait_random_exponential(multiplier=0.25, max=8)


def _wait(state: RetryCallState) -> float:
    error = state.outcome and state.outcome.exception()
    if isinstance(error, Transient) and error.retry_after is not None:
        return error.retry_after
    return _back_off(state)
