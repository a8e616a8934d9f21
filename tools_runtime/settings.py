"""All settings: one frozen object, read once from the environment and a TOML file. Nobody else reads the environment.

The file is the one that TOOLS_RUNTIME_CONFIG names, if any; a variable of the environment wins over it.

Every field is documented in docs/settings.md; a test compares the two.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

PREFIX = "TOOLS_RUNTIME_"


class UpstreamSettings(BaseModel):
    """One model server."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "default"
    url: str
    """Base URL ending in ``/v1``."""
    kind: Literal["chat", "responses"] = "chat"
    key: SecretStr | None = None
    models: tuple[str, ...] = ("*",)
    """Shell-style patterns of model names that go to this server; the first server that matches wins."""
    forced_tools: Literal["native", "json_schema"] = "native"
    """How a forced tool is asked for: by ``tool_choice``, or by a JSON schema of its arguments as response format."""
    native_tools: tuple[str, ...] = ("*",)
    """Shell-style patterns of the types of tools that a server of the kind ``responses`` is handed as they are."""
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"


class Settings(BaseSettings):
    """Settings of one server process. Environment variables are the field names in capitals after TOOLS_RUNTIME_."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", env_ignore_empty=True)

    # Server
    host: str = "127.0.0.1"
    """Address to listen on. Without ``api_keys``, whoever reaches it may use it."""
    port: int = Field(default=8000, ge=0, le=65535)
    """0 takes a free one."""
    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    """Keys that clients may use, each as ``name:key``. What is made with a key belongs to its name and is not there for
    others; a name may have several keys."""
    data: Path = Path("indexes")
    """Folder of the database, the uploaded files and the index; made if missing."""
    database_url: SecretStr | None = None
    """``postgresql://user:password@host/name``; without it the database is a SQLite file in ``data``."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Of this server's own loggers; those of libraries say warnings and errors only."""
    max_request_bytes: int = 64 * 2**20
    """Of a JSON body. File uploads have ``max_file_bytes``."""
    stall_seconds: float = Field(default=120, ge=1)
    """For which a client that does not read is waited for; then its connection is closed."""
    unread_bytes: int = Field(default=16 * 2**20, ge=2**16)
    """Of the events of one response that its client has not read; the model is held up while there are more."""
    websocket_seconds: float = Field(default=3600, gt=0)
    """For one WebSocket connection; OpenAI's limit."""
    websocket_running: int = Field(default=16, ge=1)
    """Responses of one connection that run at a time; OpenAI's limit."""
    websocket_lanes: int = Field(default=32, ge=1)
    """Different ``stream_id``s of one connection; OpenAI's limit."""
    websocket_waiting: int = Field(default=64, ge=1)
    """Requests of one connection that wait for their turn."""
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Origins of web pages (``https://example.com``) that may open WebSockets and use ``/mcp``; others may not."""
    mcp_server: bool = True
    """Whether the hosted tools are served to MCP clients at ``/mcp``."""
    shutdown_seconds: int = Field(default=10, ge=0)
    """How long requests that still run may take to end when the server is asked to stop."""

    # Upstreams: either a list, or the one of upstream_url, or (neither) the embedded model
    upstreams: tuple[UpstreamSettings, ...] = ()
    """Model servers; for each request the first whose patterns match the model."""
    upstream_url: str | None = None
    """Base URL of the one model server, ending in ``/v1``."""
    upstream_kind: Literal["chat", "responses"] = "chat"
    """The API that it is asked by: Chat Completions or Responses."""
    upstream_key: SecretStr | None = None
    """Sent to it as bearer token."""
    upstream_native_tools: Annotated[tuple[str, ...], NoDecode] = ("*",)
    """Its ``native_tools``."""
    foreign_tools: Literal["drop", "refuse"] = "drop"
    """What becomes of tools that neither this server, nor the client, nor the model server runs: they are left out, or
    the request is refused."""
    unknown_parameters: Literal["ignore", "refuse"] = "ignore"
    """What becomes of request fields that this server does not know: Responses servers are handed them and others are
    not, or the request is refused."""
    upstream_connect_seconds: float = 10
    """For making a connection."""
    upstream_first_delta_seconds: float = 300
    """From the request to the first event of the answer; local models load and read prompts for long."""
    upstream_idle_seconds: float = 120
    """Between two pieces of an answer."""
    upstream_retries: int = Field(default=2, ge=0)
    """Further attempts after a failure that may pass, with growing pauses, until the first event has come."""
    embedded_max_tokens: int = Field(default=512, ge=1)
    """Of a reply of the embedded model for which the request sets no limit: it repeats itself without an end."""
    default_model: str | None = None
    """For requests that name no model; without it the first one that a model server lists."""

    # The loop
    max_turns: int = Field(default=24, ge=2)
    """Model calls of one response. In the last one no hosted tool may be called, so that the model answers."""
    max_parallel_calls: int = Field(default=8, ge=1)
    """Hosted calls of one response that run side by side."""
    tool_seconds: float = 300
    """For one hosted call."""
    max_tool_output_chars: int = 60_000
    """Of one hosted call's result that the model is given."""
    run_lease_seconds: float = Field(default=30, ge=1)
    """After which a background response, or the lock on a conversation, of a process that does not show itself is ended
    by others."""
    run_poll_seconds: float = Field(default=0.25, gt=0)
    """How often a process looks for what others did to its runs, and for events that others write."""
    background_running: int = Field(default=16, ge=1)
    """Background responses that a process runs at a time; further ones are ``queued``."""
    background_waiting: int = Field(default=1000, ge=1)
    """Background responses of one owner that are queued."""
    background_event_seconds: int = Field(default=3600, ge=0)
    """How long the events of a background response are kept after its end, to be streamed again."""
    compact_tokens: int = Field(default=100_000, ge=1)
    """A context is compacted from this size on, where a request asks for compaction and names no threshold."""
    compact_summary_tokens: int = Field(default=4096, ge=1)
    """Of the summary that the model writes of what is compacted."""

    # MCP servers that requests name
    mcp_allow: Annotated[tuple[str, ...], NoDecode] = ()
    """``host:port``s of MCP servers that may be reached besides public addresses at ports 80 and 443."""
    mcp_list_seconds: float = Field(default=30, gt=0)
    """For connecting to a server and listing its tools."""
    mcp_call_seconds: float = Field(default=240, gt=0)
    """For one call, connecting included. A call of ``tool_seconds`` is stopped all the same."""
    mcp_max_bytes: int = Field(default=8 * 2**20, gt=0)
    """Of one answer of a server."""
    mcp_max_tools: int = Field(default=128, ge=1)
    """Tools of one server that a request may show to the model; OpenAI's limit for functions."""
    mcp_max_list_bytes: int = Field(default=2**19, gt=0)
    """Of their names, descriptions and schemas together."""

    # Web search
    searxng_url: str | None = None
    """Base URL of a SearXNG whose settings allow the format ``json``."""
    search_backends: Annotated[tuple[str, ...], NoDecode] = ()
    """In the order in which they are asked: ``searxng``, ``brave``, ``tavily``, ``json``, ``kiwix``, ``ddgs:<engine>``.
    If there are none: those of them that have a URL or a key, then public engines."""
    brave_key: SecretStr | None = None
    """For Brave's Web Search API."""
    tavily_key: SecretStr | None = None
    """For Tavily's Search API."""
    search_json_url: str | None = None
    """URL of an engine that answers JSON; ``{query}``, ``{count}``, ``{country}``, ``{language}`` are filled in."""
    search_json_results: str = "results[].{url: url, title: title, snippet: content}"
    """JMESPath of its hits, each with ``url``, ``title`` and ``snippet``."""
    search_json_header: SecretStr | None = None
    """A header that it is sent, ``Name: value``."""
    kiwix_url: str | None = None
    """Base URL of a kiwix-serve."""
    search_seconds: float = 8
    """For all queries of one search together, over all backends."""
    search_hedge_seconds: float = 2
    """After which a backend that has not answered is joined by the next; the first answer counts."""
    search_open_seconds: float = Field(default=3, ge=0)
    """How long a search waits for its first hits to be opened and read; 0 opens none."""
    search_cache_seconds: float = 300
    """How long what an engine found is kept in memory."""
    fetch_allow: Annotated[tuple[str, ...], NoDecode] = ()
    """``host:port``s that the page fetcher may reach besides public addresses."""
    fetch_seconds: float = 15
    """For one page, redirects included."""
    fetch_max_bytes: int = 10 * 2**20
    """Of one page, decompressed."""
    fetch_max_redirects: int = 5
    """Each is checked like the first address."""
    page_seconds: float = 10
    """For turning one page into text."""
    page_memory_bytes: int = 2**30
    """Address space of the process that does so."""
    page_max_chars: int = 1_000_000
    """Of the text of one page; the rest is left out."""
    page_cache_seconds: float = 900
    """How long a page that was opened is kept in memory."""
    page_cache_chars: int = 50_000_000
    """Of all pages kept."""
    robots: Literal["obey", "ignore"] = "obey"
    """Whether a site's robots.txt decides if its pages are opened."""
    browser_models: Annotated[tuple[str, ...], NoDecode] = ("*gpt-oss*", "*gpt_oss*", "*gptoss*")
    """Shell-style patterns of models that are shown the browser that gpt-oss models were trained on."""
    browser_prefix: str = Field(default="browser.", pattern=r"^[a-zA-Z_][\w.-]{0,40}$")
    """What the names of its functions begin with; ``browser_`` for model servers that refuse dots in names."""
    open_any_url: bool = False
    """Models may open URLs that neither the user, nor a result, nor an opened page has named."""

    # File search
    embedding_model: str | None = None
    """A sentence-transformers model, by name or folder; without it the one that comes with the installation. With
    ``embedding_url``, the name of the server's model."""
    embedding_precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of a model in this process; ``auto`` is bfloat16 where the processor has it built in."""
    embedding_url: str | None = None
    """Base URL, ending in ``/v1``, of a server that is asked for embeddings in place of a model in this process."""
    embedding_key: SecretStr | None = None
    """Sent to it as bearer token."""
    embedding_tokens: int = Field(default=384, ge=16)
    """What the server's model is given at once, in tokens of ``cl100k_base``."""
    embedding_query_prefix: str | None = None
    """Put before each query that the server embeds, for models that want it."""
    embedding_document_prefix: str | None = None
    """Put before each piece of a document that the server embeds."""
    embedding_seconds: float = Field(default=60, gt=0)
    """For one request to the server."""
    reranker_model: str | None = None
    """A cross-encoder of sentence-transformers, by name or folder, that puts the best passages in order; without it
    they keep the order of the fused rankings."""
    index_kind: Literal["exact", "ivf"] = "exact"
    """How vectors are searched: ``exact`` compares with each; ``ivf`` with those in the nearest lists of neighbours,
    which is faster beyond about a million and misses some."""
    index_probes: int = Field(default=16, ge=1)
    """How many lists ``ivf`` reads in each segment, of about 180 at the usual size."""
    index_segment_vectors: int = Field(default=32_768, ge=256)
    """Vectors in one segment of the index; a full one is kept on disk."""
    index_keyword_memory_bytes: int = Field(default=64 * 2**20, ge=16 * 2**20)
    """For words that are not yet on disk."""
    index_poll_seconds: float = Field(default=0.25, gt=0)
    """How often a process looks for what others changed in the database."""
    rewrite_seconds: float = 15
    """For the model that rewrites a query where ``rewrite_query`` asks for it; then it is searched as it was."""
    ingest_files: int = Field(default=4, ge=1)
    """Files that a process reads and embeds at a time; bounds its memory."""
    ingest_batch_texts: int = Field(default=32, ge=1)
    """Chunks, of several files, in one call of the embedding model."""
    ingest_attempts: int = Field(default=3, ge=1)
    """How often a file is tried if what fails may pass; then it is ``failed``."""
    ingest_retry_seconds: float = Field(default=2, ge=0)
    """Before the second attempt; doubled before each further one."""
    ingest_lease_seconds: float = Field(default=30, ge=1)
    """After which the files of a process that does not show itself are taken over by others."""
    max_file_bytes: int = 512 * 2**20
    """Of one uploaded file."""
    max_upload_bytes: int = 8 * 2**30
    """Of one file that comes in parts; OpenAI's limit."""
    max_part_bytes: int = 64 * 2**20
    """Of one part; OpenAI's limit."""
    upload_seconds: int = 3600
    """From the creation of an upload to its completion; OpenAI's limit."""
    sweep_seconds: float = Field(default=60, gt=0)
    """Between two rounds of deleting what has expired."""
    retention_days: int = Field(default=30, ge=0)
    """After which stored responses are deleted, as at OpenAI; 0: never."""
    read_seconds: float = 120
    """For turning one file into text."""
    read_memory_bytes: int = 2 * 2**30
    """Address space of the process that does so."""
    read_max_chars: int = 40_000_000
    """Of the text of one file; more is a failure, not a cut."""
    read_max_unpacked_bytes: int = 256 * 2**20
    """Of one Office document, OpenDocument or EPUB, which are archives."""
    read_max_pages: int = 10_000
    """Of one PDF."""
    ocr_pages: int = Field(default=100, ge=0)
    """Pages of one PDF that are images and whose text is recognised, where Tesseract is installed; 0: none."""
    ocr_seconds: float = 600
    """For reading one PDF with such pages."""
    ocr_languages: str = Field(default="eng", pattern=r"^\w+(\+\w+)*$")
    """Tesseract's names of the languages that are recognised, joined by ``+``; each is a package of its own."""
    max_file_tokens: int = 5_000_000
    """Of one file in a vector store; OpenAI's limit."""
    max_input_file_chars: int = 400_000
    """Of the text of one ``input_file``, which goes into the prompt whole."""

    # Code interpreter
    sandbox: Literal["auto", "docker", "bubblewrap", "none"] = "auto"
    """``auto`` uses Docker where it answers, else bubblewrap where it passes its self-test; with ``docker`` or
    ``bubblewrap`` the server does not start without it; with ``none``, code_interpreter is refused."""
    sandbox_image: str = "tools-runtime-sandbox:latest"
    """The image that ``python -m sandbox build`` makes."""
    sandbox_runtime: str | None = None
    """The Docker Engine's runtime for containers; without it, gVisor where it is offered and passes its self-test, else
    the engine's usual one."""
    sandbox_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """URLs of the Docker Engines that run containers: ``unix://``, ``tcp://`` (TLS) and ``ssh://``. Empty: the one that
    the ``docker`` command would use."""
    sandbox_certificates: Path | None = None
    """Folder with ``ca.pem``, ``cert.pem`` and ``key.pem``, by which this server and engines at ``tcp://`` know each
    other."""
    sandbox_rootfs: Path = Path("/var/lib/tools-runtime/sandbox")
    """Where ``python -m sandbox build --rootfs`` unpacked the image, for bubblewrap."""
    sandbox_memory_bytes: int = 2**30
    """Of a container that asks for no ``memory_limit``, its files included."""
    sandbox_max_memory_bytes: int | None = None
    """Larger ``memory_limit``s are refused; without it, half of the machine's memory."""
    sandbox_disk_bytes: int = 256 * 2**20
    """Of /mnt/data in one container."""
    sandbox_cpus: float = 1.0
    """Of one container."""
    sandbox_pids: int = 128
    """Processes and threads of one container."""
    sandbox_cell_seconds: float = 60
    """For one piece of code; then it is interrupted, and variables stay."""
    sandbox_idle_minutes: int = Field(default=20, ge=1)
    """After which an unused container expires, if it asks for no ``expires_after``."""
    sandbox_max_idle_minutes: int = Field(default=1440, ge=1)
    """The longest ``expires_after`` that a container may ask for."""
    sandbox_max_sessions: int = Field(default=16, ge=1)
    """Containers that run at a time; the one longest unused is ended to make room for a new one."""
    sandbox_allowed_domains: Annotated[tuple[str, ...], NoDecode] = ()
    """Domains, those below them included, of which a container may ask to reach some. Empty: no container has a
    network."""
    sandbox_warm: int = Field(default=2, ge=0)
    """Containers of the usual size that are kept ready by each engine; 0 starts each when it is needed."""
    sandbox_warm_tiers: Annotated[tuple[str, ...], NoDecode] = ()
    """Containers of other sizes that are kept ready by each engine beside those, as ``TIER:COUNT``."""
    sandbox_total_memory_bytes: int = 16 * 2**30
    """Of all containers of one engine together, by their limits, those that are kept ready included."""
    sandbox_call_files: int = Field(default=50, ge=0)
    """Files of one call that are kept for download; further ones stay in the container only."""
    sandbox_call_bytes: int = 64 * 2**20
    """Of these files together."""
    sandbox_keep_days: int = Field(default=30, ge=1)
    """After which expired containers are deleted, and their kept files with them."""
    sandbox_owner_containers: int = Field(default=100, ge=1)
    """Containers of one owner that have not expired."""
    sandbox_owner_files: int = 10_000
    """Kept files of one owner, older versions included."""
    sandbox_owner_bytes: int = 10 * 2**30
    """Of these files together."""
    sandbox_hourly_calls: int = 10_000
    """Calls of one owner in a clock hour."""
    sandbox_hourly_cpu_seconds: float = 36_000
    """Processor time of these calls together."""
    sandbox_hourly_bytes: int = 50 * 2**30
    """Of files that go into one owner's containers and come out in a clock hour."""
    public_url: str | None = None
    """This server's base URL as clients reach it, ending in ``/v1``. With it, images of code_interpreter are URLs of
    container files; without it, ``data:`` URLs."""

    @field_validator(
        "allowed_origins",
        "upstream_native_tools",
        "search_backends",
        "browser_models",
        "fetch_allow",
        "mcp_allow",
        "sandbox_allowed_domains",
        "sandbox_hosts",
        "sandbox_warm_tiers",
        mode="before",
    )
    @classmethod
    def _comma_separated(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("api_keys")
    @classmethod
    def _named_keys(cls, keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        pairs = [key.get_secret_value().partition(":") for key in keys]
        if not all(name.strip() and key.strip() for name, _, key in pairs):
            raise ValueError("each must have the form name:key")
        if len({key for _, _, key in pairs}) < len(pairs):
            raise ValueError("a key stands there twice")
        return keys

    @field_validator("sandbox_warm_tiers")
    @classmethod
    def _known_tiers(cls, tiers: tuple[str, ...]) -> tuple[str, ...]:
        for text in tiers:
            if not re.fullmatch(r"(1g|4g|16g|64g):\d+", text):
                raise ValueError(f"{text} is not TIER:COUNT, where TIER is 1g, 4g, 16g or 64g")
        return tiers

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not url.get_secret_value().startswith(("postgresql://", "postgres://", "sqlite:///")):
            raise ValueError("must begin with postgresql:// or sqlite:///")
        return url

    @property
    def database(self) -> str:
        """The URL of the database."""
        if self.database_url is None:
            return f"sqlite:///{self.data / 'tools-runtime.db'}"
        return self.database_url.get_secret_value()

    @model_validator(mode="after")
    def _hosts_reachable(self) -> Settings:
        for url in self.sandbox_hosts:
            if not re.fullmatch(r"unix:///.+|tcp://[^/]+:\d+|ssh://[^/]+(/.*)?", url):
                raise ValueError(f"sandbox_hosts: {url} is not unix:///PATH, tcp://HOST:PORT or ssh://[USER@]HOST")
            if url.startswith("tcp://") and self.sandbox_certificates is None:
                raise ValueError(f"sandbox_hosts: {url} needs sandbox_certificates; engines without TLS are not used")
        if len(set(self.sandbox_hosts)) < len(self.sandbox_hosts):
            raise ValueError("sandbox_hosts: a URL stands there twice")
        return self

    @model_validator(mode="after")
    def _embedding_model_named(self) -> Settings:
        if self.embedding_url and not self.embedding_model:
            raise ValueError("embedding_url needs embedding_model, the name of the server's model")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        file = os.environ.get(f"{PREFIX}CONFIG")
        if not file:
            return init_settings, env_settings
        if not Path(file).is_file():
            raise FileNotFoundError(f"{PREFIX}CONFIG names a file that does not exist: {file}")
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, file)
