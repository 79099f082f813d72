"""LatentTable against dense torch.optim.Adam, and what a row-sparse table must leave alone."""

from __future__ import annotations

import pytest
import torch

from unmingle.errors import ConfigError, RunError
from unmingle.nn.latent import LatentTable


def table(rows=7, dim=3, **options):
    made = LatentTable(rows, dim, generator=torch.Generator().manual_seed(1), **options)
    made.begin_training()
    return made


def train(tab, visits, targets, lr, betas, eps, rate=lambda t: 1.0):
    """Pull the visited rows towards their targets, a weighted squared error at each step."""
    for t, rows in enumerate(visits):
        rows = torch.as_tensor(rows)
        loss = ((tab.lookup(rows) - targets[rows]) ** 2 * (1 + t % 3)).mean()
        loss.backward()
        tab.update(lr * rate(t), betas, eps)


def train_dense(start, visits, targets, lr, betas, eps, rate=lambda t: 1.0):
    """The same by torch.optim.Adam on an ordinary parameter, every row stepping every time."""
    weight = torch.nn.Parameter(start.clone())
    adam = torch.optim.Adam([weight], lr=lr, betas=betas, eps=eps, foreach=False, fused=False)
    for t, rows in enumerate(visits):
        rows = torch.as_tensor(rows)
        adam.param_groups[0]["lr"] = lr * rate(t)
        loss = ((weight[rows] - targets[rows]) ** 2 * (1 + t % 3)).mean()
        adam.zero_grad(set_to_none=False)
        loss.backward()
        adam.step()
    return weight.detach()


def random_visits(rows, steps, batch, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(rows, (batch,), generator=generator).tolist() for _ in range(steps)]


@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.5, 0.999), (0.5, 0.9), (0.0, 0.99)])
def test_is_dense_adam_when_rows_are_visited_at_random(betas):
    targets = torch.randn(40, 3, generator=torch.Generator().manual_seed(3))
    visits = random_visits(40, 200, 4)
    tab = table(40)
    start = tab.weight.clone()
    fade = lambda t: 1.0 - t / 300  # noqa: E731
    train(tab, visits, targets, 0.01, betas, 1e-12, fade)
    tab.flush()
    dense = train_dense(start, visits, targets, 0.01, betas, 1e-12, fade)
    moved = (dense - start).abs().mean()
    assert moved > 0.05
    assert (tab.weight - dense).abs().max() < 1e-4 * moved


def test_gradients_near_eps_stay_close_to_dense_adam():
    targets = torch.randn(40, 3, generator=torch.Generator().manual_seed(3)) * 1e-5
    visits = random_visits(40, 200, 4)
    tab = table(40, scale=0.0)
    start = tab.weight.clone()
    train(tab, visits, targets, 1e-8, (0.9, 0.999), 1e-6)
    tab.flush()
    dense = train_dense(start, visits, targets, 1e-8, (0.9, 0.999), 1e-6)
    assert (tab.weight - dense).abs().max() < 0.05 * (dense - start).abs().max()


def test_has_the_bits_of_dense_adam_when_every_row_is_visited():
    orders = [torch.randperm(7, generator=torch.Generator().manual_seed(t)) for t in range(25)]
    tab = table(7)
    start = tab.weight.clone()
    weight = torch.nn.Parameter(start.clone())
    adam = torch.optim.Adam([weight], lr=0.02, foreach=False, fused=False)
    for rows in orders:
        gradient = torch.randn(7, 3, generator=torch.Generator().manual_seed(int(rows[0])))
        tab.lookup(rows).backward(gradient[rows])
        tab.update(0.02)
        weight.grad = gradient
        adam.step()
    assert not torch.equal(start, tab.weight)
    assert torch.equal(tab.weight, weight.detach())
    tab.flush()
    assert torch.equal(tab.weight, weight.detach())


@pytest.mark.parametrize("mode", ["dense", "sparse"])
def test_other_rows_keep_their_bits(mode):
    tab = table(50, mode=mode)
    start = tab.weight.clone()
    train(tab, random_visits(10, 30, 4), torch.ones(50, 3), 0.1, (0.9, 0.999), 1e-8)
    tab.flush()
    assert torch.equal(tab.weight[10:], start[10:])
    assert (tab.weight[:10] != start[:10]).all()


def test_sparse_mode_counts_a_rows_own_visits():
    tab = table(5, mode="sparse")
    reference = torch.nn.Parameter(tab.weight[2:3].clone())
    adam = torch.optim.Adam([reference], lr=0.03)
    for t in range(12):
        rows = torch.tensor([2, 0]) if t % 3 == 0 else torch.tensor([1, 4])
        gradient = torch.full((2, 3), 0.5 + t)
        tab.lookup(rows).backward(gradient)
        tab.update(0.03)
        if t % 3 == 0:
            reference.grad = gradient[:1]
            adam.step()
    assert torch.allclose(tab.weight[2:3], reference.detach(), atol=1e-6)


def test_doubled_rows_and_several_lookups_add_up():
    once, split = table(6), table(6)
    rows = torch.tensor([1, 4, 1])
    weights = torch.tensor([[1.0], [2.0], [3.0]])
    (once.lookup(rows) * weights).sum().backward()
    once.update(0.1)
    a, b = split.lookup(rows[:2]), split.lookup(rows[2:])
    ((a * weights[:2]).sum() + (b * weights[2:]).sum()).backward()
    split.update(0.1)
    assert torch.equal(once.weight, split.weight)
    assert once.exp_avg[1, 0] == pytest.approx(0.1 * (1 + 3))
    assert once.exp_avg[4, 0] == pytest.approx(0.1 * 2)


def test_lookup_outside_training_or_without_gradients_is_a_plain_copy():
    tab = LatentTable(6, 3)
    assert not tab.lookup(torch.tensor([1, 2])).requires_grad
    tab.begin_training()
    with torch.no_grad():
        read = tab.lookup(torch.tensor([1, 2]))
    assert not read.requires_grad and not tab.leaves()
    assert torch.equal(read, tab.weight[1:3])
    assert tab.lookup(torch.tensor([1])).requires_grad and len(tab.leaves()) == 1
    assert torch.equal(tab.weight[1:3], read)
    tab.discard()
    tab.update(0.1)
    assert tab.step == 0
    tab.write(torch.tensor([5]), torch.ones(1, 3))
    assert torch.equal(tab.fetch(torch.tensor([5, 0])), torch.stack([torch.ones(3), tab.weight[0]]))


@pytest.mark.parametrize("mode", ["dense", "sparse"])
def test_optimizer_state_continues_with_the_same_bits(mode):
    targets, visits = torch.randn(9, 3), random_visits(9, 40, 3)
    straight, first = table(9, mode=mode), table(9, mode=mode)
    args = (0.05, (0.5, 0.999), 1e-8)
    train(straight, visits[:-1] + visits[-1:], targets, *args)
    train(first, visits[:21], targets, *args)
    second = LatentTable(9, 3, mode=mode)
    second.load_state_dict(first.state_dict())
    second.load_optimizer_state({k: v.clone() for k, v in first.optimizer_state().items()})
    train(second, visits[21:], targets, *args)  # 21 is a multiple of 3: the weights match
    straight.end_training()
    second.end_training()
    assert torch.equal(straight.weight, second.weight)


def test_state_dict_holds_the_weights_only():
    tab = table()
    assert list(tab.state_dict()) == ["weight"]
    assert not list(tab.parameters())
    tab.end_training()
    assert tab.optimizer_state() == {}


def test_drift_outgrows_its_first_buffer():
    targets, visits = torch.randn(30, 2), random_visits(30, 600, 2)
    tab = table(30, 2)
    start = tab.weight.clone()
    train(tab, visits, targets, 0.002, (0.9, 0.999), 1e-12)
    tab.flush()
    dense = train_dense(start, visits, targets, 0.002, (0.9, 0.999), 1e-12)
    assert (tab.weight - dense).abs().max() < 1e-3 * (dense - start).abs().mean()


def test_shards_hold_the_rows_of_the_whole_table():
    whole = LatentTable(7, 3, generator=torch.Generator().manual_seed(5))
    parts = [LatentTable(7, 3, generator=torch.Generator().manual_seed(5)) for _ in range(3)]
    for rank, part in enumerate(parts):
        part.shard(rank, 3)
        part.begin_training()
    assert [len(p.weight) for p in parts] == [3, 2, 2]
    for row in range(7):
        assert torch.equal(parts[row % 3].lookup(torch.tensor([row]))[0], whole.weight[row])
    with pytest.raises(RunError, match="another rank"):
        parts[0].lookup(torch.tensor([0, 1]))
    parts[1].write(torch.tensor([3, 4]), torch.ones(2, 3))
    assert torch.equal(parts[1].weight[1], torch.ones(3))
    assert torch.equal(parts[1].weight[0], whole.weight[1])


def test_initial_values():
    uniform = LatentTable(2000, 8, scale=0.05, generator=torch.Generator().manual_seed(0)).weight
    assert uniform.abs().max() <= 0.05 and uniform.std() == pytest.approx(0.05 / 3**0.5, rel=0.02)
    normal = LatentTable(2000, 8, init="normal", scale=0.2).weight
    assert normal.std() == pytest.approx(0.2, rel=0.05)


@pytest.mark.parametrize("options", [{}, {"scale": 0.0}, {"init": "normal"}])
def test_a_table_is_fresh_until_an_entry_leaves_the_range_of_its_start(options):
    made = LatentTable(20, 3, **options)
    assert made.is_fresh()
    made.write(torch.tensor([4]), torch.tensor([[0.0, -0.6, 0.0]]))
    assert not made.is_fresh()
    other = LatentTable(20, 3, **options)
    other.load_state_dict(made.state_dict())
    assert not other.is_fresh()


def test_bad_arguments():
    with pytest.raises(ConfigError, match="rows and dim"):
        LatentTable(0, 3)
    with pytest.raises(ConfigError, match="beta1 < sqrt"):
        tab = table()
        tab.lookup(torch.tensor([0])).sum().backward()
        tab.update(0.1, betas=(0.9, 0.5))
