"""Flags over the settings."""

from pathlib import Path

from headrace.broker.cli.options import settings_from


def test_flags_that_were_used_win_and_the_others_leave_the_file_alone(tmp_path: Path) -> None:
    config = tmp_path / "headrace.toml"
    config.write_text('[kafka]\nbootstrap_servers = "file:1"\ntopic_prefix = "file"\n')
    kafka = settings_from(config, None, "flag").kafka
    assert (kafka.bootstrap_servers, kafka.topic_prefix) == ("file:1", "flag")
