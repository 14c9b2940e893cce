"""What an import reports while it works, and when it is interrupted."""

import pytest

from payments_service.cli.import_report import ImportReport


def test_rows_under_way_are_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """
    An operator who interrupts it learns how many of them are done, too.
    """
    report = ImportReport(dry_run=False)
    report.begin_batch(100)
    for count in range(1, 38):
        report.read(count)
    report.step(last=True)
    assert "0 imported, 0 known, 0 refused" in (said := capsys.readouterr().err)
    assert said.endswith("; of the next 100 rows 37 read\n")

    report.end_batch(None)
    report.step(last=True)
    assert "of the next" not in capsys.readouterr().err
