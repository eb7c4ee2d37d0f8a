from __future__ import annotations

import numpy as np
import pytest

from moda.animation import ControlConfig
from moda.config import parse
from moda.errors import ConfigError
from moda.exchange.curves import average_face
from moda.expressions import EXPRESSIONS, MAX_OWN, USUAL, Expression, express, own_expression
from moda.landmarks import EYES, INNER_LIP_PAIRS, LEFT_EYEBROW, LIDS, LIPS, RIGHT_EYEBROW
from moda.representation import Motion
from moda.tracking.blendshapes import NAMES, blendshapes

CORNERS = [LIPS.index(61), LIPS.index(291)]
BROWS = [EYES.index(point) for point in (*LEFT_EYEBROW, *RIGHT_EYEBROW)]
UPPER = [EYES.index(point) for lids in LIDS for point in lids[0]]
LOWER = [EYES.index(point) for lids in LIDS for point in lids[1]]
RAISED = {
    "smile": "mouthSmileLeft",
    "brows_up": "browOuterUpRight",
    "brows_down": "browDownLeft",
    "surprise": "browInnerUp",
}


def speech(frames: int = 30) -> Motion:
    """Lips that open and close, and a blink in the middle."""
    random = np.random.default_rng(0)
    lips = np.zeros((frames, 40, 3), np.float32)
    lips[:, [LIPS.index(lower) for _, lower in INNER_LIP_PAIRS], 1] += random.uniform(0, 8, (frames, 1))
    eyes = np.zeros((frames, 60, 3), np.float32)
    rest = average_face()[list(EYES)]
    eyes[frames // 2, UPPER] += rest[LOWER] - rest[UPPER]
    return Motion(lips, eyes, np.zeros((frames, 7), np.float32), np.zeros((frames, 18, 3), np.float32))


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_speech_and_blinks_stay(name: Expression) -> None:
    plain = speech()
    made = express(plain, {name: 1.0}, average_face())
    above, below = ([LIPS.index(pair[side]) for pair in INNER_LIP_PAIRS] for side in (0, 1))
    openings = [motion.lips[:, below, 1] - motion.lips[:, above, 1] for motion in (plain, made)]
    assert openings[1] == pytest.approx(openings[0], abs=1e-3), "the expression opens the mouth"
    change = made.lips - plain.lips
    assert np.abs(change - change[0]).max() < 1e-4, "lips move as they did"
    points = average_face()[list(EYES)] + made.eyes[15]
    assert np.abs(points[UPPER] - points[LOWER]).max() < 1e-3, "a blink shuts the eyes"
    assert np.array_equal(made.head, plain.head) and made.lips.dtype == np.float32


@pytest.mark.parametrize(("name", "curve"), RAISED.items())
def test_the_face_is_seen_to_have_the_expression(name: Expression, curve: str) -> None:
    def seen(amount: float) -> float:
        still = Motion(*(np.zeros((1, *shape), np.float32) for shape in ((40, 3), (60, 3), (7,), (18, 3))))
        made = express(still, {name: amount}, average_face())
        face = average_face()[None].copy()
        face[:, list(LIPS)] += made.lips
        face[:, list(EYES)] += made.eyes
        return float(blendshapes(face)[0, NAMES.index(curve)])

    assert seen(1.0) > seen(0.0) + 0.05 and seen(0.5) < seen(1.0)


def test_corners_of_the_mouth_and_brows_go_where_they_should() -> None:
    still = Motion(*(np.zeros((1, *shape), np.float32) for shape in ((40, 3), (60, 3), (7,), (18, 3))))

    def moved(name: Expression, rows: list[int], part: str) -> np.ndarray:
        change = getattr(express(still, {name: 1.0}, average_face()), part)[0, rows]
        return np.asarray(change)

    smile, frown = moved("smile", CORNERS, "lips"), moved("frown", CORNERS, "lips")
    assert (smile[:, 1] < -1).all() and smile[1, 0] > 1 and smile[0, 0] < -1, "up and out (y is down)"
    assert (frown[:, 1] > smile[:, 1] + 2).all()
    assert moved("brows_up", BROWS, "eyes")[:, 1].mean() < -2 < 1 < moved("brows_down", BROWS, "eyes")[:, 1].mean()
    both = express(still, {"smile": 1.0, "brows_up": 0.5}, average_face())
    assert both.lips[0, CORNERS[0], 1] == pytest.approx(
        smile[0, 1] + 0.5 * moved("brows_up", CORNERS, "lips")[0, 1], abs=1e-4
    )
    assert express(still, {}, average_face()).lips == pytest.approx(still.lips)


def posed(amounts: dict[Expression, float]) -> np.ndarray:
    """The average face's mesh with expressions, (478, 3)."""
    still = Motion(*(np.zeros((1, *shape), np.float32) for shape in ((40, 3), (60, 3), (7,), (18, 3))))
    made, face = express(still, amounts, average_face()), average_face().copy()
    face[list(LIPS)] += made.lips[0]
    face[list(EYES)] += made.eyes[0]
    return np.asarray(face)


def least(face: np.ndarray, name: str) -> float:
    seen = blendshapes(face[None])[0]
    return float(min(seen[NAMES.index(curve)] for curve in USUAL[name][1]))  # type: ignore[index]


@pytest.mark.parametrize(("name", "other"), [("smile", "brows_up"), ("brows_up", "smile")])
def test_neutral_takes_the_pictures_own_expression_away_and_nothing_else(name: Expression, other: str) -> None:
    subject = posed({name: 1.5})
    usual = USUAL[name][0]  # type: ignore[index]
    assert least(subject, name) > usual + 0.1
    plain = speech()
    whole, half = (express(plain, {"neutral": share}, subject) for share in (1.0, 0.5))
    calm = subject.copy()
    calm[list(LIPS)] += whole.lips[0] - plain.lips[0]
    calm[list(EYES)] += whole.eyes[0] - plain.eyes[0]
    assert least(calm, name) <= usual + 1e-3
    assert own_expression(subject)[other] == 0  # type: ignore[index]
    assert half.lips - plain.lips == pytest.approx((whole.lips - plain.lips) / 2, abs=1e-4)
    assert 0 < own_expression(subject)[name] < MAX_OWN  # type: ignore[index]
    again = express(plain, {"neutral": 1.0, "smile": 0.5}, subject)
    smiling = express(plain, {"smile": 0.5}, subject)
    assert again.lips - smiling.lips == pytest.approx(whole.lips - plain.lips, abs=1e-4), "expressions add up"


def test_a_neutral_face_stays_as_it_is() -> None:
    plain, face = speech(), posed({"smile": -0.5})
    assert set(own_expression(face).values()) == {0.0}
    made = express(plain, {"neutral": 1.0}, face)
    assert np.array_equal(made.lips, plain.lips) and np.array_equal(made.eyes, plain.eyes)


def test_names_and_amounts_are_checked() -> None:
    assert parse(ControlConfig, {"expression": {"smile": 0.5}}, source="x").expression == {"smile": 0.5}
    assert parse(ControlConfig, {"expression": {"neutral": 1}}, source="x").expression == {"neutral": 1}
    for wrong in ({"grin": 1}, {"smile": 2}):
        with pytest.raises(ConfigError):
            parse(ControlConfig, {"expression": wrong}, source="x")
    with pytest.raises(ConfigError, match="no expression 'grin', wanted one of smile"):
        express(speech(2), {"grin": 1.0}, average_face())  # type: ignore[dict-item]
