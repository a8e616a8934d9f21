"""What a cell costs, beside what the same costs by ``docker exec``, ``docker run`` and ipykernel, in one run.

In each round everything is done once, so that all of it meets the same load. Ours is a warm pool around the Docker
driver, with the limits of the default settings, and a whole server; theirs are the ``docker`` package, and a Jupyter
kernel with its client, on the same image and engine.

    python benchmarks/sandbox.py [--rounds 20]
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import docker
from code_calls import Calls, calls
from notebook import Notebook, install, notebook

# The folder of this file, in which it would hide the package of its name.
sys.path = [path for path in sys.path if Path(path).resolve() != Path(__file__).resolve().parent]

from sandbox import CellResult, Display, Session, Spec  # noqa: E402
from sandbox.docker import DockerSandbox  # noqa: E402
from sandbox.pool import WarmPool  # noqa: E402

IMAGE = "tools-runtime-sandbox:latest"
PYTHON = "/opt/venv/bin/python"
PRINT = "print(1 + 1)"
PLOT = "import matplotlib.pyplot as plt\nplt.plot([1, 3, 2])"
SAVED_PLOT = f"import matplotlib\nmatplotlib.use('agg')\n{PLOT}\nplt.savefig('/tmp/plot.png')"
DATA = bytes(range(256)) * (10 * 2**20 // 256)
BASE = "docker exec, print"

Work = Callable[[], Awaitable[Any]]


class Times:
    """Milliseconds by name, in the order in which the names came."""

    def __init__(self) -> None:
        self._taken: dict[str, list[float]] = defaultdict(list)

    def add(self, name: str, milliseconds: float) -> None:
        self._taken[name].append(milliseconds)

    async def measure(self, name: str, work: Work) -> Any:
        start = time.perf_counter()
        result = await work()
        self.add(name, (time.perf_counter() - start) * 1000)
        return result

    def show(self) -> None:
        base = statistics.median(self._taken[BASE])
        print(f"{'':<44}{'p50 ms':>10}{'p95 ms':>10}{'of docker exec':>16}")
        for name, taken in self._taken.items():
            p50 = statistics.median(taken)
            p95 = sorted(taken)[int(0.95 * (len(taken) - 1))]
            print(f"{name:<44}{p50:>10.1f}{p95:>10.1f}{_ratio(p50 / base):>16}")


def _ratio(ratio: float) -> str:
    return f"{ratio:.1f}×" if ratio >= 1 else f"1/{1 / ratio:.0f}"


class Engine:
    """What people do without a worker: a process in a container, or a container, for each piece of code."""

    def __init__(self) -> None:
        self._client = docker.from_env()
        self._container = self._client.containers.run(
            IMAGE, entrypoint="sleep", command="86400", detach=True, auto_remove=True, network_mode="none"
        )

    async def exec(self, code: str) -> None:
        done = await asyncio.to_thread(self._container.exec_run, [PYTHON, "-c", code])
        assert done.exit_code == 0, done.output

    async def run(self) -> None:
        await asyncio.to_thread(
            self._client.containers.run, IMAGE, ["-c", PRINT], entrypoint=PYTHON, remove=True, network_mode="none"
        )

    def memory(self, id: str) -> float:
        """MiB that a container's processes have to themselves: without the pages of files, which all share."""
        found = self._client.containers.get(id).stats(stream=False)["memory_stats"]["stats"]
        anonymous: int = found.get("anon", found.get("rss"))  # of cgroups version 2, and 1
        return anonymous / 2**20

    def close(self) -> None:
        self._container.remove(force=True)
        self._client.close()


async def benchmark(rounds: int) -> None:
    owner = f"benchmark-{uuid.uuid4().hex}"
    driver = DockerSandbox(IMAGE, owner)
    pool = WarmPool(driver, {Spec(): 1}, memory_bytes=4 * 2**30)
    engine, times = Engine(), Times()
    try:
        await pool.sweep()
        await _filled(pool)
        resting = await pool.create(Spec())
        await asyncio.sleep(1)
        memory = await asyncio.to_thread(engine.memory, resting.id)
        await resting.close()
        await _rounds(rounds, times, pool, driver, engine)
    finally:
        await pool.aclose()
        engine.close()
    times.show()
    print(f"\nmemory of a warm container: {memory:.0f} MiB")


async def _rounds(rounds: int, times: Times, pool: WarmPool, driver: DockerSandbox, engine: Engine) -> None:
    with tempfile.TemporaryDirectory() as folder:
        packages = Path(folder) / "packages"
        install(packages, IMAGE, PYTHON)
        async with calls(Path(folder) / "data") as http:
            for _ in range(rounds):
                await _filled(pool)
                await _round(times, pool, driver, engine)
                await _round_of_http(times, http)
                async with notebook(IMAGE, PYTHON, packages) as jupyter:
                    await _round_of_jupyter(times, jupyter)


async def _filled(pool: WarmPool) -> None:
    while not pool.ready:  # noqa: ASYNC110
        await asyncio.sleep(0.05)


async def _round(times: Times, pool: WarmPool, driver: DockerSandbox, engine: Engine) -> None:
    session: Session = await times.measure("warm start and first print", lambda: _first(pool))
    # The pool starts another one now. What is measured next must not share the processors with that.
    await _filled(pool)
    for _ in range(5):
        await times.measure("next print", lambda: session.execute(PRINT, 20))
    _plotted(await session.execute(PLOT, 20))
    _plotted(await times.measure("plot, as PNG", lambda: session.execute(PLOT, 20)))
    await times.measure("10 MiB in", lambda: session.put("data", DATA))
    assert await times.measure("10 MiB out", lambda: session.get("data")) == DATA
    await times.measure("end", session.close)
    cold: Session = await times.measure("cold start and first print", lambda: _first(driver))
    await cold.close()
    await times.measure(BASE, lambda: engine.exec(PRINT))
    await times.measure("docker exec, import of numpy and pandas", lambda: engine.exec("import numpy, pandas"))
    await times.measure("docker exec, plot", lambda: engine.exec(SAVED_PLOT))
    await times.measure("docker run, print", engine.run)


async def _round_of_http(times: Times, http: Calls) -> None:
    for _ in range(20):
        await times.measure("HTTP, next print, as JSON", lambda: http.run(PRINT, '"2'))
        await times.measure("HTTP, next print, as a stream", lambda: http.run(PRINT, '"2', stream=True))
        await times.measure("of that, the scripted model", http.ask_model)


async def _round_of_jupyter(times: Times, jupyter: Notebook) -> None:
    first, _ = await jupyter.run(PRINT)
    times.add("ipykernel, first print", first)
    for _ in range(5):
        taken, _ = await jupyter.run(PRINT)
        times.add("ipykernel, next print", taken)
    await jupyter.run(f"%matplotlib inline\n{PLOT}")
    taken, shown = await jupyter.run(PLOT)
    assert "image/png" in shown
    times.add("ipykernel, plot, as PNG", taken)


async def _first(sandbox: WarmPool | DockerSandbox) -> Session:
    session = await sandbox.create(Spec())
    assert (await session.execute(PRINT, 20)).status == "ok"
    return session


def _plotted(result: CellResult) -> None:
    assert any(isinstance(output, Display) and "image/png" in output.data for output in result.outputs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    asyncio.run(benchmark(parser.parse_args().rounds))


if __name__ == "__main__":
    main()
