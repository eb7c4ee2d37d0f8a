"""Numbers printed in a paper, shown in a table of their own beside the measured ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import model_validator

from moda.config import Config, load_yaml, parse
from moda.errors import ConfigError

MARK = "printed in the paper, not measured here"


class _PrintedFile(Config):
    """Contents of the YAML file of printed numbers."""

    source: str
    """Which table of which paper."""
    note: str
    """Why its numbers are not comparable with measured ones."""
    columns: dict[str, str]
    """Metric names to the titles printed."""
    settings: dict[str, dict[str, list[float]]]
    """By setting, by method: a number a column."""

    @model_validator(mode="after")
    def _whole(self) -> _PrintedFile:
        for setting, methods in self.settings.items():
            for method, values in methods.items():
                if len(values) != len(self.columns):
                    raise ValueError(f"{setting}, {method}: {len(values)} numbers for {len(self.columns)} columns")
        return self


@dataclass(frozen=True)
class PrintedTable:
    """One setting's numbers. source, note: as in the file. columns: titles. rows: a number per column, by method."""

    setting: str
    source: str
    note: str
    columns: tuple[str, ...]
    rows: dict[str, tuple[float, ...]]


def read_printed(path: Path, setting: str) -> PrintedTable:
    """The numbers of one setting; raises `ConfigError` for a file that is no such table or lacks the setting."""
    found = parse(_PrintedFile, load_yaml(path), source=str(path))
    if setting not in found.settings:
        raise ConfigError(f"no setting '{setting}' in {path}; there are: {', '.join(found.settings)}")
    rows = {method: tuple(values) for method, values in found.settings[setting].items()}
    return PrintedTable(setting, found.source, found.note, tuple(found.columns.values()), rows)
