"""English-German sentence pairs from the Unicode CLDR, as Babel ships it: no download.

The CLDR says how people of each language write dates, times, amounts, units and names. A *kind* draws one fact
and returns a function from a locale to its text, so both sides of a pair say the same thing.
"""

# ruff: noqa: SIM905 - codes read better without quotes around each

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from random import Random
from typing import Callable

from babel import Locale
from babel.dates import format_date, format_datetime, format_interval, format_skeleton, format_time, format_timedelta
from babel.lists import format_list
from babel.numbers import format_compact_currency, format_currency, format_percent
from babel.units import format_unit

Phrase = Callable[[str], str]

CURRENCIES = "USD EUR GBP CHF JPY SEK PLN CAD INR BRL".split()
UNITS = """length-kilometer length-meter length-centimeter length-mile mass-kilogram mass-gram mass-pound
    mass-tonne volume-liter volume-milliliter area-square-meter area-hectare duration-year duration-month
    duration-week duration-day duration-hour duration-minute duration-second speed-kilometer-per-hour
    temperature-celsius power-kilowatt energy-kilowatt-hour digital-megabyte digital-gigabyte""".split()
TERRITORIES = "DE FR IT ES GB US CH AT NL PL SE NO DK FI GR TR CN JP IN BR".split()
LANGUAGES = "de fr it es en nl pl sv da fi el tr zh ja hi pt ru cs hu ar".split()


def pairs(count: int, seed: int) -> Iterator[tuple[str, str]]:
    """Yields `count` (English, German) pairs, no English sentence twice, in an order that `seed` fixes."""
    rng, seen = Random(seed), set()
    kinds, weights = zip(*KINDS.items())
    while len(seen) < count:
        (kind,) = rng.choices(kinds, weights)
        phrase = kind(rng)
        english, german = _plain(phrase("en")), _plain(phrase("de"))
        if english not in seen:
            seen.add(english)
            yield english, german


def calendar_day(rng: Random) -> Phrase:
    day, style = _day(rng), rng.choice(["short", "medium", "long", "full"])
    return lambda locale: format_date(day, style, locale=locale)


def part_of_date(rng: Random) -> Phrase:
    day, skeleton = _day(rng), rng.choice(["yMMMM", "MMMEd", "yQQQQ", "yMMMEd"])
    return lambda locale: format_skeleton(skeleton, day, locale=locale)


def day_and_time(rng: Random) -> Phrase:
    moment = datetime.combine(_day(rng), datetime.min.time()) + timedelta(seconds=rng.randrange(86400))
    style = rng.choice(["short", "medium"])
    return lambda locale: format_datetime(moment, style, locale=locale)


def time_of_day(rng: Random) -> Phrase:
    moment, style = datetime(2020, 1, 1) + timedelta(seconds=rng.randrange(86400)), rng.choice(["short", "medium"])
    return lambda locale: format_time(moment, style, locale=locale)


def span_of_days(rng: Random) -> Phrase:
    start = _day(rng)
    end = start + timedelta(days=rng.randint(1, 200))
    return lambda locale: format_interval(start, end, "yMMMd", locale=locale)


def span_of_time(rng: Random) -> Phrase:
    unit, count = rng.choice(["day", "hour", "week"]), rng.randint(-99, 99) or 1
    delta = timedelta(**{f"{unit}s": count})
    return lambda locale: format_timedelta(delta, unit, threshold=1e9, add_direction=True, locale=locale)


def money(rng: Random) -> Phrase:
    amount, currency = _amount(rng), rng.choice(CURRENCIES)
    style = rng.choice(["name", "standard"])
    return lambda locale: format_currency(amount, currency, locale=locale, format_type=style)


def much_money(rng: Random) -> Phrase:
    amount, currency = _amount(rng) * 1e6, rng.choice(CURRENCIES)
    return lambda locale: format_compact_currency(amount, currency, locale=locale, fraction_digits=1)


def measure(rng: Random) -> Phrase:
    amount, unit, length = _amount(rng), rng.choice(UNITS), rng.choice(["long", "short"])
    return lambda locale: format_unit(amount, unit, length, locale=locale)


def share(rng: Random) -> Phrase:
    amount = rng.randrange(1, 1000) / 1000
    return lambda locale: format_percent(amount, "#,##0.0 %" if locale == "de" else "#,##0.0%", locale=locale)


def names(rng: Random) -> Phrase:
    table, pool = rng.choice([("territories", TERRITORIES), ("languages", LANGUAGES)])
    codes, style = rng.sample(pool, rng.randint(2, 4)), rng.choice(["standard", "or"])
    return lambda locale: format_list([getattr(Locale(locale), table)[c] for c in codes], style, locale=locale)


KINDS = {  # how often each is drawn
    calendar_day: 4, part_of_date: 2, day_and_time: 4, time_of_day: 1, span_of_days: 3, span_of_time: 0.2,
    money: 4, much_money: 1, measure: 5, share: 0.2, names: 2,
}  # fmt: skip


def _day(rng: Random) -> date:
    return date(1950, 1, 1) + timedelta(days=rng.randrange(100 * 365))


def _amount(rng: Random) -> float:
    return round(10 ** rng.uniform(0, 5), rng.choice([0, 1, 2]))


def _plain(text: str) -> str:
    """One kind of space: the CLDR uses narrow and no-break ones, which sentencepiece folds anyway."""
    return " ".join(text.split())
