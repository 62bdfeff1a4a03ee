from headrace.broker.core.answers.answer import Answer


def test_an_answer_that_is_whole_states_nothing_else_unless_told() -> None:
    whole = Answer(200, {}, None, None, None, "")
    assert (whole.early, whole.details) == (False, ())


def test_a_whole_answer_differs_from_the_headers_that_came_before_it() -> None:
    assert Answer(200, {}, None, None, None, "") != Answer(200, {}, None, None, None, "", early=True)
