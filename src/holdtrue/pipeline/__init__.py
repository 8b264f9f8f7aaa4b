"""The whole path walked once: from a project folder to a release in the registry.

The path through this package:
    workspace.py   the project folder and its store
    draft.py       a first project file for a data set
    prepare.py     snapshot, contract, typed columns, split
    learn.py       baselines, search, final fit, calibration, threshold
    make.py        the graph, its proof, and the candidate's name
    promising.py   what each promise says; judging.py measures it
    reporting.py   the report and the verdict
    run.py         all of it, and the release
    keeping.py     releases that are there; predicting.py, reproduce.py, why.py and doctor.py use them
    api.py         the same from Python

And of what is served:
    serve.py       the endpoint; replay.py, labels.py and why_prediction.py read its log
    label_join.py  what is true of the rows of a prediction, for all who ask
    watching.py    windows of traffic against what was learned; alarming.py tells of it, budgeting.py counts errors
    gathering.py   labelled traffic as rows; retraining.py learns from them, contested.py and comparing.py hold two
                   releases against each other
    canary.py      a challenger beside the champion
    why_now.py     what is wrong with any of these; why_store.py, why_traffic.py and why_service.py look
    looping.py     the worker of the loop: loop_looks.py sees, loop_store.py keeps, loop_deeds.py does
    simulation/    the loop on the past
"""
