"""pixelrnn complete image=… with a model for pictures of any size: what it writes, at the picture's own size."""

import json
import re

import numpy as np
import pytest
import torch
from conftest import tiny_model
from PIL import Image, ImageCms

import pixelrnn
from pixelrnn import figures
from pixelrnn.completion.windows import log_probs
from pixelrnn.files.pictures import to_tensor


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "photos"
    model = tiny_model((3, 8, 8), 256, model="InpaintingRNN", likelihood="logistic_mixture").float()
    pixelrnn.save(model, folder)
    return folder


def save(path, *size, seed=0):
    Image.fromarray(np.random.RandomState(seed).randint(256, size=size).astype(np.uint8)).save(path)
    return path


def save_mask(path, hidden):
    Image.fromarray((hidden * 255).astype(np.uint8)).save(path)
    return path


def tree(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def read(path):
    return np.array(Image.open(path))


@pytest.fixture
def completing(call, saved, tmp_path):
    """Complete a picture; returns the folder of the results."""

    def run(*words):
        code, _, err = call("complete", f"checkpoint={saved}", f"hydra.run.dir={tmp_path}/out", *words)
        assert code == 0, err
        return tmp_path / "out"

    return run


@pytest.mark.parametrize("size", [(20, 13, 3), (1, 1, 3), (7, 40, 3), (12, 9)], ids=str)
def test_it_writes_draws_mean_and_intervals_of_the_pictures_size(size, completing, tmp_path):
    hidden = np.random.RandomState(1).rand(*size[:2]) < 0.3
    hidden[0, 0] = True
    picture = read(save(tmp_path / "photo.png", *size))
    folder = completing(f"image={tmp_path}/photo.png", f"mask={save_mask(tmp_path / 'mask.png', hidden)}", "count=3")
    written = [folder / "mean.png", *(folder / "completions" / f"{k:03}.png" for k in range(3))]
    for path in written:
        assert read(path).shape == size
        assert (read(path)[~hidden] == picture[~hidden]).all()
    with np.load(folder / "interval.npz") as arrays:
        assert arrays["low"].shape == arrays["high"].shape == arrays["mean"].shape == (3, hidden.sum())
        assert (arrays["low"] <= arrays["high"]).all() and (arrays["hidden"] == hidden).all()
        width = (arrays["high"] - arrays["low"]).mean(0)
    shown = read(folder / "interval.png")
    assert shown.shape == size[:2] and not shown[~hidden].any()
    np.testing.assert_allclose(shown[hidden], width, atol=0.5)
    assert (folder / "completions.png").is_file()


def test_the_record_holds_log_p_of_each_draw(completing, saved, tmp_path):
    save(tmp_path / "photo.png", 10, 12, 3)
    folder = completing(f"image={tmp_path}/photo.png", "occlusion=centre", "count=2", "seed=4")
    record = json.loads((folder / "completions.json").read_text())
    (found,), model = record["completions"], pixelrnn.load(saved)
    picture = to_tensor(Image.open(tmp_path / "photo.png"))
    hidden = pixelrnn.occlusion.build("centre", 10, 12)
    assert found["hidden_pixels"] == hidden.sum() and record["settings"]["seed"] == 4
    draws = torch.stack([to_tensor(Image.open(folder / draw["file"]))[:, hidden] for draw in found["draws"]])
    expected = log_probs(model, picture, hidden, draws)
    nats = torch.tensor([draw["log_prob_nats"] for draw in found["draws"]])
    torch.testing.assert_close(nats.double(), expected, rtol=1e-4, atol=1e-3)


def test_the_transparent_part_is_completed(completing, tmp_path):
    values = np.random.RandomState(0).randint(256, size=(9, 11, 4)).astype(np.uint8)
    values[..., 3] = 255
    values[2:5, 3:8, 3] = 0
    Image.fromarray(values, "RGBA").save(tmp_path / "photo.png")
    folder = completing(f"image={tmp_path}/photo.png", "count=1")
    mean, hidden = read(folder / "mean.png"), values[..., 3] == 0
    assert (mean[~hidden] == values[~hidden][:, :3]).all()
    assert read(folder / "interval.png").shape == (9, 11)


@pytest.mark.parametrize(
    ("options", "share", "said"),
    [
        (["count=2"], 0.9, ""),
        (["count=1"], None, "a single draw cannot tell"),
        (["count=2", "temperature=0.5"], None, "they are those of temperature=1"),
    ],
)
def test_it_says_when_intervals_do_not_hold_their_share(options, share, said, call, saved, tmp_path):
    save(tmp_path / "photo.png", 9, 11, 3)
    words = (f"checkpoint={saved}", f"image={tmp_path}/photo.png", "occlusion=centre", f"hydra.run.dir={tmp_path}/out")
    _, out, err = call("complete", *words, *options)
    (record,) = json.loads((tmp_path / "out" / "completions.json").read_text())["completions"]
    assert record["interval_share"] == share
    assert ("do not hold 90 %" in out + err) == bool(said) and said in out + err


def test_it_says_that_a_mask_hides_most_of_the_picture(call, saved, tmp_path):
    save(tmp_path / "photo.png", 9, 11, 3)
    hidden = np.ones((9, 11), bool)
    hidden[2, 3] = False
    words = (f"checkpoint={saved}", f"image={tmp_path}/photo.png", f"mask={save_mask(tmp_path / 'mask.png', hidden)}")
    _, out, err = call("complete", *words, "count=2")
    assert "hides 99% of the picture: if black was meant to be hidden, invert the mask" in out + err


def test_a_colour_profile_stays_and_16_bits_are_told(completing, call, saved, tmp_path):
    Image.fromarray(np.random.RandomState(0).randint(256, size=(9, 11, 3)).astype(np.uint8)).save(
        tmp_path / "photo.png", icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    )
    folder = completing(f"image={tmp_path}/photo.png", "occlusion=centre", "count=1")
    for name in ("mean.png", "completions/000.png"):
        assert Image.open(folder / name).info["icc_profile"] == Image.open(tmp_path / "photo.png").info["icc_profile"]
    Image.fromarray(np.full((9, 11), 30_001, np.uint16)).save(tmp_path / "deep.png")
    _, out, err = call("complete", f"checkpoint={saved}", f"image={tmp_path}/deep.png", "occlusion=centre", "count=2")
    assert "has more than 8 bits: it is completed and saved in 8" in out + err


@pytest.mark.parametrize("size", [(9, 11), (9, 11, 3)], ids=["grey", "RGB"])
def test_it_says_that_a_grey_picture_is_completed_in_colour(size, call, saved, tmp_path):
    save(tmp_path / "photo.png", *size)
    _, out, _ = call("complete", f"checkpoint={saved}", f"image={tmp_path}/photo.png", "occlusion=centre", "count=1")
    assert ("completed at this size; grey: completed in colour, and written as grey\n" in out) == (len(size) == 2)


def test_several_occlusions_have_files_of_their_own(completing, tmp_path):
    save(tmp_path / "photo.png", 9, 9, 3)
    folder = completing(f"image={tmp_path}/photo.png", "occlusions=[centre,strokes]", "count=1", "estimate=draw")
    for stem in ("00-", "01-"):
        assert (folder / f"{stem}mean.png").is_file() and (folder / "completions" / f"{stem}000.png").is_file()
    assert len(json.loads((folder / "completions.json").read_text())["completions"]) == 2


def test_an_animation_of_a_large_picture_shows_a_thin_scratch(completing, tmp_path):
    hidden = np.zeros((700, 30), bool)
    hidden[1:9, 3] = True
    save(tmp_path / "photo.png", 700, 30, 3)
    mask = save_mask(tmp_path / "mask.png", hidden)
    folder = completing(f"image={tmp_path}/photo.png", f"mask={mask}", "count=1", "animation=true")
    animation = Image.open(folder / "completions.gif")
    assert animation.n_frames > 1 and animation.height <= 480


def test_a_folder_of_pictures_is_completed_each_with_its_mask(call, saved, tmp_path):
    for folder in ("scans", "masks"):
        (tmp_path / folder).mkdir()
    for i, name in enumerate(("a", "b", "c")):
        save(tmp_path / "scans" / f"{name}.png", 9 + i, 8, 3, seed=i)
        save_mask(tmp_path / "masks" / f"{name}.bmp", np.eye(9 + i, 8, k=i) > 0)
    (tmp_path / "scans" / "notes.txt").write_text("no picture")
    words = ["complete", f"checkpoint={saved}", "count=1", "mask=masks"]
    code, out, err = call(*words, "image=scans", "hydra.run.dir=out")
    assert code == 0 and "left out of image=scans: 1 that is no picture file" in out, err
    for i, name in enumerate(("a", "b", "c")):
        picture, mean = read(tmp_path / "scans" / f"{name}.png"), read(tmp_path / "out" / f"{name}.png" / "mean.png")
        changed = (picture != mean).any(-1)
        assert changed.any() and not changed[np.eye(9 + i, 8, k=i) == 0].any(), "only what its own mask hides"

    (tmp_path / "scans" / "b.png").write_bytes(b"damaged")
    code, out, err = call(*words, "image=scans/*.png", "hydra.run.dir=pattern")
    assert code == 2 and "1 of the 3 pictures could not be completed" in err and len(err.splitlines()) == 1
    assert re.search(r"^note .*b\.png is left out: ", out, re.M)
    assert {path.name for path in (tmp_path / "pattern").iterdir()} >= {"a.png", "c.png"}

    assert (tmp_path / "pattern" / ".hydra").exists(), "the others are recorded"
    code, out, err = call(*words, "image=scans", "limit=3", "hydra.run.dir=wrong")
    assert code == 2 and "limit=3" in err and out.count("is left out") == 1, "a mistake in an option is told once"
    code, _, err = call("complete", f"checkpoint={saved}", "image=scans", "mask=scans")
    assert code == 2 and "a folder of their own" in err

    (tmp_path / "masks" / "c.bmp").unlink()
    code, out, err = call(*words, "image=scans", "hydra.run.dir=none")
    assert code == 2 and "masks has no mask for c.png" in err and not (tmp_path / "none").exists()
    (tmp_path / "empty").mkdir()
    for image in ("empty", "empty/*.png"):
        code, _, err = call("complete", f"checkpoint={saved}", f"image={image}", "occlusion=half")
        assert code == 2 and len(err.splitlines()) == 1 and ("no picture there" in err or "no such file" in err)


def test_a_pattern_below_a_folder_whose_name_has_special_characters(call, saved, tmp_path):
    for folder in ("sc[1]", "sc1", "sc[1]/a*", "sc[1]/ab"):
        (tmp_path / folder).mkdir()
        save(tmp_path / folder / f"{tmp_path.joinpath(folder).name}.png", 9, 8, 3)
    words = ["complete", f"checkpoint={saved}", "count=1", "occlusion=centre"]
    expected = {
        "sc[1]/*.png": {"sc[1].png"},
        f"{tmp_path}/sc[1]/*.png": {"sc[1].png"},
        "sc[1]/a*/*.png": {"a*.png"},
        "sc[1]/?b/*.png": {"ab.png"},
        "sc[0-9]/*.png": {"sc1.png"},
    }
    for i, (image, names) in enumerate(expected.items()):
        code, _, err = call(*words, f"image={image}", f"hydra.run.dir=out{i}")
        assert code == 0 and {path.name for path in (tmp_path / f"out{i}").glob("*.png")} == names, err


def test_an_animation_ends_with_the_first_completion(completing, tmp_path):
    save(tmp_path / "photo.png", 13, 11, 3)
    folder = completing(f"image={tmp_path}/photo.png", "occlusion=centre", "count=1", "animation=true")
    animation = Image.open(folder / "completions.gif")
    animation.seek(animation.n_frames - 1)
    last = np.array(animation.convert("RGB").resize((11, 13), Image.Resampling.NEAREST)).astype(int)
    draw = read(folder / "completions" / "000.png").astype(int)
    assert animation.n_frames > 1 and np.abs(last - draw).mean() < 4, "but for the palette"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["strategy=particles"], "strategy=particles: .* leave it out"),
        (["order=0", "occlusion=centre"], "order=0"),
        (["maps=true"], "maps=True"),
        ([], "which part is to be completed"),
        (["estimate=median"], "estimate=median: it is mean or draw"),
        (["mask={0}/mask.png"], "mask.png is 5x4 pixels and the picture 9x9"),
    ],
)
def test_what_it_refuses(words, said, call, saved, tmp_path):
    save(tmp_path / "photo.png", 9, 9, 3)
    save_mask(tmp_path / "mask.png", np.ones((4, 5)))
    words = [word.format(tmp_path) for word in words]
    code, _, err = call(
        "complete", f"checkpoint={saved}", f"image={tmp_path}/photo.png", f"hydra.run.dir={tmp_path}/out", *words
    )
    assert code == 2
    assert re.search(said, err), err
    assert not (tmp_path / "out" / "mean.png").exists()


@pytest.mark.parametrize("name", ["mean.png", "completions/000.png", "00-interval.png", "mask/../mean.png"])
@pytest.mark.parametrize("option", ["image", "mask", "occlusions"])
def test_a_run_does_not_write_over_its_own_picture_or_mask(name, option, call, saved, tmp_path):
    folder = tmp_path / "out"
    for path in (folder / "completions", folder / "mask"):
        path.mkdir(parents=True)
    save_mask(tmp_path / "mask.png", np.eye(8) > 0)
    save_mask(folder / name, np.eye(8) > 0)
    before = tree(folder)
    words = {"image": [f"image={folder}/{name}", "mask=mask.png"], "mask": ["image=mask.png", f"mask={folder}/{name}"]}
    words["occlusions"] = ["image=mask.png", f"occlusions=[{{name:mask,path:{folder}/{name}}}]"]
    code, _, err = call("complete", f"checkpoint={saved}", *words[option], f"hydra.run.dir={folder}", "count=1")
    assert code == 2 and "would be written over it; choose another one" in err and len(err.splitlines()) == 1
    assert tree(folder) == before


@pytest.mark.parametrize("word", ["mask=", "image=", "root="])
def test_an_empty_path_is_refused(word, call, saved, tmp_path):
    save(tmp_path / "photo.png", 8, 8, 3)
    words = [f"checkpoint={saved}", *(["image=photo.png"] if word != "image=" else []), word]
    code, _, err = call("complete", *words)
    assert code == 2 and f"{word} is empty; give a path, or leave it out" in err


@pytest.mark.parametrize("word", ["mask=null", "occlusions=null"])
def test_an_option_without_a_value_hides_nothing(word, call, saved, tmp_path):
    save(tmp_path / "photo.png", 8, 8, 3)
    code, _, err = call("complete", f"checkpoint={saved}", "image=photo.png", word)
    assert code == 2 and "which part is to be completed?" in err


def test_pictures_of_a_wrong_size_do_not_end_the_others(call, saved, tmp_path):
    (tmp_path / "scans").mkdir()
    for name, side in {"a": 8, "b": 8, "c": 40, "d": 8}.items():
        save(tmp_path / "scans" / f"{name}.png", side, side, 3)
    words = [f"checkpoint={saved}", "image=scans", "occlusion=box", "occlusion.rows=30", "count=1", "hydra.run.dir=out"]
    code, out, err = call("complete", *words)
    assert code == 2 and "3 of the 4 pictures could not be completed" in err and "a.png, b.png, d.png" in err
    assert (tmp_path / "out" / "c.png" / "mean.png").is_file() and out.count("is left out") == 1


@pytest.mark.parametrize(
    ("checkpoint", "words"),
    [
        ("digits", ["fit=none"]),
        ("digits", ["estimate=draw"]),
        ("digits", ["strategy=ancestral", "particles=8"]),
        ("digits", ["image=photo.png", "occlusion=half", "limit=3"]),
        ("digits", ["image=photo.png", "occlusion=half", "data=digits"]),
        (None, ["image=photo.png", "occlusion=half", "data=digits"]),
    ],
    ids=str,
)
def test_options_without_effect_are_refused(checkpoint, words, call, saved, tmp_path):
    save(tmp_path / "photo.png", 8, 8)
    code, _, err = call("complete", f"checkpoint={checkpoint or saved}", *words, "count=1", "hydra.run.dir=out")
    assert code == 2 and words[-1] in err and "leave it out" in err and not (tmp_path / "out").exists()


def test_a_model_of_few_levels_takes_a_picture_as_images_of_its_size(call, tmp_path):
    model = tiny_model((1, 8, 8), 16, model="InpaintingRNN", likelihood="logistic_mixture").float()
    pixelrnn.save(model, tmp_path / "few")
    save(tmp_path / "photo.png", 20, 20), save_mask(tmp_path / "mask.png", np.eye(20) > 0)
    words = ["image=photo.png", "mask=mask.png", "fit=stretch", "count=1", "hydra.run.dir=out"]
    code, out, err = call("complete", "checkpoint=few", *words)
    assert code == 0 and "the model sees it as 8x8 pixels, 1 channel and 16 levels" in out, (out, err)
    found = pixelrnn.complete_picture(np.full((20, 20), 15, np.uint8), np.eye(20) > 0, model)
    shown = figures.around_holes(found).axes[0].images[0].get_array()
    assert (shown[0, -1] == 1).all(), "white, though its level is 15"


def test_what_decoding_loses_is_said(call, saved, tmp_path):
    save_mask(tmp_path / "mask.png", np.eye(8) > 0)

    def said(name, *mask):
        code, out, err = call("complete", f"checkpoint={saved}", f"image={name}", *mask, "count=1", "hydra.run.dir=out")
        assert code == 0, err
        return out

    deep = (np.arange(8 * 8 * 3).reshape(8, 8, 3) * 300).astype(">u2")
    (tmp_path / "deep.ppm").write_bytes(b"P6 8 8 65535\n" + deep.tobytes())
    assert "deep.ppm has more than 8 bits" in said("deep.ppm", "mask=mask.png")
    Image.fromarray(np.full((8, 8, 4), 90, np.uint8), "CMYK").save("print.tif")
    assert "print.tif is in CMYK" in said("print.tif", "mask=mask.png")
    soft = np.full((8, 8, 4), 200, np.uint8)
    soft[0, :, 3], soft[1:, :, 3], soft[7, :, 3] = 100, 255, 0
    Image.fromarray(soft, "RGBA").save("soft.png")
    assert "8 pixels of soft.png are transparent in part" in said("soft.png")
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(np.full((8, 8, 3), 90, np.uint8)).save("grey.png", icc_profile=srgb)
    assert "the colour profile of grey.png does not fit" in said("grey.png", "mask=mask.png")


def test_a_folder_that_cannot_be_read_is_one_line(call, saved, tmp_path, monkeypatch):
    (tmp_path / "scans").mkdir()

    def refused(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pathlib.Path.iterdir", refused)
    code, _, err = call("complete", f"checkpoint={saved}", "image=scans", "occlusion=half")
    assert code == 2 and err.startswith("pixelrnn: scans cannot be used (Permission denied)") and err.count("\n") == 1
