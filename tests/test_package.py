"""The package as it is imported: quickly, lazily, typed."""

from __future__ import annotations

import importlib
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

import unmingle

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "numpy", "sklearn", "PIL", "matplotlib", "tyro", "rich")


def loaded_after(code: str) -> set[str]:
    """The heavy modules that a fresh interpreter has imported after `code`."""
    tail = f"\nimport sys\nprint(*[m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", code + tail], capture_output=True, text=True, check=True
    )
    return set(done.stderr.split())


def test_import_is_light() -> None:
    assert loaded_after("import unmingle; unmingle.UnmingleError; dir(unmingle)") == set()


def test_reading_data_needs_no_torch() -> None:
    assert "torch" not in loaded_after("import unmingle; unmingle.load_data")


@pytest.mark.parametrize("name", unmingle.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(unmingle, name) is not None


def test_a_lazy_name_is_the_one_of_its_module() -> None:
    assert unmingle.FactorDataset is importlib.import_module("unmingle.data").FactorDataset
    assert unmingle.METHODS["lord"] is unmingle.LORD


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'lord'"):
        unmingle.lord  # noqa: B018


def test_the_version_is_the_newest_of_the_changelog() -> None:
    headings = [
        line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("## ")
    ]
    assert headings[0].split()[1] == unmingle.__version__


def test_the_package_says_that_it_is_typed() -> None:
    spec = find_spec("unmingle")
    assert spec is not None and spec.origin is not None
    assert (Path(spec.origin).parent / "py.typed").is_file()


def test_every_extra_that_the_code_asks_for_exists() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    asked = set()
    for file in (ROOT / "src").rglob("*.py"):
        for part in file.read_text().split("require(")[1:]:
            words = part.split(")")[0].replace("'", '"').split('"')
            if len(words) >= 4:
                asked.add(words[3])
    assert asked and asked <= extras.keys()
