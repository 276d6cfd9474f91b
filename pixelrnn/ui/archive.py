"""What a draw leaves, as files in a zip archive."""

import io
import json
import zipfile
from typing import Any

import torch
from torch import Tensor

from pixelrnn.files.pictures import to_picture
from pixelrnn.pixels import in_8_bits, requantise
from pixelrnn.ui.draws import Drawn


def pack(drawn: Drawn) -> bytes:
    """A zip file: each image as PNG, at the size of the visitor's picture; mask and maps; and the report as JSON."""
    request, levels, file = drawn.request, drawn.request.offer.model.levels, io.BytesIO()
    settings = {"model": request.offer.name, **vars(request.choice), "order": request.plan.order}
    said = {key: value for key, value in drawn.how.items() if key not in ("caption", "lines", "notes")}
    report: dict[str, Any] = {"settings": settings, **said}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:  # PNG is compressed already

        def add(name: str, values: Tensor) -> None:
            with archive.open(name, "w") as place:
                to_picture(values).save(place, format="PNG")

        report["completions"] = []
        for k, (image, fact) in enumerate(zip(drawn.images, drawn.facts, strict=True)):
            report["completions"].append({"file": f"{k:03d}.png", **fact})
            own_size = request.subject.finished(image, request.hidden, levels) if request.subject else None
            add(f"{k:03d}.png", requantise(image, levels, 256) if own_size is None else own_size)
        if request.subject and drawn.mean is not None and drawn.entropy is not None:
            hidden = request.subject.own_hidden(request.hidden)
            add("mask.png", hidden[None].to(torch.uint8) * 255)
            add("mean.png", in_8_bits(drawn.mean, levels - 1))
            report["entropy_bits_at_white"] = most = float(drawn.entropy.max()) or 1.0
            add("entropy.png", in_8_bits(drawn.entropy, most)[None])
        archive.writestr("completions.json", json.dumps(report, indent=2) + "\n")
    return file.getvalue()
