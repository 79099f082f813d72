"""Codes that are optimised directly, one row a sample or a class (latent optimisation)."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..errors import ConfigError, RunError
from ..training.distributed import gather_uneven

_FORGOTTEN = 1e-8  # momentum left of a step below which its further drift is dropped
_HISTORY = 256  # steps the drift is first made for; it doubles as needed
_BLOCK = 65536  # rows handled at a time where the whole table is passed through
_FARTHEST = 8.0  # standard deviations: no normal draw is farther out


class LatentTable(nn.Module):
    """A table of codes [rows, dim] whose training step costs the same for any number of rows.

    Only the rows of a batch are read and written. Nothing is trained through dense gradients: the
    table is a buffer, `lookup` hands out a small leaf tensor, `update` applies Adam to its rows.

    With `mode="dense"` the result is that of dense `torch.optim.Adam` on the whole table, which the
    papers' releases use. There a row keeps moving by its momentum between two visits while its
    moments decay at every step, so it moves about sqrt(rows / batch) times further a visit than
    with naive row-sparse Adam. The table keeps the step L each row is up to date with, and when the
    row is next read, after step t, makes up for what the dense optimiser did in between:

        w -= S(L, t) m / (sqrt(v) + eps c_{L+1}),   m *= beta1^(t-L),   v *= beta2^(t-L),
        S(L, t) = sum_{s=L+1}^{t} lr_s r^(s-L) c_s / (1 - beta1^s),

    with r = beta1 / sqrt(beta2) and c_s = sqrt(1 - beta2^s). S depends on the steps alone, so one
    number per past step is kept (`drift`). Only eps is approximated (its weight is held at that of
    step L+1); a table whose rows are all visited in every step has the very bits of
    `torch.optim.Adam(foreach=False, fused=False)`. `weight` itself lacks the drift since each row's
    last visit until the stage ends.

    With `mode="sparse"` a row rests between visits and its bias correction counts its own visits.

    Across processes an `owned` table is sharded: rank k keeps the rows with row % world == k. A
    table that is not owned (classes) is kept whole on each rank, all making the same update.
    """

    weight: Tensor

    def __init__(
        self,
        rows: int,
        dim: int,
        *,
        init: Literal["uniform", "normal"] = "uniform",
        scale: float = 0.05,
        generator: torch.Generator | None = None,
        mode: Literal["dense", "sparse"] = "dense",
        owned: bool = True,
    ) -> None:
        """Make the table.

        Args:
            rows: number of codes (samples of the training set, or classes).
            dim: length of a code.
            init: "uniform" in [-scale, scale] or "normal" with standard deviation `scale`.
            scale: see `init`; 0 starts at zero.
            generator: CPU generator of the initial values (the global one if None).
            mode: Adam's semantics, see the class.
            owned: a row belongs to one sample (sharded across processes), not to many (shared).

        Raises:
            ConfigError: rows or dim below 1, or an unknown init or mode.
        """
        super().__init__()
        if rows < 1 or dim < 1:
            raise ConfigError(f"LatentTable: rows and dim must be at least 1, not {rows} and {dim}")
        if init not in ("uniform", "normal") or mode not in ("dense", "sparse"):
            raise ConfigError(f"LatentTable: unknown init {init!r} or mode {mode!r}")
        self.rows, self.dim, self.mode, self.owned = rows, dim, mode, owned
        self._reach = scale if init == "uniform" else _FARTHEST * scale
        weight = torch.empty(rows, dim)
        if init == "uniform":
            weight.uniform_(-scale, scale, generator=generator)
        else:
            weight.normal_(0.0, scale, generator=generator)
        self.register_buffer("weight", weight)
        for name in ("exp_avg", "exp_avg_sq", "last_step", "drift"):
            self.register_buffer(name, None, persistent=False)
        self.exp_avg: Tensor
        self.exp_avg_sq: Tensor
        self.last_step: Tensor  # dense: the step a row is at; sparse: its number of visits
        self.drift: Tensor  # drift[L]: S(L, now), see the class
        self.step = 0
        self._betas: tuple[float, float] | None = None
        self._eps = 0.0
        self._powers: Tensor | None = None
        self._training = False
        self._pending: list[tuple[Tensor, Tensor]] = []
        self._rank, self._world = 0, 1

    def extra_repr(self) -> str:
        """What print(model) shows."""
        return f"{self.rows}, {self.dim}, mode={self.mode!r}, owned={self.owned}"

    # ------------------------------------------------------------------ reading and writing

    def lookup(self, rows: Tensor) -> Tensor:
        """Codes [b, dim] of `rows` [b] (int64).

        In a stage that trains this table, and with gradients enabled, the result leads back to the
        rows' leaf, which the next `update` consumes. Otherwise it is a plain copy.

        Raises:
            RunError: a sharded table was asked for another rank's row.
        """
        local = self._local(rows)
        if not (self._training and torch.is_grad_enabled()):
            return self._read(local)
        unique, inverse = torch.unique(local, return_inverse=True)
        leaf = self._read(unique).requires_grad_()
        self._pending.append((unique, leaf))
        return leaf.index_select(0, inverse)

    @torch.no_grad()
    def fetch(self, rows: Tensor) -> Tensor:
        """Codes [b, dim] of any rows, without gradient.

        On a sharded table this is a collective: all ranks ask for the same rows.
        """
        if not self.sharded:
            return self._read(rows)
        mine = rows % self._world == self._rank
        found = self.weight.new_zeros(len(rows), self.dim)
        found[mine] = self._read(rows[mine] // self._world)
        dist.all_reduce(found)
        return found

    @torch.no_grad()
    def _read(self, local: Tensor) -> Tensor:
        """Rows as the optimiser has them now; reading changes nothing."""
        if not self._training or self.mode == "sparse":
            return self.weight.index_select(0, local)
        return self._gather(local)[0]

    def _gather(self, local: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Copies of the rows' values and moments, brought up to the current step."""
        w, m, v = (x.index_select(0, local) for x in (self.weight, self.exp_avg, self.exp_avg_sq))
        if self.mode == "dense" and self.step:
            self._catch_up(w, m, v, self.last_step.index_select(0, local))
        return w, m, v

    @torch.no_grad()
    def write(self, rows: Tensor, values: Tensor) -> None:
        """Set `rows` [b] to `values` [b, dim]; a sharded table keeps those it owns."""
        if self.sharded:
            mine = rows % self._world == self._rank
            rows, values = rows[mine] // self._world, values[mine]
        self.weight.index_copy_(0, rows, values.to(self.weight))

    @torch.no_grad()
    def is_fresh(self) -> bool:
        """Whether all entries are within the range of the initial values: none was trained.

        For a start that replaces the initial values: codes that were taken over from a trained
        model must keep theirs. A collective on a sharded table; all ranks get the same answer.
        """
        largest = self.weight.abs().max() if len(self.weight) else self.weight.new_zeros(())
        if self.sharded:
            dist.all_reduce(largest, dist.ReduceOp.MAX)
        return bool(largest <= self._reach)

    def _local(self, rows: Tensor) -> Tensor:
        if not self.sharded:
            return rows
        if rows.device.type == "cpu" and bool((rows % self._world != self._rank).any()):
            raise RunError("LatentTable.lookup: another rank's row; use fetch, or gather the codes")
        return rows // self._world

    # ------------------------------------------------------------------ training

    def begin_training(self) -> None:
        """Start with fresh moments: `lookup` hands out leaves from now on."""
        # empty + zero_ rather than zeros, whose pages would only be claimed step by step.
        self.exp_avg = torch.empty_like(self.weight).zero_()
        self.exp_avg_sq = torch.empty_like(self.weight).zero_()
        self.last_step = torch.zeros(len(self.weight), dtype=torch.long, device=self.weight.device)
        self.drift = self.weight.new_zeros(_HISTORY)
        self.step, self._betas, self._powers = 0, None, None
        self._training = True
        self._pending.clear()

    def end_training(self) -> None:
        """Apply the outstanding drift to all rows and drop the moments."""
        if self._training:
            self.flush()
        self.drop_training()

    def drop_training(self) -> None:
        """Drop the moments; the values stay as they are stored."""
        self._training = False
        self._pending.clear()
        for name in ("exp_avg", "exp_avg_sq", "last_step", "drift"):
            setattr(self, name, None)

    def leaves(self) -> list[Tensor]:
        """The leaves handed out since the last update."""
        return [leaf for _, leaf in self._pending]

    def discard(self) -> None:
        """Forget the leaves handed out since the last update."""
        self._pending.clear()

    @torch.no_grad()
    def update(
        self, lr: float, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8
    ) -> None:
        """One Adam step on the rows looked up since the last update, from their leaves' gradients.

        Nothing happens, and no step is counted, when no looked-up leaf has a gradient.

        Raises:
            ConfigError: beta1 >= sqrt(beta2), for which drift has no bound, or eps not positive.
        """
        rows, grad = self._gradients()
        if not len(rows):
            return
        self._set_betas(betas, eps)
        w, m, v = self._gather(rows)
        self.step += 1
        beta1, beta2 = betas
        m.lerp_(grad, 1 - beta1)
        v.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        if self.mode == "dense":
            t = self.step
            denominator = (v.sqrt() / math.sqrt(1 - beta2**t)).add_(eps)
            w.addcdiv_(m, denominator, value=-lr / (1 - beta1**t))
            self.last_step.index_fill_(0, rows, t)
            self._record_drift(lr)
        else:
            visits = self.last_step.index_select(0, rows) + 1
            count = visits.to(w.dtype).unsqueeze(1)
            denominator = (v / (1 - beta2**count)).sqrt_().add_(eps)
            w.addcdiv_(m / (1 - beta1**count), denominator, value=-lr)
            self.last_step.index_copy_(0, rows, visits)
        for table, values in ((self.weight, w), (self.exp_avg, m), (self.exp_avg_sq, v)):
            table.index_copy_(0, rows, values)

    @torch.no_grad()
    def flush(self) -> None:
        """Bring every row to where the dense optimiser has it after the current step."""
        if self.mode == "sparse" or self.step == 0:
            return
        for start in range(0, len(self.weight), _BLOCK):
            rows = slice(start, start + _BLOCK)
            w, m, v = self.weight[rows], self.exp_avg[rows], self.exp_avg_sq[rows]
            self._catch_up(w, m, v, self.last_step[rows])
            self.last_step[rows] = self.step

    def _catch_up(self, w: Tensor, m: Tensor, v: Tensor, last: Tensor) -> None:
        """Move rows that are at step `last` to the current step, in place."""
        assert self._betas is not None
        beta1, beta2 = self._betas
        gap = (self.step - last).to(w.dtype).unsqueeze(1)
        following = (last + 1).to(w.dtype).unsqueeze(1)
        # A row without a gradient so far has m = v = 0 and stays.
        denominator = v.sqrt().add_(self._eps * (1 - beta2**following).sqrt_())
        w.sub_(m.div(denominator).mul_(self.drift.index_select(0, last).unsqueeze(1)))
        m.mul_(beta1**gap)
        v.mul_(beta2**gap)

    def _record_drift(self, lr: float) -> None:
        """Add step t's share to S(L, .) of every L < t it is still felt from."""
        assert self._powers is not None and self._betas is not None
        t = self.step
        if t >= len(self.drift):
            self.drift = torch.cat([self.drift, torch.zeros_like(self.drift)])
        beta1, beta2 = self._betas
        pull = lr * math.sqrt(1 - beta2**t) / (1 - beta1**t)
        reach = min(t, len(self._powers))
        if reach:
            self.drift[t - reach : t].add_(self._powers[len(self._powers) - reach :], alpha=pull)

    def _set_betas(self, betas: tuple[float, float], eps: float) -> None:
        if betas == self._betas and eps == self._eps and self._powers is not None:
            return
        beta1, beta2 = betas
        if not eps > 0:
            raise ConfigError(f"LatentTable: eps must be positive, not {eps}")
        if not 0 <= beta1 < 1 or not 0 < beta2 < 1 or beta1 >= math.sqrt(beta2):
            raise ConfigError(f"LatentTable: betas must have beta1 < sqrt(beta2) < 1, not {betas}")
        ratio = beta1 / math.sqrt(beta2)
        reach = math.ceil(math.log(_FORGOTTEN) / math.log(ratio)) if ratio > 0 else 0
        exponents = torch.arange(reach, 0, -1, dtype=torch.float64)
        self._powers = (ratio**exponents).to(self.weight)
        self._betas, self._eps = (beta1, beta2), eps

    def _gradients(self) -> tuple[Tensor, Tensor]:
        """Distinct local rows and their gradients of the whole batch's mean loss."""
        found = [(rows, leaf.grad) for rows, leaf in self._pending if leaf.grad is not None]
        self._pending.clear()
        if len(found) == 1 and self._world == 1:
            return found[0]
        empty = self.weight.new_zeros(0, self.dim)
        rows = torch.cat([self.last_step.new_zeros(0), *(rows for rows, _ in found)])
        grad = torch.cat([empty, *(grad for _, grad in found)])
        if self._world > 1:
            if not self.owned:  # the same rows in the same order on all ranks, hence the same bits
                rows, grad = torch.cat(gather_uneven(rows)), torch.cat(gather_uneven(grad))
            grad = grad / self._world
        unique, inverse = torch.unique(rows, return_inverse=True)
        return unique, grad.new_zeros(len(unique), self.dim).index_add_(0, inverse, grad)

    # ------------------------------------------------------------------ saving and sharding

    @property
    def sharded(self) -> bool:
        """Whether this process holds only its own rows."""
        return self.owned and self._world > 1

    def optimizer_state(self) -> dict[str, Tensor]:
        """All that training needs beside the weights, for the whole table; empty outside training.

        A collective on a sharded table.
        """
        if not self._training:
            return {}
        betas = self._betas or (0.0, 0.0)
        return {
            "exp_avg": self._whole(self.exp_avg),
            "exp_avg_sq": self._whole(self.exp_avg_sq),
            "last_step": self._whole(self.last_step),
            "drift": self.drift[: self.step + 1].clone(),
            "scalars": torch.tensor([float(self.step), *betas, self._eps], dtype=torch.float64),
        }

    @torch.no_grad()
    def load_optimizer_state(self, state: dict[str, Tensor]) -> None:
        """Continue training from `optimizer_state`; a sharded table takes its own rows."""
        self.begin_training()
        step, beta1, beta2, eps = state["scalars"].tolist()
        for name in ("exp_avg", "exp_avg_sq", "last_step"):
            getattr(self, name).copy_(self._own(state[name]))
        drift = state["drift"].to(self.drift)
        self.drift = torch.cat([drift, torch.zeros(max(_HISTORY, len(drift))).to(drift)])
        self.step = int(step)
        if self.step:
            self._set_betas((beta1, beta2), eps)

    def shard(self, rank: int, world: int) -> None:
        """Keep the rows with row % world == rank; a table that is not owned only learns of `world`.

        Done outside training, on a whole table.
        """
        if self._world != 1:
            raise RunError("LatentTable.shard: the table is already sharded")
        self._rank, self._world = rank, world
        if self.sharded:
            self.weight = self._own(self.weight).clone()

    def unshard(self) -> None:
        """Undo `shard`: every rank holds the whole table. A collective."""
        self.weight = self.gather_full()
        self._rank, self._world = 0, 1

    def gather_full(self) -> Tensor:
        """The whole table's weights [rows, dim] on every rank. A collective when sharded."""
        return self._whole(self.weight)

    def _own(self, whole: Tensor) -> Tensor:
        return whole[self._rank :: self._world] if self.sharded else whole

    def _whole(self, part: Tensor) -> Tensor:
        if not self.sharded:
            return part
        whole = part.new_empty(self.rows, *part.shape[1:])
        for rank, rows in enumerate(gather_uneven(part)):
            whole[rank :: self._world] = rows
        return whole
