"""The parts of an evaluation that are measured only if asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from unmingle.errors import ConfigError, DataError, nearest
from unmingle.evaluation.audit import Audit, audit
from unmingle.evaluation.feature_distance import FeatureDistance, feature_distance
from unmingle.evaluation.gaps import draw_codes, labelled_owners
from unmingle.evaluation.judges import Judging, judge
from unmingle.evaluation.model import Encoded, Model
from unmingle.evaluation.probes import KINDS, check_kinds
from unmingle.evaluation.rows import HeldOut, has_factor

if TYPE_CHECKING:
    from unmingle.data import FactorDataset
    from unmingle.evaluation.disentanglement import Measured

Say = Callable[[str], None]


@dataclass(frozen=True)
class Extras:
    """What is measured only if asked for.

    Attributes:
        audit: look for every factor in every code it does not belong to (`audit`).
        quick_audit: a shorter look (`audit(quick=True)`), if not `audit`.
        audit_factors: columns that the audit looks for beside the roles.
        audit_probes: its probes.
        judges: train recognisers and show them recombined images (`judge`).
        angles: those of the judged columns whose values go once around.
        frechet: Fréchet distance of pooled features (`feature_distance`).
        disentanglement: names of metrics, ("all",), or ("quick",) for those that are formulas.
    """

    audit: bool = False
    quick_audit: bool = False
    audit_factors: Sequence[str] = ()
    audit_probes: Sequence[str] = KINDS
    judges: bool = False
    angles: Sequence[str] = ()
    frechet: bool = False
    disentanglement: Sequence[str] = ()

    def check(self) -> None:
        """Raise ConfigError for an unknown probe or metric, or one of several models, before any
        work."""
        if self.audit:
            check_kinds(self.audit_probes)
        if self.disentanglement and tuple(self.disentanglement) not in (("all",), ("quick",)):
            from unmingle.evaluation.disentanglement import DISENTANGLEMENT

            for name in self.disentanglement:
                if name not in DISENTANGLEMENT:
                    raise ConfigError(
                        f"unknown metric {name!r}."
                        f"{nearest(name, [*DISENTANGLEMENT, 'all', 'quick'])}"
                    )
                if "models" in DISENTANGLEMENT[name].needs:
                    raise ConfigError(
                        f"{name} compares several models, and one is evaluated here; from Python, "
                        "unmingle.evaluation.udr_encoders takes several"
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
        if extras.audit or extras.quick_audit:
            found["audit"] = self.audit(extras, factors)
        if extras.judges:
            found["judges"] = self.judges(take, device, extras.angles)
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
            quick=not extras.audit,
            encoded=self.encoded,
            coded=self.coded,
            say=self.say,
            **self.settings,
        )

    def judges(self, take: str | None, device: str, angles: Sequence[str]) -> Judging | None:
        try:
            return judge(
                self.model,
                self.test,
                train=self.train,
                angles=angles,
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
        "mig_by_space" counts the factors that the model was told, and where codes are Gaussian it
        is of draws, on the test rows alone.
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
        owners = labelled_owners(
            self.model, {factor: space for space, factor in own.items() if factor in factors}
        )
        amounts = {
            name: np.concatenate([d.continuous[name] for d in sets])
            for name in coded.test.continuous
            if all(name in d.continuous for d in sets)
        }
        seed = self.settings["seed"]
        chosen = self.measurable(names, bool(factors), bool(amounts), bool(owners))
        if not chosen:
            return None
        try:
            found = measure(
                codes,
                factors or None,
                chosen,
                amounts=amounts or None,
                train=mask,
                seed=seed,
                owners=owners or None,
            )
            if owners and "mig_by_space" in found and hasattr(self.model, "posteriors"):
                found |= self.gaps_of_draws(coded.test, owners)
        except (ConfigError, DataError) as error:
            self.notes.append(f"disentanglement left out: {error}")
            return None
        said = {f"{metric}: {note}" for metric, one in found.items() for note in one.notes}
        self.notes.extend(sorted(said))
        self.record["disentanglement"] = {
            "factors": list(factors),
            "rows": sum(len(data) for data in sets),
            "fitted": None if mask is None else int(mask.sum()),
            **({"amounts": list(amounts)} if amounts else {}),
        }
        return {metric: dict(one.values) for metric, one in found.items()}

    def measurable(
        self, names: Sequence[str], factors: bool, amounts: bool, owners: bool
    ) -> list[str]:
        """Those of some metrics for which there is what they need; a note for each that was named
        and has it not.

        Args:
            factors, amounts: whether there are columns of these.
            owners: whether a code space is known to carry one of the factors.
        """
        from unmingle.evaluation.disentanglement import DISENTANGLEMENT
        from unmingle.evaluation.disentanglement.measuring import what_is_given
        from unmingle.evaluation.disentanglement.registry import QUICK

        given = what_is_given(factors, amounts, owners)
        several: dict[tuple[str, ...], tuple[str, ...]] = {
            ("all",): tuple(DISENTANGLEMENT),
            ("quick",): QUICK,
        }
        if tuple(names) in several:
            return [n for n in several[tuple(names)] if DISENTANGLEMENT[n].needs <= given]
        found = []
        for name in names:
            missing = DISENTANGLEMENT[name].needs - given
            if not missing:
                found.append(name)
                continue
            lacking = "the data have no column for it"
            if missing == {"spaces"}:
                lacking = (
                    "no code space is known to carry a factor; name one with roles "
                    "(--role SPACE=COLUMN)"
                )
            self.notes.append(f"disentanglement: {name} left out: {lacking}")
        return found

    def gaps_of_draws(self, test: FactorDataset, owners: Mapping[str, str]) -> dict[str, Measured]:
        """The metric `mig_by_space` of one draw from every test row's codes."""
        from unmingle.evaluation.disentanglement import measure

        seed = self.settings["seed"]
        codes = draw_codes(self.model, test.items, seed)
        factors = {factor: test.factor(factor) for factor in owners}
        return measure(codes, factors, ["mig_by_space"], seed=seed, owners=owners)
