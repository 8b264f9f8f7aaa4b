"""What is done about a release that grows stale: a controller that decides, and remembers why.

`controller.py` is a pure function of a state and an event; who does what it decides lies elsewhere.

The path through this package:
    events.py       what the controller is told
    actions.py      what it asks for
    policy.py       what it may do by itself
    state.py        all that it knows
    turn.py         one step as it is made
    brakes.py       what starts a training, and what holds it back
    challenge.py    trained, proven, compared, approved
    rollout.py      shadow, canary, guard, and back
    controller.py   step(state, event, policy) -> (state, actions)
"""
