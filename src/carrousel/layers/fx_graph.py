"""torch.fx.symbolic_trace: a layer becomes one node of a model's graph, as torch.nn's layers do.

A tracer makes one node of a module only if its class is in torch.nn; for any other it records the operations of
forward. So forward records the node itself when it gets proxies, the tracer's stand-ins for tensors.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

from torch import nn
from torch.fx import Proxy
from torch.fx.proxy import TraceError
from torch.nn.modules import module as every_module
from torch.utils._pytree import tree_leaves


def record_call(forward: Callable[..., Any], layer: nn.Module, input: Any, hx: Any, **options: Any) -> Proxy | None:
    """Record a call of a layer in the graph that is being traced.

    Args:
        forward: the method that was called, unbound.
        layer: a submodule of the traced module.
        input, hx, options: all arguments of the call.

    Returns:
        The proxy for the call's results; None if no argument is a proxy.

    Raises:
        torch.fx.proxy.TraceError: the layer is itself the traced module, or has another forward.
    """
    tracer = _find_tracer((input, hx, options))
    if tracer is None:
        return None
    path = tracer.path_of_module(layer)
    _check_traceable(forward, layer, path)
    args = (input,) if hx is None else (input, hx)
    usual = signature(forward).parameters
    given = {name: value for name, value in options.items() if value is not usual[name].default}
    if _has_hooks(layer):  # the tracer has recorded them; a call of the module would run them again
        return tracer.create_proxy("call_method", "forward", (layer, *args), given)
    return tracer.create_proxy("call_module", path, args, given)


def _find_tracer(arguments: Any) -> Any:
    proxies = (leaf for leaf in tree_leaves(arguments) if isinstance(leaf, Proxy))
    return next((proxy.tracer for proxy in proxies), None)


def _check_traceable(forward: Callable[..., Any], layer: nn.Module, path: str) -> None:
    name = type(layer).__name__
    if not path:
        raise TraceError(
            f"torch.fx: {name} is itself the traced module, and a layer can only be a node of a graph: trace a "
            "module that calls it, such as torch.nn.Sequential(layer)"
        )
    if getattr(layer.forward, "__func__", None) is not forward:
        raise TraceError(
            f"torch.fx: {path} ({name}) has a forward of its own, which would run once in the graph and once in the "
            "node: trace with a torch.fx.Tracer whose is_leaf_module is true for it"
        )


def _has_hooks(layer: nn.Module) -> bool:
    """Whether a hook is called before or after this layer's forward."""
    of_all = every_module._global_forward_hooks or every_module._global_forward_pre_hooks
    return bool(layer._forward_hooks or layer._forward_pre_hooks or of_all)
