"""The leakage audit, the judges and the distance to real images, as tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from unmingle.evaluation.bootstrap import Estimate
from unmingle.evaluation.text import interval, number, share
from unmingle.report.html import Child, Markup, join, paragraph, table, tag
from unmingle.report.svg import bar

if TYPE_CHECKING:
    from unmingle.evaluation.audit import Audit
    from unmingle.evaluation.feature_distance import FeatureDistance
    from unmingle.evaluation.judges import Judging
    from unmingle.evaluation.leaks import Information, Leak

GOOD = {"none": True, "trace": None, "unknown": None}


def audit_parts(audit: Audit) -> Iterator[Child]:
    """Verdicts first, then what they rest on."""
    asked = "what probes of several kinds guess on held-out rows"
    shuffled = "what they reach when the true values are shuffled"
    more = f", {shuffled}, and a lower bound of the information in nats"
    if audit.context.get("quick"):
        more = f" and {shuffled}; a quick look, by two kinds of probes on some of the rows"
    yield paragraph(f"For each factor and each code that it does not belong to: {asked}{more}.")
    for leak in audit.leaks:
        head = f"{leak.factor} in the {leak.space} code: "
        yield tag("p", _level(leak), head, leak.verdict, ".", class_="verdict")
    for leak in audit.leaks:
        if leak.probes or leak.information is not None:
            yield _leak(leak)
    yield from _swaps(audit)
    if audit.codes:
        yield tag("h3", "Information between the codes of an image")
        yield paragraph("No labels are needed for this one; codes that share nothing have 0.")
        rows = [[f"{pair.first}, {pair.second}", *_information(pair.information)]
                for pair in audit.codes]  # fmt: skip
        yield table(["codes", *_INFORMATION], rows, label="Information between codes")
    for title, sentences in (("What cannot be known", audit.unknown), ("Left out", audit.notes)):
        if sentences:
            yield tag("h3", title)
            yield tag("ul", *(tag("li", sentence) for sentence in sentences))


_INFORMATION = ("at least, nats", "of at most", "mean T'", "rows fitted / scored")


def _level(leak: Leak) -> Markup:
    colour = {True: "good", False: "bad", None: None}[GOOD.get(leak.level, False)]
    return tag("b", leak.level, class_=colour)


def _leak(leak: Leak) -> Markup:
    own = f" (which should know {leak.own})" if leak.own is not None else ""
    parts: list[Child] = [tag("h3", f"{leak.factor} in the {leak.space} code{own}")]
    if leak.probes:
        rows = []
        for probe in leak.probes:
            r = probe.result
            chance = max(r.chance, probe.permuted)
            rows.append([
                probe.name, share(Estimate(r.accuracy, r.low, r.high)).strip(),
                bar(r.accuracy, chance, f"{r.accuracy:.1%}, chance {chance:.1%}"),
                f"{r.chance:.1%}", f"{probe.permuted:.1%} (95 % below {probe.permuted_high:.1%})",
                f"{probe.p_value:.3f}",
            ])  # fmt: skip
        head = ["probe", "accuracy", "", "chance", "shuffled", "p"]
        parts.append(table(head, rows, label=f"Probes of {leak.factor}", numbers=(1, 3, 4, 5)))
        r = leak.probes[0].result
        said = (
            f"{r.n_train:,} rows fitted, {r.n_test:,} scored; shuffled among {leak.shuffled}; p of "
            f"the best of all probes {leak.p_value:.3f}."
        )
        parts.append(tag("p", said, class_="small"))
    if leak.information is not None:
        at_least, most, mean, rows_used = _information(leak.information)
        said = (
            f"Information: at least {at_least} nats of at most {most}; mean T' {mean}; rows "
            f"fitted / scored {rows_used}."
        )
        parts.append(tag("p", said, class_="small"))
    return join(parts)


def _information(found: Information) -> list[str]:
    removed = f" ({found.removed} removed)" if found.removed else ""
    return [
        interval(found.bound) + removed,
        number(found.most),
        number(found.estimate),
        f"{found.n_train:,} / {found.n_test:,}",
    ]


def _swaps(audit: Audit) -> Iterator[Child]:
    if not audit.swaps:
        return
    yield tag("h3", "Swapped codes found again")
    yield paragraph(
        f"{audit.swaps[0].pairs:,} recombined images were encoded again. Distance of their codes "
        "to those they were made from, as a share of that of two random images: 0 is perfect."
    )
    rows = [
        [swap.take, swap.code, interval(swap.distance), interval(swap.unswapped),
         share(swap.nearer).strip()]
        for swap in audit.swaps
    ]  # fmt: skip
    head = ["taken", "code", "swapped", "not swapped", "nearer to its source"]
    yield table(head, rows, label="Swap consistency", numbers=(2, 3, 4))


def judge_parts(judging: Judging) -> Iterator[Child]:
    """What recognisers say about recombined images, beside how good they are on real ones."""
    yield paragraph(
        "A recogniser of each factor was trained on real images and shown recombined ones: the "
        f"{judging.take} code of image i, all others of image j. A factor should be as in the "
        "image that its code came from (right), and not as in the other one. A judge that errs on "
        "real images proves nothing; the most to ask for is what it says of the source itself "
        "(the mark on the bar). Where an image's own codes give the factor back together and mixed "
        "ones do not, a code means another thing beside another's, or the other code has it too."
    )
    rows = []
    for found in judging.judgements:
        rows.append([
            found.factor, f"image {found.source}", share(found.right).strip(),
            bar(found.right.value, found.copied.value, f"{found.right.value:.1%}"),
            "-" if found.rebuilt is None else share(found.rebuilt).strip(),
            share(found.copied).strip(), f"{found.mixed.value:.1%}", share(found.real).strip(),
            f"{found.chance:.1%}", f"{found.n_train:,} / {found.n_real:,} / {found.pairs:,}",
            found.how,
        ])  # fmt: skip
    head = [
        "factor", "should be as in", "right", "", "made of its own codes", "source itself",
        "as in the other",
        "judge on real images", "chance", "trained on / real / swaps", "",
    ]  # fmt: skip
    yield table(head, rows, label="Judges", numbers=(2, 4, 5, 6, 7, 8, 9))
    for found in judging.judgements:
        if found.off is not None and found.real_off is not None:
            own = found.rebuilt_off
            yield paragraph(
                f"{found.factor} as an angle: {found.off.line()}. "
                + (f"Made of its own codes alone: {own.line()}. " if own else "")
                + f"The judge itself on real images: {found.real_off.line()}."
            )
    if judging.notes:
        yield tag("ul", *(tag("li", f"No judge of {note}") for note in judging.notes))


def distance_parts(found: FeatureDistance) -> Iterator[Child]:
    """The Fréchet distances of sets of images."""
    yield paragraph(
        f"Fréchet distance between {found.rows:,} real held-out images and as many others, by "
        f"{found.features}. It is not FID and does not compare with it. Two sets of real images "
        "are the floor; in brackets the smallest and largest of several halvings."
    )
    named = (
        (f"recombined ({found.take} of another image)", found.recombined),
        ("reconstructed", found.rebuilt),
        ("real (the floor)", found.real),
    )
    rows = [[name, interval(Estimate(s.mean, s.low, s.high))] for name, s in named]
    yield table(["images", "distance"], rows, label="Distance to real images", numbers=(1,))
