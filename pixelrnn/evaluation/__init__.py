"""How good a model is.

likelihoods.py  nats and bits/dim of many images, with standard errors; PSNR and SSIM of completions
per_image.py    the file of log p of each image
pictures.py     PSNR, SSIM, bits and coverage of completions of pictures of any size
baselines.py    classical inpainting to compare them with
verify.py       whether a model keeps its contract
"""

from pixelrnn.evaluation.baselines import classical_fills
from pixelrnn.evaluation.likelihoods import (
    Likelihoods,
    evaluate,
    evaluate_conditional,
    evaluate_ensemble,
    log_probs,
    with_error,
)
from pixelrnn.evaluation.pictures import PictureReport, Score, evaluate_pictures

__all__ = [
    "Likelihoods",
    "PictureReport",
    "Score",
    "classical_fills",
    "evaluate",
    "evaluate_conditional",
    "evaluate_ensemble",
    "evaluate_pictures",
    "log_probs",
    "with_error",
]
