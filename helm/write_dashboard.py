"""Writes helm/headrace/files/dashboard.json, the Grafana dashboard, from the table of panels.

    python helm/write_dashboard.py

Each panel of the table occurs once, in the row of its group, with the table's query; labels of the variables at the top
(job, lane, model) are added to the selectors by a PromQL parser. The queries keep the table's windows instead of
`$__rate_interval`, so that a figure of the dashboard is the figure of the page and of the alerts. The first row answers
whether requests flow and what binds, by the same queries, aggregated.

It is Grafana's classic model, which every Grafana reads that is still maintained; the second one needs version 12.
A panel links to the runbooks of the alerts that read its recording rule. Links begin with `RUNBOOKS/`, for which the
chart puts `monitoring.runbooksUrl`. A test compares the file with what this script would write.
"""
# ruff: noqa: INP001  # a script beside the chart it writes for, imported only by its test

import json
import sys
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import promql_parser
import yaml
from promql_parser import BinaryExpr, Matcher, Matchers, MatchOp, VectorSelector

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # it prefers the second model, which older Grafanas cannot read
    from grafana_foundation_sdk.builders import common, prometheus, stat, statetimeline, timeseries
    from grafana_foundation_sdk.builders import dashboard as build
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models import dashboard as model
    from grafana_foundation_sdk.models.common import (
        BigValueColorMode,
        BigValueGraphMode,
        BigValueTextMode,
        DataSourceRef,
        GraphThresholdsStyleMode,
        LegendDisplayMode,
        LegendPlacement,
        SortOrder,
        TooltipDisplayMode,
        VisibilityMode,
    )

from headrace.broker.observability.panels import BY_KEY, PANELS, Panel, PanelGroup, Unit

DASHBOARD: Final = Path(__file__).parent / "headrace" / "files" / "dashboard.json"
RULES: Final = DASHBOARD.with_name("rules.yaml")
RUNBOOKS: Final = "RUNBOOKS/"
SCRAPE_INTERVAL: Final = "15s"
_COLUMNS: Final = 24
_IN_A_LINE: Final = 4
_HEIGHT: Final = 8
_SOURCE: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")
_GREEN, _RED, _NEUTRAL = "green", "red", "blue"
_CHOSEN: Final = {"lane": "headrace_backlog_requests", "model": "headrace_limit_level"}
"""Labels that a variable chooses among, and the metric whose values it offers."""
_ONE_IS_GOOD: Final = frozenset({"kafka_ready", "redis_ready", "gateway_ready", "gateway_key_file"})
"""Panels where 0 is what asks for help; the table has thresholds for high figures alone."""
_CLOSED: Final = frozenset({PanelGroup.GATEWAYS})
"""Rows that are closed at first: many installations have no gateway, and would see empty panels."""
_OF_INTERVALS: Final = ("auto", "auto_count", "auto_min")
"""Keys for a variable of intervals; the SDK writes them into every variable, where Grafana's types refuse them."""
_MAY_BE_NEGATIVE: Final = frozenset({"charge_error"})


@dataclass(frozen=True, slots=True)
class Headline:
    """One figure of the first row.

    Attributes:
        key: Of the panel in the table.
        title: Shorter than the panel's.
        around: PromQL around the panel's query, which stands for `{}`.
        width: In columns.
        steps: Colours, each with the value from which it holds; none: red from the panel's threshold.
        absent: Text where there is no series.
    """

    key: str
    title: str
    width: int
    around: str = "{}"
    steps: tuple[tuple[float | None, str], ...] = ()
    absent: str = "no data"


HEADLINES: Final = (
    Headline("leaders", "Leaders", 3, steps=((None, _RED), (1, _GREEN), (2, _RED)), absent="none"),
    Headline("outcomes_per_second", "Outcomes", 4, around="sum by (job) ({})"),
    Headline("backlog_seconds", "Time to empty, by lane", 6),
    Headline("limit_left", "Least left of a limit", 5, around="bottomk by (job) (1, {})"),
    Headline("refused_share", "Share of 429s", 3, absent="no calls"),
    Headline("breaker_open", "Open breakers", 3, around="{} > 0", steps=((None, _RED),), absent="none"),
)


def filtered(query: str, by: tuple[str, ...]) -> str:
    """Return the query with `job` in each selector, and those labels of `by` that a variable chooses."""
    return str(_chosen(promql_parser.parse(query), [label for label in by if label in _CHOSEN]))


def _chosen(expression: promql_parser.Expr, labels: list[str]) -> promql_parser.Expr:
    ours = [Matcher(MatchOp.Equal, "job", "$job"), *(Matcher(MatchOp.Re, label, f"${label}") for label in labels)]

    def choose(node: promql_parser.Expr) -> promql_parser.Expr | None:
        if isinstance(node, BinaryExpr) and str(node.op) in {"and", "unless"}:
            return _chosen_on_the_left(node, labels)
        if isinstance(node, VectorSelector) and ours[0].value not in (one.value for one in node.matchers.matchers):
            node.matchers = Matchers([*ours, *node.matchers.matchers])
            return promql_parser.parse(str(node))  # a node that was changed in place is not taken over
        return None

    return promql_parser.transform(expression, pre_visit=choose)


def _chosen_on_the_left(node: BinaryExpr, labels: list[str]) -> promql_parser.Expr:
    """Choose by the labels on the left side alone: the right one, such as a process that leads, need not have them."""
    left, right, whole = str(node.lhs), str(node.rhs), str(node)
    if not (whole.startswith(left) and whole.endswith(right)):
        raise ValueError(f"the parser writes {whole!r} otherwise than its sides {left!r} and {right!r}")
    between = whole[len(left) : len(whole) - len(right)]
    return promql_parser.parse(f"{_chosen(node.lhs, labels)}{between}{_chosen(node.rhs, [])}")


def dashboard() -> dict[str, Any]:
    """Return the whole dashboard as its JSON."""
    made = (
        build.Dashboard("Headrace")
        .uid("headrace")
        .description("Whether requests flow, what limits them, and what fails. Written by helm/write_dashboard.py.")
        .tags(["headrace"])
        .editable()
        .time("now-1h", "now")
        .refresh("30s")
        .timezone("browser")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .variables(list(_variables()))
        .annotation(_alerts())
        .link(_runbook("Runbooks").tooltip("What each alert means, and what to do"))
        .with_row(build.Row("Do requests flow, and what binds?").id(_id("row:headlines")))
    )
    for headline in HEADLINES:
        made.with_panel(_headline(headline))
    for group, panels in groupby(PANELS, key=lambda panel: panel.group):
        row = build.Row(group.value).id(_id(f"row:{group.name}"))
        drawn = [_drawn(panel).id(_id(panel.key)).height(_HEIGHT).span(width) for panel, width in _widths(list(panels))]
        if group in _CLOSED:
            for panel in drawn:
                row.with_panel(panel)
        made.with_row(row)
        for panel in () if group in _CLOSED else drawn:
            made.with_panel(panel)
    loaded: dict[str, Any] = json.loads(JSONEncoder().encode(made.build()))
    within = [panel for row in loaded["panels"] for panel in row.get("panels", ())]
    links = [link for linked in (loaded, *loaded["panels"], *within) for link in linked.get("links", ())]
    for shown in (*links, *loaded["annotations"]["list"]):
        del shown["placement"]  # the SDK puts both into a menu; they belong beside the variables
    for variable in loaded["templating"]["list"]:
        for key in _OF_INTERVALS:
            del variable[key]
    return loaded


def _id(name: str) -> int:
    """Return the number of a panel in links to it: from its name, so that a new panel changes that of no other."""
    return 1 + zlib.crc32(name.encode()) % 1_000_000


def _widths(panels: list[Panel]) -> Iterator[tuple[Panel, int]]:
    """Yield panels with widths that fill each line: the fewest lines, of like lengths, the wider panels first."""
    lines = -(-len(panels) // _IN_A_LINE)
    for line in range(lines):
        here = panels[len(panels) * line // lines : len(panels) * (line + 1) // lines]
        yield from ((panel, _COLUMNS // len(here)) for panel in here)


def alerts_of(record: str | None) -> dict[str, str]:
    """Return the alerts whose expression reads a recording rule, each with the name of its runbook."""
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    alerts = [rule for group in groups for rule in group["rules"] if "alert" in rule]
    return {
        rule["alert"]: Path(rule["annotations"]["runbook_url"]).stem for rule in alerts if record in _read(rule["expr"])
    }


@cache
def _read(expression: str) -> frozenset[str | None]:
    """Return the names of the series that an expression reads."""
    names: set[str | None] = set()

    def note(node: promql_parser.Expr) -> None:
        if isinstance(node, VectorSelector):
            names.add(node.name)

    promql_parser.walk(promql_parser.parse(expression), note)
    return frozenset(names)


def _runbook(title: str, page: str = "") -> build.DashboardLink:
    link = build.DashboardLink(title).type(model.DashboardLinkType.LINK).icon("doc").target_blank(True)
    return link.url(f"{RUNBOOKS}{page}")


def _variables() -> Iterator[Any]:
    yield build.DatasourceVariable("datasource").label("Data source").type("prometheus")
    yield (
        _query_variable("job", "label_values(headrace_leader, job)")
        .label("Budget (job)")
        .description("Processes of one budget share it")
    )
    for label, metric in _CHOSEN.items():
        variable = _query_variable(label, f'label_values({metric}{{job="$job"}}, {label})')
        yield (
            variable.label(label.capitalize())
            .multi(True)
            .include_all(True)
            .all_value(".*")
            .current(model.VariableOption(selected=True, text=["All"], value=["$__all"]))
        )


def _query_variable(name: str, query: str) -> build.QueryVariable:
    return (
        build.QueryVariable(name)
        .datasource(_SOURCE)
        .query({"qryType": 1, "query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery"})
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
    )


def _alerts() -> build.AnnotationQuery:
    """Mark when alerts fired."""
    return (
        build.AnnotationQuery()
        .name("Alerts")
        .datasource(_SOURCE)
        .enable(True)
        .icon_color(_RED)
        .target(
            prometheus.Dataquery()
            .expr('ALERTS{alertname=~"Headrace.*", alertstate="firing", job="$job"}')
            .interval("60s")
            .ref_id("Anno")
        )
        .title_format("{{alertname}}")
        .text_format("{{lane}} {{model}}")
    )


def _query(
    expression: str, by: tuple[str, ...], else_named: str, ref: str = "A", suffix: str = ""
) -> prometheus.Dataquery:
    legend = (" ".join(f"{{{{{label}}}}}" for label in by) or else_named) + suffix
    return prometheus.Dataquery().datasource(_SOURCE).expr(expression).legend_format(legend).ref_id(ref).range()


def _headline(headline: Headline) -> stat.Panel:
    panel = BY_KEY[headline.key]
    expression = headline.around.format(filtered(panel.query, panel.by))
    by = () if headline.around.startswith("sum") else panel.by
    target = _query(expression, by, headline.title)
    steps = headline.steps or (((None, _GREEN), (panel.warn, _RED)) if panel.warn else ((None, _NEUTRAL),))
    return (
        stat.Panel()
        .id(_id(f"headline:{panel.key}"))
        .title(headline.title)
        .description(panel.meaning)
        .datasource(_SOURCE)
        .height(5)
        .span(headline.width)
        .unit(panel.unit.value)
        .no_value(headline.absent)
        .thresholds(_thresholds(*steps))
        .color_mode(BigValueColorMode.VALUE)
        .graph_mode(BigValueGraphMode.NONE if by else BigValueGraphMode.AREA)
        .text_mode(BigValueTextMode.VALUE_AND_NAME if by else BigValueTextMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(target.instant() if by else target)  # of now alone: over a time, the least is another series
    )


def _drawn(panel: Panel) -> timeseries.Panel | statetimeline.Panel:
    begun = _states(panel) if panel.unit is Unit.YES_NO else _curves(panel)
    target = _query(filtered(panel.query, panel.by), panel.by, panel.title)
    begun.with_target(target.exemplar(True) if panel.query.startswith("histogram_quantile") else target)
    if panel.warn_query is not None and isinstance(begun, timeseries.Panel):
        _add_thresholds_of_series(begun, panel.warn_query, panel.by)
    begun.title(panel.title).description(panel.meaning).datasource(_SOURCE).unit(panel.unit.value)
    alerts = alerts_of(panel.record) if panel.record else {}
    if alerts:
        begun.links([_runbook(alert, page) for alert, page in alerts.items()])
    return begun.interval(SCRAPE_INTERVAL)


def _states(panel: Panel) -> statetimeline.Panel:
    """Draw yes and no over time; the table's threshold says which of them asks for help."""
    no, yes = (_RED, _GREEN) if panel.key in _ONE_IS_GOOD else (_GREEN, _RED) if panel.warn else ("text", _NEUTRAL)
    return (
        statetimeline.Panel()
        .thresholds(_thresholds((None, no), (1, yes)))
        .color_scheme(build.FieldColor().mode(model.FieldColorModeId.THRESHOLDS))
        .show_value(VisibilityMode.NEVER)
        .row_height(0.8)
        .legend(common.VizLegendOptions().show_legend(False))
    )


def _curves(panel: Panel) -> timeseries.Panel:
    begun = (
        timeseries.Panel()
        .color_scheme(build.FieldColor().mode(model.FieldColorModeId.PALETTE_CLASSIC))
        .line_width(1)
        .fill_opacity(5)
        .show_points(VisibilityMode.NEVER)
        .legend(
            common.VizLegendOptions()
            .show_legend(bool(panel.by))
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .calcs(["lastNotNull"])
        )
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
    )
    if panel.key not in _MAY_BE_NEGATIVE:
        begun.min(0)
    if panel.warn is not None:
        begun.thresholds(_thresholds((None, _GREEN), (panel.warn, _RED)))
        begun.thresholds_style(common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED))
    return begun


def _add_thresholds_of_series(begun: timeseries.Panel, warn_query: str, by: tuple[str, ...]) -> None:
    """Draw the threshold of each series as a dashed line beside it."""
    begun.with_target(_query(filtered(warn_query, by), by, "threshold", ref="B", suffix=" threshold"))
    begun.override_by_query(
        "B",
        [
            model.DynamicConfigValue("custom.lineStyle", {"dash": [6, 6], "fill": "dash"}),
            model.DynamicConfigValue("custom.fillOpacity", 0),
        ],
    )


def _thresholds(*steps: tuple[float | None, str]) -> build.ThresholdsConfig:
    return (
        build.ThresholdsConfig()
        .mode(model.ThresholdsMode.ABSOLUTE)
        .steps([model.Threshold(value=value, color=color) for value, color in steps])
    )


def written() -> str:
    """Return the whole file."""
    return json.dumps(dashboard(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    DASHBOARD.parent.mkdir(exist_ok=True)
    DASHBOARD.write_text(written(), encoding="utf-8")
    sys.stdout.write(f"{DASHBOARD.name} written\n")
