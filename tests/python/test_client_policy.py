"""When to send again: what answers mean, `Retry-After`, and the pauses."""

import math
import random
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st
from idemkey.client import Retry, retry_after_seconds
from idemkey.client.policy import Meaning, meaning

seconds = st.floats(min_value=0, max_value=1e9, allow_nan=False)
retries = st.builds(
    Retry,
    attempts=st.integers(1, 10**6),
    base=seconds,
    cap=seconds,
    retry_after_cap=seconds,
)


class TestMeaning:
    @pytest.mark.parametrize("idempotent", [True, False])
    def test_of_each_status(self, idempotent):
        said = {status: meaning(status, None, idempotent) for status in range(200, 600)}
        by_meaning = {each: {s for s in said if said[s] is each} for each in Meaning}
        assert by_meaning[Meaning.UNSURE] == set(range(500, 600))
        assert by_meaning[Meaning.LATER] == {429}
        assert by_meaning[Meaning.REFUSED] == {401, 403, 404, 405, 407, 408, 421, 425, 426} | (
            set(range(300, 400)) - {303}
        )
        assert {200, 201, 303, 400, 402, 409, 410, 422} <= by_meaning[Meaning.DECIDED]

    def test_a_request_in_flight_is_waited_for_if_the_server_knows_keys_and_asks(self):
        assert meaning(409, "1", True) is Meaning.UNSURE
        assert meaning(409, "1", False) is Meaning.DECIDED
        assert meaning(422, "1", True) is Meaning.DECIDED


class TestRetryAfter:
    @given(st.integers(0, 10**400))
    def test_seconds(self, number):
        found = retry_after_seconds(f" {number} ")
        assert found == (float(number) if number < 10**300 else found) >= 0

    @given(st.datetimes(datetime(1971, 1, 1), datetime(2199, 1, 1)), st.integers(-(10**6), 10**6))
    def test_each_form_of_date(self, moment, ahead):
        then = moment.replace(microsecond=0, tzinfo=timezone.utc)
        now = (then - timedelta(seconds=ahead)).timestamp()
        forms = [format_datetime(then, usegmt=True), then.strftime("%a %b %d %H:%M:%S %Y")]
        if 1970 <= then.year < 2069:  # two digits do not say more
            forms.append(then.strftime("%A, %d-%b-%y %H:%M:%S GMT"))
        assert [retry_after_seconds(form, now) for form in forms] == [max(0, ahead)] * len(forms)

    @given(st.text())
    def test_whatever_it_says(self, text):
        found = retry_after_seconds(text)
        assert found is None or found >= 0

    @pytest.mark.parametrize("value", [None, "", "soon", "-1", "1.5", "1e3", "0x10", "\u0663"])
    def test_what_is_neither(self, value):
        assert retry_after_seconds(value) is None


class TestRetry:
    @given(retries, st.integers(1, 10**6), st.none() | st.floats(min_value=0), st.randoms())
    def test_a_pause_is_between_what_is_asked_and_the_ceiling(self, retry, failures, asked, rng):
        least = min(asked or 0.0, retry.retry_after_cap)
        most = min(retry.cap, retry.base * 2.0 ** min(failures - 1, 64))
        for uniform in (rng.uniform, lambda low, high: low, lambda low, high: high):
            assert least <= retry.delay(failures, asked, uniform) <= least + most * (1 + 1e-9)

    @given(retries, st.integers(1, 100))
    def test_the_ceiling_doubles_until_the_cap(self, retry, failures):
        def ceiling(n):
            return retry.delay(n, None, lambda low, high: high)

        assert ceiling(failures + 1) == pytest.approx(min(retry.cap, 2 * ceiling(failures)))

    def test_the_jitter_is_full(self, rng):
        retry = Retry(base=1.0, cap=8.0)
        drawn = sorted(retry.delay(3, None, rng.uniform) for _ in range(1000))
        quarters = [sum(low <= each < low + 1 for each in drawn) for low in range(4)]
        assert all(quarter > 150 for quarter in quarters), quarters  # 250 on average

    def test_two_callers_differ(self):
        pauses = [Retry(base=1e6, cap=1e6).delay(1, None) for _ in range(2)]
        assert pauses[0] != pauses[1], random.getstate()[1][0]

    @pytest.mark.parametrize(
        ("name", "value"),
        chain(
            [("attempts", 0), ("attempts", -1), ("deadline", 0)],
            ((name, bad) for name in ("base", "cap") for bad in (-1, math.inf, math.nan)),
            [("deadline", math.inf), ("retry_after_cap", -0.5)],
        ),
    )
    def test_bad_numbers_are_refused(self, name, value):
        with pytest.raises(ValueError, match=rf"{name} is .* must be"):
            Retry(**{name: value})

    @pytest.mark.parametrize(
        ("name", "value"), [("attempts", 1.5), ("attempts", True), ("base", "1"), ("cap", None)]
    )
    def test_bad_types_are_refused(self, name, value):
        with pytest.raises(TypeError, match=name):
            Retry(**{name: value})
