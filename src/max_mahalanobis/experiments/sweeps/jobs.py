"""Where cells are worked on: processes of this machine, or jobs of a cluster."""

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from ...errors import UserError

POLL = 0.05  # seconds between two looks
PATIENCE = 30.0  # seconds a process has to end itself


class Job(Protocol):
    """Work that was begun."""

    def code(self) -> int | None:
        """Its exit code once it has ended; below 0 the signal that ended it."""

    def stop(self) -> None:
        """Ask it to end."""

    def wait(self) -> None:
        """Until it has."""


Start = Callable[[Sequence[str], Path], Job]  # (command, file for what it says)


class Ended(NamedTuple):
    """How one job went."""

    name: str
    code: int
    seconds: float
    said: str


def run_all(work: Sequence[tuple[str, Sequence[str], Path]], start: Start, *, most: int) -> Iterator[Ended]:
    """Each (name, command, log) worked on, at most so many at a time; yielded as they end. All end when this does."""
    waiting, running = list(work), []
    try:
        while waiting or running:
            while waiting and len(running) < most:
                name, command, log = waiting.pop(0)
                log.parent.mkdir(parents=True, exist_ok=True)
                said_before = log.stat().st_size if log.exists() else 0
                running.append((name, start(command, log), time.monotonic(), log, said_before))
            for entry in list(running):
                name, job, began, log, said_before = entry
                if (code := job.code()) is not None:
                    running.remove(entry)
                    yield Ended(name, code, time.monotonic() - began, last_line(log, said_before))
            time.sleep(POLL)
    finally:
        for _, job, *_ in running:
            job.stop()
        for _, job, *_ in running:
            job.wait()


def last_line(log: Path, start: int) -> str:
    """What was said last, from this byte on."""
    with contextlib.suppress(OSError), open(log, "rb") as file:
        file.seek(start)
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
        return lines[-1].removeprefix("mmc: ") if lines else ""
    return ""


def exit_text(code: int) -> str:
    """An exit code in words: exit 2; SIGKILL, and what that often means."""
    if code >= 0:
        return f"exit {code}"
    name = signal.Signals(-code).name
    return f"{name}, often: out of memory" if name == "SIGKILL" else name


class _Process:
    def __init__(self, process: subprocess.Popen):
        self._process = process

    def code(self) -> int | None:
        return self._process.poll()

    def stop(self) -> None:
        self._process.terminate()

    def wait(self) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(PATIENCE)
            return
        self._process.kill()
        self._process.wait()


def here(command: Sequence[str], log: Path) -> Job:
    """A process of this machine; Ctrl-C reaches the sweep alone, which ends it."""
    return _Process(_popen(command, log))


def _popen(command: Sequence[str], log: Path) -> subprocess.Popen:
    with open(log, "ab") as file:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, process_group=0
        )


@dataclass(frozen=True)
class Cluster:
    """What a job may use; None: what the cluster gives."""

    kind: str
    minutes: int
    partition: str | None = None
    gpus: int | None = None
    cpus: int | None = None
    memory: int | None = None


def on_cluster(cluster: Cluster, folder: Path) -> Start:
    """Jobs through submitit, its files in `folder`.

    Raises:
        UserError: submitit is absent, or there is no such cluster here.
    """
    try:
        import submitit
    except ImportError as error:
        raise UserError("--cluster needs submitit: pip install 'max-mahalanobis[cluster]'") from error
    try:
        executor = submitit.AutoExecutor(folder=folder.resolve(), cluster=cluster.kind)
    except RuntimeError as error:
        raise UserError(f"--cluster {cluster.kind}: {error}; leave --cluster out to work here") from error
    executor.update_parameters(
        name="mmc-sweep",
        timeout_min=cluster.minutes,
        gpus_per_node=cluster.gpus,
        cpus_per_task=cluster.cpus,
        mem_gb=cluster.memory,
        slurm_partition=cluster.partition,
    )
    return lambda command, log: _Submitted(executor.submit(_Work(tuple(command), log.resolve())), log)


class _Work:
    """What a job of a cluster does: the cell's command, in a process that ends with the job."""

    def __init__(self, command: tuple[str, ...], log: Path):
        self._command, self._log = command, log

    def __call__(self) -> int:
        process = _popen(self._command, self._log)
        try:
            return process.wait()
        except BaseException:  # the job is stopped, or the cluster wants its machine back
            _Process(process).stop()
            _Process(process).wait()
            raise

    def checkpoint(self) -> Any:
        """Submitted again when time is up or the machine is wanted: the run goes on from its last epoch or batch."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


class _Submitted:
    def __init__(self, job: Any, log: Path):
        self._job, self._log = job, log

    def code(self) -> int | None:
        if not self._job.done():
            return None
        try:
            return self._job.result()
        except Exception as error:  # submitit's own, or what the job raised: the work did not end by itself
            with open(self._log, "a", encoding="utf-8") as file:
                lines = str(error).strip().splitlines() or [type(error).__name__]
                file.write(f"mmc: job {self._job.job_id}: {lines[-1]}\n")
            return 1

    def stop(self) -> None:
        self._job.cancel(check=False)

    def wait(self) -> None:
        ends = time.monotonic() + PATIENCE
        while not self._job.done(force_check=True) and time.monotonic() < ends:
            time.sleep(POLL)
