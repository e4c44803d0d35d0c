"""Sets of near duplicates, made from a seed: frames of an animation, and screenshots of a form that is being filled in."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

FRAMES, SIDE = 500, 64
SCREENSHOTS, SCREEN = 300, (120, 160)  # height and width
FIELDS = 6
TEXT = (
    "Ada Lovelace 12 Analytical Street London EC1A +44 20 7946 0958 ada@example.org one engine please by Monday thank you"
)


def animation(target: Path) -> None:
    """500 frames of 64x64, RGBA: a sprite of 20x20 that wanders over a background of tiles, and blinks."""
    random = np.random.default_rng(0)
    target.mkdir(parents=True)
    tiles = random.integers(40, 120, (4, 16, 16, 3), np.uint8)
    tiles = np.sort(tiles.reshape(4, 256, 3), 1).reshape(4, 16, 16, 3)  # smooth ramps
    ground = np.zeros((SIDE, SIDE, 4), np.uint8)
    ground[..., 3] = 255
    for row, column in np.ndindex(4, 4):
        ground[16 * row : 16 * row + 16, 16 * column : 16 * column + 16, :3] = tiles[random.integers(4)]
    sprite = Image.new("RGBA", (20, 20), (0, 0, 0, 0))
    draw = ImageDraw.Draw(sprite)
    draw.ellipse((1, 1, 18, 18), (230, 190, 60, 255), (60, 30, 10, 255))
    for x in (6, 12):
        draw.ellipse((x, 6, x + 2, 8), (20, 20, 20, 255))
    draw.arc((5, 6, 14, 14), 20, 160, (120, 30, 30, 255))
    blinking = sprite.copy()
    ImageDraw.Draw(blinking).rectangle((5, 6, 15, 8), (230, 190, 60, 255))
    place, speed = np.array([10.0, 20.0]), np.array([1.7, 1.1])
    for number in range(FRAMES):
        place += speed
        speed = np.where((place < 0) | (place > SIDE - 20), -speed, speed)
        place = place.clip(0, SIDE - 20)
        frame = Image.fromarray(ground)
        frame.alpha_composite(blinking if number % 40 < 3 else sprite, (int(place[0]), int(place[1])))
        frame.save(target / f"{number:03}.png")


def screenshots(target: Path) -> None:
    """300 screenshots of 160x120, RGB: a form with six fields, a few letters more in each."""
    target.mkdir(parents=True)
    height, width = SCREEN
    font = ImageFont.load_default(9)
    page = Image.new("RGB", (width, height), (250, 250, 252))
    draw = ImageDraw.Draw(page)
    draw.rectangle((0, 0, width, 13), (50, 80, 140))
    draw.text((4, 1), "Order form", (255, 255, 255), font)
    for field in range(FIELDS):
        draw.text((4, 18 + 16 * field), f"Field {field + 1}", (40, 40, 40), font)
        draw.rectangle((44, 17 + 16 * field, width - 5, 29 + 16 * field), (255, 255, 255), (160, 160, 170))
    share = -(-len(TEXT) // FIELDS)
    for number in range(SCREENSHOTS):
        shown = page.copy()
        typed = len(TEXT) * number // (SCREENSHOTS - 1)
        for field in range(FIELDS):
            text = TEXT[field * share : min(typed, (field + 1) * share)]
            ImageDraw.Draw(shown).text((47, 18 + 16 * field), text, (10, 10, 10), font)
        shown.save(target / f"{number:03}.png")
