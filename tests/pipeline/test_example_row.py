"""The booking that the documents send keeps the contract of the example."""

import json
from pathlib import Path

from holdtrue.data.contract_yaml import read_yaml
from holdtrue.serving.odd import read_odd
from holdtrue.serving.reader import Reader

EXAMPLE = Path(__file__).parents[2] / "examples" / "hotel_cancellations"


def test_the_booking_that_is_shown_can_be_asked_about() -> None:
    contract = read_yaml((EXAMPLE / "contract.yaml").read_text())
    booking = json.loads((EXAMPLE / "booking.json").read_text())
    wanted = [name for name in contract.names if name in booking]
    assert set(contract.names) - set(wanted) <= {
        "is_canceled", "reservation_status", "reservation_status_date", "assigned_room_type",
    }  # fmt: skip
    typed = Reader(contract, wanted=wanted, odd=read_odd).read({name: [booking[name]] for name in wanted}, 1)
    assert (typed.rows, len(typed.numbers) + len(typed.texts)) == (1, len(wanted))
