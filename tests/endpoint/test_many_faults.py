"""Many kinds of fault at once: nothing is lost, nothing is paid twice, and the limit holds."""

from endpoint.faulty import KINDS, ask_through_faults


def test_no_reply_is_lost_or_doubled_and_the_limit_holds(tmp_path):
    # A late answer costs its whole deadline; deadlines have a test of their own.
    kinds = tuple(kind for kind in KINDS if kind != "late")
    outcome = ask_through_faults(tmp_path, 400, 64, 0.2, kinds=kinds)
    assert (outcome.lost, outcome.doubled) == (0, 0)
    assert set(outcome.faults) == set(kinds)
    assert 0.7 * outcome.limit < outcome.billed_within <= outcome.limit
    assert outcome.billed <= outcome.reckoned, "what is not stated is reckoned, and never below the bill here"
