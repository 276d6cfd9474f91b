"""Completions of pictures of any size against the originals, and classical fills beside them."""

import json
import math
import sys

import numpy as np
import pytest
import torch
from conftest import generator, random_images, tiny_model
from PIL import Image

import pixelrnn
from pixelrnn import evaluation
from pixelrnn.cli.evaluate_pictures import _masks
from pixelrnn.completion.windows import complete_windows, log_probs
from pixelrnn.evaluation.baselines import classical_fills
from pixelrnn.occlusion import PICTURES, STANDARD, build

SEED, COUNT = 5, 3


@pytest.fixture(scope="module")
def model():
    return tiny_model((3, 8, 8), 256, model="InpaintingRNN", likelihood="logistic_mixture").float()


@pytest.fixture(scope="module")
def pictures():
    return random_images(2, (3, 9, 14), 256)


@pytest.fixture(scope="module")
def hidden():
    return torch.stack([build({"name": "random_pixels", "fraction": share}, 9, 14) for share in (0.2, 0.5)])


def psnr(original, answer, hidden):
    return 10 * math.log10(255**2 / float((original.double() - answer.double())[:, hidden].square().mean()))


def test_the_report_is_that_of_the_completions(model, pictures, hidden):
    found = evaluation.evaluate_pictures(model, pictures, hidden, COUNT, seed=SEED)
    nats, inside, of_mean, of_draw = [], [], [], []
    for k, (picture, mask) in enumerate(zip(pictures, hidden, strict=True)):
        done = complete_windows(model, picture, mask, COUNT, generator=generator(SEED + k))
        true = picture[:, mask]
        nats.append(-float(log_probs(model, picture, mask, true[None])))
        inside += [(done.low <= true) & (true <= done.high)]
        of_mean.append(psnr(picture, done.mean, mask))
        of_draw.append(psnr(picture, done.draw(0), mask))
    values = 3 * int(hidden.sum())
    assert found.likelihoods.bits_per_dim == pytest.approx(sum(nats) / values / math.log(2), rel=1e-6)
    assert found.coverage == pytest.approx(sum(int(x.sum()) for x in inside) / values)
    assert found.hidden == pytest.approx(float(hidden.double().mean()))
    assert list(found.scores) == [f"mean of {COUNT}", "a draw"]
    assert [score.psnr for score in found.scores.values()] == pytest.approx([np.mean(of_mean), np.mean(of_draw)])
    json.dumps(found.as_dict(), allow_nan=False)


def test_other_fills_stand_beside_ours_and_progress_goes_to_the_end(model, pictures, hidden):
    seen = []
    found = evaluation.evaluate_pictures(
        model,
        pictures,
        hidden,
        1,
        {"the original": lambda picture, _: picture},
        SEED,
        lambda *now: seen.append(now),
        keep=1,
    )
    (shown,) = found.shown
    assert torch.equal(shown.fills["the original"], pictures[0]) and torch.equal(shown.completions.picture, pictures[0])
    assert torch.equal(shown.completions.hidden, hidden[0])
    assert (found.scores["the original"].psnr, found.scores["the original"].ssim) == (60, pytest.approx(1))
    assert [done for done, _, _ in seen] == sorted(done for done, _, _ in seen)
    assert seen[-1][:2] == (hidden.sum(), hidden.sum())


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def evaluating(call, model, tmp_path):
    """Evaluate on pictures of a size; returns what was printed and the report."""
    pixelrnn.save(model, tmp_path / "saved")
    draw = np.random.RandomState(0)
    (tmp_path / "photos").mkdir()

    def run(*words, size=(10, 12), fails=False):
        for k in range(8):
            values = draw.randint(256, size=(*size, 3)).astype(np.uint8)
            Image.fromarray(values).save(tmp_path / "photos" / f"{k}.png")
        code, out, err = call(
            *("evaluate", "checkpoint=saved", "data=folder", "data.root=photos", "hydra.run.dir=out", "limit=1"), *words
        )
        assert code == (2 if fails else 0), err
        return err if fails else (out, json.loads((tmp_path / "out" / "evaluation.json").read_text()))

    return run


def test_images_of_another_size_are_completed_as_pictures(evaluating, tmp_path):
    out, report = evaluating("completions=2", "seed=3")
    assert list(report["results"]) == ["scratches", "text", "boxes", "pixels", "centre"]
    assert (report["seed"], report["count"], report["settings"]["completions"]) == (3, 2, 2)
    for found in report["results"].values():
        assert list(found["scores"]) == ["mean of 2", "a draw"]
        assert 0 <= found["coverage"] <= 1 and found["likelihoods"]["bits_per_dim"] > 0
    assert "images: 1, of 10x12 pixels" in out
    arrays = np.load(tmp_path / "out" / "per_image.npz", allow_pickle=False)
    hidden = np.unpackbits(arrays["hidden"], axis=2, count=120).reshape(5, 1, 10, 12)
    wanted = [_masks(spec, torch.zeros(1, 3, 10, 12)).numpy() for spec in PICTURES.values()]
    np.testing.assert_array_equal(hidden, wanted)
    nats = [found["likelihoods"]["nats"] for found in report["results"].values()]
    assert (-arrays["log_probs"][:, 0]).tolist() == pytest.approx(nats)
    with Image.open(tmp_path / "out" / "evaluation_completions.png") as figure:
        assert figure.width > 5 * 24 and figure.height > 5 * 20  # 5 occlusions and 5 columns of tiles twice their size


def test_the_users_occlusion_replaces_the_others_and_16_draws_make_the_mean(evaluating):
    _, report = evaluating("occlusion=box", "occlusion.rows=2")
    (found,) = report["results"].values()
    assert found["hidden"] == pytest.approx(8 / 120) and next(iter(found["scores"])) == "mean of 16"


def test_each_image_has_a_random_mask_of_its_own():
    masks = _masks({"name": "strokes", "seed": 4}, torch.zeros(2, 3, 20, 30))
    assert all((masks[k] == build({"name": "strokes", "seed": 4 + k}, 20, 30)).all() for k in (0, 1))


def test_images_of_the_models_own_size_keep_their_table(evaluating):
    out, report = evaluating("completions=1", "occlusion=centre", size=(8, 8))
    assert "all" in report["results"] and "nats per image" in out


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("strategy=particles", "strategy=particles: saved completes pictures"),
        ("ensemble=true", "ensemble=True"),
        ("completions=0", "give at least 1"),
        ("baselines=perhaps", "baselines=perhaps: it is true or false"),
    ],
)
def test_what_means_nothing_is_refused_in_one_line(word, said, evaluating):
    err = evaluating(word, fails=True)
    assert said in err and err.count("\n") == 1


def test_patches_that_are_drawn_anew_are_refused(evaluating):
    assert "give part=valid or test" in evaluating(
        "data=photos", "data.size=8", "part=train", size=(24, 24), fails=True
    )


# --- classical fills --------------------------------------------------------------------------------------------------


def test_missing_libraries_are_one_line_with_the_way_out(evaluating, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    err = evaluating("baselines=true", fails=True)
    assert "pip install -e '.[baselines]'" in err and err.count("\n") == 1


def test_binary_images_are_refused(call):
    code, _, err = call("evaluate", "checkpoint=mnist_binary", "baselines=true", "limit=1")
    assert code == 2 and "these have 2 levels: leave it out" in err


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("levels", [17, 256])
def test_a_fill_keeps_what_is_observed_and_goes_on_evenly(channels, levels):
    pytest.importorskip("cv2")
    hidden, even = build({"name": "damage", "kind": "scratches", "seed": 1}, 24, 30), levels // 3
    rough = random_images(1, (channels, 24, 30), levels)[0]
    for fill in classical_fills(levels).values():
        filled = fill(rough, hidden)
        assert filled.dtype == torch.uint8 and int(filled.max()) < levels
        assert torch.equal(filled[:, ~hidden], rough[:, ~hidden])
        smooth = fill(torch.full_like(rough, even).masked_fill(hidden, 0), hidden)
        assert int((smooth.int() - even).abs().max()) <= 2, "OpenCV's are a little off at a border"
        assert fill(rough, torch.ones_like(hidden)).shape == rough.shape, "nothing is observed"


def test_baselines_stand_beside_ours(evaluating):
    pytest.importorskip("cv2")
    _, report = evaluating("baselines=true", "completions=1", size=(8, 8))
    assert list(report["results"]) == list(STANDARD)
    for found in report["results"].values():
        assert list(found["scores"]) == ["mean of 1", "a draw", "Telea", "Navier-Stokes", "harmonic", "biharmonic"]


def test_baselines_stand_beside_completions_by_a_model_of_one_size(call, tmp_path):
    pytest.importorskip("cv2")
    words = ["checkpoint=digits", "data=digits", "limit=3", "occlusion=box", "baselines=true", "hydra.run.dir=out"]
    code, out, err = call("evaluate", *words)
    assert code == 0, err
    results = json.loads((tmp_path / "out" / "evaluation.json").read_text())["results"]
    (found,) = (result["baselines"] for result in results.values() if "baselines" in result)
    assert list(found) == ["mean of them", "Telea", "Navier-Stokes", "harmonic", "biharmonic"]
    assert all(f"  {name}" in out for name in found)
