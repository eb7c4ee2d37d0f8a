"""One video to make: its files and what is its own. Checked before anything heavy is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from moda.errors import OutputError


@dataclass(frozen=True)
class Job:
    """What to animate and where to write it; seed, face, consent: as the options of `moda infer` are named."""

    audio: Path
    picture: Path
    output: Path
    seed: int = 0
    face: int = 1
    motion: Path | None = None
    save_motion: Path | None = None
    consent: str | None = None
    sign: tuple[Path, Path] | None = None
    """Files of certificates and of a key, to sign the video with (`moda.signing`)."""

    def check(self, *other_inputs: Path) -> None:
        """Raise a `ModaError` for files that are not there, and outputs that cannot be written or are an input."""
        from moda.media.video_writer import require_writable
        from moda.reading import require_file

        require_file(self.audio, "audio file")
        require_file(self.picture, "picture")
        if self.motion is not None:
            require_file(self.motion, "motion file")
        if self.output.suffix.lower() != ".mp4":
            raise OutputError(f"the output is an MP4, its name should end in .mp4, got {self.output}")
        outputs = [self.output] + ([] if self.save_motion is None else [self.save_motion])
        inputs = [self.audio, self.picture, *([self.motion] if self.motion else []), *other_inputs]
        for path in outputs:
            for source in inputs:
                if path.resolve() == source.resolve() or (path.exists() and source.exists() and path.samefile(source)):
                    raise OutputError(f"the output would overwrite the input {source}; name another with --output")
            require_writable(path)
