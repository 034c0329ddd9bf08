"""The family tree of errors: what one `except` clause catches."""

from __future__ import annotations

import inspect

import pytest

from maskrl import errors

MASK_ERRORS = [
    errors.MaskShapeError,
    errors.MaskDtypeError,
    errors.NoAllowedActionError,
    errors.DisallowedActionError,
    errors.NonFiniteLogitsError,
]
USAGE_ERRORS = [
    errors.UnknownEnvError,
    errors.NoMaskError,
    errors.ConfigError,
    errors.NoReferenceError,
    errors.RunFolderError,
]


def test_one_clause_catches_everything_raised_on_purpose():
    classes = [c for _, c in inspect.getmembers(errors, inspect.isclass)]
    assert [c for c in classes if not issubclass(c, errors.MaskrlError)] == []


@pytest.mark.parametrize("error", MASK_ERRORS)
def test_mask_errors_are_value_errors(error):
    assert issubclass(error, errors.MaskError)
    assert issubclass(error, ValueError)
    assert not issubclass(error, errors.UsageError)


@pytest.mark.parametrize("error", USAGE_ERRORS)
def test_usage_errors_are_no_mask_errors(error):
    assert issubclass(error, errors.UsageError)
    assert not issubclass(error, errors.MaskError)


def test_a_wrong_dtype_is_also_a_type_error():
    assert issubclass(errors.MaskDtypeError, TypeError)


def test_a_run_folder_error_shows_its_message_and_not_an_errno():
    assert str(errors.RunFolderError("runs/a exists already")) == "runs/a exists already"


def test_every_error_says_what_it_means():
    classes = [c for _, c in inspect.getmembers(errors, inspect.isclass)]
    assert [c.__name__ for c in classes if not c.__doc__] == []
