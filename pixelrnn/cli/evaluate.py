"""pixelrnn evaluate"""

from omegaconf import DictConfig

from pixelrnn import occlusion as occlusions
from pixelrnn.cli.app import output_folder, plain
from pixelrnn.cli.setup import load_checkpoint, load_data
from pixelrnn.data import limited
from pixelrnn.errors import UserError
from pixelrnn.evaluation import evaluate_all
from pixelrnn.files import write_json

STANDARD = {
    **{f"{side} half": {"name": "half", "side": side} for side in ("top", "bottom", "left", "right")},
    "centre": {"name": "centre"},
}


def run(cfg: DictConfig) -> None:
    model = load_checkpoint(cfg)
    data = load_data(cfg, model)
    if cfg.part not in ("train", "valid", "test"):
        raise UserError(f"part={cfg.part}: it is train, valid or test")
    images = limited(getattr(data, cfg.part), cfg.limit)
    chosen = {_describe(plain(cfg.occlusion)): plain(cfg.occlusion)} if "occlusion" in cfg else STANDARD
    hidden = {name: occlusions.build(spec, *model.shape[1:]) for name, spec in chosen.items()}

    results = evaluate_all(model, images, {**model.parts, **hidden}, cfg.batch_size)

    print(f"{data.name}; {cfg.part} part, {len(images)} images; -log p, ± one standard error")
    print(f"{'hidden':<28}{'nats per image':>20}{'bits per hidden dimension':>30}")
    for name, result in results.items():
        if result is None:
            print(f"{name:<28}{'not exact: observed pixels lie ahead in the ordering':>50}")
        else:
            nats = f"{result.nats:.2f} ± {result.nats_error:.2f}"
            print(f"{name:<28}{nats:>20}{f'{result.bits_per_dim:.4f} ± {result.bits_per_dim_error:.4f}':>30}")
    path = output_folder() / "evaluation.json"
    report = {name: result and result.as_dict() for name, result in results.items()}
    write_json(path, {"checkpoint": str(cfg.checkpoint), "data": data.name, "part": cfg.part, "results": report})
    print(f"written    {path}")


def _describe(spec: dict) -> str:
    options = ", ".join(f"{key} {value}" for key, value in spec.items() if key != "name")
    return f"{spec['name']} ({options})" if options else spec["name"]
