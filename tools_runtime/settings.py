"""All settings: one frozen object, read once from the environment (and a TOML file). Nobody else reads the environment.

Every field is documented in docs/settings.md; a test compares the two.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator
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
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"


class Settings(BaseSettings):
    """Settings of one server process. Environment variables are the field names in capitals after TOOLS_RUNTIME_."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", env_ignore_empty=True)

    # Server
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    data: Path = Path("indexes")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    max_request_bytes: int = 64 * 2**20

    # Upstreams: either a list, or the one of upstream_url, or (neither) the embedded model
    upstreams: tuple[UpstreamSettings, ...] = ()
    upstream_url: str | None = None
    upstream_kind: Literal["chat", "responses"] = "chat"
    upstream_key: SecretStr | None = None
    upstream_connect_seconds: float = 10
    upstream_first_delta_seconds: float = 300
    upstream_idle_seconds: float = 120
    upstream_retries: int = Field(default=2, ge=0)
    default_model: str | None = None

    # The loop
    max_turns: int = Field(default=24, ge=1)
    max_parallel_calls: int = Field(default=8, ge=1)
    tool_seconds: float = 300
    max_tool_output_chars: int = 60_000

    # Web search
    searxng_url: str | None = None
    search_backends: Annotated[tuple[str, ...], NoDecode] = ()
    search_seconds: float = 8
    fetch_allow: Annotated[tuple[str, ...], NoDecode] = ()
    fetch_seconds: float = 15
    fetch_max_bytes: int = 10 * 2**20
    fetch_max_redirects: int = 5

    # File search
    embedding_model: str | None = None
    max_file_bytes: int = 512 * 2**20
    read_seconds: float = 120
    read_memory_bytes: int = 2 * 2**30
    max_input_file_chars: int = 400_000

    # Code interpreter
    sandbox: Literal["auto", "docker", "none"] = "auto"
    sandbox_image: str = "tools-runtime-sandbox:latest"
    sandbox_memory_bytes: int = 2**30
    sandbox_disk_bytes: int = 256 * 2**20
    sandbox_cpus: float = 1.0
    sandbox_pids: int = 128
    sandbox_cell_seconds: float = 60
    sandbox_idle_minutes: float = 20

    @field_validator("search_backends", "fetch_allow", mode="before")
    @classmethod
    def _comma_separated(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)
