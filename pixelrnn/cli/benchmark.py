"""pixelrnn benchmark"""

from dataclasses import asdict

import torch
from omegaconf import DictConfig

from pixelrnn.benchmark import benchmark
from pixelrnn.cli.app import output_folder, plain
from pixelrnn.cli.setup import choose_device
from pixelrnn.files import write_json


def run(cfg: DictConfig) -> None:
    device = choose_device(cfg)
    options = {name: value for name, value in plain(cfg.model).items() if name != "name"}
    print(
        f"{options['cell']} {options['depth']} x {options['width']}, {cfg.size}x{cfg.size}, 2 levels, batch {cfg.batch_size}"
    )
    print(f"{device}, {torch.get_num_threads()} threads, torch {torch.__version__}; medians of {cfg.repeats} ratios")
    print(f"{'':<66}{'ratio':>8}  {'least to most':>16}{'target':>8}")
    rows = benchmark(options, cfg.batch_size, cfg.size, cfg.repeats, str(device))
    for row in rows:
        print(row)
    path = output_folder() / "benchmark.json"
    write_json(path, {"model": options, "threads": torch.get_num_threads(), "rows": [asdict(row) for row in rows]})
    print(f"written    {path}")
