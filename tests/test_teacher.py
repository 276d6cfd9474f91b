"""Learning from a teacher: the gradient, what it is worth, and which teachers are refused."""

import copy
import os
from dataclasses import replace

import pytest
import torch
from conftest import SMALL, new_model, random_images, run, stripes, tiny_model
from torch import nn

import pixelrnn
from pixelrnn import Ensemble, UserError, datasets
from pixelrnn.cli.compose import quoted
from pixelrnn.datasets import digests
from pixelrnn.evaluation import evaluate
from pixelrnn.training.teacher import Teacher
from pixelrnn.training.update import Objective

SHAPE, LEVELS = (1, 3, 4), 3
KINDS = [
    {},
    {"orders": "symmetries", "bidirectional": True},
    {"model": "RowLSTM"},
    {"model": "PixelCNN", "orders": "symmetries"},
    {"model": "MultiScale"},
]


def gradient(model: nn.Module, log_probs: torch.Tensor) -> list[torch.Tensor]:
    parameters = list(model.parameters())
    found = torch.autograd.grad(log_probs.sum(), parameters, allow_unused=True, materialize_grads=True)
    return list(found)


@pytest.mark.parametrize("likelihood", ["categorical", "logistic_mixture"])
@pytest.mark.parametrize("options", KINDS, ids=str)
@pytest.mark.parametrize("shape", [SHAPE, (3, 4, 4)], ids=str)
def test_the_gradient_is_the_mean_of_the_data_s_and_of_the_teacher_s(options, likelihood, shape):
    """In the two cases where the teacher's part is known: a teacher that is the model itself, from which there is nothing
    to learn, and one that is sure of each pixel, which says what the data say."""
    model = tiny_model(shape, LEVELS, likelihood=likelihood, **options)
    images = random_images(3, shape, LEVELS)
    hidden = torch.rand(3, *shape[1:]) < 0.6 if model.sees_ahead else None
    data = model.training_log_prob(images, hidden)
    expected = gradient(model, data)

    same = Teacher(tiny_model(shape, LEVELS, likelihood=likelihood, **options), model)
    taught = same.log_prob(model, images, hidden)
    torch.testing.assert_close(taught, data)
    for found, of_data in zip(gradient(model, taught), expected, strict=True):
        torch.testing.assert_close(found, of_data / 2)

    sure = Teacher(tiny_model(shape, LEVELS, **options), model)
    sure.teacher.likelihood.level_log_probs = lambda _, values: nn.functional.one_hot(values, LEVELS).double().log()
    taught = sure.log_prob(model, images, hidden)
    torch.testing.assert_close(taught, data)
    for found, of_data in zip(gradient(model, taught), expected, strict=True):
        torch.testing.assert_close(found, of_data)


def test_the_teacher_is_asked_along_the_model_s_order():
    """The same orders in another sequence: if the teacher were asked along its own first one, it would teach something else."""
    flipped = {"name": "raster", "transforms": ["flip_rows"]}
    model = tiny_model(SHAPE, LEVELS, orders=["raster", flipped, "column"])
    teacher = tiny_model(SHAPE, LEVELS, orders=["column", "raster", flipped], ordering="column", seed=1)
    objective, images = Teacher(teacher, model), random_images(3, SHAPE, LEVELS)
    assert objective.orders == [1, 2, 0]
    for index in range(3):
        with model.along(index):
            found = gradient(model, objective.log_prob(model, images))
            single = tiny_model(SHAPE, LEVELS, orders=["column", "raster", flipped], ordering="column", seed=1)
            with single.along(objective.orders[index]), torch.no_grad():
                assert torch.equal(single.order, model.order)
                values = images.flatten(1)[:, model.order].long()
                weights = single.likelihood.level_log_probs(single(images), values[..., None]).exp()
            own = model.likelihood.level_log_probs(model(images), values[..., None])
            by_hand = (own * (weights + nn.functional.one_hot(values, LEVELS)[:, :, None]) / 2).sum()
            for a, b in zip(found, gradient(model, by_hand), strict=True):
                torch.testing.assert_close(a, b)


def test_a_student_of_few_images_learns_what_its_teacher_knows(tmp_path):
    """The teacher has seen 40 images of stripes, and the student four of them."""
    many = stripes()
    few = replace(many, train=many.train[:4])
    options = {"epochs": 60, "learning_rate": 0.01, "average_decay": 0.9, "validate_every": 1000}
    run(tmp_path / "teacher", data=many, **options)
    options |= {"epochs": 300, "patience": None}
    run(tmp_path / "alone", data=few, **options)
    run(tmp_path / "taught", data=few, teacher=pixelrnn.load(tmp_path / "teacher"), **options)
    alone, taught = (evaluate(pixelrnn.load(tmp_path / name), many.test).nats for name in ("alone", "taught"))
    assert taught < alone - 1


def test_a_student_has_seen_what_its_teacher_was_trained_on(tmp_path):
    teacher = new_model()
    teacher.trained_on = {"data": {"name": "digits"}, "before": [{"name": "mnist"}]}
    digests = torch.arange(32, dtype=torch.uint8).view(2, 16)
    teacher.remember(digests)
    student = new_model()
    student.trained_on = {"data": {"name": "mnist"}, "before": [{"name": "digits"}]}
    run(tmp_path / "student", student, teacher=teacher, epochs=1)
    saved = pixelrnn.load(tmp_path / "student")
    assert saved.trained_on["before"] == [{"name": "digits"}, {"name": "mnist"}], "each once"
    assert saved.train_digests is not None
    assert all(bool((saved.train_digests == row).all(1).any()) for row in digests)


@pytest.mark.parametrize(
    ("model", "teacher", "says"),
    [
        ({"model": "InpaintingRNN"}, {"model": "InpaintingRNN"}, "draws windows at random"),
        ({}, {"shape": (1, 4, 3)}, r"the teacher has shape \(1, 4, 3\), and the model \(1, 3, 4\)"),
        ({}, {"levels": 2}, "the teacher has levels 2, and the model 3"),
        ({"orders": ["raster", "column"]}, {}, "1 of the model's 2 orders are not among the teacher's"),
        ({"ordering": "snake"}, {}, "1 of the model's 1 orders are not"),
        ({"bidirectional": True}, {}, "it would teach to ignore them"),
    ],
)
def test_a_teacher_that_does_not_fit_is_refused(model, teacher, says):
    form = {"shape": SHAPE, "levels": LEVELS}
    with pytest.raises(UserError, match=says):
        Teacher(tiny_model(**{**form, **teacher}), tiny_model(**{**form, **model}))


def test_a_teacher_may_be_of_another_kind_see_more_and_have_more_orders():
    model = tiny_model(SHAPE, LEVELS, ordering="column")
    members = [tiny_model(SHAPE, LEVELS, seed, orders="symmetries", bidirectional=True, cell="gru") for seed in (1, 2)]
    images = random_images(2, SHAPE, LEVELS)
    taught = Teacher(Ensemble(members), model).log_prob(model, images)
    torch.testing.assert_close(taught, model.log_prob(images))


def test_a_sequence_with_a_teacher_is_not_cut():
    for bptt in ("checkpointed", "truncated"):
        with pytest.raises(UserError, match=f"bptt={bptt}: .* use bptt=full"):
            Objective(tiny_model(SHAPE, LEVELS), bptt, teacher=tiny_model(SHAPE, LEVELS, 1))
    found = []
    for bptt in ("full", "checkpointed"):  # of the paper's models, it computes each layer again
        model, teacher = (tiny_model(SHAPE, LEVELS, seed, model="RowLSTM") for seed in (0, 1))
        found.append(gradient(model, Objective(model, bptt, teacher=teacher)(random_images(2, SHAPE, LEVELS))))
    for full, checkpointed in zip(*found, strict=True):
        torch.testing.assert_close(full, checkpointed)


def test_a_run_goes_on_with_the_same_teacher_only(tmp_path):
    teacher, other = new_model(), new_model()
    next(other.parameters()).data.mul_(1.1)
    run(tmp_path, teacher=teacher, epochs=1)
    for wrong in (other, None):
        with pytest.raises(UserError, match="teacher_digest"):
            run(tmp_path, teacher=wrong, epochs=2)
    run(tmp_path, teacher=teacher, epochs=2)


def test_training_from_python_takes_a_model_as_teacher():
    images = stripes().train
    model, before = new_model(), new_model().state_dict()
    pixelrnn.train(model, images, valid=images[:4], teacher=Ensemble([new_model()]), epochs=1, progress=False)
    assert any(not torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    with pytest.raises(UserError, match="teacher is a str; give a model"):
        pixelrnn.train(model, images, teacher="digits")


def test_a_teacher_can_still_be_trained():
    images = torch.randint(2, (20, 1, 3, 3), dtype=torch.uint8)
    teacher, model = (tiny_model((1, 3, 3), 2).float() for _ in range(2))
    pixelrnn.train(model, images, teacher=teacher, epochs=1)
    before = copy.deepcopy(teacher.state_dict())
    pixelrnn.train(teacher, images, epochs=1)
    assert any(not torch.equal(before[name], value) for name, value in teacher.state_dict().items())
    with pytest.raises(UserError, match="the teacher is the model itself"):
        pixelrnn.train(model, images, teacher=model, epochs=1)


def test_an_ensemble_teaches_from_the_command_line_and_the_run_goes_on(call, tmp_path):
    small = [*SMALL, "threads=1"]
    for seed in (0, 1):
        code, _, err = call("train", f"hydra.run.dir=member{seed}", f"seed={seed}", *small)
        assert code == 0, err
    taught = ["training.teacher=[member0,member1]", *small]
    code, out, err = call("train", "hydra.run.dir=student", *taught)
    assert code == 0 and "teacher    [member0,member1]: " in out, err
    assert pixelrnn.load("student").trained_on["teacher"] == ["member0", "member1"]
    code, out, err = call("train", "hydra.run.dir=student", *taught, "training.epochs=2")
    assert code == 0 and "goes on from update" in out and "teacher " not in out.split("goes on")[1], err
    (tmp_path / "elsewhere").mkdir()
    os.chdir(tmp_path / "elsewhere")
    code, out, err = call("train", f"training.resume={tmp_path / 'student'}", "training.epochs=3")
    assert code == 0 and "goes on from update" in out, err
    (tmp_path / "member1").rename(tmp_path / "elsewhere" / "member1")
    code, out, err = call("train", f"training.resume={tmp_path / 'student'}", "training.epochs=4")
    gone = f"needs training.teacher={tmp_path / 'member1'}, which is not there"
    assert (code, out) == (2, "") and err == f"pixelrnn: the run in {tmp_path / 'student'} {gone}\n"


@pytest.mark.parametrize(
    ("teacher", "says"),
    [
        ("nothing", "nothing: no such folder"),
        ("mnist_binary", "the teacher has shape (1, 28, 28), and the model (1, 8, 8)"),
        ("", "training.teacher= is empty; give a path"),
        ("[]", "training.teacher=[]: it is a name or a path"),
    ],
)
def test_a_wrong_teacher_is_refused_and_nothing_written(call, tmp_path, teacher, says):
    code, _, err = call("train", "hydra.run.dir=none", f"training.teacher={teacher}", *SMALL)
    assert code == 2 and says in err and not (tmp_path / "none").exists()


def test_a_teacher_that_saw_the_validation_images_is_named(call):
    code, _, err = call("train", "hydra.run.dir=teacher", *SMALL, "training.epochs=1")
    assert code == 0, err
    model = pixelrnn.load("teacher")
    model.remember(digests(datasets.load({"name": "digits", "size": 8, "limit": 64}).valid))
    pixelrnn.save(model, "seen")
    code, out, err = call("train", "hydra.run.dir=student", *SMALL, "training.teacher=seen")
    assert code == 0 and "valid" in out and "trained on" in out, out


def test_a_run_older_than_an_option_goes_on(call, tmp_path):
    code, _, err = call("train", "hydra.run.dir=old", *SMALL)
    assert code == 0, err
    config = tmp_path / "old" / ".hydra" / "train" / "config.yaml"
    config.write_text("".join(line for line in config.read_text().splitlines(True) if "teacher" not in line))
    code, out, err = call("train", "training.resume=old", "training.epochs=2")
    assert code == 0 and "goes on from update" in out, err


def test_a_sweep_may_leave_the_teacher_out():
    assert quoted("training.teacher=null,[one,two 2]", sweep=True) == "training.teacher=null,['one','two 2']"
