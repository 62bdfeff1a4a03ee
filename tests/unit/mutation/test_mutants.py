import ast

from tests.mutation.mutants import Name, mutants, shortened, uses


def names(source: str) -> set[tuple[str, str, str]]:
    return {(each.name.function, each.name.was, each.name.now) for each in mutants(ast.parse(source))}


def changes(statement: str, before: str = "") -> set[str]:
    source = f"def f(a, b, c):\n    {before or 'pass'}\n    {statement}\n"
    return {now for _, was, now in names(source) if was != before}


def test_a_boundary_is_moved_and_each_side_of_a_condition_dropped() -> None:
    assert changes("if a < b and c: g()") == {"if a <= b and c:", "if c:", "if a < b:", "(removed)"}


def test_a_condition_is_negated_where_no_other_change_is() -> None:
    assert changes("if a: g()") == {"if not a:", "(removed)"}


def test_a_statement_is_removed_only_where_its_function_still_runs() -> None:
    assert changes("b = a") == {"(removed)"}
    assert changes("d = a") == set()
    assert changes("self.x = a") == {"(removed)"}


def test_numbers_signs_and_truths_change_and_texts_do_not() -> None:
    assert changes("return a + 1") == {"return None", "return a - 1", "return a + 2"}
    assert changes("return 'a'") == set()
    assert changes("return True") == {"return False"}
    assert changes("return -b") == {"return None", "return b"}


def test_arguments_are_swapped_and_named_ones_left_out() -> None:
    assert changes("return g(a, b, d=c)") == {"return None", "return g(a, b)", "return g(b, a, d=c)"}
    assert changes("return min(a, b)") == {"return None", "return max(a, b)"}


def test_logs_messages_and_assertions_are_left_alone() -> None:
    assert changes("_log.info('x', a=a + 1)") == set()
    assert changes("self._meter.count(a + 1)") == set()
    assert changes("assert a < b") == set()
    assert changes("raise ValueError(a + 1)") == {"(removed)"}


def test_a_handler_raises_a_guard_goes_and_a_block_loses_its_context() -> None:
    assert "except KeyError: raise" in changes("try: g()\n    except KeyError: h()")
    assert "case d:" in changes("match a:\n        case d if b: g()")
    assert "(removed), its body stays" in changes("with a: g()")


def test_what_only_keeps_the_least_has_no_boundary() -> None:
    assert changes("if a < b: b = a") == {"(removed)"}


def test_a_mutant_is_named_by_its_content_wherever_it_stands() -> None:
    plain = "class A:\n    def f(self):\n        return self.x < 1\n"
    moved = (
        "import os\n\n\nclass A:\n    def f(self):\n        return (\n            self.x\n            < 1\n        )\n"
    )
    assert names(plain) == names(moved)
    assert ("A.f", "return self.x < 1", "return self.x <= 1") in names(plain)


def test_of_a_long_statement_a_name_holds_what_is_near_the_change() -> None:
    many = ", ".join(f"argument_{number}" for number in range(20))
    assert shortened("return 1", "return 2") == ("return 1", "return 2")
    for was, now in ((f"f({many}, a < b, {many})", f"f({many}, a <= b, {many})"), (f"1 + f({many})", f"2 + f({many})")):
        short = shortened(was, now)
        assert max(map(len, short)) < 100
        assert short[0] != short[1]
        assert short[0].strip("…") in was
        assert short[1].strip("…") in now


def test_a_constant_of_a_module_is_changed_too_and_known_by_the_lines_that_read_it() -> None:
    source = "X = 5\ndef f():\n    return X\n"
    assert ("<module>", "X = 5", "X = 6") in names(source)
    assert list(uses(ast.parse(source), "X")) == [3]


def test_a_change_is_undone_when_it_is_put_back() -> None:
    tree = ast.parse("def f(a):\n    return a < 1\n")
    whole = ast.dump(tree)
    for each in mutants(tree):
        old = each.swap()
        assert ast.dump(tree) != whole
        each.put_back(old)
        assert ast.dump(tree) == whole


def test_names_are_ordered() -> None:
    assert Name("a", "b", "c") < Name("a", "b", "d")
