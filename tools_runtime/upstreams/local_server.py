"""The process of the embedded model.

``python -m tools_runtime.upstreams.local_server WEIGHTS ALIAS CONTEXT SLOTS MAX_TOKENS``

Serves llama.cpp's own OpenAI-compatible API on a free loopback port, writes that address as one line to its standard
output, and ends when its standard input does: so it never outlives the process that started it, however that one ends.
"""

from __future__ import annotations

import os
import sys

from xllamacpp import CommonParams, Server


def main(weights: str, alias: str, context: int, slots: int, max_tokens: int) -> None:
    """Serves until standard input ends. ``context`` is the number of tokens that each of ``slots`` requests may use,
    ``max_tokens`` that of a reply for which the request sets no limit."""
    # llama.cpp must not write among our lines.
    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    params = CommonParams()
    params.model.path = weights
    params.model_alias = alias
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_parallel = slots
    params.n_ctx = context * slots
    params.n_predict = max_tokens
    # One core is left free: llama.cpp's threads wait for each other by spinning, and where another process takes a core
    # from them, all of them are slower by far (2 busy cores: 2 tokens a second with 2 threads, 16 with 1).
    params.cpuparams.n_threads = max(1, (os.cpu_count() or 1) - 1)
    params.cache_ram_mib = 0
    params.use_jinja = True
    params.ui = False
    params.verbosity = 0
    # Unless the request says otherwise: of the right answers of so small a model, sampling loses every second one.
    params.sampling.temp = 0
    server = Server(params)
    print(server.listening_address, file=output, flush=True)
    sys.stdin.buffer.read()
    # Not an orderly end: the threads of requests that still run would be waited for.
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
