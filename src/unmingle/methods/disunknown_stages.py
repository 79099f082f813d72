"""The four training stages of DisUnknown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from unmingle.data import FactorDataset
from unmingle.data.samplers import Sampler
from unmingle.losses.gaussian import (
    aggregated_kl,
    embeddings_kl,
    gaussian_nll,
    kl_between,
    kl_to_normal,
    scaled_distance,
)
from unmingle.losses.unlikelihood import (
    adversary_loss,
    least_squares,
    negative_log_likelihood,
    negative_log_unlikelihood,
    total,
)
from unmingle.nn.embedding import draw, keep_probabilities, nested_mask
from unmingle.nn.weight_norm import shared_weights
from unmingle.training.schedules import Cosine, Ramp
from unmingle.training.stage import (
    Batch,
    Context,
    Group,
    Player,
    Progress,
    Stage,
    StepResult,
    View,
)

from .drawing import fit_moments

if TYPE_CHECKING:
    from .disunknown import DisUnknown

_SHIFTS = 8  # samples in a row that are shifted alike
_SMALLEST = 32  # side below which no stage is trained at half the size

Gaussian = tuple[Tensor, Tensor]


class DisUnknownStage(Stage):
    """What the stages share: labels, codes drawn with noise and dropout, the true items."""

    def __init__(self, method: DisUnknown, data: FactorDataset, share: float) -> None:
        self.method, self.config, self.data, self.share = method, method.config, data, share
        self.labels = method._labels
        self.factors = range(len(self.config.labelled))

    @property
    def network(self) -> Any:
        return self.method.network

    def sampler(self, context: Context) -> Sampler:
        return context.rows(self.method.batch_of(self.data.shape))

    def prepare(self) -> None:
        device = next(self.network.parameters()).device
        self.labels = self.labels.to(device)
        keep = self.method.label_keep
        self.keep = [
            keep_probabilities(d, p).to(device) for d, p in zip(self.dims, keep, strict=True)
        ]

    @property
    def dims(self) -> tuple[int, ...]:
        """Sizes of the labelled codes."""
        return self.method.label_dims

    def resolutions(self) -> Sequence[tuple[float, int]]:
        half = self.config.half_size or 0.0
        if half == 0 or not self.data.is_images or min(self.data.shape[:2]) < _SMALLEST:
            return [(1.0, 1)]
        return [(half, 2), (1 - half, 1)]

    def rate(self) -> Any:
        """A ramp of a hundred steps, then down a cosine to the final share."""
        return Cosine(self.config.final_lr or 0.0) * Ramp(steps=100)

    def group(self, name: str, lr: float | None) -> Group:
        """One network with a learning rate."""
        return Group(list(self.network[name].parameters()), lr or 0.0, self.rate(), name=name)

    def of_batch(self, x: View) -> tuple[Tensor, Tensor]:
        """The items as the networks see them, and their labels int64 [b, N]."""
        return self.method.normalised(x.images), self.labels[x.rows]

    def embedded(self, labels: Tensor) -> list[Gaussian]:
        """The embeddings B_i of labels [b, N]."""
        return [self.network["embeddings"][i](labels[:, i]) for i in self.factors]

    def embedding_kl(self) -> Tensor:
        """KL of all embeddings to N(0, I), a dimension by how often it is kept."""
        terms = []
        for i in self.factors:
            table = self.network["embeddings"][i]
            mean, std = table.table()
            terms.append((embeddings_kl(mean, std, table.frequencies) * self.keep[i]).sum())
        return total(terms)

    def swapped(self, x: View, values: Tensor) -> Tensor:
        """Each sample's value [b, ...] replaced by that of another sample of the batch."""
        return x.gather(values)[x.permutation(others=True)]

    def latent(self, x: View, parts: Sequence[Gaussian], keep: Sequence[Tensor]) -> Drawn:
        """One draw of every code, some of its last dimensions dropped."""
        if not parts:
            return Drawn([], [])
        noise = x.stratified(sum(mean.shape[1] for mean, _ in parts))
        pieces = torch.split(noise, [mean.shape[1] for mean, _ in parts], 1)
        nested = any(bool((p < 1).any()) for p in keep)
        levels = x.rand(len(parts)) if nested else torch.zeros(len(x), len(parts), device=x.device)
        codes, dropped = [], []
        for (mean, std), piece, p, level in zip(parts, pieces, keep, levels.T, strict=True):
            mask = nested_mask(p, level)
            codes.append(draw(mean, std, mask, piece))
            dropped.append(1 - mask)
        return Drawn(codes, dropped)

    def shifted(self, x: View, batches: Sequence[Tensor]) -> list[Tensor]:
        """Images moved at random, those at the same place of the batches alike."""
        reach = int(self.config.shift * batches[0].shape[-1]) if batches[0].ndim == 4 else 0
        if reach == 0:
            return list(batches)
        moves = (x.rand(2) + x.rand(2)).mul(reach).round().long().tolist()
        height, width = batches[0].shape[2:]
        result = []
        for images in batches:
            padded = F.pad(images, (reach,) * 4)
            parts = []
            for start in range(0, len(images), _SHIFTS):
                top, left = moves[start]
                block = padded[start : start + _SHIFTS]
                parts.append(block[:, :, top : top + height, left : left + width])
            result.append(torch.cat(parts))
        return result


class Drawn:
    """Codes [b, dim] of each part as drawn, and where they were dropped (1) or not (0)."""

    def __init__(self, codes: list[Tensor], dropped: list[Tensor]) -> None:
        self.codes, self.dropped = codes, dropped

    def after(self, first: Drawn) -> Drawn:
        """The parts of another draw, then these."""
        return Drawn(first.codes + self.codes, first.dropped + self.dropped)

    def mapped(self, change: Callable[[Tensor], Tensor]) -> Drawn:
        """Every code changed."""
        return Drawn([change(code) for code in self.codes], self.dropped)

    def joined(self) -> Tensor:
        """What goes into the generator: all codes, then all marks of dropped dimensions."""
        return torch.cat(self.codes + self.dropped, 1)


class Distil(DisUnknownStage):
    """Stage I: encoder, generator and embeddings against a classifier of the labelled factors.

    What the encoder tells about x beside its labels becomes the unknown code: everything that the
    embeddings give is taken from it by the classifier, which looks at images made of x's unknown
    code and the labels of others (supplement 1.2).
    """

    name = "distil"

    @property
    def adversarial(self) -> bool:
        """Whether there is something to take out of the unknown code."""
        return bool(self.config.labelled) and self.config.unknown_dim != 0

    def prepare(self) -> None:
        super().prepare()
        unknown = keep_probabilities(self.config.unknown_dim or 0, self.config.unknown_keep or 1.0)
        self.unknown_keep = unknown.to(self.labels.device)

    def players(self) -> Sequence[Player]:
        config = self.config
        groups = [self.group("generator", config.lr)]
        if config.unknown_dim:
            groups.append(self.group("encoder", config.lr))
        if config.labelled:
            groups.append(self.group("embeddings", config.embedding_lr))
        players = [Player("model", groups)]
        if self.adversarial:
            players.append(Player("classifier", [self.group("classifier", config.classifier_lr)]))
        return players

    def step(self, batch: Batch, progress: Progress) -> StepResult:
        x, config, divisor = batch["x"], self.config, progress.divisor
        items, labels = self.of_batch(x)
        unknown, loss, logs = self._unknown(x, items, divisor)
        if config.labelled:
            label_kl = self.embedding_kl()
            loss = loss + (config.label_kl or 0.0) * label_kl
            logs["label_kl"] = label_kl.detach()
        with shared_weights(self.network["generator"]):
            own = self.latent(x, self.embedded(labels), self.keep).after(unknown)
            made, std = self.method.generate(own.joined(), divisor)
            game = self._game(x, unknown, labels, divisor) if self.adversarial else None
        nll = gaussian_nll(made, items, self.method.std(std))
        loss = loss + config.reconstruction_weight * nll
        losses = {"model": loss}
        logs |= {"reconstruction": nll.detach(), "std": std.detach().mean()}
        if game is not None:
            adversary, losses["classifier"] = game
            ramp = config.adversarial_ramp
            grown = min(progress.fraction / ramp, 1.0) if ramp else 1.0
            losses["model"] = loss + grown * config.adversarial_weight * adversary
            logs["adversary"] = adversary.detach()
        return StepResult(losses, logs)

    def _unknown(
        self, x: View, items: Tensor, divisor: int
    ) -> tuple[Drawn, Tensor, dict[str, Any]]:
        """u drawn from q(u|x), its weighted KL terms, and both for the logs."""
        if not self.config.unknown_dim:
            return Drawn([], []), items.new_zeros(()), {}
        ((mean, std),) = self.network["encoder"](items, divisor)
        keep = self.unknown_keep
        kl = (kl_to_normal(mean, std).mean(0) * keep).sum()
        batch_kl = (aggregated_kl(mean, std, x.mean) * keep).sum()
        loss = (self.config.unknown_kl or 0.0) * kl + self.config.batch_kl * batch_kl
        logs: dict[str, Any] = {"unknown_kl": kl.detach(), "batch_kl": batch_kl.detach()}
        return self.latent(x, [(mean, std)], [keep]), loss, logs

    def _game(self, x: View, unknown: Drawn, labels: Tensor, divisor: int) -> tuple[Tensor, Tensor]:
        """What the encoder and what the classifier minimises, on the same outputs."""
        logits = self._logits(x, unknown, labels, divisor)
        adversaries, likelihoods = [], []
        for i in self.factors:
            log_p, y = F.log_softmax(logits[i], 1), labels[:, i]
            q = self.network["embeddings"][i].frequencies
            adversaries.append(adversary_loss(self.config.adversary, log_p, y, q))
            likelihoods.append(negative_log_likelihood(log_p, y))
        return total(adversaries), total(likelihoods)

    def _logits(self, x: View, unknown: Drawn, labels: Tensor, divisor: int) -> list[Tensor]:
        """Of C for every factor: of u itself, of an image with u and foreign labels, or both."""
        config, classifier = self.config, self.network["classifier"]
        found = []
        if config.classifier in ("code", "compound"):
            found.append(classifier["code"](unknown.joined()))
        if config.classifier in ("image", "compound"):
            foreign = torch.stack([self.swapped(x, labels[:, i]) for i in self.factors], 1)
            drawn = self.latent(x, self.embedded(foreign), self.keep)
            if "embeddings" not in config.adversarial_to:
                drawn = drawn.mapped(Tensor.detach)
            crossed, _ = self.method.generate(
                drawn.after(unknown).joined(),
                divisor,
                frozen_dense="dense" not in config.adversarial_to,
                frozen_convs="convolutions" not in config.adversarial_to,
            )
            found.append(classifier["image"](crossed, divisor))
        return [torch.stack(logits).sum(0) for logits in zip(*found, strict=True)]

    def finish(self) -> None:
        """Where the unknown codes lie, for draws of them and for distances between them."""
        if self.config.unknown_dim:
            encoder, normalised = self.network["encoder"], self.method.normalised
            statistics = self.network["unknown_codes"]
            fit_moments(statistics, lambda x: encoder(normalised(x))[0], self.data.items)


class Recognise(DisUnknownStage):
    """The classifier stage: R learns the labelled factors from real images."""

    name = "classifier"

    def players(self) -> Sequence[Player]:
        return [Player("recogniser", [self.group("recogniser", self.config.lr)])]

    def step(self, batch: Batch, progress: Progress) -> StepResult:
        x = batch["x"]
        items, labels = self.of_batch(x)
        (items,) = self.shifted(x, [items])
        outputs = self.network["recogniser"](items, progress.divisor)
        losses, right = [], []
        for i in self.factors:
            log_p = F.log_softmax(outputs[i][:, :-1], 1)  # the last output is for made images
            losses.append(negative_log_likelihood(log_p, labels[:, i]))
            right.append((log_p.argmax(1) == labels[:, i]).float().mean())
        return StepResult(
            {"recogniser": total(losses)}, {"accuracy": torch.stack(right).mean().detach()}
        )


class Generate(DisUnknownStage):
    """Stage II: the generator, from that of stage I, learns to be right on every combination.

    The discriminator asks for images like the real ones, R for the wanted labels; the unknown is
    kept by showing the discriminator stage I's image of the same codes beside, or by the distance
    of the codes that the frozen encoder finds.
    """

    name = "generator"

    @property
    def pairs(self) -> bool:
        """Whether the discriminator sees stage I's image of the same codes beside."""
        return self.config.keep_unknown == "pair" and self.config.unknown_dim != 0

    @property
    def reconstructs(self) -> bool:
        """Whether one branch makes the image itself; without labels it is the only one."""
        return self.config.reconstruction_branch or not self.config.labelled

    def setup(self) -> None:
        """Stage I's generator and embeddings stay as they are, in copies."""
        if self.pairs:
            for kept, name in (("kept_generator", "generator"), ("kept_embeddings", "embeddings")):
                if kept in self.network:
                    self.network[kept].load_state_dict(self.network[name].state_dict())

    def players(self) -> Sequence[Player]:
        config, rate = self.config, self.config.generator_lr
        groups = [self.group("generator", rate)]
        if config.labelled:
            groups.append(self.group("embeddings", config.embedding_lr))
        players = [
            Player("generator", groups),
            Player("discriminator", [self.group("discriminator", rate)]),
        ]
        if config.labelled and config.recogniser == "adversarial":
            players.append(Player("recogniser", [self.group("recogniser", rate)]))
        return players

    def step(self, batch: Batch, progress: Progress) -> StepResult:
        x, config, divisor = batch["x"], self.config, progress.divisor
        items, labels = self.of_batch(x)
        unknown, mean = self._unknown(x, items, divisor)
        own = self.latent(x, self.embedded(labels), self.keep)
        orders = [x.permutation(others=True) for _ in self.factors]
        # Two branches: the labels of the image itself, and those of others.
        wanted: list[Tensor] = []
        inputs: list[Tensor] = []
        if self.reconstructs:
            wanted.append(labels)
            inputs.append(own.after(unknown).joined())
        if config.labelled:
            wanted.append(torch.stack(_permuted(x, list(labels.T), orders), 1))
            crossed = Drawn(*(_permuted(x, v, orders) for v in (own.codes, own.dropped)))
            inputs.append(crossed.after(unknown).joined())
        made, std = self.method.generate(torch.cat(inputs), divisor)
        branches = list(made.chunk(len(inputs)))
        loss, logs = self._regularisers(mean, branches, divisor)
        if self.reconstructs:
            nll = gaussian_nll(branches[0], items, self.method.std(std[: len(x)]))
            loss = loss + config.reconstruction_weight * nll
            logs["reconstruction"] = nll.detach()
        losses: dict[str, Tensor] = {}
        kept = self._kept(unknown, labels, wanted, divisor)
        fooled, losses["discriminator"] = self._discriminate(x, items, branches, kept, divisor)
        loss = loss + config.discriminator_weight * fooled
        if config.labelled:
            right, detected = self._recognise(x, items, labels, branches, wanted, divisor)
            loss = loss + config.recogniser_weight * right
            logs["labels_nll"] = right.detach()
            if config.recogniser == "adversarial":
                losses["recogniser"] = detected
        return StepResult({"generator": loss, **losses}, logs)

    @torch.no_grad()
    def _unknown(self, x: View, items: Tensor, divisor: int) -> tuple[Drawn, Tensor]:
        """u by the encoder of stage I, which is frozen, with noise and without."""
        if not self.config.unknown_dim:
            return Drawn([], []), items.new_zeros(len(items), 0)
        ((mean, std),) = self.network["encoder"](items, divisor)
        return self.latent(x, [(mean, std)], [torch.ones_like(mean[0])]), mean

    @torch.no_grad()
    def _kept(
        self, unknown: Drawn, own: Tensor, wanted: Sequence[Tensor], divisor: int
    ) -> list[Tensor]:
        """Stage I's images of the codes of the real images and of each branch; none if not seen."""
        if not self.pairs:
            return []
        inputs = []
        sets = list(wanted) if self.reconstructs else [own, *wanted]
        for labels in sets:
            means = [self.network["kept_embeddings"][i](labels[:, i])[0] for i in self.factors]
            kept = Drawn(means, [torch.zeros_like(mean) for mean in means])
            inputs.append(kept.after(unknown).joined())
        made, _ = self.network["kept_generator"](torch.cat(inputs), divisor)
        found = list(made.chunk(len(sets)))
        return [found[0], *found[len(sets) - len(wanted) :]]

    def _regularisers(
        self, mean: Tensor, branches: Sequence[Tensor], divisor: int
    ) -> tuple[Tensor, dict[str, Any]]:
        """The embeddings' KL, and with keep_unknown code the distance of the unknown codes."""
        config, loss = self.config, mean.new_zeros(())
        logs: dict[str, Any] = {}
        if config.labelled:
            label_kl = self.embedding_kl()
            loss, logs["label_kl"] = (config.label_kl or 0.0) * label_kl, label_kl.detach()
        if config.keep_unknown == "code" and config.unknown_dim:
            scale = self.network["unknown_codes"].std
            ((again, _),) = self.network["encoder"](torch.cat(list(branches)), divisor)
            distance = scaled_distance(again, mean.repeat(len(branches), 1), scale)
            loss, logs["code_distance"] = loss + config.code_weight * distance, distance.detach()
        return loss, logs

    def _discriminate(
        self,
        x: View,
        items: Tensor,
        branches: Sequence[Tensor],
        kept: Sequence[Tensor],
        divisor: int,
    ) -> tuple[Tensor, Tensor]:
        """Least squares losses of the generator and of the discriminator."""
        seen = [items, *branches]
        if kept:
            seen = [torch.cat(pair, 1) for pair in zip(seen, kept, strict=True)]
        (outputs,) = self.network["discriminator"](torch.cat(self.shifted(x, seen)), divisor)
        real, made = outputs[: len(x)], outputs[len(x) :]
        return least_squares(made, 0.0), least_squares(real, 1.0) + least_squares(made, -1.0)

    def _recognise(
        self,
        x: View,
        items: Tensor,
        labels: Tensor,
        branches: Sequence[Tensor],
        wanted: Sequence[Tensor],
        divisor: int,
    ) -> tuple[Tensor, Tensor]:
        """The generator's NLL of the wanted labels, and R's loss on real and made images."""
        seen = torch.cat(self.shifted(x, [items, *branches]))
        outputs = self.network["recogniser"](seen, divisor)
        asked = torch.cat(list(wanted))
        right, detected = [], []
        for i in self.factors:
            log_p = F.log_softmax(outputs[i], 1)
            made = log_p[len(x) :]
            right.append(negative_log_likelihood(made, asked[:, i]))
            detected.append(
                negative_log_likelihood(log_p[: len(x)], labels[:, i])
                + negative_log_unlikelihood(made, asked[:, i])
            )
        return total(right), total(detected)


class EncodeLabels(DisUnknownStage):
    """The labelled encoders: S_i(x) learns the embedding B_i of x's label."""

    name = "encoders"

    def players(self) -> Sequence[Player]:
        return [Player("label_encoder", [self.group("label_encoder", self.config.lr)])]

    def step(self, batch: Batch, progress: Progress) -> StepResult:
        items, labels = self.of_batch(batch["x"])
        with torch.no_grad():
            targets = self.embedded(labels)
        found = self.network["label_encoder"](items, progress.divisor)
        terms = [kl_between(*t, *f) for t, f in zip(targets, found, strict=True)]
        return StepResult({"label_encoder": total(terms)})


def _permuted(x: View, columns: Sequence[Tensor], orders: Sequence[Tensor]) -> list[Tensor]:
    """Each column's entries [b, ...] as another sample's, columns independently of each other."""
    return [x.gather(column)[order] for column, order in zip(columns, orders, strict=True)]
