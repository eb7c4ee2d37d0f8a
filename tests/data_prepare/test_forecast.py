"""What a preparation expects to look at."""

from pathlib import Path

from data_prepare.forecast import Forecast
from data_prepare.sources.folder import ListedPart, SourceVideo
from data_prepare.sources.hdtf import HdtfCut


def source(path: Path, part: ListedPart | None = None) -> SourceVideo:
    return SourceVideo(path, path.parent, path.name, path.stem, "ann", part)


def test_what_is_not_known_is_taken_to_be_like_the_rest(synthetic_video: Path, tmp_path: Path) -> None:
    videos = [source(synthetic_video), source(synthetic_video), source(tmp_path / "none.mp4")]
    forecast = Forecast(videos, 40)
    assert forecast.frames == 40
    forecast.read_next_length()
    assert forecast.frames == 2 * 3 * 75 + 40
    for _ in range(5):
        forecast.read_next_length()
    assert forecast.frames == 2 * 2 * 75 + 40


def test_a_listed_part_is_as_long_as_the_list_says(synthetic_video: Path) -> None:
    part = ListedPart(25, 60, HdtfCut(synthetic_video, "a", "a", 1.0, 2.4, None, None))
    forecast = Forecast([source(synthetic_video, part)], 0)
    forecast.read_next_length()
    assert forecast.frames == 2 * 35
