import pytest
import torch

from biddable.model import checkpoint
from biddable.runs import NotFinite


def tensors(x: float = 1.0) -> dict[str, torch.Tensor]:
    return {"a": torch.full((3,), x), "b.c": torch.arange(4)}


def test_what_is_saved_comes_back(tmp_path):
    checkpoint.save(tmp_path / "c", 7, tensors(), {"best": 0.25})
    found = checkpoint.newest(tmp_path / "c")
    assert (found.step, found.state) == (7, {"best": 0.25})
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in tensors().items())


def test_no_checkpoint_is_none(tmp_path):
    assert checkpoint.newest(tmp_path / "c") is None


def test_the_newest_is_by_number_and_not_by_letter(tmp_path):
    for step in (9, 10):
        checkpoint.save(tmp_path, step, tensors(step), {})
    assert checkpoint.newest(tmp_path).step == 10


def test_only_the_last_ones_are_kept(tmp_path):
    for step in (1, 2, 3):
        checkpoint.save(tmp_path, step, tensors(), {}, keep=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-2", "step-3"]


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-1])


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("name", ["tensors.safetensors", "state.json", "MANIFEST.json"])
@pytest.mark.parametrize("harm", [cut_short, flip, lambda path: path.unlink(), lambda path: path.write_bytes(b"")])
def test_a_torn_checkpoint_is_passed_over_for_the_one_before(tmp_path, name, harm):
    for step in (1, 2):
        checkpoint.save(tmp_path, step, tensors(step), {"step": step})
    harm(tmp_path / "step-2" / name)
    found = checkpoint.newest(tmp_path)
    assert found.step == 1
    assert (tmp_path / "corrupt-step-2").exists()


def test_a_directory_left_half_written_is_not_a_checkpoint(tmp_path):
    checkpoint.save(tmp_path, 1, tensors(), {})
    (tmp_path / ".step-2.part").mkdir()
    assert checkpoint.newest(tmp_path).step == 1
    checkpoint.save(tmp_path, 2, tensors(), {})
    assert checkpoint.newest(tmp_path).step == 2


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_never_written(tmp_path, bad):
    checkpoint.save(tmp_path, 1, tensors(), {})
    with pytest.raises(NotFinite, match="step 2: a holds NaN or Inf"):
        checkpoint.save(tmp_path, 2, tensors(bad), {})
    assert checkpoint.newest(tmp_path).step == 1


def test_an_optimizer_goes_on_as_if_never_stopped():
    def setup():
        torch.manual_seed(0)
        net = torch.nn.Linear(3, 2)
        return net, torch.optim.AdamW(net.parameters(), lr=0.1)

    def go(net, optimizer, steps):
        for step in range(steps):
            net(torch.full((1, 3), 1.0 + step)).square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()

    net, optimizer = setup()
    go(net, optimizer, 2)
    kept = {k: v.clone() for k, v in checkpoint.moments("adam", optimizer).items()} | {
        k: v.clone() for k, v in checkpoint.parameters("net", net).items()
    }
    go(net, optimizer, 3)
    again, fresh = setup()
    checkpoint.restore("net", again, kept)
    checkpoint.restore_moments("adam", fresh, kept)
    go(again, fresh, 3)
    assert torch.equal(net.weight, again.weight)
