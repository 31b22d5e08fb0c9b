"""Other processes and machines that take parts of a sweep: local processes, Dask, Ray.

Each is told what to do with one span of points and hands the answer back; who asked keeps the order.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol, Self

from genzcli.errors import GenzError, nearest

EXECUTORS = ("processes", "dask", "ray")
Task = Callable[..., Any]
#: The most workers here: so many for each core, and never fewer than these.
_FOR_A_CORE, _LEAST = 4, 8


class Engine(Protocol):
    """Something that computes elsewhere. Leaving the context gives up what was not asked for."""

    jobs: int

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def submit(self, task: Task, *words: Any) -> Any:
        """Start a task; what comes back stands for its answer."""

    def result(self, started: Any) -> Any:
        """The answer of a started task."""


def engine(name: str, jobs: int | None, pieces: int) -> Engine:
    """The engine of that name with so many workers, as many as there are cores if left out.

    More than there are pieces of work, or than a few for each core, would only wait.
    """
    cores = os.cpu_count() or 1
    jobs = max(1, min(jobs or cores, pieces, max(_LEAST, _FOR_A_CORE * cores)))
    match name:
        case "processes":
            return Processes(jobs)
        case "dask":
            return Dask(jobs)
        case "ray":
            return Ray(jobs)
    near = nearest(name, EXECUTORS, 1)
    meant = f"did you mean {near[0]}? " if near else ""
    raise GenzError(
        f"unknown executor {name!r}", where="--executor", cure=f"{meant}choose from {', '.join(EXECUTORS)}"
    )


def missing(extra: str, where: str) -> GenzError:
    """The error for a package that an option needs and that is not installed."""
    cure = f"install it with pip install 'genzcli[{extra}]'"
    return GenzError(f"the extra {extra!r} is not installed", where=where, cure=cure)


class Processes:
    """Processes of this machine. Ctrl-C is for the one that prints; it ends the others."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs

    def __enter__(self) -> Self:
        from concurrent.futures import ProcessPoolExecutor

        self._pool = ProcessPoolExecutor(self.jobs, initializer=_deaf)
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._pool.shutdown(wait=kind is None, cancel_futures=True)
        if kind is not None:
            from multiprocessing import active_children

            for child in active_children():
                child.terminate()

    def submit(self, task: Task, *words: Any) -> Any:
        """A future."""
        return self._pool.submit(task, *words)

    def result(self, started: Any) -> Any:
        """What the future holds; a worker that was killed is an error."""
        from concurrent.futures.process import BrokenProcessPool

        try:
            return started.result()
        except BrokenProcessPool:
            cure = "give fewer --jobs: memory may have run out"
            raise GenzError("a worker was killed", where="--executor processes", cure=cure) from None


def _deaf() -> None:
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)


class Dask:
    """The Dask cluster of DASK_SCHEDULER_ADDRESS; without one, workers of this machine."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs

    def __enter__(self) -> Self:
        try:
            import dask
            from distributed import Client, LocalCluster
        except ImportError:
            raise missing("dask", "--executor dask") from None
        self._cluster = None
        address = dask.config.get("scheduler-address", None)
        if address is None:
            self._cluster = LocalCluster(
                n_workers=self.jobs, threads_per_worker=1, dashboard_address=None, silence_logs=40
            )
        try:
            self._client = Client(address or self._cluster)
        except OSError:
            cure = "start the scheduler, or unset DASK_SCHEDULER_ADDRESS"
            raise GenzError(
                f"no scheduler answers at {address}", where="--executor dask", cure=cure
            ) from None
        if address is not None:
            self.jobs = max(1, sum(self._client.nthreads().values()))
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._client.close()
        if self._cluster is not None:
            self._cluster.close()

    def submit(self, task: Task, *words: Any) -> Any:
        """A future."""
        return self._client.submit(task, *words, pure=False)

    def result(self, started: Any) -> Any:
        """What the future holds."""
        return started.result()


class Ray:
    """The Ray cluster of RAY_ADDRESS; without one, workers of this machine."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs

    def __enter__(self) -> Self:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray
        except ImportError:
            raise missing("ray", "--executor ray") from None
        self._ray = ray
        own = "RAY_ADDRESS" not in os.environ
        asked = {"num_cpus": self.jobs, "include_dashboard": False} if own else {}
        try:
            ray.init(log_to_driver=False, logging_level="ERROR", **asked)
        except ConnectionError:
            cure = "start the cluster, or unset RAY_ADDRESS"
            raise GenzError("no cluster answers", where="--executor ray", cure=cure) from None
        if not own:
            self.jobs = max(1, int(ray.cluster_resources().get("CPU", 1)))
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._ray.shutdown()

    def submit(self, task: Task, *words: Any) -> Any:
        """A reference to the answer."""
        return self._ray.remote(task).remote(*words)

    def result(self, started: Any) -> Any:
        """What the reference stands for."""
        return self._ray.get(started)
