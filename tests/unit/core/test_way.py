from broker.core.way import SHRINKS_BY, WAY_MAX_MS, WAY_MIN_MS, Way


def test_a_way_is_as_long_as_any_until_answers_say_otherwise() -> None:
    assert Way().ms == WAY_MAX_MS == 1_000


def test_every_answer_that_agrees_takes_one_part_of_it() -> None:
    way = Way()
    way.agreed()
    assert way.ms == 1_000 - 1_000 // SHRINKS_BY == 993
    way.agreed()
    assert way.ms == 993 - 7


def test_a_way_never_shrinks_below_the_shortest_and_reaches_it() -> None:
    way = Way()
    for _ in range(600):
        way.agreed()
        assert way.ms >= WAY_MIN_MS
    assert way.ms == WAY_MIN_MS == 120


def test_one_surprise_doubles_a_way_and_the_longest_bounds_it() -> None:
    way = Way()
    for _ in range(600):
        way.agreed()
    lengths = []
    for _ in range(5):
        way.surprised()
        lengths.append(way.ms)
    assert lengths == [240, 480, 960, 1_000, 1_000]


def test_after_a_surprise_a_way_shrinks_as_slowly_as_before() -> None:
    way = Way()
    for _ in range(600):
        way.agreed()
    way.surprised()
    agreed = 0
    while way.ms > WAY_MIN_MS:
        way.agreed()
        agreed += 1
    assert agreed > SHRINKS_BY // 2  # it takes far more answers to trust than one to distrust
