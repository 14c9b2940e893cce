"""How long a database accepts no writes."""

from payments_adapters.postgres.writability import Writability


def test_a_database_that_lost_its_writes_has_lost_them_since_the_first_time() -> None:
    """
    However often it is reported; once it accepts them again, the time starts again.
    """
    times = [100.0]
    writability = Writability(lambda: times[-1])
    told = [(writability.is_lost, writability.lost_for_s)]
    for now in (110.0, 113.0):
        times.append(now)
        writability.lose()
        told.append((writability.is_lost, writability.lost_for_s))
    writability.regain()
    times.append(120.0)
    told.append((writability.is_lost, writability.lost_for_s))
    writability.lose()
    told.append((writability.is_lost, writability.lost_for_s))

    assert told == [(False, 0), (True, 0), (True, 3), (False, 0), (True, 0)]
