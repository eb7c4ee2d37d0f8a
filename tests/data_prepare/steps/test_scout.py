import numpy as np

from data_prepare.steps.scout import choose_face


def face(x, size):
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (478, 3))
    points[0], points[1] = -0.5, 0.5
    return points * size + [x, 100, 0]


def test_of_two_equally_large_faces_one_is_followed():
    left, right = face(100, 80), face(400, 80.5)
    candidates = [[left, right] if t % 2 else [right, left] for t in range(8)]
    chosen = choose_face(candidates)
    assert all(mesh is right for mesh in chosen)


def test_the_largest_wins_over_those_behind_and_empty_frames_are_skipped():
    candidates = [[face(300, 120), face(100, 40)], [], [face(310, 118)], [face(100, 40)]]
    chosen = choose_face(candidates)
    assert len(chosen) == 3
    assert [round(float(mesh[:, 0].mean()), -1) for mesh in chosen[:2]] == [300, 310]


def test_no_faces():
    assert choose_face([[], []]) == []
