"""How good a model is.

likelihoods.py  nats and bits/dim of many images, with standard errors; PSNR and SSIM of completions
verify.py       whether a model keeps its contract
"""

from pixelrnn.evaluation.likelihoods import (
    Likelihoods,
    evaluate,
    evaluate_conditional,
    evaluate_ensemble,
    log_probs,
    with_error,
)

__all__ = ["Likelihoods", "evaluate", "evaluate_conditional", "evaluate_ensemble", "log_probs", "with_error"]
