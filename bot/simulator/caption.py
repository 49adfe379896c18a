"""What lies over the pictures: dark corners, the prompt, and the mark that says it is a test."""

from __future__ import annotations

from PIL import Image, ImageDraw, ImageFilter, ImageFont

Size = tuple[int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
MARK = "SIMULATOR"
LINES = 3
#: More signs than three lines can take; measuring text is slow.
MOST_SIGNS = 400


def overlay(prompt: str, size: Size) -> Image.Image:
    """A transparent picture with the mark and, where there is one, the prompt."""
    layer = Image.new("RGBA", size, (0, 0, 0, 0))
    if prompt:
        layer.putalpha(_shade(size))
        _write(layer, prompt)
    _stamp(layer)
    return layer


def drawable(text: str, font: Font) -> str:
    """The text without the signs that the font does not have, white space as single blanks."""
    missing = bytes(font.getmask("\uffff"))
    kept = [
        sign if sign.isspace() or bytes(font.getmask(sign)) != missing else " " for sign in text
    ]
    return " ".join("".join(kept).split())


def wrap(text: str, font: Font, width: float) -> list[str]:
    """Lines no wider than `width` pixels, at most three, the rest cut with an ellipsis."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    shown, is_cut = lines[:LINES], len(lines) > LINES
    return [
        _cut(line, font, width, ellipsis=is_cut and number == LINES - 1)
        for number, line in enumerate(shown)
    ]


def _cut(line: str, font: Font, width: float, *, ellipsis: bool) -> str:
    if not ellipsis and font.getlength(line) <= width:
        return line
    while line and font.getlength(line + "…") > width:
        line = line[:-1]
    return line.rstrip(" ,.;") + "…"


def _font(pixels: int) -> Font:
    return ImageFont.load_default(max(8, pixels))


def _shade(size: Size) -> Image.Image:
    """Darker at the foot, where the prompt stands, and a little in the corners."""
    corners = Image.radial_gradient("L").point([round(max(0, n - 120) * 0.5) for n in range(256)])
    foot = Image.linear_gradient("L").point([round(max(0, n - 140) * 1.15) for n in range(256)])
    return Image.composite(corners.resize(size), foot.resize(size), Image.new("L", size, 110))


def _write(layer: Image.Image, prompt: str) -> None:
    width, height = layer.size
    pixels = round(min(height / 17, width / 15))
    font = _font(pixels)
    lines = wrap(drawable(prompt[:MOST_SIGNS], font), font, width * 0.86)
    left, step = width * 0.055, pixels * 1.28
    top = height * 0.94 - step * len(lines)
    shadow = Image.new("L", layer.size)
    ink = ImageDraw.Draw(shadow)
    for number, line in enumerate(lines):
        ink.text((left, top + step * number), line, font=font, fill=200)
    soft = shadow.filter(ImageFilter.GaussianBlur(pixels / 8))
    layer.alpha_composite(_tinted((0, 0, 0), soft))
    draw = ImageDraw.Draw(layer)
    for number, line in enumerate(lines):
        draw.text((left, top + step * number), line, font=font, fill=(255, 255, 255, 245))


def _tinted(colour: tuple[int, int, int], mask: Image.Image) -> Image.Image:
    tinted = Image.new("RGBA", mask.size, (*colour, 0))
    tinted.putalpha(mask)
    return tinted


def _stamp(layer: Image.Image) -> None:
    width, height = layer.size
    pixels = round(min(width, height) / 34)
    font = _font(pixels)
    long, edge = font.getlength(MARK), pixels * 0.75
    right, top = width - pixels * 1.4, pixels * 1.4
    fine = Image.new("RGBA", layer.size, (0, 0, 0, 0))
    draw = ImageDraw.Draw(fine)
    box = (right - long - 2 * edge, top, right, top + pixels + edge)
    draw.rounded_rectangle(box, radius=(pixels + edge) / 2, fill=(0, 0, 0, 110))
    draw.text((box[0] + edge, top + edge * 0.4), MARK, font=font, fill=(255, 255, 255, 225))
    layer.alpha_composite(fine)
