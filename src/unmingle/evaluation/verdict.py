"""What an audit found, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from unmingle.evaluation.leaks import Information, LeakProbe

ALPHA = 0.05
_PARTIAL, _STRONG = 0.1, 0.5  # share of what there is above chance
_CAN_SAY = 30  # held-out rows below which silence means little


def judge_leak(
    factor: str,
    space: str,
    probes: Sequence[LeakProbe],
    p_value: float,
    information: Information | None,
) -> tuple[str, str]:
    """Level and sentence for one factor in one code.

    A leak is there if the best probe's excess over shuffled values has a corrected p-value of at
    most 0.05. Its size is the best gain: below 0.1 a trace, below 0.5 partial, else strong.
    """
    best = max(probes, key=lambda probe: probe.gain)
    nats = _nats(information)
    if p_value > ALPHA:
        widest = max(probe.result.high for probe in probes)
        rows = best.result.n_test
        text = (
            f"no probe tells {factor} better than chance ({rows} rows scored; up to {widest:.1%} "
            "right cannot be ruled out)"
        )
        if rows < _CAN_SAY:
            text += f"; {rows} rows are too few to say more"
        if information is not None and information.bound.low > 0:
            text += f", yet {nats}"
            return "trace", text
        return "none", text
    found = [probe for probe in probes if probe.p_value <= ALPHA]
    best = max(found, key=lambda probe: probe.result.accuracy)
    level = "trace" if best.gain < _PARTIAL else "partial" if best.gain < _STRONG else "strong"
    chance = max(best.result.chance, best.permuted)
    can = "can hardly" if level == "trace" else "can"
    text = (
        f"{factor} {can} be told from the {space} code: {best.result.accuracy:.1%} right by "
        f"{best.name}, chance {chance:.1%}"
    )
    if best.result.accuracy <= best.result.chance:
        text += f" (more than the {best.permuted:.1%} of shuffled values, less than a guess)"
    missed = [probe.name for probe in probes if probe.p_value > ALPHA]
    if missed:
        text += f"; missed by {_listed(missed)}"
    return level, text + (f"; {nats}" if nats else "")


def _nats(information: Information | None) -> str:
    if information is None or information.bound.low <= 0:
        return ""
    return f"at least {information.bound.value:.2f} of {information.most:.2f} nats"


def _listed(names: Sequence[str]) -> str:
    names = names if len(names) <= 3 else [*names[:2], f"{len(names) - 2} others"]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def unknowable(
    factors: Sequence[str],
    unowned: Sequence[str],
    rows: int,
    swaps: bool,
    continuous: Sequence[str],
    quick: bool = False,
) -> list[str]:
    """What the audit cannot tell, given what it had.

    Args:
        factors: the columns that were looked for.
        unowned: code spaces for which no factor is named.
        rows: how many test rows there are.
        swaps: whether swap consistency was measured.
        continuous: columns of amounts, which probes do not look for.
        quick: whether the audit was the quick one.
    """
    said = []
    if quick:
        said.append(
            "this was the quick audit: what linear and nearest-neighbour probes miss on at most "
            "2,000 rows, the full one may find (--audit)"
        )
    if not factors:
        said.append(
            "no factor column was looked for: whether a code holds what belongs to another cannot "
            "be known, only whether swapped codes come back and whether codes of an image tell "
            "each other"
        )
    for space in unowned:
        said.append(
            f"what the {space} code should carry is not named, so what leaks into other codes "
            f"from it cannot be known; a column would tell (--role {space}=COLUMN)"
        )
    if factors:
        said.append(
            f"leaks are looked for of {', '.join(factors)} only; what no column names can leak "
            "unseen, and what no probe finds may be found by a stronger one"
        )
    if swaps:
        said.append(
            "swap consistency asks the model about itself: an encoder and a decoder that share a "
            "mistake agree; a true image (transfer) or a recogniser (--judges) does not"
        )
    if continuous:
        said.append(f"amounts are not looked for: {', '.join(continuous)}")
    if rows < _CAN_SAY:
        said.append(f"{rows} test rows: all intervals are wide")
    return said
