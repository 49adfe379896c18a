"""The words of what can be done with a clip, and of where clips come from."""

from __future__ import annotations

from collections.abc import Mapping

from bot.acts import NEEDS, Act, Offered, Option
from bot.notices import Parent
from bot.overview import Relative, Shown
from bot.refs import Price
from bot.request import Relation
from bot.words import clean, price_words

LABELS: Mapping[Act, str] = {
    "animate": "Animate",
    "extend": "Extend",
    "variation": "Variation",
    "remix": "Remix",
    "loop": "Loop",
    "final": "Final",
    "upscale": "Upscale",
    "audio": "Add sound",
    "reframe": "Reframe",
    "modify": "Modify",
    "prequel": "Prequel",
    "join": "Join",
    "retry": "Retry",
    "delete": "Delete",
}
LINES: Mapping[Act, str] = {
    "animate": "A clip that starts from this picture",
    "extend": "What happens next",
    "variation": "The same again, up to four at once",
    "remix": "The same with other words or options",
    "loop": "The same again, ending as it begins",
    "final": "The same again in a larger size",
    "upscale": "This very clip with more pixels",
    "audio": "This clip with a sound that you describe",
    "reframe": "This clip in another shape",
    "modify": "The same motion with another look",
    "prequel": "What happened before",
    "join": "What lies between this clip and another",
    "retry": "The same once more",
    "delete": "Remove the clip for everybody",
}
#: How a job came of another, the other's id behind it; and what a job is to the one it came of.
CAME_BY: Mapping[Relation, tuple[str, str]] = {
    "retry": ("Another try of", "another try"),
    "remix": ("A remix of", "a remix"),
    "variation": ("A variation of", "a variation"),
    "final": ("The final of", "a final"),
    "loop": ("A loop of", "a loop"),
    "extend": ("Goes on from", "an extension"),
    "prequel": ("Leads to", "a prequel"),
    "join": ("Goes on from", "a join"),
    "animate": ("Animated from", "an animation"),
    "upscale": ("An upscale of", "an upscale"),
    "audio": ("With sound, from", "with sound"),
    "reframe": ("Reframed from", "reframed"),
    "modify": ("Modified from", "modified"),
}
PROMPT_CHARS = 60


def act_label(act: Act) -> str:
    """What stands on its button."""
    return LABELS[act]


def act_line(offer: Offered) -> str:
    """What an act makes, and its price where it is known, or that of its cheapest option."""
    prices = [each.price for each in offer.options if each.price is not None]
    least = min(prices, key=lambda price: price.micros, default=None)
    price = _price(offer.price) if least is None else _price(least).replace("≈", "from ≈", 1)
    return " · ".join(part for part in (LINES[offer.act], price) if part)


def option_line(offer: Offered, option: Option) -> str:
    """One choice as a list shows it: `1080p · ≈ $0.55`, `2 variations · ≈ $0.28`."""
    value = option.value.replace("_", " ")
    if NEEDS[offer.act].choice == "count":
        value = "1 variation" if value == "1" else f"{value} variations"
    return " · ".join(part for part in (value, _price(option.price)) if part)


def _price(price: Price | None) -> str:
    return price_words(price) if price is not None else ""


def parent_line(parent: Parent | Relative) -> str:
    """Where a clip comes from: `Goes on from r-7k2m9q`; the id stands last, for a link."""
    words = CAME_BY[parent.relation][0] if parent.relation else "Came of"
    return f"{words} {parent.job_id}"


def family_lines(shown: Shown) -> tuple[str, ...]:
    """What a job came of, the nearest first, and what was made of it."""
    above = [parent_line(each) for each in shown.parents]
    below = [child_line(each) for each in shown.children]
    return (*above, *(["Made of it:", *below] if below else []))


def child_line(child: Relative) -> str:
    """What came of a clip: its id stands first, for a link."""
    words = CAME_BY[child.relation][1] if child.relation else "came of it"
    quote = clean(child.prompt, limit=PROMPT_CHARS)
    return " · ".join(part for part in (child.job_id, words, child.state, quote) if part)
