"""The keyring: two keys, kept apart and kept in."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable

import pytest

from semantic_core.domain.errors import (
    InvalidKeyError,
    KeyringNotSerializableError,
    MissingBatchKeyError,
    MissingDefaultKeyError,
)
from semantic_core.providers.gemini import GeminiBatchClient
from semantic_core.providers.gemini.keyring import GoogleKeyring
from support.keys import canary

DEFAULT = canary("default-1f2e3d")
BATCH = canary("batch-9a8b7c")


@pytest.fixture
def keyring() -> GoogleKeyring:
    return GoogleKeyring(default_key=DEFAULT, batch_key=BATCH)


def test_each_call_gets_its_own_key(keyring: GoogleKeyring) -> None:
    assert keyring.get_default_key() == DEFAULT
    assert keyring.get_batch_key() == BATCH
    assert keyring.live_available
    assert keyring.batch_available


def test_batching_never_falls_back_to_the_default_key() -> None:
    keyring = GoogleKeyring(default_key=DEFAULT)
    assert not keyring.batch_available
    with pytest.raises(MissingBatchKeyError, match="GEMINI_BATCH_API_KEY"):
        keyring.get_batch_key()


def test_live_calls_never_fall_back_to_the_batch_key() -> None:
    keyring = GoogleKeyring(batch_key=BATCH)
    assert not keyring.live_available
    with pytest.raises(MissingDefaultKeyError, match="GEMINI_API_KEY"):
        keyring.get_default_key()


@pytest.mark.parametrize(
    "key",
    ["", " ", "\n", "two words", " padded", "line\n", "tab\tbed", "non\u00a0breaking", "k\0y"],
)
@pytest.mark.parametrize("name", ["default_key", "batch_key"])
def test_what_cannot_be_a_key_is_refused_and_not_shown(name: str, key: str) -> None:
    with pytest.raises(InvalidKeyError) as caught:
        GoogleKeyring(**{name: key})
    assert name.partition("_")[0] in str(caught.value)
    assert not key.strip() or key not in str(caught.value)


def test_a_key_that_is_no_string_is_refused_and_not_shown() -> None:
    with pytest.raises(InvalidKeyError, match="bytes") as caught:
        GoogleKeyring(default_key=DEFAULT.encode())  # type: ignore[arg-type]
    assert DEFAULT not in str(caught.value)


def test_one_key_for_both_warns_about_billing() -> None:
    with pytest.warns(UserWarning, match="billed to one project") as caught:
        keyring = GoogleKeyring(default_key=DEFAULT, batch_key=DEFAULT)
    assert DEFAULT not in str(caught[0].message)
    assert keyring.get_batch_key() == DEFAULT


def test_keys_come_from_the_environment() -> None:
    keyring = GoogleKeyring.from_env({"GEMINI_API_KEY": DEFAULT, "GEMINI_BATCH_API_KEY": BATCH})
    assert (keyring.get_default_key(), keyring.get_batch_key()) == (DEFAULT, BATCH)


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_BATCH_API_KEY", BATCH)
    keyring = GoogleKeyring.from_env()
    assert keyring.get_batch_key() == BATCH
    assert not keyring.live_available


def test_the_sdk_s_own_variable_serves_as_default_key_only() -> None:
    keyring = GoogleKeyring.from_env({"GOOGLE_API_KEY": canary("from-google")})
    assert keyring.get_default_key() == canary("from-google")
    assert not keyring.batch_available
    both = GoogleKeyring.from_env(
        {"GOOGLE_API_KEY": canary("from-google"), "GEMINI_API_KEY": DEFAULT}
    )
    assert both.get_default_key() == DEFAULT


def test_an_empty_variable_counts_as_absent() -> None:
    keyring = GoogleKeyring.from_env(
        {"GEMINI_API_KEY": "", "GOOGLE_API_KEY": canary("from-google")}
    )
    assert keyring.get_default_key() == canary("from-google")
    assert not GoogleKeyring.from_env({"GEMINI_API_KEY": ""}).live_available


def test_a_bad_variable_is_named_and_not_shown() -> None:
    with pytest.raises(InvalidKeyError, match="GEMINI_BATCH_API_KEY") as caught:
        GoogleKeyring.from_env({"GEMINI_BATCH_API_KEY": f"{BATCH}\n"})
    assert BATCH not in str(caught.value)


@pytest.mark.parametrize("show", [repr, str, format, "{:>80}".format, "{!r}".format, ascii])
def test_keys_are_masked_wherever_a_keyring_is_shown(
    keyring: GoogleKeyring, show: Callable[[object], str]
) -> None:
    shown = show(keyring)
    assert DEFAULT not in shown
    assert BATCH not in shown
    assert "GoogleKeyring(default_key='***', batch_key='***')" in shown


def test_a_missing_key_shows_as_missing() -> None:
    assert (
        repr(GoogleKeyring(batch_key=BATCH)) == "GoogleKeyring(default_key=None, batch_key='***')"
    )


@pytest.mark.parametrize(
    "leak",
    [
        copy.copy,
        copy.deepcopy,
        lambda keyring: copy.deepcopy({"settings": [keyring]}),
        *(
            lambda keyring, p=p: pickle.dumps(keyring, p)
            for p in range(pickle.HIGHEST_PROTOCOL + 1)
        ),
        lambda keyring: keyring.__getstate__(),
    ],
)
def test_a_keyring_cannot_be_copied_or_pickled(
    keyring: GoogleKeyring, leak: Callable[[object], object]
) -> None:
    with pytest.raises(KeyringNotSerializableError, match="from_env") as caught:
        leak(keyring)
    assert DEFAULT not in str(caught.value)


def test_a_keyring_has_no_dict_to_leak_from(keyring: GoogleKeyring) -> None:
    with pytest.raises(TypeError):
        vars(keyring)
    with pytest.raises(TypeError):
        json.dumps(keyring)
    assert DEFAULT not in json.dumps({"keyring": keyring}, default=str)


@pytest.mark.parametrize("name", ["_default_key", "_batch_key", "default_key", "anything"])
def test_a_keyring_cannot_be_changed(keyring: GoogleKeyring, name: str) -> None:
    with pytest.raises(AttributeError, match="cannot be changed"):
        setattr(keyring, name, "other")
    with pytest.raises(AttributeError, match="cannot be changed"):
        delattr(keyring, name)
    assert keyring.get_default_key() == DEFAULT


def test_an_account_names_the_batch_key_without_giving_it_away(keyring: GoogleKeyring) -> None:
    """HMAC-SHA256 under the salt: computed once by hand, so that stored ones stay valid."""

    def account(keyring: GoogleKeyring, salt: str = "salt") -> str:
        with GeminiBatchClient.from_keyring(keyring) as client:
            return client.account(salt)

    name = account(keyring)
    assert name == "461be9e3fc8ef775659ccadb1243ac399384ab648272337757db8e2cd59d18e0"
    assert account(GoogleKeyring(default_key=canary("other"), batch_key=BATCH)) == name
    assert account(keyring, "other salt") != name
    assert account(GoogleKeyring(batch_key=canary("other-batch"))) != name
