"""Settings of metrics: which names become labels that producers choose."""

from headrace.broker.settings.group import Group


class MetricsSettings(Group):
    """Labels of metrics beyond those that every process has; each name is a time series of its own in Prometheus."""

    by_tenant: bool = False
    by_template: bool = False
