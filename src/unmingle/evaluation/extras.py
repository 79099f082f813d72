"""The parts of an evaluation that are measured only if asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from unmingle.errors import ConfigError, DataError, nearest
from unmingle.evaluation.audit import Audit, audit
from unmingle.evaluation.feature_distance import FeatureDistance, feature_distance
from unmingle.evaluation.judges import Judging, judge
from unmingle.evaluation.model import Encoded, Model
from unmingle.evaluation.probes import KINDS, check_kinds
from unmingle.evaluation.rows import HeldOut, has_factor

if TYPE_CHECKING:
    from unmingle.data import FactorDataset

Say = Callable[[str], None]


@dataclass(frozen=True)
class Extras:
    """What is measured only if asked for.

    Attributes:
        audit: look for every factor in every code it does not belong to (`audit`).
        audit_factors: columns that the audit looks for beside the roles.
        audit_probes: its probes.
        judges: train recognisers and show them recombined images (`judge`).
        frechet: Fréchet distance of pooled features (`feature_distance`).
        disentanglement: names of metrics, or ("all",).
    """

    audit: bool = False
    audit_factors: Sequence[str] = ()
    audit_probes: Sequence[str] = KINDS
    judges: bool = False
    frechet: bool = False
    disentanglement: Sequence[str] = ()

    def check(self) -> None:
        """Raise ConfigError for an unknown probe or metric, before any work."""
        if self.audit:
            check_kinds(self.audit_probes)
        if self.disentanglement and tuple(self.disentanglement) != ("all",):
            from unmingle.evaluation.disentanglement import DISENTANGLEMENT

            for name in self.disentanglement:
                if name not in DISENTANGLEMENT:
                    raise ConfigError(
                        f"unknown metric {name!r}.{nearest(name, [*DISENTANGLEMENT, 'all'])}"
                    )


@dataclass(frozen=True)
class Further:
    """Measures them; what cannot be measured becomes a note.

    Attributes:
        model, encoded, test, train, coded, say: as for `audit`.
        settings: seed, roles, probe_factors and pairs, as for `audit` and `judge`.
        notes: added to.
        record: the context of the scores, added to.
    """

    model: Model
    encoded: Encoded
    test: FactorDataset
    train: FactorDataset | None
    coded: HeldOut | None
    settings: Mapping[str, Any]
    notes: list[str]
    record: dict[str, Any]
    say: Say

    def measure(
        self,
        extras: Extras,
        columns: Sequence[str],
        factors: Sequence[str],
        take: str | None,
        device: str,
    ) -> dict[str, Any]:
        """The fields of `Scores` that were asked for.

        Args:
            columns: all factor columns that are looked for; `factors`: those beside the roles.
        """
        found: dict[str, Any] = {}
        if extras.audit:
            found["audit"] = self.audit(extras, factors)
        if extras.judges:
            found["judges"] = self.judges(take, device)
        if extras.frechet:
            found["feature_distance"] = self.frechet(take, device)
        if extras.disentanglement:
            found["disentanglement"] = self.disentanglement(extras.disentanglement, columns)
        return found

    def audit(self, extras: Extras, factors: Sequence[str]) -> Audit:
        return audit(
            self.model,
            self.test,
            train=self.train,
            factors=[*factors, *(f for f in extras.audit_factors if f not in factors)],
            probes=extras.audit_probes,
            encoded=self.encoded,
            coded=self.coded,
            say=self.say,
            **self.settings,
        )

    def judges(self, take: str | None, device: str) -> Judging | None:
        try:
            return judge(
                self.model,
                self.test,
                train=self.train,
                take=take,
                device=device,
                encoded=self.encoded,
                say=self.say,
                **self.settings,
            )
        except (ConfigError, DataError) as error:
            self.notes.append(f"judges left out: {error}")
            return None

    def frechet(self, take: str | None, device: str) -> FeatureDistance | None:
        self.say("Fréchet distance of features")
        take = take or next(iter(self.settings["roles"]), None)
        seed = self.settings["seed"]
        try:
            return feature_distance(
                self.model, self.test, take=take, seed=seed, device=device, encoded=self.encoded
            )
        except (ConfigError, DataError) as error:
            self.notes.append(f"Fréchet distance left out: {error}")
            return None

    def disentanglement(
        self, names: Sequence[str], columns: Sequence[str]
    ) -> dict[str, dict[str, float]] | None:
        """{metric: {name: value}} on the codes of training and test rows together.

        Metrics that predict are fitted on the training rows and scored on the test rows.
        """
        from unmingle.evaluation.disentanglement import measure

        assert self.coded is not None
        self.say("disentanglement")
        coded, train = self.coded, self.coded.train
        columns = columns if len(columns) > 1 else list(self.test.factors)
        sets = [coded.test]
        codes = coded.test_codes
        mask = None
        if train is not None and all(has_factor(train, name) for name in columns):
            sets = [train, coded.test]
            codes = {s: np.concatenate([coded.train_codes[s], c]) for s, c in codes.items()}
            mask = np.repeat([True, False], [len(train), len(coded.test)])
        factors = {name: np.concatenate([d.factor(name) for d in sets]) for name in columns}
        own = {**self.settings["roles"], **self.settings["probe_factors"]}
        owners = {factor: space for space, factor in own.items() if factor in factors}
        seed = self.settings["seed"]
        chosen = None if tuple(names) == ("all",) else names
        try:
            found = measure(
                codes, factors or None, chosen, train=mask, seed=seed, owners=owners or None
            )
        except (ConfigError, DataError) as error:
            self.notes.append(f"disentanglement left out: {error}")
            return None
        said = {f"{metric}: {note}" for metric, one in found.items() for note in one.notes}
        self.notes.extend(sorted(said))
        self.record["disentanglement"] = {
            "factors": list(factors),
            "rows": sum(len(data) for data in sets),
            "fitted": None if mask is None else int(mask.sum()),
        }
        return {metric: dict(one.values) for metric, one in found.items()}
