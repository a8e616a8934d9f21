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


PODMAN_PROCESSES = 16_384
"""Of all sessions of one machine together. Without a limit of ours, Podman asks for more than it may give."""


def memory_bytes(spec: Spec, runtime: str) -> int:
    """The limit of a container's memory, which is what the machine may lose to it."""
    return spec.memory_bytes + (GVISOR_BYTES if runtime == GVISOR else 0)


def flags(spec: Spec, owner: str, runtime: str, *, podman: bool = False) -> dict[str, Any]:
    """Arguments of ``docker.containers.create``. ``podman``: for its API, which knows fewer options."""
    gvisor = runtime == GVISOR
    memory = memory_bytes(spec, runtime)
    ulimits = {"core": 0, "nofile": OPEN_FILES}
    if gvisor:
        ulimits["as"] = spec.memory_bytes + GVISOR_ADDRESS_BYTES
    if podman:
        ulimits["nproc"] = PODMAN_PROCESSES
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
        "tmpfs": _tmpfs(spec.disk_bytes, podman),
        "user": f"{USER}:{USER}",
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "ipc_mode": "private",
        "shm_size": SHM_BYTES,
        "mem_limit": memory,
        "memswap_limit": memory,
        "nano_cpus": int(spec.cpus * 1e9),
        "pids_limit": max(spec.pids, GVISOR_PIDS) if gvisor else spec.pids,
        "ulimits": [Ulimit(name=name, soft=limit, hard=limit) for name, limit in ulimits.items()],
    }


def _tmpfs(disk_bytes: int, podman: bool) -> dict[str, str]:
    sizes = {DATA: disk_bytes, "/tmp": TMP_BYTES}
    if not podman:
        options = f"nr_inodes={INODES},mode=0700,uid={USER},gid={USER}"
        return {folder: f"size={size},{options}" for folder, size in sizes.items()}
    # Podman would put writable ones here. U: they are the user's own.
    closed = {folder: "ro,size=4k" for folder in ("/run", "/var/tmp")}
    return {folder: f"size={size},noexec,U" for folder, size in sizes.items()} | closed
