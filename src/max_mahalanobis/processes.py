"""One command in several processes: started here, by torchrun, or by Slurm."""

import os
from typing import TYPE_CHECKING

import torch

from .errors import UserError

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def start_processes(
    devices: int, device: str, *, nodes: int = 1, precision: str = "32-true", threads: int | None = None
) -> "Fabric | None":
    """Start `devices` processes on this machine that run this very command, or join those that are there already.

    Returns:
        The process's own place: `global_rank`, `world_size`, `device`. None where it is alone.

    Raises:
        UserError: see `check_processes`.
    """
    check_processes(devices, device, nodes=nodes)
    here, machines = _launched()
    here, machines = here or devices, machines or 1
    if here * machines == 1:
        return None
    if device == "cpu" and threads is None:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // here))
    from lightning_fabric import Fabric

    fabric = Fabric(accelerator=device, devices=here, num_nodes=machines, strategy="ddp", precision=precision)
    fabric.launch()
    return fabric


def end_processes(fabric: "Fabric | None") -> None:
    """Wait for all and take leave: a process that just ends may tear down what another still talks to."""
    if fabric is not None:
        fabric.barrier()
        torch.distributed.destroy_process_group()


def check_processes(devices: int, device: str, *, nodes: int = 1) -> None:
    """Refuse what `start_processes` could not do.

    Raises:
        UserError: torchrun or Slurm started another number of processes, or there are not as many accelerators; several
            machines were asked for and nothing started their processes.
    """
    here, machines = _launched()
    for name, asked, found in (("devices", devices, here), ("nodes", nodes, machines)):
        if found is not None and asked not in (1, found):
            raise UserError(f"--{name} {asked}, but {found} {'processes' if name == 'devices' else name} were started: "
                            f"leave --{name} out")  # fmt: skip
    if nodes > 1 and machines is None:
        raise UserError(f"--nodes {nodes} needs torchrun or Slurm, which start the processes of every machine")
    accelerators = {"cuda": torch.cuda.device_count(), "mps": 1}
    if device in accelerators and (here or devices) > accelerators[device]:
        found = f"{accelerators[device]} of {device}"
        raise UserError(f"--devices {here or devices}, but there are {found}: choose --device cpu or fewer")


def is_first() -> bool:
    """Whether this process is the one that speaks and writes, known before any other is met."""
    ranks = (os.environ.get(name) for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK"))
    return int(next((rank for rank in ranks if rank is not None), 0)) == 0


def _launched() -> tuple[int | None, int | None]:
    """Processes a machine and machines, where torchrun or Slurm has started them."""
    if "LOCAL_WORLD_SIZE" in os.environ:
        return int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ.get("GROUP_WORLD_SIZE", 1))
    if "SLURM_STEP_NUM_TASKS" in os.environ and int(os.environ["SLURM_STEP_NUM_TASKS"]) > 1:
        machines = int(os.environ.get("SLURM_STEP_NUM_NODES", 1))
        return int(os.environ["SLURM_STEP_NUM_TASKS"]) // machines, machines
    return None, None
