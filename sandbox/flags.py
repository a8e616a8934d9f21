"""The flags of a session's container. Why each of them is there: docs/sandbox.md."""

from __future__ import annotations

from typing import Any

from docker.types import LogConfig, Ulimit

from sandbox import DATA, Spec

USER = 10001
TMP_BYTES = 64 * 2**20
SHM_BYTES = 64 * 2**20
INODES = 20_000
OPEN_FILES = 4096
LABEL = "tools-runtime.owner"

GVISOR = "runsc"
GVISOR_PIDS = 2048
"""With gVisor the engine's limit counts threads of its own kernel too, which dies where it may not make them."""
GVISOR_BYTES = 384 * 2**20
"""What gVisor's own kernel, and the files and libraries that it keeps for programs, need beside a session's memory."""
GVISOR_ADDRESS_BYTES = 256 * 2**20
"""Address space of one process beyond the session's memory; where that ends, a program gets an error. Libraries need
it. At the container's limit, by contrast, gVisor dies with all that runs on it."""


def flags(spec: Spec, owner: str, runtime: str) -> dict[str, Any]:
    """Arguments of ``docker.containers.create``."""
    room = f"nr_inodes={INODES},mode=0700,uid={USER},gid={USER}"
    gvisor = runtime == GVISOR
    memory_bytes = spec.memory_bytes + (GVISOR_BYTES if gvisor else 0)
    ulimits = {"core": 0, "nofile": OPEN_FILES}
    if gvisor:
        ulimits["as"] = spec.memory_bytes + GVISOR_ADDRESS_BYTES
    return {
        "runtime": runtime,
        "labels": {LABEL: owner},
        "stdin_open": True,
        "auto_remove": True,
        "log_config": LogConfig(type=LogConfig.types.NONE),
        "hostname": "sandbox",
        "use_config_proxy": False,
        "network_mode": "none",
        "read_only": True,
        "tmpfs": {DATA: f"size={spec.disk_bytes},{room}", "/tmp": f"size={TMP_BYTES},{room}"},
        "user": f"{USER}:{USER}",
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "ipc_mode": "private",
        "shm_size": SHM_BYTES,
        "mem_limit": memory_bytes,
        "memswap_limit": memory_bytes,
        "nano_cpus": int(spec.cpus * 1e9),
        "pids_limit": max(spec.pids, GVISOR_PIDS) if gvisor else spec.pids,
        "ulimits": [Ulimit(name=name, soft=limit, hard=limit) for name, limit in ulimits.items()],
    }
