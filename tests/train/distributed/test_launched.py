"""What a launched process arranges and says: asked without a launcher and without a network."""

from __future__ import annotations

import os

import pytest

from train.distributed.launcher import own_address, use_own_interface
from train.distributed.team import Team, network_reason

# As Paddle 3.3 has raised them; the last ones with FLAGS_call_stack_level=2, and by its source.
GLOO = "[/paddle/third_party/gloo/gloo/transport/tcp/pair.cc:784] connect [127.0.0.1]:5: Refused"
NO_NAME = """(InvalidArgument)  network host-2: cannot be obtained. Details: no such name.
  [Hint: Expected n == 0, but received n:-3 != 0:0.] (at /paddle/paddle/phi/core/distributed/store/tcp_utils.cc:63)
"""  # noqa: E501
STACK = f"""

--------------------------------------
C++ Traceback (most recent call last):
--------------------------------------
0   phi::distributed::detail::TCPServer::create(unsigned short)

----------------------
Error Message Summary:
----------------------
InvalidArgumentError: {NO_NAME.partition("  ")[2]}"""
NCCL = "(External) NCCL error(2), unhandled system error. (at /paddle/nccl_tools.cc:61)"

BACKWARD = f"""(External)
{{
    ======== Error message in backward of GradNodePyLayer__SumOverProcesses(0x55) ========
    RuntimeError: {GLOO}

    At:
      /train/sync_bn.py(73): backward
}}
 (at /paddle/paddle/fluid/eager/pylayer/py_layer_node.cc:177)"""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (BACKWARD, "connect [127.0.0.1]:5: Refused"),
        (GLOO, "connect [127.0.0.1]:5: Refused"),
        (NO_NAME, "network host-2: cannot be obtained. Details: no such name"),
        (STACK, "network host-2: cannot be obtained. Details: no such name"),
        (NCCL, "NCCL error(2), unhandled system error. (at /paddle/nccl_tools.cc:61)"),
    ],
)
def test_an_error_of_the_network_is_told_by_its_reason(text: str, reason: str) -> None:
    assert network_reason(RuntimeError(text)) == network_reason(OSError(text)) == reason
    here, there = ("this machine", os.getpid()), ("that machine", 1)
    error = Team(0, 2, (here, there)).lost(RuntimeError(text), patience=0)
    assert error is not None
    assert f"({reason})" in str(error)
    assert Team(0, 1).lost(RuntimeError(text), patience=0) is None


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("Out of memory"),
        ValueError("a list of 3"),
        OSError(2, "No such file", "/data/gloo/x/1.mp4"),
    ],
)
def test_any_other_error_is_not(error: Exception) -> None:
    assert network_reason(error) is None
    assert Team(0, 2, (("this machine", os.getpid()),) * 2).lost(error, patience=0) is None


def test_gloo_takes_the_interface_of_the_launchers_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A loopback address says nothing of where the others are, and a user's choice stands."""
    # Set first, so that it is taken away afterwards, whoever has set it meanwhile.
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "")
    monkeypatch.delenv("GLOO_SOCKET_IFNAME")
    for endpoint, address in (("localhost:6070", "127.0.0.1"), ("127.0.0.1:6070", "127.0.0.1")):
        monkeypatch.setenv("PADDLE_CURRENT_ENDPOINT", endpoint)
        assert own_address() == address
        use_own_interface()
        assert "GLOO_SOCKET_IFNAME" not in os.environ
    monkeypatch.delenv("PADDLE_CURRENT_ENDPOINT")
    assert own_address() == ""
    monkeypatch.setattr("train.distributed.launcher._interface_of", {"10.0.0.7": "eth1"}.get)
    monkeypatch.setenv("PADDLE_CURRENT_ENDPOINT", "10.0.0.7:6070")
    for chosen, used in ((None, "eth1"), ("ib0", "ib0")):
        if chosen:
            monkeypatch.setenv("GLOO_SOCKET_IFNAME", chosen)
        use_own_interface()
        assert os.environ["GLOO_SOCKET_IFNAME"] == used
        monkeypatch.delenv("GLOO_SOCKET_IFNAME")
