"""Two kinds of plots as SVG, in a few lines each: curves, and stacked bars."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

_WIDTH, _HEIGHT = 760, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 78, 20, 44, 52
_COLOURS = ("#1f6feb", "#d9480f", "#2b8a3e", "#862e9c", "#c99700", "#0b7285", "#5c5f66", "#c2255c")
_DASHES = ("", "7 4", "2 3")
_BAR, _GAP, _BAR_LEFT = 26, 14, 260
_LEGEND_ROW, _LETTER = 18, 6.6

Points = Sequence[Sequence[float]]


def curves(title: str, lines: Mapping[str, Points], x_label: str, y_label: str, *, is_log: bool = False) -> str:
    """A curve per label through its points (x, y). `is_log`: the y axis is logarithmic."""
    points = [point for line in lines.values() for point in line]
    x_most = max((x for x, _ in points), default=1.0) or 1.0
    positive = [y for _, y in points if y > 0] or [1.0]
    low = 10.0 ** math.floor(math.log10(min(positive))) if is_log else 0.0
    high = max(positive)
    high = 10.0 ** math.ceil(math.log10(high)) if is_log else high
    bottom, plot_height = _HEIGHT - _BOTTOM, _HEIGHT - _TOP - _BOTTOM

    def at(x: float, y: float) -> tuple[float, float]:
        share = math.log(max(y, low) / low) / math.log(high / low) if is_log and high > low else y / high
        return _LEFT + x / x_most * (_WIDTH - _LEFT - _RIGHT), bottom - share * plot_height

    marks = _decades(low, high) if is_log else _steps(high)
    body = [_grid(at(0, y)[1], _number(y)) for y in marks]
    body += [_tick(at(x, low or 0.0)[0], bottom, _number(x)) for x in _steps(x_most)]
    for number, line in enumerate(lines.values()):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(*point) for point in line))
        dash = _DASHES[number // len(_COLOURS) % len(_DASHES)]
        colour = _COLOURS[number % len(_COLOURS)]
        body.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"/>'
        )
    body.append(_text(_WIDTH / 2, _HEIGHT - 12, x_label, "middle"))
    body.append(_text(_LEFT, _TOP - 10, y_label))
    legend, height = _legend(list(lines), _HEIGHT + 6)
    return _picture(title, [*body, *legend], height)


def bars(title: str, rows: Mapping[str, Mapping[str, float]], unit: str) -> str:
    """A bar per row, stacked from its parts; the sum stands at its end."""
    parts = list(dict.fromkeys(part for row in rows.values() for part in row))
    most = max((sum(row.values()) for row in rows.values()), default=1.0) or 1.0
    scale = (_WIDTH - _BAR_LEFT - 90) / most
    body: list[str] = []
    for number, (label, row) in enumerate(rows.items()):
        top = _TOP + number * (_BAR + _GAP)
        body.append(_text(_BAR_LEFT - 10, top + _BAR / 2 + 4, label, "end"))
        left = float(_BAR_LEFT)
        for part, value in row.items():
            colour = _COLOURS[parts.index(part) % len(_COLOURS)]
            body.append(_box(left, top, value * scale, _BAR, colour))
            left += value * scale
        body.append(_text(left + 8, top + _BAR / 2 + 4, f"{sum(row.values()):.0f} {unit}"))
    legend, height = _legend(parts, _TOP + len(rows) * (_BAR + _GAP) + 10)
    return _picture(title, [*body, *legend], height)


def _picture(title: str, body: Sequence[str], height: float) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}"'
        f' width="{_WIDTH}" height="{height:.0f}"'
        ' font-family="system-ui, sans-serif" font-size="12">'
    )
    frame = [
        f"<title>{escape(title)}</title>",
        f'<rect width="{_WIDTH}" height="{height:.0f}" fill="white"/>',
        _text(12, 20, title, weight="bold"),
    ]
    return "\n".join([head, *frame, *body, "</svg>"]) + "\n"


def _legend(labels: Sequence[str], top: float) -> tuple[list[str], float]:
    """Labels in rows, and where they end."""
    found, left = [], 12.0
    for number, label in enumerate(labels):
        width = 34 + len(label) * _LETTER
        if left + width > _WIDTH - _RIGHT and left > 12:
            left, top = 12.0, top + _LEGEND_ROW
        found.append(_box(left, top, 14, 10, _COLOURS[number % len(_COLOURS)]))
        found.append(_text(left + 20, top + 9, label))
        left += width
    return found, top + _LEGEND_ROW + 8


def _grid(y: float, label: str) -> str:
    line = f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
    return line + _text(_LEFT - 8, y + 4, label, "end")


def _tick(x: float, bottom: float, label: str) -> str:
    line = f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{bottom:.1f}" y2="{bottom + 5:.1f}" stroke="#666"/>'
    return line + _text(x, bottom + 19, label, "middle")


def _box(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height}" fill="{colour}"/>'


def _text(x: float, y: float, text: str, anchor: str = "start", weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}">{escape(text)}</text>'


def _steps(most: float) -> list[float]:
    """Round numbers from 0 to the most, some five of them."""
    rough = most / 5
    unit = 10.0 ** math.floor(math.log10(rough))
    step = unit * next(size for size in (1, 2, 5, 10) if unit * size >= rough)
    return [number * step for number in range(math.floor(most / step + 1e-9) + 1)]


def _decades(low: float, high: float) -> list[float]:
    return [low * 10.0**number for number in range(round(math.log10(high / low)) + 1)]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:g}"
