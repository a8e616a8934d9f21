"""The command line: ``tools-runtime serve`` and ``tools-runtime doctor``. Settings come from the environment alone.

Several workers are processes of the kind ``worker``, which uvicorn starts, watches and ends.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
import tempfile
import threading
from functools import partial
from multiprocessing.process import BaseProcess
from typing import Annotated, cast

import typer
import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError
from rich.console import Console

from tools_runtime import __version__, doctor
from tools_runtime.api.connection import Connection
from tools_runtime.app import create_app
from tools_runtime.settings import PREFIX, Settings
from tools_runtime.stores.database import Database

_HEALTH_SECONDS = 60
"""For a worker to show that it lives; then it is killed and another one started."""

main = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tools-runtime {__version__}")
        raise typer.Exit


@main.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Hosted tools of OpenAI's Responses API, on your own machine."""


@main.command()
def serve(
    workers: Annotated[int, typer.Option(min=1, help="How many processes serve, on one port and one database.")] = 1,
) -> None:
    """Say what is there, then serve until a signal says to stop. Exit status 2 if it cannot be served like this."""
    settings = _settings()
    _set_up_logging(settings)
    checks = asyncio.run(doctor.examine(settings))
    Console().print(doctor.table(checks))
    if any(check.fatal for check in checks):
        raise typer.Exit(2)
    with tempfile.TemporaryDirectory() as counts:
        if workers > 1:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = counts
            asyncio.run(_prepare(settings))
        _run(settings, workers)


def _run(settings: Settings, workers: int) -> None:
    uvicorn.run(
        f"{__name__}:worker",
        factory=True,
        workers=workers,
        timeout_worker_healthcheck=_HEALTH_SECONDS,
        host=settings.host,
        port=settings.port,
        access_log=False,
        log_config=None,
        server_header=False,
        ws_max_size=settings.max_request_bytes,
        ws_ping_timeout=settings.stall_seconds,
        http=cast("type[asyncio.Protocol]", partial(Connection, settings.stall_seconds)),
        timeout_graceful_shutdown=settings.shutdown_seconds,
    )


def worker() -> FastAPI:
    """What one process serves, by its own reading of the settings."""
    settings = _settings()
    _set_up_logging(settings)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent,), daemon=True).start()
    return create_app(settings)


@main.command("doctor")
def doctor_() -> None:
    """Say what is there and what is not. Exit status 1 if something that should work does not."""
    checks = asyncio.run(doctor.examine(_settings()))
    Console().print(doctor.table(checks))
    if any(check.state == "failed" for check in checks):
        raise typer.Exit(1)


async def _prepare(settings: Settings) -> None:
    """Brings the database up to date before there are several who might."""
    settings.data.mkdir(parents=True, exist_ok=True)
    database = Database(settings.database)
    await database.open()
    await database.close()


def _end_after(parent: BaseProcess) -> None:
    """A worker whose parent was killed would hold on to the port."""
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def _settings() -> Settings:
    try:
        return Settings()
    except ValidationError as error:
        for fault in error.errors(include_url=False):
            field = "_".join(str(step) for step in fault["loc"]).upper()
            typer.echo(f"{PREFIX}{field}: {fault['msg']}", err=True)
    except (OSError, ValueError) as error:
        typer.echo(str(error), err=True)
    raise typer.Exit(2)


def _set_up_logging(settings: Settings) -> None:
    """One line a message on stderr; our own at the level of the settings, libraries' from warnings on."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for name in ("tools_runtime", "sandbox", "uvicorn"):
        logging.getLogger(name).setLevel(settings.log_level.upper())
