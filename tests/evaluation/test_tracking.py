import numpy as np
import pytest

from moda.errors import OutputError
from moda.evaluation import tracking
from moda.evaluation.folders import Panel
from moda.evaluation.tracking import TrackFile, Unreadable, content_hash, track_videos, tracker_version


@pytest.fixture
def tracked_video(tmp_path):
    """A cache that already holds the track of `video`, so that no tracker needs to run."""
    video = tmp_path / "a.mp4"
    video.write_bytes(b"some video")
    cache = tmp_path / "tracks"
    cache.mkdir()
    file = cache / f"{content_hash(video)}-{tracker_version()}.npz"
    np.savez(file, landmarks=np.ones((4, 478, 3), np.float32), width=64, height=48)
    return video, cache, file


def test_a_video_of_the_same_content_is_not_tracked_again(tracked_video, tmp_path) -> None:
    video, cache, _ = tracked_video
    copy = tmp_path / "other name.mp4"
    copy.write_bytes(video.read_bytes())
    seen = []
    tracks = track_videos([video, copy, video], cache, jobs=2, progress=seen.append)
    assert seen == [video, copy]
    for path in (video, copy):
        file = tracks[path]
        assert isinstance(file, TrackFile) and (file.frames, file.faceless) == (4, 0)
        track = file.load()
        assert track.landmarks.shape == (4, 478, 3) and (track.width, track.height) == (64, 48)
        assert track.tracked.all()


def test_a_damaged_track_is_made_again_and_a_broken_video_is_reported(tracked_video, caplog) -> None:
    video, cache, file = tracked_video
    file.write_bytes(file.read_bytes()[:100])
    result = track_videos([video, video.with_name("gone.mp4")], cache)
    assert "is damaged" in caplog.text
    assert isinstance(result[video], Unreadable) and str(video) in result[video].why  # it is no video
    assert "gone.mp4" in result[video.with_name("gone.mp4")].why


def test_a_cache_that_cannot_be_made_is_an_output_error(tmp_path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="file/tracks"):
        track_videos([], tmp_path / "file" / "tracks")


def test_of_a_very_long_video_the_first_minutes_are_tracked(tmp_path, monkeypatch) -> None:
    class Tracker:
        def __init__(self, video: bool) -> None:
            self.frames = 0

        def __enter__(self):
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def track(self, frame: np.ndarray) -> np.ndarray | None:
            self.frames += 1
            return None if self.frames == 3 else np.full((478, 3), float(self.frames))

    def endless(path, fps):
        while True:
            yield np.zeros((6, 12, 3), np.uint8)

    monkeypatch.setattr("moda.tracking.face.FaceTracker", Tracker)
    monkeypatch.setattr("moda.media.video.read_frames", endless)
    monkeypatch.setattr(tracking, "MAX_TRACKED_FRAMES", 5)
    result = tracking._track_file((tmp_path / "a.mp4", tmp_path / "t.npz", None, Panel(1, 3)))
    assert result == TrackFile(tmp_path / "t.npz", "t.npz", 5, 1)
    assert (result.load().width, result.load().height) == (4, 6), "one of three panels"
    assert tracking._track_file((tmp_path / "a.mp4", tmp_path / "u.npz", 2, None)).frames == 2
