"""What cells mean: missing values, numbers, booleans and dates in the spellings that tables are found to have."""

from typing import Literal

import polars as pl

NumberStyle = Literal["plain", "thousands", "decimal_comma"]

MISSING = ["", "na", "n/a", "nan", "null", "none", "-", "--", "?", "#n/a", "#na", "<na>", "nil", "missing"]
# Fewer for a target: "none", "-" and "?" are classes in real tables.
MISSING_TARGET = ["", "na", "n/a", "nan", "null", "#n/a", "<na>"]
TRUE = ["true", "yes", "t", "y", "on", "1", "1.0"]
FALSE = ["false", "no", "f", "n", "off", "0", "0.0"]

LARGEST = 1e30  # beyond it squares overflow single precision, which forests compute in

THOUSANDS = r"^[+-]?\d{1,3}(,\d{3})+(\.\d+)?$"  # 1,234,567.8
DECIMAL_COMMA = r"^[+-]?(\d{1,3}(\.\d{3})+|\d+),\d+$"  # 1.234.567,8 and 12,5
COMMA_STYLE = r"^[+-]?\d{1,3}(\.\d{3})+(,\d+)?$"  # 1.234.567,8 and 1.234.567 where a comma is the decimal sign
AMBIGUOUS = r"^[+-]?[1-9]\d{0,2},\d{3}$"  # 1,234: a thousand, or one and a bit
UNIT_SIGNS = r"^\s*[$€£]\s*|\s*[%€$£]\s*$"
SPACES_IN_NUMBER = r"(\d)[ \u00a0\u202f'’](\d{3})"

DATE_FORMATS = (
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%d.%m.%Y",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%d-%m-%Y",
    "%d %b %Y",
    "%d %B %Y",
    "%b %d, %Y",
    "%B %d, %Y",
    "%d-%b-%Y",
    "%Y%m%d",
    "%Y-%m",
)
TIME_FORMATS = ("", " %H:%M", " %H:%M:%S%.f", "T%H:%M", "T%H:%M:%S%.f")
ZONED_FORMATS = ("%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f %#z")


def as_text(cells: pl.Series, missing: list[str] = MISSING) -> pl.Series:
    """Cells as stripped text; those that spell a missing value are null."""
    text = cells.cast(pl.String).str.strip_chars()
    return text.set(text.str.to_lowercase().is_in(missing).fill_null(False), None)


def numbers(text: pl.Series, style: NumberStyle = "plain") -> pl.Series:
    """Numbers (Float64) of stripped text; null where there is none. Infinities are kept, NaN is null."""
    if style == "decimal_comma":
        plain = _without_signs(text)
        # 1.234 has a dot for thousands here, and 1.5 is not of this style at all.
        plain = plain.set((plain.str.contains(r"\.\d") & ~plain.str.contains(COMMA_STYLE)).fill_null(False), None)
        return _cast(plain.str.replace_all(r"\.", "").str.replace(",", ".", literal=True))
    found = _cast(text)
    if found.null_count() > text.null_count():
        plain = _without_signs(text)
        found = found.fill_null(_cast(plain))
        if style == "thousands":
            grouped = plain.set(~plain.str.contains(THOUSANDS).fill_null(False), None)
            found = found.fill_null(_cast(grouped.str.replace_all(",", "")))
    return found


def _cast(text: pl.Series) -> pl.Series:
    return text.cast(pl.Float64, strict=False).fill_nan(None)


def _without_signs(text: pl.Series) -> pl.Series:
    """Without currency and percent signs, and without spaces or apostrophes between groups of three digits."""
    plain = text.str.replace_all(UNIT_SIGNS, "")
    for _ in range(2):  # overlapping groups need a second look
        plain = plain.str.replace_all(SPACES_IN_NUMBER, "$1$2")
    return plain


def number_style(text: pl.Series, plain: pl.Series) -> tuple[NumberStyle, bool]:
    """How the numbers of a column are written, and whether that is a guess; `plain` is what `numbers(text)` read."""
    left = _without_signs(text.filter(plain.is_null() & text.is_not_null()).head(10_000))
    with_comma = left.filter(left.str.contains(r"^[+-]?[\d.,]*\d,\d[\d.,]*$"))
    if not len(with_comma):
        return "plain", False
    ambiguous = with_comma.str.contains(AMBIGUOUS)
    clear = with_comma.filter(~ambiguous)
    if not len(clear):
        return "thousands", True
    commas = int(clear.str.contains(DECIMAL_COMMA).sum())
    return ("decimal_comma", False) if commas > len(clear) / 2 else ("thousands", False)


def booleans(text: pl.Series) -> pl.Series:
    """1.0 and 0.0 (Float64) of stripped text such as yes/no and true/false; null where it is neither."""
    lower = text.str.to_lowercase()
    return (
        pl.select(pl.when(lower.is_in(TRUE)).then(1.0).when(lower.is_in(FALSE)).then(0.0).otherwise(None))
        .to_series()
        .cast(pl.Float64)
    )


def dates(text: pl.Series, date_format: str) -> pl.Series:
    """Dates (Datetime in UTC, without zone) of stripped text; null where it does not fit the format."""
    zone = "UTC" if "%#z" in date_format else None
    found = text.str.to_datetime(date_format, strict=False, time_unit="us", time_zone=zone, exact=True)
    return found.dt.replace_time_zone(None) if zone else found


def any_dates(text: pl.Series, first: str) -> pl.Series:
    """As `dates`, in the format `first`, and in every other one for what that leaves."""
    found = dates(text, first)
    for date_format in _formats():
        if found.null_count() == text.null_count():
            break
        found = found.fill_null(dates(text, date_format))
    return found


def date_format_of(text: pl.Series, share: float) -> tuple[str | None, bool]:
    """The format that at least `share` of these (not null) texts have, and whether day and month were a guess."""
    sample = text.head(200)
    if not len(sample):
        return None, False
    looks = sample.str.contains(
        r"^\d{4}[-/]\d{1,2}|^\d{1,2}[-/. ]\w{1,9}[-/. ]\d{4}|^[A-Za-z]{3,9} \d{1,2}, \d{4}|^\d{8}$"
    )
    if _share_of(looks) < share:
        return None, False
    fits = {fmt: int(dates(sample, fmt).is_not_null().sum()) for fmt in _formats()}
    best = max(fits, key=lambda fmt: fits[fmt])
    if fits[best] < share * len(sample):
        return None, False
    rival = best.replace("%m/%d/%Y", "%d/%m/%Y") if "%m/%d/%Y" in best else ""
    if rival and dates(text, best).is_not_null().sum() < dates(text, rival).is_not_null().sum():
        return rival, False  # the sample fits both, the column does not: 25/12/2024 comes later
    return best, bool(rival) and fits.get(rival) == fits[best]


def _share_of(flags: pl.Series) -> float:
    return int(flags.sum()) / max(len(flags), 1)


def _formats() -> list[str]:
    return [day + time for time in TIME_FORMATS for day in DATE_FORMATS if not time or "%d" in day] + list(
        ZONED_FORMATS
    )


def label_of_number(value: float) -> str:
    """A class label as a user writes it: 1, not 1.0."""
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(value)
