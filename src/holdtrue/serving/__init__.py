"""Releases answer: the fast data plane, its receipts, and the supervisor that keeps it up.

The path through this package, in the order of a request:
    listening.py    the sockets of an endpoint
    http.py         one connection; intake.py reads its bytes, exchange.py holds a request and its answer
    site.py         the table of routes, each with its permission; unpacking.py for compressed bodies
    doorman.py      who calls (callers.py, tokens.py, oidc.py, jwks.py), and quotas.py how much
    endpoint.py     which path answers what; openapi.py describes it, labelling.py reads labels
    forms.py        the protocols by name, in wire/; ask.py is what they all say
    router.py       which release answers
    reader.py       what a request says becomes typed columns; odd.py for the cells that are not plainly right
    lane.py         the requests of one tick make one batch; cache.py for rows that come again
    model.py        typed columns through the graph, as packing.py lays it out
    scribe.py       the receipt, before the answer; sealing.py for what belongs to a person

    grpc_plane.py   the same over gRPC: grpc_connection.py is its HTTP/2, grpc_call.py one call with its
                    grpc_messages.py, grpc_conversation.py many requests in one
    replica.py      the same without sockets, for servers that have theirs

    plan.py         what a worker needs of a release
    worker.py       one process that answers; host.py says what it computes with
    supervisor.py   keeps the workers up, each by a hand.py; control.py is what they say to each other
    manage.py       the plane for those who run it; metrics.py what is counted
"""
