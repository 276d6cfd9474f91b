"""pixelrnn benchmark"""

from dataclasses import asdict

import torch
from omegaconf import DictConfig

from pixelrnn.benchmark import benchmark, benchmark_paper_model
from pixelrnn.cli.app import output_folder, plain
from pixelrnn.cli.setup import choose_device, describe_model
from pixelrnn.files import write_json
from pixelrnn.model import MODELS
from pixelrnn.plugins import configure


def run(cfg: DictConfig) -> None:
    device = choose_device(cfg)
    spec = plain(cfg.model)
    print(f"{describe_model(spec)}, {cfg.size}x{cfg.size}, 2 levels")
    print(f"{device}, {torch.get_num_threads()} threads, torch {torch.__version__}; medians of {cfg.repeats} ratios")
    print(f"{'':<66}{'ratio':>8}  {'least to most':>16}{'target':>8}")
    if spec["name"] == "SequenceRNN":
        options = {name: value for name, value in spec.items() if name != "name"}
        rows = benchmark(options, cfg.batch_size, cfg.size, cfg.repeats, str(device))
    else:
        rows = benchmark_paper_model(configure("model", spec, MODELS), cfg.size, cfg.repeats, str(device))
    for row in rows:
        print(row)
    path = output_folder() / "benchmark.json"
    write_json(path, {"model": spec, "threads": torch.get_num_threads(), "rows": [asdict(row) for row in rows]})
    print(f"written    {path}")
