"""Data sets: splits, levels, binarisations and refusals, on small files made here and without the network."""

import hashlib
import os
import pickle
import re
import tracemalloc
import urllib.request
from dataclasses import replace
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision
import yaml
from conftest import tiny_model
from omegaconf import OmegaConf
from PIL import Image

from pixelrnn.cli.setup import load_data
from pixelrnn.datasets import DATASETS, Dataset, Options, digests, divided_otherwise, load, published
from pixelrnn.errors import UserError, notes_to
from pixelrnn.options import option_defaults
from pixelrnn.pixels import requantise

CONF = Path(__file__).parents[1] / "conf" / "data"
COUNTS = (30, 10, 10)


def noise(*shape, seed=0, high=256):
    return np.random.RandomState(seed).randint(high, size=shape).astype(np.uint8)


def parts(data):
    return data.train, data.valid, data.test


def same(one, other):
    return one.name == other.name and all(map(torch.equal, parts(one), parts(other)))


def files(root):
    return sorted((str(path), path.stat().st_mtime_ns) for path in root.rglob("*"))


def refused(pattern, **spec):
    with pytest.raises(UserError, match=pattern) as caught:
        load(spec)
    assert "\n" not in str(caught.value)


@pytest.fixture(autouse=True)
def apart(monkeypatch, tmp_path):
    """No test reaches the network or the user's own cache."""

    def offline(*args, **kwargs):
        raise URLError("no network\nhere")

    monkeypatch.setattr(urllib.request, "urlopen", offline)
    monkeypatch.setenv("PIXELRNN_DATA", str(tmp_path / "cache"))


@pytest.fixture
def idx_root(tmp_path, monkeypatch):
    """A root with MNIST and Fashion-MNIST of 40 + 10 images."""
    for kind in ("MNIST", "FashionMNIST"):
        monkeypatch.setitem(published.SPLITS, kind, COUNTS)
        raw = tmp_path / "root" / kind / "raw"
        raw.mkdir(parents=True)
        for prefix, count in (("train", 40), ("t10k", 10)):
            for what, values in (
                ("images-idx3", noise(count, 28, 28, seed=count)),
                ("labels-idx1", noise(count, high=10)),
            ):
                header = bytes([0, 0, 8, values.ndim]) + b"".join(size.to_bytes(4, "big") for size in values.shape)
                (raw / f"{prefix}-{what}-ubyte").write_bytes(header + values.tobytes())
    return tmp_path / "root"


@pytest.fixture
def cifar_root(tmp_path, monkeypatch):
    folder = tmp_path / "root" / "cifar-10-batches-py"
    folder.mkdir(parents=True)

    def write(name, value):
        data = pickle.dumps(value)
        (folder / name).write_bytes(data)
        return [name, hashlib.md5(data).hexdigest()]

    source = torchvision.datasets.CIFAR10
    batches = [write(name, {"data": noise(20, 3072, seed=i), "labels": [0] * 20}) for i, name in enumerate("abc")]
    filename, md5 = write("batches.meta", {"label_names": []})
    monkeypatch.setattr(source, "train_list", batches[:2])
    monkeypatch.setattr(source, "test_list", batches[2:])
    monkeypatch.setattr(source, "meta", {"filename": filename, "key": "label_names", "md5": md5})
    monkeypatch.setitem(published.SPLITS, "CIFAR10", (35, 5, 20))
    return tmp_path / "root"


@pytest.mark.parametrize("name", DATASETS)
def test_the_yaml_lists_every_option(name):
    options = yaml.safe_load((CONF / f"{name}.yaml").read_text(encoding="utf-8"))
    assert options.pop("name") == name
    assert list(options) == list(option_defaults(Options))


@pytest.mark.parametrize("name", DATASETS)
@pytest.mark.parametrize(
    ("option", "pattern"),
    [
        ({"size": 0}, "data.size=0: .* from 1, or null"),
        ({"size": 14.5}, "data.size=14.5: .* whole number"),
        ({"size": "big"}, "data.size=big"),
        ({"channels": 2}, r"data.channels=2: it is 1 \(grey\), 3 \(RGB\), or null"),
        ({"channels": True}, "data.channels=true"),
        ({"levels": 1}, "data.levels=1: .* from 2 to 256"),
        ({"levels": 257}, "data.levels=257"),
        ({"limit": 0}, "data.limit=0: .* from 1, or null"),
        ({"sise": 8}, "no option 'sise'; did you mean 'size'"),
    ],
)
def test_a_value_out_of_range_is_refused(name, option, pattern):
    refused(pattern, name=name, **option)


def test_an_unknown_dataset_is_refused():
    refused("unknown dataset 'minst'; did you mean 'mnist'", name="minst")


def test_digits_are_all_there_once():
    data = load("digits")
    assert [len(part) for part in parts(data)] == [1297, 250, 250]
    assert data.shape == (1, 8, 8) and data.levels == 17 and not data.dynamic
    assert data.name == "digits 8x8, 17 levels (train 1,297 / valid 250 / test 250)"
    assert data.train.dtype == torch.uint8 and int(data.train.max()) == 16
    from sklearn.datasets import load_digits

    rows = sorted(row.tobytes() for row in load_digits().images.astype(np.uint8))
    assert sorted(row.numpy().tobytes() for row in torch.cat(parts(data))) == rows


def test_the_split_of_the_digits_never_moves():
    """Models are shipped that were trained on it: their test images must stay unseen."""
    digest = hashlib.sha256(load("digits").test.numpy().tobytes()).hexdigest()
    assert digest == "9293fef9ca3c56b2ccce7deacd2bc6053d65b6f3f09f326a60e8cff6a6e70e6c"


def test_options_of_the_digits():
    native = load("digits")
    data = load({"name": "digits", "size": 4, "channels": 3, "levels": 2, "limit": 100})
    assert data.shape == (3, 4, 4) and set(data.train.unique().tolist()) == {0, 1}
    assert data.name == (
        "digits 4x4 RGB, binarised by threshold (train 100 of 1,297 / valid 100 of 250 / test 100 of 250)"
    )
    assert torch.equal(load({"name": "digits", "levels": 256}).test, requantise(native.test, 17, 256))
    assert torch.equal(load({"name": "digits", "limit": 40}).test, load({"name": "digits", "limit": 90}).test[:40])
    assert load({"name": "digits", "size": 16}).shape == (1, 16, 16)
    assert load("digits", size=16, limit=5).name == load({"name": "digits", "size": 16, "limit": 5}).name
    with pytest.raises(UserError, match="dataset 'digits' has no option 'sise'; did you mean 'size'"):
        load("digits", sise=16)
    half = native.test.double().unfold(2, 2, 2).unfold(3, 2, 2).mean((4, 5))
    assert torch.equal(load({"name": "digits", "size": 4}).test.double(), (half + 0.5).floor())


@pytest.mark.parametrize(("name", "title"), [("mnist", "MNIST"), ("fashion_mnist", "Fashion-MNIST")])
def test_the_last_grey_images_of_the_training_file_are_for_validation(name, title, idx_root):
    before = files(idx_root)
    data = load({"name": name, "root": str(idx_root)})
    assert data.name == f"{title} 28x28, 256 levels (train 30 / valid 10 / test 10)"
    images = torch.from_numpy(noise(40, 1, 28, 28, seed=40))
    assert torch.equal(data.train, images[:30]) and torch.equal(data.valid, images[30:])
    assert torch.equal(data.test, torch.from_numpy(noise(10, 1, 28, 28, seed=10)))
    coloured = load({"name": name, "root": str(idx_root), "levels": 4, "channels": 3, "size": 14})
    assert coloured.shape == (3, 14, 14) and int(coloured.train.max()) < 4
    assert files(idx_root) == before  # the folder may be read-only


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "binarized_mnist"])
def test_threshold_and_dynamic(name, idx_root):
    grey = load({"name": name.replace("binarized_", ""), "root": str(idx_root)})
    spec = {"name": name, "root": str(idx_root), "levels": 2}
    data = load({**spec, "binarization": "threshold"})
    assert "binarised by threshold" in data.name
    assert torch.equal(data.test, (grey.test >= 128).to(torch.uint8))

    data = load({**spec, "binarization": "dynamic"})
    assert data.dynamic and data.levels == 2 and "28x28, dynamically binarised (train 30 /" in data.name
    assert torch.equal(data.train, grey.train)
    assert same(data, load({**spec, "binarization": "dynamic"}))
    for part in ("train", "valid", "test"):  # the training images too, when they are evaluated
        images = data.images(part)
        assert set(images.unique().tolist()) == {0, 1} and torch.equal(images, data.images(part))
    likely = torch.where(data.images("train") == 1, data.train, 255 - data.train)
    assert (likely > 0).all() and likely.double().mean() > 150  # 170 of 255 if greys are uniform
    limited = load({**spec, "binarization": "dynamic", "limit": 5})
    assert all(any(torch.equal(image, other) for other in data.test) for image in limited.test)


def test_a_dynamic_pixel_is_white_with_the_probability_of_its_grey(idx_root):
    data = load({"name": "mnist", "root": idx_root, "levels": 2, "binarization": "dynamic", "channels": 3})
    index = torch.arange(30)
    first, again = data.training_batch(index), data.training_batch(index)
    assert first.dtype == torch.uint8 and first.shape == (30, 3, 28, 28) and not torch.equal(first, again)
    assert torch.equal(first[:, 0], first[:, 2])  # grey stays grey
    torch.manual_seed(0)
    assert torch.equal(data.training_batch(index), first)
    mean = sum(data.training_batch(index).double() for _ in range(400)) / 400
    p = data.train.double() / 255
    assert torch.equal(mean[p == 0], p[p == 0]) and torch.equal(mean[p == 1], p[p == 1])
    assert (mean - p).abs().max() < 0.5 / 400**0.5 * 6


def test_a_batch_of_other_data_is_a_choice_of_its_images():
    data = load("digits")
    assert torch.equal(data.training_batch(torch.tensor([3, 1])), data.train[[3, 1]])


def test_repeats_are_found_without_a_copy_of_the_images():
    data = Dataset("noise", 256, *torch.from_numpy(noise(3000, 3, 64, 64)).split([2000, 500, 500]))
    tracemalloc.start()
    found = data.train_digests
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.shape == (2000, 16) and peak < data.train.numel() / 20
    assert torch.equal(digests(data.train[[7, 3]]), found[[7, 3]]) and len(found.unique(dim=0)) == 2000
    assert replace(data, levels=2, dynamic=True).train_digests is None


def test_the_fixed_binarisation_divides_mnist_in_another_way():
    fixed, plain = {"name": "binarized_mnist"}, {"name": "mnist", "levels": 2, "binarization": "dynamic"}
    assert divided_otherwise(fixed, plain) and divided_otherwise(plain, {**fixed, "binarization": "fixed"})
    assert divided_otherwise(fixed, {**fixed, "binarization": "threshold"})
    same = [(fixed, fixed), (plain, {"name": "mnist"}), (plain, {**fixed, "binarization": "dynamic"})]
    same += [(fixed, {"name": "fashion_mnist"}), ({"name": "digits"}, plain)]
    assert not any(divided_otherwise(*pair) for pair in same)


def test_validation_images_that_the_model_saw_in_another_binarisation_are_said(idx_root):
    model, told = tiny_model((1, 28, 28), levels=2), []
    plain = {"name": "mnist", "levels": 2, "binarization": "dynamic"}
    cfg = OmegaConf.create({"checkpoint": "run", "root": str(idx_root), "data": plain})
    for before, part, count in (([], "valid", 0), (["binarized_mnist"], "test", 0), (["binarized_mnist"], "valid", 1)):
        model.trained_on = {"data": plain, "before": [{"name": name} for name in before]}
        with notes_to(told.append):
            load_data(cfg, model, part)
        assert len(told) == count
    assert "the model was trained on five in six of these validation images" in told[0]


@pytest.mark.parametrize(("part", "count"), [("valid", 1), ("test", 0)])
def test_validation_images_that_a_bundled_model_was_trained_on_are_said(cifar_root, part, count):
    model, told = tiny_model((3, 32, 32), levels=256), []
    model.trained_on = {"data": {"name": "photos"}, "before": [{"name": "cifar10", "with_valid": True}]}
    cfg = OmegaConf.create({"checkpoint": "run", "root": str(cifar_root), "data": {"name": "cifar10"}})
    with notes_to(told.append):
        load_data(cfg, model, part)
    assert [note.partition(";")[0] for note in told] == [
        "the model was trained on the validation images of data=cifar10 too"
    ] * count


def test_cifar10(cifar_root):
    data = load({"name": "cifar10", "root": str(cifar_root)})
    assert data.name == "CIFAR-10 32x32 RGB, 256 levels (train 35 / valid 5 / test 20)"
    assert torch.equal(data.test, torch.from_numpy(noise(20, 3072, seed=2)).view(20, 3, 32, 32))
    grey = load({"name": "cifar10", "root": str(cifar_root), "channels": 1})
    pillow = Image.fromarray(data.test[0].permute(1, 2, 0).numpy()).convert("L")
    assert torch.equal(grey.test[0, 0], torch.from_numpy(np.array(pillow)))


@pytest.mark.parametrize("name", DATASETS)
@pytest.mark.parametrize(
    ("options", "pattern"),
    [
        (
            {"levels": 2, "binarization": "random"},
            "data.binarization=random: it is dynamic, threshold or fixed, or null",
        ),
        ({"levels": 4, "binarization": "dynamic"}, "data.levels=4 .*=dynamic: .* set data.levels=2, or .*=null"),
    ],
)
def test_a_binarisation_must_fit(name, options, pattern):
    refused(pattern, name=name, **options)


def test_the_binarisation_of_mnist_must_be_chosen():
    for name in ("mnist", "fashion_mnist"):
        refused("data.levels=2 without data.binarization: .* cannot be compared", name=name, levels=2)


def test_images_are_binarised_by_threshold_or_dynamically(idx_root, cifar_root):
    for name in ("mnist", "fashion_mnist", "cifar10", "digits"):
        spec = {"name": name, "root": None if name == "digits" else str(idx_root)}
        data = load({**spec, "binarization": "threshold"})
        assert "binarised by threshold" in data.name
        if "mnist" not in name:
            assert same(data, load({**spec, "levels": 2}))
        grey, dynamic = load({**spec, "levels": 256}), load({**spec, "binarization": "dynamic"})
        assert torch.equal(data.train, (grey.train >= 128).to(torch.uint8))
        assert dynamic.dynamic and dynamic.levels == 2 and torch.equal(dynamic.train, grey.train)
        assert set(dynamic.valid.unique().tolist()) == {0, 1}


def test_the_fixed_binarisation_is_a_data_set_of_its_own(idx_root):
    for name in ("mnist", "fashion_mnist", "digits"):
        root = None if name == "digits" else str(idx_root)
        refused("fixed needs data=binarized_mnist", name=name, root=root, binarization="fixed", levels=2)
    refused("data=digits comes with scikit-learn, without a folder", name="digits", root=str(idx_root))
    refused("data.levels=256 .* data set other than binarized_mnist", name="binarized_mnist", levels=256)


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("mnist", "MNIST is not in .*/root/MNIST/raw and .*put train-images-idx3-ubyte, .* that holds MNIST/raw"),
        ("fashion_mnist", "Fashion-MNIST is not in .*/root/FashionMNIST/raw .*no network here"),
        ("cifar10", "CIFAR-10 is not in .*put data_batch_1, .*test_batch, batches.meta there, or set data.root"),
        (
            "binarized_mnist",
            r"_train.amat of http://www.cs.toronto.* is not in .*put .*_test.amat there, or set data.root",
        ),
    ],
)
def test_missing_files_are_asked_for(name, pattern, tmp_path):
    refused(pattern, name=name, root=str(tmp_path / "root"))


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10", "binarized_mnist"])
def test_a_failed_look_up_leaves_nothing_behind(name, tmp_path):
    refused("could not be downloaded", name=name, root=str(tmp_path / "new" / "root"))
    assert list(tmp_path.iterdir()) == []


def test_a_download_that_fails_half_way_leaves_what_was_there(tmp_path, monkeypatch):
    """And of it alone the rest is asked for."""
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "train-images-idx3-ubyte").touch()

    def half(self):
        (raw / "t10k-images-idx3-ubyte.gz").write_bytes(b"half")
        raise KeyboardInterrupt if stopped else URLError("no network")

    monkeypatch.setattr(torchvision.datasets.MNIST, "download", half)
    stopped = False
    refused(r"\); put train-labels-idx1-ubyte, t10k", name="mnist", root=str(tmp_path))
    stopped = True
    with pytest.raises(KeyboardInterrupt):
        load({"name": "mnist", "root": str(tmp_path)})
    assert [path.name for path in raw.iterdir()] == ["train-images-idx3-ubyte"]


@pytest.mark.parametrize("given", ["..", "MNIST", "MNIST/raw"])
def test_a_root_too_high_or_too_low_is_told(given, idx_root):
    (idx_root / "MNIST" / "raw" / "t10k-images-idx3-ubyte").unlink()  # what is there says where, though it is not whole
    root = idx_root / given
    refused(r"root holds MNIST/raw: is data\.root=/.*/root meant", name="mnist", root=os.path.normpath(root))
    assert not (root / "MNIST").exists()


@pytest.mark.parametrize("error", [PermissionError("read-only"), RuntimeError("two\nlines"), EOFError()])
def test_any_failure_of_a_download_is_one_line(error, monkeypatch, tmp_path):
    def fail(self):
        raise error

    monkeypatch.setattr(torchvision.datasets.MNIST, "download", fail)
    refused(f"could not be downloaded \\({type(error).__name__}", name="mnist", root=str(tmp_path))
    refused(re.escape(str(tmp_path / "cache" / "MNIST" / "raw")), name="mnist")


def test_progress_stays_off_standard_output(monkeypatch, capsys, idx_root, tmp_path):
    def download(self):
        print("10 %")
        if not os.path.exists(self.raw_folder):
            os.makedirs(os.path.dirname(self.raw_folder))
            os.rename(idx_root / "MNIST" / "raw", self.raw_folder)

    monkeypatch.setattr(torchvision.datasets.MNIST, "download", download)
    assert len(load("mnist").train) == 30
    assert (tmp_path / "cache" / "MNIST" / "raw").is_dir()
    output = capsys.readouterr()
    assert output.out == "" and "10 %" in output.err


def test_damaged_files_are_named(idx_root, cifar_root):
    path = idx_root / "MNIST" / "raw" / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:1000])
    refused("the files of MNIST in .*MNIST/raw cannot be used .*; delete them", name="mnist", root=str(idx_root))
    (cifar_root / "cifar-10-batches-py" / "a").write_bytes(b"")
    refused("the files of CIFAR-10 in .* cannot be used .*corrupted", name="cifar10", root=str(cifar_root))


def test_files_of_other_images_are_refused(idx_root, monkeypatch):
    monkeypatch.setitem(published.SPLITS, "MNIST", (50_000, 10_000, 10_000))
    refused(r"hold 40 \+ 10 images, not 60,000 \+ 10,000", name="mnist", root=str(idx_root))
