"""A small picture of days as SVG: without text, which a mail program would leave when it takes SVG away."""

from __future__ import annotations

from collections.abc import Sequence

WIDTH, HEIGHT, EDGE = 240, 40, 3


def curve(values: Sequence[int], before: Sequence[int | None], colour: str) -> str:
    """The values of days as a filled line, and grey those that they are compared with; empty for a single day."""
    if len(values) < 2:
        return ""
    most = max(*values, *(value for value in before if value is not None), 1)
    points = _points(list(values), most)
    then = _points(list(before), most)
    area = f"{points[0].split(',')[0]},{HEIGHT} {' '.join(points)} {points[-1].split(',')[0]},{HEIGHT}"
    lines = [
        f'<polygon points="{area}" fill="{colour}" fill-opacity="0.15"/>',
        f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" stroke-width="2" '
        'stroke-linejoin="round" vector-effect="non-scaling-stroke"/>',
    ]
    if len(then) > 1:
        lines.insert(
            0,
            f'<polyline points="{" ".join(then)}" fill="none" stroke="#9aa1ab" stroke-width="1.5" '
            'stroke-dasharray="3 3" vector-effect="non-scaling-stroke"/>',
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="100%" height="{HEIGHT}" '
        f'preserveAspectRatio="none" aria-hidden="true" style="display:block">{"".join(lines)}</svg>'
    )


def _points(values: Sequence[int | None], most: int) -> list[str]:
    step = (WIDTH - 2 * EDGE) / (len(values) - 1)
    return [
        f"{EDGE + place * step:.1f},{HEIGHT - EDGE - value / most * (HEIGHT - 2 * EDGE):.1f}"
        for place, value in enumerate(values)
        if value is not None
    ]
