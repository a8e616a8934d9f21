"""Files and vector stores: requests and objects. Shapes from openai 3.54.0 and OpenAI's API description."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, StringConstraints, model_validator

from tools_runtime.protocol.base import StrictWire, Wire
from tools_runtime.protocol.request import Metadata
from tools_runtime.protocol.tools import AttributeFilter

Purpose = Literal["assistants", "batch", "fine-tune", "vision", "user_data", "evals"]

AttributeText = Annotated[str, StringConstraints(max_length=512)]
AttributeValue = bool | int | float | AttributeText
Attributes = Annotated[
    dict[Annotated[str, StringConstraints(min_length=1, max_length=64)], AttributeValue], Field(max_length=16)
]

FileId = Annotated[str, StringConstraints(min_length=1, max_length=128)]

# --- files -----------------------------------------------------------------------------------------------------------


class FileObject(Wire):
    """``created_at`` in seconds since 1970."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    expires_at: int | None = None
    filename: str
    purpose: str
    status: Literal["uploaded", "processed", "error"] = "processed"
    status_details: str | None = None


MIN_FILE_SECONDS = 3600
MAX_FILE_SECONDS = 30 * 86_400
"""OpenAI's bounds of a file's life: an hour to thirty days."""


class FileExpiresAfter(StrictWire):
    anchor: Literal["created_at"]
    seconds: int = Field(ge=MIN_FILE_SECONDS, le=MAX_FILE_SECONDS)


# --- uploads ---------------------------------------------------------------------------------------------------------


class CreateUpload(StrictWire):
    bytes: int = Field(ge=0)
    filename: str = Field(min_length=1)
    mime_type: str
    purpose: Purpose
    expires_after: FileExpiresAfter | None = None


class CompleteUpload(StrictWire):
    part_ids: list[Annotated[str, StringConstraints(max_length=128)]] = Field(max_length=10_000)
    md5: str | None = None


class UploadObject(Wire):
    id: str
    object: Literal["upload"] = "upload"
    bytes: int
    created_at: int
    expires_at: int
    filename: str
    purpose: str
    status: Literal["pending", "completed", "cancelled", "expired"]
    file: FileObject | None = None


class UploadPartObject(Wire):
    id: str
    object: Literal["upload.part"] = "upload.part"
    created_at: int
    upload_id: str


# --- how a file is cut -----------------------------------------------------------------------------------------------


class StaticChunks(StrictWire):
    """In tokens. OpenAI's limits and defaults."""

    max_chunk_size_tokens: int = Field(default=800, ge=100, le=4096)
    chunk_overlap_tokens: int = Field(default=400, ge=0)

    @model_validator(mode="after")
    def _overlap_is_at_most_half(self) -> StaticChunks:
        if self.chunk_overlap_tokens * 2 > self.max_chunk_size_tokens:
            raise ValueError("chunk_overlap_tokens must not exceed half of max_chunk_size_tokens")
        return self


class AutoChunking(StrictWire):
    type: Literal["auto"]

    @property
    def static(self) -> StaticChunks:
        return StaticChunks()


class StaticChunking(StrictWire):
    type: Literal["static"]
    static: StaticChunks


ChunkingStrategy = Annotated[AutoChunking | StaticChunking, Discriminator("type")]

# --- vector stores ---------------------------------------------------------------------------------------------------


class ExpiresAfter(StrictWire):
    anchor: Literal["last_active_at"]
    days: int = Field(ge=1, le=365)


class CreateVectorStore(StrictWire):
    name: str | None = Field(default=None, max_length=256)
    description: str | None = Field(default=None, max_length=1024)
    file_ids: list[FileId] = Field(default_factory=list, max_length=500)
    chunking_strategy: ChunkingStrategy | None = None
    expires_after: ExpiresAfter | None = None
    metadata: Metadata | None = None


class UpdateVectorStore(StrictWire):
    """Only what is given changes; ``expires_after: null`` ends the expiry."""

    name: str | None = Field(default=None, max_length=256)
    expires_after: ExpiresAfter | None = None
    metadata: Metadata | None = None


class FileCountsObject(Wire):
    in_progress: int
    completed: int
    failed: int
    cancelled: int
    total: int


class VectorStoreObject(Wire):
    id: str
    object: Literal["vector_store"] = "vector_store"
    created_at: int
    name: str
    description: str | None = None
    usage_bytes: int
    file_counts: FileCountsObject
    status: Literal["expired", "in_progress", "completed"]
    expires_after: ExpiresAfter | None = None
    expires_at: int | None = None
    last_active_at: int
    metadata: dict[str, str]


# --- files of a vector store -----------------------------------------------------------------------------------------


class AttachFile(StrictWire):
    file_id: FileId
    attributes: Attributes | None = None
    chunking_strategy: ChunkingStrategy | None = None


class UpdateAttributes(StrictWire):
    attributes: Attributes | None


class CreateFileBatch(StrictWire):
    """``file_ids`` share the attributes and the strategy of the batch; ``files`` bring their own."""

    file_ids: list[FileId] = Field(default_factory=list, max_length=2000)
    files: list[AttachFile] = Field(default_factory=list, max_length=2000)
    attributes: Attributes | None = None
    chunking_strategy: ChunkingStrategy | None = None


class LastError(Wire):
    code: Literal["server_error", "unsupported_file", "invalid_file"]
    message: str


class VectorStoreFileObject(Wire):
    """``id`` is the file's id."""

    id: str
    object: Literal["vector_store.file"] = "vector_store.file"
    created_at: int
    vector_store_id: str
    usage_bytes: int
    status: Literal["in_progress", "completed", "cancelled", "failed"]
    last_error: LastError | None
    chunking_strategy: StaticChunking
    attributes: dict[str, AttributeValue]


class FileBatchObject(Wire):
    id: str
    object: Literal["vector_store.files_batch"] = "vector_store.files_batch"
    created_at: int
    vector_store_id: str
    status: Literal["in_progress", "completed", "cancelled", "failed"]
    file_counts: FileCountsObject


# --- search ----------------------------------------------------------------------------------------------------------


SearchQuery = Annotated[str, StringConstraints(min_length=1, max_length=4096)]


class SearchRanking(StrictWire):
    ranker: Literal["none", "auto", "default-2024-11-15"] = "auto"
    score_threshold: float = Field(default=0, ge=0, le=1)


class SearchVectorStore(StrictWire):
    query: SearchQuery | Annotated[list[SearchQuery], Field(min_length=1, max_length=32)]
    rewrite_query: bool = False
    max_num_results: int = Field(default=10, ge=1, le=50)
    filters: AttributeFilter | None = None
    ranking_options: SearchRanking = Field(default_factory=SearchRanking)


class TextContent(Wire):
    type: Literal["text"] = "text"
    text: str


class SearchResultObject(Wire):
    file_id: str
    filename: str
    score: float
    attributes: dict[str, AttributeValue]
    content: list[TextContent]
