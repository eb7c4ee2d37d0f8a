"""Who a video is about."""

from moda.data.main_person import main_person
from moda.data.store import ClipStore


def test_two_people_are_told_apart_and_one_is_one(clip_store: ClipStore) -> None:
    mine, twin = (clip_store.split(name)[0] for name in ("train", "val"))
    assert main_person([mine, twin]) == ([mine], [twin])
    assert main_person([twin, mine]) == ([twin], [mine])
    assert main_person([mine, mine]) == ([mine, mine], [])
