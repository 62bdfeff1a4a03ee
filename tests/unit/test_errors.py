"""The tree's axis is what the caller does next."""

import copy
import pickle

import pytest

from headrace.broker import errors
from headrace.schemas.outcome import Completed, Failed


@pytest.mark.parametrize(
    ("error", "parent", "exit_code"),
    [
        (errors.InvalidRequest("x"), errors.NotSubmitted, 2),
        (errors.LogUnavailable("x"), errors.NotSubmitted, 3),
        (errors.WaitTimedOut("x"), errors.Unresolved, 3),
        (errors.Disconnected("x"), errors.Unresolved, 3),
        (errors.SettingsError("x"), errors.ServiceError, 2),
        (errors.RightsError("x"), errors.ServiceError, 2),
        (errors.AuthenticationError("x"), errors.ServiceError, 2),
        (errors.MissingTopic("x"), errors.ServiceError, 2),
        (errors.Unreachable("x"), errors.ServiceError, 3),
    ],
)
def test_every_error_has_its_place_and_its_exit_code(
    error: errors.HeadraceError, parent: type[errors.HeadraceError], exit_code: int
) -> None:
    assert isinstance(error, parent)
    assert error.exit_code == exit_code


def test_every_error_is_in_the_drawing() -> None:
    kinds = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.HeadraceError)]
    assert [one.__name__ for one in kinds if one.__name__ not in (errors.__doc__ or "")] == []


def test_a_failed_generation_carries_its_outcome() -> None:
    outcome = Failed(id="a", reason="rejected", message="No.")
    error = errors.GenerationFailed(outcome)
    assert (error.outcome, str(error)) == (outcome, "a failed (rejected): No.")


def test_missing_topics_are_named_with_the_verb_that_creates_them() -> None:
    assert str(errors.MissingTopic("a")) == "The topic a does not exist: run `headrace topics create`."
    assert str(errors.MissingTopic("a", hidden_from="user u")) == (
        "The topic a is missing, or hidden from user u by an ACL: grant DESCRIBE on it, which READ and WRITE include, "
        "or run `headrace topics create`."
    )
    assert str(errors.MissingTopic("b", "a")) == "The topics a, b do not exist: run `headrace topics create`."
    assert str(errors.MissingTopic("a", "b", hidden_from="user u")).startswith(
        "The topics a, b are missing, or hidden from user u by an ACL: grant DESCRIBE on them, which "
    )


def everything() -> list[errors.HeadraceError]:
    """One of each error, made as it is made where it is raised."""
    failed, done = Failed(id="a", reason="rejected", message="No."), Completed(id="a", response={"choices": []})
    made = {
        errors.AnswerUnusable: errors.AnswerUnusable(done, "empty", "the answer has no text."),
        errors.GenerationFailed: errors.GenerationFailed(failed),
        errors.OutcomeUnreadable: errors.OutcomeUnreadable(failed),
        errors.IdConflict: errors.IdConflict("a", ("tenant",), mend="choose a new id"),
        errors.MissingTopic: errors.MissingTopic("t", "u"),
    }
    kinds = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.HeadraceError)]
    return [made.get(kind) or kind("x") for kind in kinds]


@pytest.mark.parametrize("error", everything(), ids=lambda error: type(error).__name__)
def test_an_error_comes_back_from_another_process_as_it_was(error: errors.HeadraceError) -> None:
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301  # our own bytes
        assert (type(again), str(again), again.args, vars(again)) == (type(error), str(error), error.args, vars(error))
