"""What every method has in common: settings, fit, encode, decode, recombine, save, load."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from unmingle.data import FactorDataset, load_data
from unmingle.errors import ConfigError, DataError, RunError, UnmingleError, nearest
from unmingle.evaluation.scores import versions
from unmingle.plots import tile
from unmingle.training.checkpoint import replace_file
from unmingle.training.loop import TrainReport, state_bytes, train
from unmingle.training.run import RunFolder, check_room
from unmingle.training.settings import TrainSettings
from unmingle.training.stage import Stage

FORMAT = 1
_ROWS = 256  # encoded or decoded at a time
_PREVIEW = 6  # rows and columns of a sample picture

Images = NDArray[np.uint8]
Codes = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class CodeSpace:
    """One of the parts a model takes an item apart into."""

    name: str
    dim: int
    factor: str | None
    """The factor column this code claims to know; None: everything the others do not."""


class Method(ABC):
    """Base of the methods.

    A subclass names itself, gives a `Config` dataclass and the six abstract methods below; it
    writes no loop, opens no file and reads no clock.
    """

    name: ClassVar[str]
    """What the command line calls it."""
    Config: ClassVar[type[Any]]
    """Its settings: a dataclass with a docstring per field, checked in `__post_init__`."""
    examples: ClassVar[tuple[str, ...]] = ("photos/ --size 64", "shapes3d --draw 4000")
    """Data, and what must be told about them, for the examples of `unmingle train NAME --help`."""

    network: nn.Module
    """All networks and latent tables, made by `build` when the data are known."""
    data_shape: tuple[int, ...]
    """(H, W, C) of the images, or (D,) of the vectors, that the model was fitted to."""
    run_info: dict[str, Any]
    """What `config.json` holds: settings, data, seed, versions, and `info` given to `fit`."""
    report: TrainReport
    """What became of the training; only after `fit`."""

    def __init__(self, config: Any = None, **settings: Any) -> None:
        """Take the settings: a `Config`, or its fields as keywords.

        Raises:
            ConfigError: an unknown setting, or a value that does not fit.
        """
        if config is not None and settings:
            raise ConfigError("give a config or single settings, not both")
        known = [field.name for field in fields(self.Config)]
        for setting in settings:
            if setting not in known:
                raise ConfigError(
                    f"{type(self).__name__} has no setting {setting!r}.{nearest(setting, known)}"
                )
        self.config = self.Config(**settings) if config is None else config

    # ------------------------------------------------------------------ what a method gives

    @abstractmethod
    def check(self, data: FactorDataset) -> dict[str, Any]:
        """Refuse data this method cannot learn from.

        Returns:
            What `build` needs to know of the data beside their shape, as JSON values; it is kept
            with the model.

        Raises:
            DataError, ConfigError: naming the column or flag and what would be right.
        """

    def check_start(self, start_from: str | os.PathLike[str] | None) -> None:
        """Refuse settings that need a trained run to begin with, where none is given.

        Raises:
            ConfigError: naming the setting.
        """

    @abstractmethod
    def build(self, shape: tuple[int, ...], facts: Mapping[str, Any]) -> nn.Module:
        """All networks and latent tables, for items of `shape` and what `check` returned."""

    @abstractmethod
    def stages(self, data: FactorDataset) -> Sequence[Stage]:
        """The training phases, in order."""

    @property
    @abstractmethod
    def code_spaces(self) -> dict[str, CodeSpace]:
        """The parts an item is taken apart into."""

    @abstractmethod
    def encode_items(self, items: Tensor) -> dict[str, Tensor]:
        """Codes float32 [b, dim] of images [b, C, H, W] in [0, 1], or of vectors [b, D]."""

    @abstractmethod
    def decode_codes(self, codes: dict[str, Tensor]) -> Tensor:
        """Images [b, C, H, W] in [0, 1], or vectors [b, D], of codes [b, dim]."""

    def visualise_codes(self, codes: dict[str, Tensor]) -> dict[str, Tensor]:
        """What single codes [b, dim] say alone, as `decode_codes` gives it: {code space: items}.

        {} where a method has no networks for that.
        """
        return {}

    def training_codes(self, rows: Tensor) -> dict[str, Tensor]:
        """Codes of rows of the training set as they are while it trains, for sample pictures."""
        return self.encode_items(self._items(self._previewed[rows.numpy()]))

    def training_items(self, codes: dict[str, Tensor]) -> Tensor:
        """Items decoded for sample pictures, while it trains; as `decode_codes`."""
        return self.decode_codes(codes)

    # ------------------------------------------------------------------ training

    def fit(
        self,
        data: FactorDataset | str | os.PathLike[str],
        *,
        budget: str | float = "15min",
        out: str | os.PathLike[str] | None = None,
        seed: int = 0,
        start_from: str | os.PathLike[str] | None = None,
        resume: bool = False,
        overwrite: bool = False,
        info: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Self:
        """Train on data.

        Args:
            data: the training set, or what `load_data` reads.
            budget: "90s", "15min", "2h", "5000steps", "200epochs", or seconds.
            out: the run folder; nothing is written if None.
            seed: of everything random. The same seed and steps give the same bits on CPU.
            start_from: the run folder of a trained model whose networks and tables this one begins
                with; what that model has not starts as usual.
            resume: continue the run in `out` from its last checkpoint.
            overwrite: replace the run in `out`.
            info: JSON values to keep in the run's config.json.
            options: further fields of `TrainSettings`, as `device="cpu"` or `quiet=True`.

        Returns:
            The model itself, trained.

        Raises:
            DataError, ConfigError, RunError: data, settings or folder do not fit.
            DivergedError: a loss became NaN or infinite.
        """
        known = [field.name for field in fields(TrainSettings)]
        for option in options:
            if option not in known:
                raise ConfigError(f"fit has no option {option!r}.{nearest(option, known)}")
        settings = TrainSettings(budget=budget, seed=seed, **options)
        self.check_start(start_from)
        if not isinstance(data, FactorDataset):
            data = load_data(data)
        facts = self.check(data)
        self.data_shape, self.facts = tuple(data.shape), facts
        with torch.device("meta"):  # no memory is taken before it is known to be there
            check_room(None, state_bytes(self.build(self.data_shape, facts)), 0)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = self.build(self.data_shape, facts)
        if start_from is not None:  # what does not fit is refused before an earlier run is removed
            _take_over(network, _tensors(Path(start_from)))
        run = None
        if out is not None:
            run = RunFolder(out, resume=resume, overwrite=overwrite)
        elif resume or overwrite:
            raise ConfigError("resume and overwrite need the run folder: out")
        self.network = network
        self.run_info = {**self._describe(data, settings), **(info or {})}
        if run is not None and run.writes and not run.checkpoint.exists():
            self._write_config(run.path)  # a resumed run keeps its own until it is found to fit
        self._previewed = data.items
        self.report = train(
            self.network,
            self.stages(data),
            data,
            settings,
            run,
            self._preview if data.is_images else None,
            identity={"method": self.name, **_named(_jsonable(asdict(self.config)))},
        )
        del self._previewed
        self.run_info["training"] = _jsonable(asdict(self.report))
        if run is not None and run.writes:
            self.save(run.path)
        return self

    def _describe(self, data: FactorDataset, settings: TrainSettings) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "method": self.name,
            "settings": _jsonable(asdict(self.config)),
            "shape": list(self.data_shape),
            "facts": self.facts,
            "data": {
                "name": data.name,
                "rows": len(data),
                "fingerprint": data.fingerprint(),
                "factors": {name: data.cardinality(name) for name in data.factors},
            },
            "seed": settings.seed,
            "budget": str(settings.length),
            "versions": versions(),
        }

    def _preview(self) -> Images:
        """Swaps between training rows: the left column keeps one code, the top row the others."""
        rows = torch.linspace(0, len(self._previewed) - 1, 2 * _PREVIEW).long()
        codes = self.training_codes(rows)
        first = next(iter(self.code_spaces))
        down = torch.arange(0, 2 * _PREVIEW, 2)
        across = down + 1
        cells = {
            space: (
                values[down].repeat_interleave(_PREVIEW, 0)
                if space == first
                else values[across].repeat(_PREVIEW, 1)
            )
            for space, values in codes.items()
        }
        made = _pixels(self.training_items(cells)).reshape(_PREVIEW, _PREVIEW, *self.data_shape)
        true = np.asarray(self._previewed[rows.numpy()])
        head = np.concatenate([np.full_like(true[:1], 255), true[1::2]])[None]
        return tile(np.concatenate([head, np.concatenate([true[::2, None], made], axis=1)]))

    # ------------------------------------------------------------------ use

    @torch.no_grad()
    def encode(self, items: Any) -> Codes:
        """Take items apart.

        Args:
            items: uint8 images [N, H, W, C] ([N, H, W] for grey), float32 vectors [N, D], as numpy
                or torch, or a FactorDataset. A single [H, W, C] or [D] counts as N = 1.

        Returns:
            {code space: float32 [N, dim]}.

        Raises:
            RunError: the model is not trained.
            DataError: type or shape is not what the model was trained on.
        """
        self._require_trained()
        return self._in_blocks(self.encode_items, self._checked(items))

    @torch.no_grad()
    def decode(self, codes: Mapping[str, Any]) -> NDArray[Any]:
        """Put codes together.

        Args:
            codes: {code space: float [N, dim]} for every code space; where a space has a single
                row it is used for all N.

        Returns:
            uint8 [N, H, W, C], or float32 [N, D].

        Raises:
            ConfigError: a code space is missing or unknown.
            DataError: a shape is wrong.
        """
        self._require_trained()
        tensors = _same_length(self._checked_codes(codes))
        device = self._device()
        parts = []
        for start in range(0, len(next(iter(tensors.values()))), _ROWS):
            block = {s: c[start : start + _ROWS].to(device) for s, c in tensors.items()}
            parts.append(self._output(self.decode_codes(block)))
        return np.concatenate(parts)

    def recombine(self, sources: Mapping[str, Any]) -> NDArray[Any]:
        """Decode codes taken from different items.

        Args:
            sources: {code space: items as for `encode`} for every code space; items of equal
                number, or a single one used with all of the others.

        Returns:
            uint8 [N, H, W, C], or float32 [N, D].
        """
        self._check_spaces(sources)
        return self.decode({space: self.encode(items)[space] for space, items in sources.items()})

    def reconstruct(self, items: Any) -> NDArray[Any]:
        """Decode the items' own codes."""
        return self.decode(self.encode(items))

    @torch.no_grad()
    def visualise(self, codes: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        """Show what each code says alone, without the others.

        Args:
            codes: {code space: float [N, dim]} as for `decode`.

        Returns:
            {code space: uint8 [N, H, W, C], or float32 [N, D]}; {} where the method has no decoders
            of single codes.
        """
        self._require_trained()
        parts: dict[str, list[NDArray[Any]]] = {}
        tensors = _same_length(self._checked_codes(codes))
        for start in range(0, len(next(iter(tensors.values()))), _ROWS):
            block = {s: c[start : start + _ROWS].to(self._device()) for s, c in tensors.items()}
            for space, items in self.visualise_codes(block).items():
                parts.setdefault(space, []).append(self._output(items))
        return {space: np.concatenate(blocks) for space, blocks in parts.items()}

    # ------------------------------------------------------------------ files

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write `config.json` and `model.safetensors` into a folder, each as a whole or not."""
        self._require_trained()
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        state = {name: value.detach().cpu().contiguous() for name, value in self._state().items()}
        replace_file(folder / "model.safetensors", lambda file: save_file(state, file))
        self._write_config(folder)

    def _state(self) -> dict[str, Tensor]:
        return dict(self.network.state_dict())

    def _write_config(self, folder: Path) -> None:
        text = json.dumps(self.run_info, indent=1) + "\n"
        replace_file(folder / "config.json", lambda file: _write_text(file, text))

    # ------------------------------------------------------------------ checks

    def _require_trained(self) -> None:
        if not hasattr(self, "network"):
            raise RunError(f"this {type(self).__name__} is not trained: call fit, or um.load a run")

    def _device(self) -> torch.device:
        return next(self.network.parameters()).device

    def _checked(self, items: Any) -> Any:
        if isinstance(items, FactorDataset):
            items = items.items
        if isinstance(items, Tensor):
            items = items.cpu().numpy()
        if isinstance(items, list | tuple):
            items = _stacked(items)
        shape = tuple(np.shape(items))
        if shape == self.data_shape:
            items, shape = np.asarray(items)[None], (1, *shape)
        if len(self.data_shape) == 3 and len(shape) == 3 and self.data_shape[2] == 1:
            items, shape = np.asarray(items)[..., None], (*shape, 1)
        wanted = "x".join(["N", *map(str, self.data_shape)])
        if shape[1:] != self.data_shape or shape[0] == 0:
            found = "x".join(map(str, shape)) or "a single number"
            raise DataError(f"the model takes {wanted}, this is {found}")
        if len(self.data_shape) == 3 and items.dtype != np.uint8:
            raise DataError(f"the model takes uint8 images from 0 to 255, not {items.dtype}")
        return items

    def _check_spaces(self, given: Iterable[str]) -> None:
        given = list(given)
        for space in given:
            if space not in self.code_spaces:
                raise ConfigError(f"no code space {space!r}.{nearest(space, self.code_spaces)}")
        for space in self.code_spaces:
            if space not in given:
                raise ConfigError(f"the code space {space!r} is missing")

    def _checked_codes(self, codes: Mapping[str, Any]) -> dict[str, Tensor]:
        self._check_spaces(codes)
        tensors = {}
        for name, space in self.code_spaces.items():
            try:
                values = torch.from_numpy(np.array(codes[name], np.float32))
            except (TypeError, ValueError) as error:
                raise DataError(f"{name} codes are not numbers [N, {space.dim}]") from error
            if values.ndim != 2 or values.shape[1] != space.dim or len(values) == 0:
                raise DataError(f"{name} codes are [N, {space.dim}], not {list(values.shape)}")
            tensors[name] = values
        return tensors

    def _items(self, items: Any) -> Tensor:
        """Numpy items as the networks take them."""
        tensor = torch.from_numpy(np.array(items)).to(self._device())
        if len(self.data_shape) == 1:
            return tensor.float()
        pixels = tensor.permute(0, 3, 1, 2).float().div_(255)
        return pixels.contiguous(memory_format=torch.channels_last)

    def _output(self, items: Tensor) -> NDArray[Any]:
        return _pixels(items) if len(self.data_shape) == 3 else items.float().cpu().numpy()

    def _in_blocks(self, encode: Callable[[Tensor], dict[str, Tensor]], items: Any) -> Codes:
        parts: dict[str, list[NDArray[np.float32]]] = {}
        for start in range(0, len(items), _ROWS):
            block = self._items(items[start : start + _ROWS])
            for space, codes in encode(block).items():
                parts.setdefault(space, []).append(codes.float().cpu().numpy())
        return {space: np.concatenate(blocks) for space, blocks in parts.items()}


def load(folder: str | os.PathLike[str]) -> Any:
    """Open a trained model. Only tensors and JSON are read: nothing in the folder is run.

    Args:
        folder: a run folder, or where `save` wrote.

    Raises:
        RunError: nothing is there, the run is not finished, or its files do not fit together.
    """
    from . import METHODS

    folder = Path(folder)
    file, config = folder / "model.safetensors", folder / "config.json"
    if not config.is_file():
        raise RunError(f"{folder} is no run folder: there is no config.json in it")
    try:
        info = json.loads(config.read_text())
        if info["format"] != FORMAT:
            raise ValueError(f"format {info['format']}; this version reads {FORMAT}")
        kind, settings = METHODS[info["method"]], info["settings"]
        shape, facts = tuple(info["shape"]), info["facts"]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise RunError(f"{config} is damaged or of a newer version ({error!r})") from error
    if not file.is_file():
        raise RunError(f"{folder} holds no model.safetensors: its training is not finished; "
                       "continue it with --resume")  # fmt: skip
    try:
        model = kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()})
        model.data_shape, model.facts, model.run_info = shape, facts, info
        with torch.random.fork_rng(devices=[]):
            network = model.build(shape, facts)
        if len(shape) == 3:  # as in training: the order of sums depends on it
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        network.load_state_dict(load_file(file))
    except (SafetensorError, ArithmeticError, AttributeError, LookupError, OSError, RuntimeError,
            TypeError, UnmingleError, ValueError) as error:  # fmt: skip
        first = (str(error).strip() or repr(error)).splitlines()[0]
        raise RunError(f"{file} is damaged or does not fit {config.name} ({first})") from error
    model.network = network.eval()
    return model


def _tensors(folder: Path) -> dict[str, Tensor]:
    try:
        return load_file(folder / "model.safetensors")
    except (OSError, SafetensorError) as error:
        raise RunError(f"--start-from {folder}: there is no trained model in it") from error


def _take_over(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """The tensors of another model that this one has too; they must be of the same shapes."""
    own = network.state_dict()
    both = {name: value for name, value in state.items() if name in own}
    if not both:
        raise RunError("--start-from: that model has no part that this one has")
    for name, value in both.items():
        if value.shape != own[name].shape:
            raise RunError(
                f"--start-from: {name} is {list(value.shape)} there and {list(own[name].shape)} "
                "here; data and sizes must be the same"
            )
    network.load_state_dict(both, strict=False)


def _stacked(items: Sequence[Any]) -> NDArray[Any]:
    try:
        return np.asarray([np.asarray(item) for item in items])
    except ValueError as error:
        sizes = sorted({"x".join(map(str, np.shape(item))) for item in items})
        raise DataError(f"items of one size are needed, these are {', '.join(sizes)}") from error


def _same_length(codes: dict[str, Tensor]) -> dict[str, Tensor]:
    count = max(len(values) for values in codes.values())
    for space, values in codes.items():
        if len(values) not in (1, count):
            raise DataError(f"{len(values)} {space} codes do not go with {count} others")
    return {space: values.expand(count, -1) for space, values in codes.items()}


def _pixels(images: Tensor) -> Images:
    """[b, C, H, W] in [0, 1] to uint8 [b, H, W, C]."""
    scaled = images.float().clamp(0, 1).mul(255).round_().to(torch.uint8)
    return scaled.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def _jsonable(value: Any) -> Any:
    """As it comes back from JSON."""
    return json.loads(json.dumps(value))


def _named(settings: Mapping[str, Any]) -> dict[str, Any]:
    """For a run's identity, so that an error tells which setting is another one."""
    return {f"setting {name}": value for name, value in settings.items()}


def _write_text(file: Path, text: str) -> None:
    file.write_text(text)
