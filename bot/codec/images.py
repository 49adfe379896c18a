"""Turns any image a person may send into an upright JPEG. Runs only in a child of the server."""

from __future__ import annotations

import contextlib
import errno
import io
import warnings
from pathlib import Path
from typing import Any, Literal

import pillow_heif
from PIL import (
    AvifImagePlugin,
    GifImagePlugin,
    Image,
    ImageCms,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    WebPImagePlugin,
)

#: Sides below this are enlarged: the largest published profile that services take is 512–4096.
_SAFE_SIDE = 512
_QUALITIES = (92, 85, 75, 60, 40)
_PAPER = "white"
_BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)
#: What services make stills as, and how such a file is named.
PICTURES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp"}

#: Not EIO, which FFmpeg also says of a file that is damaged.
_OF_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})

_PLUGINS = (AvifImagePlugin, GifImagePlugin, JpegImagePlugin, PngImagePlugin, WebPImagePlugin)
_PHOTO_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_AVIF_BRANDS = (b"avif", b"avis")

pillow_heif.register_heif_opener()
warnings.simplefilter("error", Image.DecompressionBombWarning)


class Unusable(Exception):
    """The file cannot be used; the message is a sentence for a person."""


def is_of_disk(error: Exception) -> bool:
    """Whether the disk takes nothing, which is no fault of a file."""
    return getattr(error, "errno", None) in _OF_DISK


def write(image: Image.Image, target: str, kind: Literal["JPEG", "PNG"], **options: int) -> int:
    """Write an image and tell its bytes. Pillow itself would hide what the disk says."""
    encoded = io.BytesIO()
    image.save(encoded, kind, **options)
    return Path(target).write_bytes(encoded.getbuffer())


def normalise_image(
    *, source: str, target: str, max_side: int, min_side: int, max_bytes: int, max_pixels: int
) -> dict[str, Any]:
    """Write the upright JPEG and tell its size. Raises `Unusable`."""
    # Pillow refuses what is above the bound; we refuse the bound itself as well.
    Image.MAX_IMAGE_PIXELS = max_pixels - 1
    image = _upright(_open(source, max_pixels), max_side=max_side, min_side=min_side)
    _write(image, target, max_bytes=max_bytes)
    return {"width": image.width, "height": image.height, "content_type": "image/jpeg"}


def probe_picture(*, source: str, max_pixels: int) -> dict[str, Any]:
    """Decode a finished still to its last pixel and tell what it is. Raises `Unusable`."""
    Image.MAX_IMAGE_PIXELS = max_pixels - 1
    with Path(source).open("rb") as file:
        kind = next((each for each in sniff(file.read(64)) if each in PICTURES), None)
    if kind is None:
        raise Unusable("The picture is no JPEG, PNG or WebP.")
    try:
        with Image.open(source, formats=(kind,)) as picture:
            picture.load()
            return {"width": picture.width, "height": picture.height, "suffix": PICTURES[kind]}
    except (OSError, SyntaxError, ValueError, EOFError, *_BOMBS) as error:
        raise Unusable("The picture is damaged, incomplete or far too large.") from error


def sniff(head: bytes) -> tuple[str, ...]:
    """The formats that the first 64 bytes allow; the name and type of a file prove nothing."""
    if head.startswith(b"\xff\xd8\xff"):
        return ("JPEG",)
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return ("PNG",)
    if head.startswith((b"GIF87a", b"GIF89a")):
        return ("GIF",)
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return ("WEBP",)
    if head[4:8] == b"ftyp":
        end = min(len(head), int.from_bytes(head[:4], "big"))
        brands = [head[8:12], *(head[at : at + 4] for at in range(16, end, 4))]
        if any(brand in _AVIF_BRANDS for brand in brands):
            return ("AVIF",)
        if brands[0] in _PHOTO_BRANDS:
            return ("HEIF",)
    return ()


def _open(source: str, max_pixels: int) -> Image.Image:
    with Path(source).open("rb") as file:
        formats = sniff(file.read(64))
    if not formats:
        raise Unusable(
            "This is not an image that can be read. "
            "Please send a JPEG, PNG, WebP, GIF, HEIC or AVIF file."
        )
    try:
        return Image.open(source, formats=formats)
    except _BOMBS as error:
        millions = max_pixels // 1_000_000
        raise Unusable(
            f"This image has {millions} megapixels or more. Please send a smaller one."
        ) from error
    except (OSError, SyntaxError, ValueError) as error:
        raise Unusable(_DAMAGED) from error


_DAMAGED = "This image is damaged or incomplete. Please send it again, or another one."


def _upright(image: Image.Image, *, max_side: int, min_side: int) -> Image.Image:
    was = f"{image.width}×{image.height}"
    size = _fitting(image.size, max_side)
    if min(image.size) < min_side or min(size) < min_side:
        raise Unusable(
            f"This image is {was} pixels; each side needs at least {min_side}, "
            f"and at most {max_side // min_side} times the other. Please send another one."
        )
    try:
        image.draft("RGB", size)
        image.load()
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise Unusable(_DAMAGED) from error
    image = _plain(image)
    if image.size != size:
        image = image.resize(size, Image.Resampling.LANCZOS)
    image = ImageOps.exif_transpose(_flat(image))
    image.info.clear()
    return image


def _fitting(size: tuple[int, int], max_side: int) -> tuple[int, int]:
    """The size to make it: the short side enlarged to the safe one, the long one bounded."""
    factor = min(max(1.0, _SAFE_SIDE / min(size)), max_side / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _plain(image: Image.Image) -> Image.Image:
    """Eight bits a channel, with or without transparency, in sRGB."""
    if image.mode.startswith("I"):
        # Sixteen-bit greys; Pillow would clip them to white.
        image = image.convert("I").point(lambda grey: grey * (1 / 256)).convert("L")
    if image.mode in ("RGB", "RGBA", "L", "CMYK") and "icc_profile" in image.info:
        image = _to_srgb(image)
    if image.mode == "RGB":
        return image
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _to_srgb(image: Image.Image) -> Image.Image:
    with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError):
        given = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        mode = "RGBA" if image.mode == "RGBA" else "RGB"
        changed = ImageCms.profileToProfile(
            image, given, ImageCms.createProfile("sRGB"), outputMode=mode
        )
        if changed is not None:
            changed.info = image.info
            return changed
    return image


def _flat(image: Image.Image) -> Image.Image:
    """Transparency over white; a clip has none."""
    if image.mode != "RGBA":
        return image
    paper = Image.new("RGB", image.size, _PAPER)
    paper.paste(image, mask=image.getchannel("A"))
    paper.info = image.info
    return paper


def _write(image: Image.Image, target: str, *, max_bytes: int) -> None:
    for quality in _QUALITIES:
        if write(image, target, "JPEG", quality=quality) <= max_bytes:
            return
    raise Unusable("This image is too detailed to be sent on. Please send a smaller one.")
