"""Waits between attempts: longer and longer, up to a limit."""

from payments_sandbox.back_off import BackOff


def test_the_waits_double_up_to_a_limit_and_begin_anew_after_a_success() -> None:
    """
    One second, two, four and so on up to a minute; however often it failed.
    """
    back_off = BackOff(1, 60)

    waits = [back_off.wait_s() for _ in range(9)]
    back_off.reset()

    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert [back_off.wait_s(), back_off.wait_s()] == [1, 2]
