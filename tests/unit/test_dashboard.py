"""Grafana's dashboard is what its script makes of the table of panels: each panel once, with the table's query."""

import importlib.util
import json
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import promql_parser
import pytest
from promql_parser import Matchers, VectorSelector

from headrace.broker.observability.panels import BY_KEY, PANELS, Panel, PanelGroup

ROOT = Path(__file__).parents[2]
VARIABLES = {"job", "lane", "model"}


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("write_dashboard", ROOT / "helm" / "write_dashboard.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MODULE = generator()
DASHBOARD: dict[str, Any] = json.loads(MODULE.DASHBOARD.read_text(encoding="utf-8"))
DRAWN: list[dict[str, Any]] = [each for one in DASHBOARD["panels"] for each in (one, *one.get("panels", ()))]
"""With those in rows that are closed."""
ROWS = [drawn for drawn in DRAWN if drawn["type"] == "row"]
HEADLINES = [drawn for drawn in DRAWN if drawn["type"] == "stat"]
IN_GROUPS = [drawn for drawn in DRAWN if drawn["type"] not in {"row", "stat"}]
EXPRESSIONS = sorted({target["expr"] for drawn in DRAWN for target in drawn.get("targets", ())})

of_the_table = pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.key)


def drawing(panel: Panel) -> dict[str, Any]:
    """The only drawing with the panel's title in the row of its group."""
    [row] = [row for row in ROWS if row["title"] == panel.group.value]
    following = [one["gridPos"]["y"] for one in ROWS if one["gridPos"]["y"] > row["gridPos"]["y"]]
    within = range(row["gridPos"]["y"], min(following, default=1000))
    [found] = [one for one in IN_GROUPS if one["title"] == panel.title and one["gridPos"]["y"] in within]
    return found


def test_a_row_that_many_installations_have_no_use_for_is_closed() -> None:
    assert [row["title"] for row in ROWS if row["collapsed"]] == [PanelGroup.GATEWAYS.value]


def without_variables(expression: str) -> str:
    """The expression in the parser's own form, with the matchers of variables taken out."""

    def strip(node: promql_parser.Expr) -> promql_parser.Expr | None:
        if not isinstance(node, VectorSelector):
            return None
        node.matchers = Matchers([one for one in node.matchers.matchers if not one.value.startswith("$")])
        return promql_parser.parse(str(node))

    return str(promql_parser.transform(promql_parser.parse(expression), post_visit=strip))


def selectors(expression: str) -> list[VectorSelector]:
    found: list[VectorSelector] = []

    def note(node: promql_parser.Expr) -> bool:
        if isinstance(node, VectorSelector):
            found.append(node)
        return True

    promql_parser.walk(promql_parser.parse(expression), note)
    return found


def test_the_file_is_what_its_script_writes() -> None:
    assert MODULE.written() == MODULE.DASHBOARD.read_text(encoding="utf-8"), "run: make dashboard"


def test_each_panel_of_the_table_is_drawn_once_and_nothing_else_is() -> None:
    assert Counter(one["title"] for one in IN_GROUPS) == Counter(panel.title for panel in PANELS)
    assert [row["title"] for row in ROWS[1:]] == [group.value for group in PanelGroup]


@of_the_table
def test_a_drawing_has_the_query_meaning_and_unit_of_the_table(panel: Panel) -> None:
    found = drawing(panel)
    assert without_variables(found["targets"][0]["expr"]) == str(promql_parser.parse(panel.query))
    assert found["description"] == panel.meaning
    assert found["fieldConfig"]["defaults"]["unit"] == panel.unit.value
    legend = found["targets"][0]["legendFormat"]
    assert legend == (" ".join(f"{{{{{label}}}}}" for label in panel.by) or panel.title)


@of_the_table
def test_a_drawing_shows_the_thresholds_of_the_table(panel: Panel) -> None:
    found = drawing(panel)
    steps = found["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", [])
    if panel.warn is not None:
        assert (steps[-1]["color"], steps[-1]["value"]) == ("red", panel.warn)
    others = [without_variables(target["expr"]) for target in found["targets"][1:]]
    assert others == [str(promql_parser.parse(query)) for query in (panel.warn_query,) if query]


@pytest.mark.parametrize("headline", MODULE.HEADLINES, ids=lambda headline: headline.key)
def test_a_figure_of_the_first_row_is_one_of_the_table(headline: Any) -> None:
    [found] = [one for one in HEADLINES if one["title"] == headline.title]
    panel = BY_KEY[headline.key]
    [target] = found["targets"]
    around = str(promql_parser.parse(headline.around.format(panel.query)))
    assert without_variables(target["expr"]) == around
    assert found["description"] == panel.meaning


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_each_expression_parses_and_each_of_its_selectors_takes_one_budget(expression: str) -> None:
    found = selectors(expression)
    assert found
    for selector in found:
        matchers = [str(one) for one in selector.matchers.matchers]
        assert matchers.count('job="$job"') == 1, expression


@of_the_table
def test_a_drawing_follows_the_variables_that_its_series_have_labels_of(panel: Panel) -> None:
    named = {
        one.name
        for selector in selectors(drawing(panel)["targets"][0]["expr"])
        for one in selector.matchers.matchers
        if one.value.startswith("$")
    }
    assert named == {"job"} | (VARIABLES & set(panel.by))


def test_a_selector_keeps_its_own_matchers_when_those_of_variables_are_added() -> None:
    query = 'sum by (job, lane) (rate(a{status="failed"}[75s])) / on (job) max by (job) (b > 0)'
    assert MODULE.filtered(query, ("lane",)) == (
        'sum by (job, lane)(rate(a{job="$job",lane=~"$lane",status="failed"}[1m15s]))'
        ' / on (job) max by (job)(b{job="$job",lane=~"$lane"} > 0)'
    )


def test_a_variable_chooses_nothing_among_series_that_only_select_others() -> None:
    query = "max by (job, model) (a > 0 and on (job, instance) (leads == 1)) / max by (job, model) (b)"
    assert MODULE.filtered(query, ("model",)) == (
        'max by (job, model)(a{job="$job",model=~"$model"} > 0 and on (job, instance) (leads{job="$job"} == 1))'
        ' / max by (job, model)(b{job="$job",model=~"$model"})'
    )


def test_a_panel_links_to_the_runbooks_of_the_alerts_that_read_it() -> None:
    [link, *_] = drawing(BY_KEY["leaders"])["links"]
    assert (link["title"], link["url"]) == ("HeadraceNoLeader", "RUNBOOKS/no-leader")
    assert MODULE.alerts_of("no_such:record") == {}


def test_variables_offer_what_the_queries_choose_by() -> None:
    names = [variable["name"] for variable in DASHBOARD["templating"]["list"]]
    assert names == ["datasource", "job", "lane", "model"]
    assert all(drawn["datasource"]["uid"] == "${datasource}" for drawn in (*HEADLINES, *IN_GROUPS))


def test_no_two_panels_have_one_id_and_each_keeps_its_own() -> None:
    ids = [drawn["id"] for drawn in DRAWN]
    assert len(set(ids)) == len(ids)
    assert drawing(BY_KEY["leaders"])["id"] == 339_927, "links to panels contain their ids"


def test_no_two_panels_overlap_and_each_line_is_full() -> None:
    cells: Counter[tuple[int, int]] = Counter()
    for drawn in DRAWN:
        at = drawn["gridPos"]
        cells.update((x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"]))
    assert set(cells.values()) == {1}
    assert {x for x, _ in cells} == set(range(24))
    assert len(cells) == 24 * (1 + max(y for _, y in cells)), "no hole is left"


def test_a_panel_is_wide_enough_for_its_legend() -> None:
    assert min(drawn["gridPos"]["w"] for drawn in IN_GROUPS) >= 6


@pytest.mark.parametrize("count", range(1, 14))
def test_any_number_of_panels_fills_its_lines(count: int) -> None:
    widths = [width for _, width in MODULE._widths(list(PANELS[:count]))]
    lines = -(-count // 4)
    assert len(widths) == count
    assert sum(widths) == 24 * lines


def test_no_two_queries_of_a_panel_have_one_name() -> None:
    for drawn in DRAWN:
        refs = [target["refId"] for target in drawn.get("targets", ())]
        assert len(set(refs)) == len(refs)
