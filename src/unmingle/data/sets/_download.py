"""Fetches the files of a named set: hash checked before anything is put in place."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.client
import lzma
import tarfile
import urllib.request
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from unmingle.data.sets._base import Download, NamedSet
from unmingle.data.storage import check_disk, format_bytes, tracker
from unmingle.errors import DataError

_PIECE = 2**20
_TIMEOUT = 60  # seconds without a byte
_MOST_UNPACKED = 200 * 10**9  # bytes; more is no data set that is known here
_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, zlib.error, EOFError)


def fetch(entry: NamedSet, folder: Path, *, progress: bool = False) -> list[Path]:
    """Download the files of a set that are not there yet, and unpack its archives.

    Args:
        entry: The set.
        folder: Where the files go; made if it is not there.
        progress: Show a progress bar on a terminal.

    Returns:
        The downloaded files.

    Raises:
        DataError: a file cannot be fetched, is not the published one, or an archive is not safe;
            what was there before is left as it was.
    """
    files = []
    for download in entry.downloads:
        file = fetch_file(download, folder, progress=progress)
        if download.unpack is not None:
            unpack(file, download.unpack, folder)
        files.append(file)
    return files


def fetch_file(download: Download, folder: Path, *, progress: bool = False) -> Path:
    """One file, downloaded unless it is there, and its hash checked either way.

    Raises:
        DataError: as `fetch`.
    """
    file = folder / download.file
    if file.exists():
        with file.open("rb") as stream:
            found = _digest(_pieces(stream), download)
        if found != _wanted(download):
            raise DataError(
                f"{file}: its {_kind(download)} is {found[:12]}…, not {_wanted(download)[:12]}…; "
                "it is damaged or another file: remove it, and it is fetched again"
            )
        return file
    part = file.with_name(file.name + ".part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if download.bytes is not None:
            check_disk(folder, download.bytes, download.file, "choose another folder (--folder)")
        found = _receive(download, part, progress)
        if found != _wanted(download):
            raise DataError(
                f"{download.url}: the {_kind(download)} of what came is {found[:12]}…, not "
                f"{_wanted(download)[:12]}…; it is not the published file, or the download was "
                "cut off, and was thrown away"
            )
        part.replace(file)
    except (OSError, http.client.HTTPException) as error:
        raise DataError(
            f"{download.file} could not be downloaded from {download.url} ({error}); it can also "
            f"be put into {folder} by hand"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    return file


def _receive(download: Download, part: Path, progress: bool) -> str:
    """Write what the URL gives to `part`; returns its hash."""
    request = urllib.request.Request(download.url, headers={"User-Agent": "unmingle"})
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer, part.open("wb") as out:
        said = answer.headers.get("Content-Length", "")
        total = download.bytes or (int(said) if said.isdecimal() else 0)
        label = f"{download.file} ({format_bytes(total)})" if total else download.file
        with tracker(label, total, progress) as advance:

            def kept() -> Iterator[bytes]:
                for piece in _pieces(answer):
                    out.write(piece)
                    advance(len(piece))
                    yield piece

            return _digest(kept(), download)


def _pieces(stream: Any) -> Iterator[bytes]:
    while piece := stream.read(_PIECE):
        yield piece


def _digest(pieces: Iterator[bytes], download: Download) -> str:
    # MD5 guards against damage here, not against malice: the owners publish no other for some sets.
    digest = hashlib.sha256() if download.sha256 else hashlib.md5(usedforsecurity=False)
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def _wanted(download: Download) -> str:
    return download.sha256 or download.md5 or ""


def _kind(download: Download) -> str:
    return "SHA-256" if download.sha256 else "MD5"


# Archives


def unpack(archive: Path, kind: str, folder: Path, most: int = _MOST_UNPACKED) -> None:
    """Unpack files into `folder`; those that are there already are left alone.

    Each file is written beside its place and moved there whole.

    Args:
        archive: The archive, or a single gzipped file, which loses its ending.
        kind: "zip", "tar" (also compressed) or "gz".
        folder: Where its files go.
        most: Bytes; more are not unpacked.

    Raises:
        DataError: the archive is damaged, too large, or has names outside the folder or links.
    """
    try:
        if kind == "gz":
            with gzip.open(archive, "rb") as stream:
                target = folder / archive.name.removesuffix(".gz")
                _place(target, cast(IO[bytes], stream), most, archive)
        elif kind == "zip":
            _unpack_zip(archive, folder, most)
        else:
            _unpack_tar(archive, folder, most)
    except _DAMAGED as error:
        raise DataError(f"{archive}: damaged ({error}); remove it and get it again") from error
    except OSError as error:
        raise DataError(f"{archive}: cannot be unpacked into {folder} ({error})") from error


def _unpack_zip(archive: Path, folder: Path, most: int) -> None:
    with zipfile.ZipFile(archive) as opened:
        members = [member for member in opened.infolist() if not member.is_dir()]
        for member in members:
            if (member.external_attr >> 28) == 0xA:
                raise DataError(f"{archive}: {member.filename} is a link, which is not unpacked")
        _check_room(archive, folder, sum(member.file_size for member in members), most)
        for member in members:
            target = _inside(folder, member.filename, archive)
            with opened.open(member) as stream:
                _place(target, stream, member.file_size, archive)


def _unpack_tar(archive: Path, folder: Path, most: int) -> None:
    total = 0
    with tarfile.open(archive, "r|*") as opened:  # as a stream: one pass over a large archive
        for member in opened:
            if member.isdir():
                continue
            if not member.isfile():
                raise DataError(
                    f"{archive}: {member.name} is a link or a device, which is not unpacked"
                )
            total += member.size
            _check_room(archive, folder, member.size, most - total + member.size)
            target = _inside(folder, member.name, archive)
            stream = opened.extractfile(member)
            assert stream is not None
            _place(target, stream, member.size, archive)


def _check_room(archive: Path, folder: Path, needed: int, most: int) -> None:
    if needed > most:
        raise DataError(f"{archive}: unpacks to more than {format_bytes(most)}, which is refused")
    check_disk(folder, needed, f"{archive.name} unpacked", "choose another folder (--folder)")


def _inside(folder: Path, name: str, archive: Path) -> Path:
    """The place of a member.

    Raises:
        DataError: it would lie outside the folder.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in (path.parts or ("",))[0]:
        raise DataError(f"{archive}: {name!r} would be written outside {folder}; not unpacked")
    return folder.joinpath(*path.parts)


def _place(target: Path, stream: IO[bytes], most: int, archive: Path) -> None:
    """Copy a stream of at most `most` bytes to a file, in one step; an existing one stays."""
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    try:
        with part.open("wb") as out:
            for piece in _pieces(stream):
                most -= len(piece)
                if most < 0:
                    raise DataError(f"{archive}: unpacks to more than is allowed or than it says")
                out.write(piece)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
