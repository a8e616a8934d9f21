"""What survives: the database and the blobs. This file holds the values that the stores speak in.

There is no port in front of the database: SQL is the port, and the URL picks the engine. Every stored object has an
owner, and every query names it; what belongs to somebody else looks as if it did not exist.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Cursor:
    """Which part of a list is wanted. ``after`` and ``before`` are ids of members of that list; ``before`` alone asks
    for the page that ends just before it. ``order`` is the order of creation."""

    after: str | None = None
    before: str | None = None
    limit: int = 20
    order: Literal["asc", "desc"] = "desc"


@dataclass(frozen=True)
class Page(Generic[T]):
    """A part of a list. ``first_id`` and ``last_id`` are None when it is empty."""

    data: list[T]
    first_id: str | None
    last_id: str | None
    has_more: bool


@dataclass(frozen=True)
class StoredItem:
    """An item of a response or conversation. ``data`` is the JSON of the whole item: ``include`` gates it on the way
    out, never here."""

    id: str
    data: bytes


@dataclass(frozen=True)
class StoredResponse:
    """A response. ``body`` is the response object's JSON without its ``output``, which is stored as items."""

    id: str
    owner: str
    created_at: int
    status: str
    previous_response_id: str | None
    conversation_id: str | None
    body: bytes
    input: Sequence[StoredItem] = ()
    output: Sequence[StoredItem] = ()


UNFINISHED = ("queued", "in_progress")
"""Statuses of a response whose run has not ended."""


@dataclass(frozen=True)
class StoredEvent:
    """An event of a background response; ``data`` is its JSON."""

    number: int
    type: str
    data: bytes


@dataclass(frozen=True)
class Lease:
    """What whoever runs a response has of it. Another that takes the run over gets another ``token``."""

    owner: str
    response_id: str
    token: str


@dataclass(frozen=True)
class Waiting:
    """A background response that has been leased to be run."""

    lease: Lease
    request: bytes


@dataclass(frozen=True)
class Conversation:
    """A conversation without its items. ``created_at`` in seconds since 1970."""

    id: str
    created_at: int
    metadata: dict[str, str]


@dataclass(frozen=True)
class NewFile:
    """What is known of a file before its bytes are. ``seconds`` is how long it lives."""

    owner: str
    filename: str
    purpose: str
    seconds: int | None = None


@dataclass(frozen=True)
class StoredFile:
    """An uploaded file. ``filename`` is for display only: the bytes lie under the id."""

    id: str
    owner: str
    created_at: int
    filename: str
    purpose: str
    bytes: int
    expires_at: int | None = None


UploadStatus = Literal["pending", "completed", "cancelled", "expired"]


@dataclass(frozen=True)
class NewUpload:
    """A file that is to come in parts. ``bytes`` is what it will have; ``file_seconds`` is how long the file lives."""

    filename: str
    purpose: str
    bytes: int
    file_seconds: int | None = None


@dataclass(frozen=True)
class Upload(NewUpload):
    """A file that comes in parts. Times in seconds since 1970."""

    id: str = field(kw_only=True)
    owner: str = field(kw_only=True)
    created_at: int = field(kw_only=True)
    expires_at: int = field(kw_only=True)
    status: UploadStatus = field(kw_only=True)


@dataclass(frozen=True)
class UploadPart:
    """A part of an upload. Where it belongs is said on completion."""

    id: str
    upload_id: str
    created_at: int
    bytes: int


FileStatus = Literal["in_progress", "completed", "cancelled", "failed"]
ErrorCode = Literal["server_error", "unsupported_file", "invalid_file"]
Attributes = dict[str, str | bool | int | float]


DAY = 86_400
"""In seconds."""


@dataclass(frozen=True)
class FileCounts:
    """How many files of a vector store or batch are in each status."""

    in_progress: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0

    @property
    def total(self) -> int:
        return self.in_progress + self.completed + self.failed + self.cancelled


@dataclass(frozen=True)
class VectorStore:
    """A vector store. Times in seconds since 1970; ``usage_bytes`` is what its files' chunks and vectors take."""

    id: str
    created_at: int
    last_active_at: int
    expires_after_days: int | None
    name: str
    description: str | None
    metadata: dict[str, str]
    counts: FileCounts = FileCounts()
    usage_bytes: int = 0

    @property
    def expires_at(self) -> int | None:
        return None if self.expires_after_days is None else self.last_active_at + self.expires_after_days * DAY

    def expired(self, now: float) -> bool:
        return self.expires_at is not None and self.expires_at <= now


@dataclass(frozen=True)
class NewVectorStore:
    """What a client says of a vector store that it creates."""

    name: str
    description: str | None
    metadata: dict[str, str]
    expires_after_days: int | None


@dataclass(frozen=True)
class Attachment:
    """What a client asks for when it puts a file into a vector store. The chunk size and overlap are in tokens."""

    file_id: str
    attributes: Attributes
    chunk_tokens: int = 800
    overlap_tokens: int = 400


@dataclass(frozen=True)
class VectorStoreFile:
    """A file in a vector store. ``key`` names it inside this server; in status ``in_progress`` it is a job to do."""

    key: int
    owner: str
    vector_store_id: str
    file_id: str
    created_at: int
    status: FileStatus
    error_code: ErrorCode | None
    error_message: str | None
    attributes: Attributes
    chunk_tokens: int
    overlap_tokens: int
    usage_bytes: int


@dataclass(frozen=True)
class SearchableFile:
    """A file of a vector store that can be found: what an index must know of it. ``version`` changes with the text."""

    key: int
    owner: str
    vector_store_id: str
    file_id: str
    attributes: Attributes
    chunk_tokens: int
    overlap_tokens: int
    version: int


@dataclass(frozen=True)
class FileBatch:
    """Files that were put into a vector store by one request."""

    id: str
    vector_store_id: str
    created_at: int
    counts: FileCounts


@dataclass(frozen=True)
class NewChunk:
    """A chunk as ingestion makes it. ``start`` and ``end`` are character offsets in the file's text; ``vectors`` is
    a matrix of 16-bit floats with ``windows`` rows; ``page`` counts from 1;
    ``heading`` names the headings above its beginning."""

    text: str
    start: int
    end: int
    page: int | None
    heading: str | None
    windows: int
    vectors: bytes


@dataclass(frozen=True)
class IndexedChunk:
    """What an index holds of a chunk; ``vectors`` as in ``NewChunk``."""

    file_key: int
    key: int
    text: str
    windows: int
    vectors: bytes


@dataclass(frozen=True)
class Chunk:
    """A stored chunk, and the file that it comes from."""

    key: int
    file_key: int
    file_id: str
    filename: str
    attributes: Attributes
    text: str
    start: int
    end: int
    page: int | None
    heading: str | None


MemoryLimit = Literal["1g", "4g", "16g", "64g"]


@dataclass(frozen=True)
class NewContainer:
    """What is said of a container that is made. Without a ``memory_limit`` it gets what this server usually gives."""

    name: str
    idle_minutes: int
    memory_limit: MemoryLimit | None
    network_policy: dict[str, Any]


@dataclass(frozen=True)
class StoredContainer:
    """A container of the code interpreter, as it was when it was read; times in seconds since 1970.

    ``started``: it has had a session. ``expired``: it was ended, or unused for ``idle_minutes``.
    """

    id: str
    owner: str
    created_at: int
    last_active_at: int
    name: str
    idle_minutes: int
    memory_limit: MemoryLimit | None
    network_policy: dict[str, Any]
    started: bool
    expired: bool


@dataclass(frozen=True)
class StoredContainerFile:
    """One version of a file of a container: ``path`` is absolute, in the container. ``user`` put it in, or code
    (``assistant``) made it. ``blob`` names its bytes, which files may share. ``current``: no later version."""

    id: str
    owner: str
    container_id: str
    created_at: int
    path: str
    bytes: int
    source: Literal["user", "assistant"]
    blob: str
    current: bool = True


@dataclass(frozen=True)
class ContainerUsage:
    """What an owner's containers did: cells run, their processor time, bytes and files that went in and came out."""

    cells: int = 0
    cpu_seconds: float = 0
    bytes_in: int = 0
    bytes_out: int = 0
    files: int = 0

    def __add__(self, other: ContainerUsage) -> ContainerUsage:
        return ContainerUsage(
            self.cells + other.cells,
            self.cpu_seconds + other.cpu_seconds,
            self.bytes_in + other.bytes_in,
            self.bytes_out + other.bytes_out,
            self.files + other.files,
        )
