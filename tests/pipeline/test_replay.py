"""Predictions are made again to the bit; what is not the same is told, with its cause."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from holdtrue.core.errors import Misuse, Refused
from holdtrue.data.traffic.compact import compact
from holdtrue.data.traffic.receipt import Receipt
from holdtrue.pipeline.forgetting import forget
from holdtrue.pipeline.keeping import Keeper
from holdtrue.pipeline.progress import silent
from holdtrue.pipeline.replay import MISSING, MOST_TOLD, TAMPERED, Ready, Replayed, replay
from holdtrue.serving.host import Host, host_file, this_host
from tests.pipeline.recorded import NOW, PROJECT, STREAM, Recorder, Request, every_wire, row

AGES = (19.0, 23.5, 31.0, 44.0, 52.0, 60.5, 71.0)


def again(
    recorder: Recorder, prediction: str | None = None, since: int | None = None, until: int | None = None
) -> Replayed:
    return replay(
        recorder.keeper, prediction=prediction, since_us=since, until_us=until, tell=silent, again=recorder.again()
    )


def batch(ages: Sequence[float] = AGES) -> list[Request]:
    return [row(age) for age in ages]


def causes(done: Replayed) -> set[str]:
    return {each.cause for each in done.differences}


def the_host(keeper: Keeper, **changes: object) -> None:
    """Say that the receipts were made elsewhere."""
    path = host_file(keeper.home.path / "traffic" / PROJECT, STREAM)
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(this_host(), **changes)))


def segment(keeper: Keeper) -> Path:
    (found,) = (keeper.home.path / "traffic" / PROJECT).glob("*.seg")
    found.chmod(0o600)
    return found


def other_bits(receipt: Receipt) -> Receipt:
    changed = bytearray(receipt.outputs)
    changed[0] ^= 1
    return msgspec.structs.replace(receipt, outputs=bytes(changed))


def test_every_form_of_a_request_is_read_again(recorder: Recorder) -> None:
    for request in every_wire():
        recorder.answer([request])
    recorder.answer(every_wire())
    recorder.write()
    done = again(recorder)
    assert (done.predictions, done.equal, done.rows) == (10, 10, 22)
    assert done.same


def test_a_request_that_came_by_grpc_is_read_again(recorder: Recorder) -> None:
    messages = pytest.importorskip("holdtrue.serving.grpc_messages")
    tensor = messages.KINDS["InferInputTensor"]
    inputs = [
        tensor(name="age", datatype="FP64", shape=[1, 1], contents={"fp64_contents": [37.5]}),
        tensor(name="city", datatype="BYTES", shape=[1, 1], contents={"bytes_contents": [b"Oslo"]}),
    ]
    asked = messages.KINDS["OpenInferRequest"](model_name=PROJECT, inputs=[each.SerializeToString() for each in inputs])
    recorder.answer([Request(wire="grpc", body=asked.SerializeToString()), row(30.0)])
    recorder.write()
    assert again(recorder).equal == 2


def test_a_batch_is_made_again_as_a_batch_where_rows_alone_have_other_bits(recorder: Recorder) -> None:
    receipts = recorder.answer(batch())
    recorder.write()
    alone = [
        verdict
        for one in receipts
        for _, verdict in recorder.again().run([msgspec.structs.replace(one, place=0)])
        if verdict != "equal"
    ]
    assert alone, "this graph shows nothing: its answers do not depend on the batch"
    assert again(recorder).equal == len(AGES)


def test_one_prediction_is_made_again_among_its_batch(recorder: Recorder) -> None:
    receipts = recorder.answer(batch())
    recorder.write()
    for one in receipts:
        done = again(recorder, one.id)
        assert (done.predictions, done.equal, done.same) == (1, 1, True)


def test_a_span_of_time_takes_whole_batches(recorder: Recorder) -> None:
    times = [recorder.answer(batch())[0].time_us for _ in range(4)]
    recorder.write()
    assert again(recorder, since=times[1], until=times[3]).equal == 2 * len(AGES)
    assert again(recorder, since=times[3]).equal == len(AGES)
    assert again(recorder, until=times[0]).predictions == 0


def test_streams_of_several_processes_do_not_mix_their_batches(keeper: Keeper, waves_ready: Ready) -> None:
    recorder = Recorder(keeper=keeper, ready=waves_ready)
    for stream in (1, 2, 3):
        recorder = Recorder(keeper=keeper, ready=waves_ready, stream=stream)
        recorder.answer(batch())
        recorder.answer(batch(AGES[:3]))
        recorder.write()
    assert again(recorder).equal == 3 * (len(AGES) + 3)


def test_what_was_compacted_is_made_again_too(keeper: Keeper, recorder: Recorder) -> None:
    first = recorder.answer(batch())[3]
    recorder.write()
    assert compact(keeper.home.path / "traffic").parts
    assert again(recorder).equal == len(AGES)
    assert again(recorder, first.id).equal == 1


def test_another_library_is_named_as_the_cause(keeper: Keeper, recorder: Recorder) -> None:
    recorder.receipts[:] = [other_bits(one) for one in recorder.answer(batch())]
    recorder.write()
    the_host(keeper, libraries={**this_host().libraries, "onnxruntime": "0.9"})
    done = again(recorder)
    assert done.different == len(AGES)
    (cause,) = causes(done)
    assert cause.startswith("onnxruntime 0.9 then, ")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"features": (*this_host().features, "avx9000")}, "the processor is without avx9000 now"),
        ({"machine": "s390x"}, "a s390x then, "),
        ({"processor": "Abacus 3"}, "another processor: Abacus 3 then, "),
        ({"provider": "CUDAExecutionProvider"}, "the provider CUDAExecutionProvider then, "),
    ],
)
def test_another_processor_is_named_as_the_cause(
    keeper: Keeper, recorder: Recorder, changes: dict[str, object], said: str
) -> None:
    recorder.receipts[:] = [other_bits(one) for one in recorder.answer(batch(AGES[:1]))]
    recorder.write()
    the_host(keeper, **changes)
    (cause,) = causes(again(recorder))
    assert said in cause


def test_a_record_that_was_changed_whole_is_found_by_its_answer(recorder: Recorder) -> None:
    receipts = recorder.answer(batch())
    recorder.receipts[2] = other_bits(receipts[2])
    recorder.write()
    done = again(recorder)
    assert [(each.prediction, each.cause) for each in done.differences] == [(receipts[2].id, TAMPERED)]
    assert done.equal == len(AGES) - 1
    assert not done.damaged
    assert not done.same


@pytest.mark.parametrize(
    "changes",
    [
        {"body": b'{"age": 20, "city": "Oslo"}'},
        {"body": b'{"age": 20'},
        {"body": b'{"age": 400, "city": "Oslo"}'},
        {"body": b'[{"age": 20, "city": "Oslo"}, {"age": 20, "city": "Oslo"}]'},
        {"wire": "v2:99999"},
        {"wire": "morse"},
        {"rows": 2},
        {"rows": 2**62},
        {"release": "a" * 64},
        {"subject": "somebody"},
        {"outputs": b""},
    ],
    ids=str,
)
def test_whatever_was_changed_in_a_record_the_others_of_its_batch_are_still_made_again(
    recorder: Recorder, changes: dict[str, object]
) -> None:
    receipts = recorder.answer(batch([33.0] * 5))
    recorder.receipts[3] = msgspec.structs.replace(receipts[3], **changes)  # type: ignore[arg-type]  # fields of a receipt
    recorder.write()
    done = again(recorder)
    assert done.predictions == 5
    assert {each.prediction for each in done.differences} == {receipts[3].id}


@pytest.mark.parametrize("place", [1, 2, 5, 4_000, 2**62])
def test_whatever_a_record_says_of_its_place_the_others_are_still_made_again(recorder: Recorder, place: int) -> None:
    receipts = recorder.answer(batch([33.0] * 5))
    recorder.receipts[3] = msgspec.structs.replace(receipts[3], place=place)
    recorder.write()
    assert again(recorder).predictions == 5
    assert {each.prediction for each in again(recorder).differences} <= {receipts[3].id}


def test_a_release_that_is_gone_is_told_for_each_prediction(keeper: Keeper, recorder: Recorder) -> None:
    recorder.answer(batch())
    recorder.write()
    shutil.rmtree(keeper.home.releases / recorder.model.about.digest)
    done = replay(keeper, prediction=None, since_us=None, until_us=None, tell=silent)
    assert done.different == len(AGES)
    assert {each.what for each in done.differences} == {"its release cannot be used"}
    assert all("is not there" in cause for cause in causes(done))


def test_a_release_that_was_tampered_with_answers_nothing(keeper: Keeper, recorder: Recorder) -> None:
    recorder.answer(batch(AGES[:1]))
    recorder.write()
    model = keeper.home.releases / recorder.model.about.digest / "model.onnx"
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 4
    model.chmod(0o600)
    model.write_bytes(data)
    (told,) = replay(keeper, prediction=None, since_us=None, until_us=None, tell=silent).differences
    assert told.what == "its release cannot be used"
    assert "model.onnx" in told.cause


def test_where_a_receipt_of_the_batch_is_missing_other_rows_stand_in(recorder: Recorder) -> None:
    receipts = recorder.answer(batch())
    recorder.write(leave_out=[receipts[0], receipts[4]])
    assert again(recorder).equal == len(AGES) - 2


def test_a_difference_among_missing_receipts_accuses_nobody(recorder: Recorder) -> None:
    receipts = recorder.answer(batch())
    recorder.receipts[3] = other_bits(receipts[3])
    recorder.write(leave_out=[receipts[0]])
    assert causes(again(recorder)) == {MISSING}


def test_without_a_word_about_the_process_nothing_is_guessed(recorder: Recorder) -> None:
    recorder.receipts[:] = [other_bits(one) for one in recorder.answer(batch(AGES[:1]))]
    recorder.write(host=False)
    assert causes(again(recorder)) == {"nothing is known of the process that made it"}


def test_a_flipped_bit_is_told_as_damage(keeper: Keeper, recorder: Recorder) -> None:
    receipts = [recorder.answer(batch(AGES[:2]))[0] for _ in range(3)]
    recorder.write()
    path = segment(keeper)
    data = bytearray(path.read_bytes())
    data[data.index(receipts[1].id.encode()) + 60] ^= 1
    path.write_bytes(data)
    done = again(recorder)
    assert done.damaged
    assert not done.same
    with pytest.raises(Refused, match="damaged"):
        again(recorder, receipts[1].id)


def test_only_the_first_differences_are_told_and_all_are_counted(recorder: Recorder) -> None:
    recorder.receipts[:] = [other_bits(one) for one in recorder.answer(batch([30.0] * 50))]
    recorder.write()
    done = again(recorder)
    assert (done.different, len(done.differences)) == (50, MOST_TOLD)


def test_who_was_forgotten_is_counted_and_the_rest_made_again(keeper: Keeper, recorder: Recorder) -> None:
    people = ["anna", "berta", "", "anna", "clara"]
    receipts = recorder.answer([row(age, person=person) for age, person in zip(AGES, people, strict=False)])
    recorder.write()
    assert b"Oslo" not in receipts[0].body
    assert "anna" not in receipts[0].subject
    assert again(recorder).equal == 5
    assert forget(keeper, "anna", now=NOW).key
    done = again(recorder)
    assert (done.equal, done.forgotten, done.different, done.same) == (3, 2, 0, True)
    assert not forget(keeper, "anna", now=NOW).anything
    assert [entry.subject for entry in keeper.ledger().rows if entry.action == "person forgotten"] == [""]


def test_without_the_store_of_keys_nothing_is_called_forgotten(keeper: Keeper, recorder: Recorder) -> None:
    recorder.answer([row(30.0, person="anna")])
    recorder.write()
    (keeper.home.keys / "subjects").unlink()
    done = again(recorder)
    assert (done.forgotten, done.different) == (0, 1)
    with pytest.raises(Misuse, match="sealed"):
        forget(keeper, "anna", now=NOW)


def test_a_prediction_that_never_was_is_misuse(recorder: Recorder) -> None:
    recorder.write()
    with pytest.raises(Misuse):
        again(recorder, "018bcfe568007abcb7bc040000000001")


def test_a_host_says_itself_what_it_is() -> None:
    here = this_host()
    assert msgspec.json.decode(msgspec.json.encode(here), type=Host) == here
    assert here.libraries.keys() == {"holdtrue", "onnxruntime", "numpy"}
