"""The check on a GPU goes on after a failure, and says so; here on a CPU, in tiny sizes."""

from emulated_device import emulated

from tools import gpu_check

ARGUMENTS = ["device=cpu", "small=true", "limit=60"]


def test_a_step_that_fails_does_not_end_the_check(monkeypatch, capsys):
    def fails(check):
        check.line("a figure", "1")
        raise ValueError("the reason")

    monkeypatch.setitem(gpu_check.STEPS, "machine", fails)
    assert gpu_check.main([*ARGUMENTS, "only=machine,memory"]) == 1
    output = capsys.readouterr().out
    assert "ValueError: the reason" in output and "machine      0 ok, 1 FAILED" in output
    assert "memory       6 ok" in output


def test_a_step_that_takes_too_long_is_stopped(monkeypatch, capsys):
    def endless(check):
        while True:
            pass

    monkeypatch.setitem(gpu_check.STEPS, "machine", endless)
    monkeypatch.setattr(gpu_check, "LONGEST_STEP", 0.1)
    assert gpu_check.main([*ARGUMENTS, "only=machine"]) == 0
    assert "stopped before its end" in capsys.readouterr().out


def test_an_unknown_step_is_refused(capsys):
    assert gpu_check.main([*ARGUMENTS, "only=machines"]) == 2
    assert "unknown: machines" in capsys.readouterr().err


def test_sampling_by_graph_is_compared_with_the_loop(capsys):
    with emulated():
        check = gpu_check.Check("cuda", small=True)
        model = gpu_check.make("PixelCNN, colour", 6).to(check.device).eval()
        gpu_check.graph_and_loop(check, "PixelCNN", model, 2)
        check.end()
    output = capsys.readouterr().out
    assert "(4 in 2 calls)" in output and "0 of 216 values differ" in output
    assert [result.holds for result in check.results] == [None, True]
