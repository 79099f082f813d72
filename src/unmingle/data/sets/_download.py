"""Fetches the files of a named set: hash checked before anything is put in place."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import lzma
import os
import tarfile
import urllib.request
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from unmingle.data.sets._base import Download, NamedSet
from unmingle.data.storage import check_disk, format_bytes, remove_stale, tracker
from unmingle.errors import DataError

_PIECE = 2**20
_TIMEOUT = 60  # seconds without a byte
_ELSEWHERE = "choose another folder (--folder)"
_MOST = 200 * 10**9  # bytes; more is no data set that is known here
_DAMAGED = (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError)


def fetch(
    entry: NamedSet, folder: Path, *, progress: bool = False, extra: bool = False
) -> list[Path]:
    """Download the files of a set that are not there yet, and unpack its archives.

    Args:
        entry: The set.
        folder: Where the files go; made if it is not there.
        progress: Show a progress bar on a terminal.
        extra: Also the files that only an option of the set reads.

    Returns:
        The downloaded files.

    Raises:
        DataError: a file cannot be fetched, is not the published one, or an archive is not safe;
            what was there before is left as it was.
    """
    files = []
    for download in entry.downloads:
        if download.extra and not extra:
            continue
        file = fetch_file(download, folder, progress=progress)
        if download.unpack:
            unpack(file, folder)
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
    part = _beside(file)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        remove_stale(file.with_name(f".{file.name}"))
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
    """Write what the URL gives to `part`; returns its hash.

    Raises:
        DataError: it does not fit on the disk, or does not end where the published file does.
    """
    request = urllib.request.Request(download.url, headers={"User-Agent": "unmingle"})
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
        said = answer.headers.get("Content-Length", "")
        total = download.bytes or (int(said) if said.isdecimal() else 0)
        check_disk(part.parent, total, download.file, _ELSEWHERE)
        label = f"{download.file} ({format_bytes(total)})" if total else download.file
        with part.open("wb") as out, tracker(label, total, progress) as advance:

            def kept() -> Iterator[bytes]:
                left = download.bytes or _MOST
                for piece in _pieces(answer):
                    left -= len(piece)
                    if left < 0:
                        raise DataError(
                            f"{download.url}: more came than the published file has; it was thrown "
                            "away"
                        )
                    out.write(piece)
                    advance(len(piece))
                    yield piece

            return _digest(kept(), download)


def _beside(file: Path) -> Path:
    """Where a file is written until it is whole: hidden, and of this process alone."""
    return file.with_name(f".{file.name}.tmp-{os.getpid()}")


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


def unpack(archive: Path, folder: Path, most: int = _MOST) -> None:
    """Unpack the files of a tar archive into `folder`; those that are there already stay.

    Each file is written beside its place and moved there whole.

    Args:
        archive: The archive, also compressed.
        folder: Where its files go.
        most: Bytes; more are not unpacked.

    Raises:
        DataError: the archive is damaged, too large, or has names outside the folder or links.
    """
    left = most
    try:
        with tarfile.open(archive, "r|*") as opened:  # as a stream: one pass over a large archive
            for member in opened:
                if member.isdir():
                    continue
                if not member.isfile():
                    raise DataError(
                        f"{archive}: {member.name} is a link or a device, which is not unpacked"
                    )
                left -= member.size
                if left < 0:
                    raise DataError(
                        f"{archive}: unpacks to more than {format_bytes(most)}, which is refused"
                    )
                target = _inside(folder, member.name, archive)
                stream = opened.extractfile(member)
                assert stream is not None
                if not target.exists():
                    check_disk(folder, member.size, f"{archive.name} unpacked", _ELSEWHERE)
                    _place(target, stream)
    except _DAMAGED as error:
        raise DataError(f"{archive}: damaged ({error}); remove it and get it again") from error
    except OSError as error:
        raise DataError(f"{archive}: cannot be unpacked into {folder} ({error})") from error


def _inside(folder: Path, name: str, archive: Path) -> Path:
    """The place of a member.

    Raises:
        DataError: it would lie outside the folder.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in (path.parts or ("",))[0]:
        raise DataError(f"{archive}: {name!r} would be written outside {folder}; not unpacked")
    return folder.joinpath(*path.parts)


def _place(target: Path, stream: IO[bytes]) -> None:
    """Copy a stream to a file in one step."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = _beside(target)
    try:
        with part.open("wb") as out:
            for piece in _pieces(stream):
                out.write(piece)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
