"""A film as a gif for a page: small, few colours, the part of it that tells the story."""

from pathlib import Path

import imageio.v3 as iio
import numpy as np
from PIL import Image

from metarl.showing.video import gif_duration

RATE, COLORS = 8, 96
"""Frames a second, colours."""


def gif(
    film: Path,
    width: int,
    start: float,
    seconds: float,
    corner: tuple[float, float] = (1.0, 1.0),
) -> None:
    """Write a part of a film beside it, as .gif.

    Args:
        film: .mp4.
        width: of the gif [pixel].
        start: of the part [s].
        seconds: that it lasts, at most.
        corner: the parts of the film's width and height that are shown, from the upper left.
    """
    rate = iio.immeta(film)["fps"]
    frames = [Image.fromarray(frame) for frame in iio.imiter(film)]
    end = min(start + seconds, len(frames) / rate)
    pictures = []
    for time in np.arange(start, end, 1.0 / RATE):
        frame = frames[int(time * rate)]
        right, below = (round(f * s) for f, s in zip(corner, frame.size, strict=True))
        frame = frame.crop((0, 0, right, below))
        size = (width, round(width * frame.height / frame.width))
        small = frame.resize(size, Image.Resampling.LANCZOS)
        pictures.append(small)
    # one palette for all frames, or the floor changes its colour from one to the next; and not by
    # the median cut, which drops a goal of a few pixels
    every = Image.fromarray(np.concatenate([np.asarray(each) for each in pictures]))
    palette = every.quantize(COLORS, Image.Quantize.MAXCOVERAGE, kmeans=3)
    # without dithering, what stands still costs nothing
    first, *rest = [each.quantize(palette=palette, dither=Image.Dither.NONE) for each in pictures]
    first.save(
        path := film.with_suffix(".gif"),
        save_all=True,
        append_images=rest,
        duration=[gif_duration(number, RATE) for number in range(len(pictures))],
        loop=0,
        optimize=True,
    )
    sizes = [each.stat().st_size / 1e6 for each in (film, path)]
    print(f"{film.stem}: {sizes[0]:.1f} MB, gif {sizes[1]:.2f} MB", flush=True)
