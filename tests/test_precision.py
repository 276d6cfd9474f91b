"""Whatever is reported, drawn or verified is in full float32 on a GPU; an update of the weights has torch's settings."""

import threading

import pytest
import torch
from conftest import random_images, tiny_model

from pixelrnn import complete, sample, verify
from pixelrnn.evaluation import evaluate
from pixelrnn.model import MODELS
from pixelrnn.model.precision import SETTINGS, full_float32, tf32_allowed
from pixelrnn.training import Settings
from pixelrnn.training.update import make_objective, make_optimizer, update


def settings():
    return [setting.fp32_precision for setting in SETTINGS]


ORDINARY = settings()
FULL = ["ieee"] * len(SETTINGS)


@pytest.fixture(autouse=True)
def restored():
    yield
    assert settings() == ORDINARY


def lower_half(images):
    hidden = torch.zeros_like(images[:, 0], dtype=torch.bool)
    hidden[:, 3:] = True
    return hidden


REPORTED = {
    "call": lambda model, images: model(images),
    "log_prob": lambda model, images: model.log_prob(images),
    "conditional": lambda model, images: model.log_prob(images, lower_half(images)),
    "evaluate": evaluate,
    "complete": lambda model, images: complete(model, images, lower_half(images)),
    "sample": lambda model, images: sample(model, 2),
    "verify": lambda model, images: verify(model),
}


def seen_by(model):
    """A list that takes the settings at each call of a layer."""
    seen = []
    for module in model.modules():
        if module is not model:
            module.register_forward_hook(lambda *_: seen.append(settings()))
    return seen


@pytest.mark.parametrize("name", REPORTED)
@pytest.mark.parametrize("kind", MODELS)
def test_what_is_reported_is_in_full_float32(kind, name):
    model, images = tiny_model((1, 4, 4), model=kind), random_images(2, (1, 4, 4), 2)
    seen = seen_by(model)
    REPORTED[name](model, images)
    assert seen and all(values == FULL for values in seen)


@pytest.mark.parametrize("kind", MODELS)
def test_an_update_has_the_ordinary_settings_forwards_and_backwards(kind):
    model, images, options = tiny_model((1, 4, 4), model=kind), random_images(2, (1, 4, 4), 2), Settings()
    seen = seen_by(model)
    next(model.likelihood.parameters()).register_hook(lambda _: seen.append(settings()))
    update(make_objective(model, options), make_optimizer(model, options), images, options)
    assert len(seen) > 1 and all(values == ORDINARY for values in seen)


def test_gradients_inside_along_are_in_full_float32():
    model, seen = tiny_model((1, 4, 4)), []
    next(model.likelihood.parameters()).register_hook(lambda _: seen.append(settings()))
    with model.along(0):
        model.log_prob(random_images(2, (1, 4, 4), 2)).sum().backward()
    assert seen == [FULL]


def test_the_last_thread_restores_the_settings():
    entered, leave = threading.Event(), threading.Event()

    def other():
        with full_float32():
            entered.set()
            leave.wait(60)

    thread = threading.Thread(target=other)
    with full_float32():
        thread.start()
        assert entered.wait(60)
    assert settings() == FULL
    with tf32_allowed():
        assert settings() == FULL
    leave.set()
    thread.join()
    assert settings() == ORDINARY


def test_the_users_settings_come_back():
    torch.set_float32_matmul_precision("high")
    try:
        with full_float32():
            assert settings() == FULL
        assert torch.get_float32_matmul_precision() == "high" and torch.backends.cuda.matmul.allow_tf32
    finally:
        torch.set_float32_matmul_precision("highest")
        SETTINGS[-1].fp32_precision = ORDINARY[-1]
