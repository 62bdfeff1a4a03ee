from pathlib import Path

from headrace.broker.local.logs import telling_line


def test_the_last_error_tells_more_than_the_last_line(tmp_path: Path) -> None:
    log = tmp_path / "kafka.log"
    log.write_text("INFO starting\nERROR first\nERROR Address already in use\n\tat java.net\nINFO shutting down\n")
    assert telling_line([log]) == "ERROR Address already in use"


def test_without_an_error_the_last_line_is_told(tmp_path: Path) -> None:
    log = tmp_path / "kafka.log"
    log.write_text("INFO starting\nINFO loading\n\n")
    assert telling_line([tmp_path / "absent.log", log]) == "INFO loading"


def test_no_log_at_all_is_said(tmp_path: Path) -> None:
    assert telling_line([tmp_path / "absent.log"]) == "the log is empty"


def test_a_line_without_end_is_cut(tmp_path: Path) -> None:
    log = tmp_path / "kafka.log"
    log.write_text("ERROR " + "x" * 10_000)
    assert len(telling_line([log])) == 300
