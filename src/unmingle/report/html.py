"""HTML from values, every text escaped unless it is HTML already."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources

_VOID = {"img", "meta", "br"}
# Nothing is fetched and nothing runs, whatever a name in the data may say.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Child = str | int | float | None


@dataclass(frozen=True)
class Section:
    """A part of the page; `key` is its anchor."""

    key: str
    title: str
    body: Markup


def escape(value: Child) -> Markup:
    """HTML of a text; `Markup` as it is, nothing for None."""
    if isinstance(value, Markup):
        return value
    return Markup("" if value is None else html.escape(str(value)))


def tag(name: str, /, *children: Child, **attributes: Child) -> Markup:
    """An element. Attributes that are None are left out; `class_` and `aria_label` lose the
    underscore."""
    shown = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{shown}>")
    return Markup(f"<{name}{shown}>{''.join(map(escape, children))}</{name}>")


def join(parts: Iterable[Child]) -> Markup:
    """Parts one after the other."""
    return Markup("".join(map(escape, parts)))


def paragraph(*children: Child) -> Markup:
    """A paragraph."""
    return tag("p", *children)


def table(
    head: Sequence[Child],
    rows: Sequence[Sequence[Child]],
    *,
    label: str,
    numbers: Iterable[int] = (),
) -> Markup:
    """A table that scrolls inside its own box where it is wider than the page.

    Args:
        head, rows: cells; no head where `head` is empty. The first cell of a row names the row.
        label: what the table shows, for screen readers.
        numbers: columns that are aligned to the right.
    """
    right = set(numbers)

    def cells(kind: str, row: Sequence[Child]) -> Markup:
        found = []
        for number, cell in enumerate(row):
            name = "th" if kind == "col" or number == 0 else "td"
            scope = kind if name == "th" else None
            found.append(tag(name, cell, scope=scope, class_="n" if number in right else None))
        return tag("tr", *found)

    body = tag("tbody", *(cells("row", row) for row in rows))
    top = tag("thead", cells("col", head)) if head else Markup("")
    return tag(
        "div", tag("table", top, body), class_="scroll", tabindex=0, role="region", aria_label=label
    )


def facts(pairs: Iterable[tuple[Child, Child]]) -> Markup:
    """Names and values, in columns where there is room."""
    items = (tag("div", tag("dt", name), tag("dd", value)) for name, value in pairs)
    return tag("dl", *items, class_="facts")


def code(text: str) -> Markup:
    """Something to type, in a box of its own."""
    return tag("pre", tag("code", text))


def page(title: str, subtitle: Child, sections: Sequence[Section], foot: Child) -> str:
    """The whole file."""
    style = resources.files("unmingle.report").joinpath("style.css").read_text("utf-8")
    links = (tag("a", section.title, href=f"#{section.key}") for section in sections)
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("title", title),
        tag("style", Markup(style)),
    )
    body = tag(
        "body",
        tag("header", tag("h1", title), tag("p", subtitle, class_="sub")),
        tag("nav", *links, aria_label="Sections"),
        tag("main", *(_section(section) for section in sections)),
        tag("footer", foot),
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _section(section: Section) -> Markup:
    return tag("section", tag("h2", section.title), section.body, id=section.key)
