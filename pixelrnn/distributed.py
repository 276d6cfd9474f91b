"""One run on several processes, of one machine or of several, started by torchrun: who computes what, and exact sums.

Every process holds the same weights and makes the same draws for the joined batch; of a batch, process r of n takes the
images r, r + n, r + 2n, … Without torchrun there is one process, and all this costs nothing.
"""

import datetime
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from pixelrnn.errors import ProcessLost, UserError

T = TypeVar("T")
MINUTES = 30  # that a process waits for another one
FAILURES, PATIENCE = (1, 2), 30.0  # exit codes, seconds


def begin() -> None:
    """Joins the processes that torchrun has started, as its environment says; nothing where there is one."""
    processes, way_out = os.environ.get("WORLD_SIZE") or "1", "start it with torchrun, or unset WORLD_SIZE"
    if not processes.isdecimal():
        raise UserError(f"WORLD_SIZE={processes}: it is the number of processes; {way_out}")
    if int(processes) < 2 or dist.is_initialized():
        return
    cuda = torch.cuda.is_available()
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT", "LOCAL_RANK")[: 4 if cuda else 3]:
        if not os.environ.get(name):
            raise UserError(f"WORLD_SIZE={processes} is set but {name} is not; {way_out}")
    backend = "gloo"
    if cuda:
        local, there = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if local >= there:
            raise UserError(
                f"--nproc-per-node is {local + 1} or more, but this machine has {there} GPUs; start a process for each, "
                "or hide them with CUDA_VISIBLE_DEVICES= to compute on the CPU"
            )
        torch.cuda.set_device(local)
        backend = "cpu:gloo,cuda:nccl"
    with lost_is_said():
        dist.init_process_group(backend, timeout=datetime.timedelta(minutes=MINUTES))


def leave(code: int) -> NoReturn:
    """Ends this process. Where it is one of several, at once: DistributedDataParallel keeps gloo's threads alive when the
    group is gone, and one of them that meets the interpreter's own ending aborts it (seen once in ten runs)."""
    sys.stdout.flush()
    sys.stderr.flush()
    if dist.is_initialized():
        if code == 0:  # else another process may be gone, and would be waited for
            dist.destroy_process_group()
        elif code in FAILURES and not is_main():
            time.sleep(PATIENCE)  # torchrun ends all when one fails: the one that speaks goes first
        os._exit(code)
    sys.exit(code)


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def size() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main() -> bool:
    """Whether this is the process that prints and writes."""
    return rank() == 0


def share(rows: Tensor) -> Tensor:
    """Of a batch, what this process computes."""
    return rows[rank() :: size()]


def total(values: Tensor) -> Tensor:
    """The sum over the processes, the same in each."""
    if size() > 1:
        values = values.clone()
        with lost_is_said():
            dist.all_reduce(values)
    return values


def gathered(values: Tensor, count: int) -> Tensor:
    """The values (count,) of a whole batch, of which each process has those of its share. Exact: the rest is 0."""
    joined = values.new_zeros(count)
    share(joined).copy_(values)
    return total(joined)


def from_main(value: Any) -> Any:
    """What process 0 has, a plain value."""
    values = [value]
    if size() > 1:
        with lost_is_said():
            dist.broadcast_object_list(values)
    return values[0]


def by_main(make: Callable[[], T]) -> T:
    """What make() returns in process 0, in all processes; where it raises there, all raise the same."""
    made: Any = None
    if is_main():
        try:
            made = make()
        except (UserError, OSError) as error:
            made = error
    made = from_main(made)
    if isinstance(made, Exception):
        raise made
    return made  # type: ignore[no-any-return]


@contextmanager
def lost_is_said() -> Iterator[None]:
    """Turns what torch raises where another process is gone into ProcessLost."""
    try:
        yield
    except RuntimeError as error:
        if size() > 1 and (isinstance(error, dist.DistError) or "gloo" in str(error) or "NCCL" in str(error)):
            raise ProcessLost(
                f"process {rank()} of {size()} lost another one, which ended or cannot be reached"
            ) from error
        raise
