"""One run on several processes, of one machine or of several, started by torchrun.

Every process has the same weights and makes the same draws for the joined batch; of a batch, process r of n computes the
images r, r + n, r + 2n, … Without torchrun there is one process, and these functions do nothing.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NoReturn, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from pixelrnn.errors import ProcessLost, UserError

T = TypeVar("T")
TIMEOUT = timedelta(minutes=30)  # how long a process waits for another one


def begin() -> None:
    """Join the processes that torchrun started, as its environment variables say."""
    processes, way_out = os.environ.get("WORLD_SIZE") or "1", "start it with torchrun, or unset WORLD_SIZE"
    if not processes.isdecimal():
        raise UserError(f"WORLD_SIZE={processes}: it is the number of processes; {way_out}")
    if int(processes) < 2 or dist.is_initialized():
        return
    cuda = torch.cuda.is_available()
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT", *(["LOCAL_RANK"] if cuda else [])):
        if not os.environ.get(name):
            raise UserError(f"WORLD_SIZE={processes} is set but {name} is not; {way_out}")
    if cuda:
        local, gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if local >= gpus:
            raise UserError(
                f"--nproc-per-node is {local + 1} or more, but this machine has {gpus} GPUs; start a process for each, "
                "or hide them with CUDA_VISIBLE_DEVICES= to compute on the CPU"
            )
        torch.cuda.set_device(local)
    with peer_errors():
        dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=TIMEOUT)


def exit_process(code: int) -> NoReturn:
    """End this process; one of several ends at once, because gloo's threads can abort Python's own shutdown."""
    sys.stdout.flush()
    sys.stderr.flush()
    if dist.is_initialized():
        if code == 0:  # after an error another process may be gone, and destroying the group would wait for it
            dist.destroy_process_group()
        elif code in (1, 2) and not is_main():
            time.sleep(30)  # torchrun kills the others once one exits: give process 0 time to print its message
        os._exit(code)
    sys.exit(code)


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def size() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main() -> bool:
    """Whether this is the process that prints and writes."""
    return rank() == 0


def shard(rows: Tensor) -> Tensor:
    """The rows of a batch that this process computes."""
    return rows[rank() :: size()]


def all_reduce_sum(values: Tensor) -> Tensor:
    """The sum over the processes, the same in each."""
    if size() > 1:
        values = values.clone()
        with peer_errors():
            dist.all_reduce(values)
    return values


def gathered(values: Tensor, count: int) -> Tensor:
    """The values of a whole batch (count,), from those of each process's shard; exact, because all others are 0."""
    joined = values.new_zeros(count)
    shard(joined).copy_(values)
    return all_reduce_sum(joined)


def broadcast(value: Any) -> Any:
    """The value that process 0 has, in all processes."""
    values = [value]
    if size() > 1:
        with peer_errors():
            dist.broadcast_object_list(values)
    return values[0]


def by_main(make: Callable[[], T]) -> T:
    """Call make() in process 0, and return the result, or raise its error, in all processes."""
    made: Any = None
    if is_main():
        try:
            made = make()
        except (UserError, OSError) as error:
            made = error
    made = broadcast(made)
    if isinstance(made, Exception):
        raise made
    return made  # type: ignore[no-any-return]


@contextmanager
def peer_errors() -> Iterator[None]:
    """Context manager: turn the errors that torch raises if another process is gone into ProcessLost."""
    try:
        yield
    except RuntimeError as error:
        if size() > 1 and (isinstance(error, dist.DistError) or "gloo" in str(error) or "NCCL" in str(error)):
            raise ProcessLost(
                f"process {rank()} of {size()} lost another one, which ended or cannot be reached"
            ) from error
        raise
