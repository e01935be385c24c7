"""The cache: an equal call that has succeeded answers for a new one, where both asked for that.

Equal are calls of the same function with the same arguments, of one principal in one environment, with the same code:
the files of the user's own modules as the workers of that environment loaded them; and with the same content of their
`inputs`. What else a result may depend on (other files, the time, other packages) is not looked at, so both calls have
to say `cache`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Any

from mcp_scheduler import errors
from mcp_scheduler.core.events import NewTask
from mcp_scheduler.core.task import Terms
from mcp_scheduler.ports import Store
from mcp_scheduler.requests import ChunkSpec, TaskSpec
from mcp_scheduler.service.references import has_reference

_ALONE = ("after", "reads", "writes", "start_after", "every", "cron", "on_failure", "hold")


def refuse_uncacheable(spec: TaskSpec) -> None:
    """`InvalidRequest` where a result cannot be told from the function, its arguments and its code."""
    if spec.function is None or isinstance(spec, ChunkSpec):
        raise errors.InvalidRequest(
            "`cache` is for single calls of a function: what a command does is not told by its words.",
            hint="Leave `cache` out, or put the work into a function. Of a map it is said without `chunk`.",
        )
    if has_reference(spec.arguments):
        raise errors.InvalidRequest(
            "`cache` looks for an equal call at once, and these arguments hold a $result that is not known yet.",
            hint="Leave `cache` out here, and use it for the tasks that this one depends on.",
        )
    beside = [name for name in _ALONE if name in spec.model_fields_set and getattr(spec, name)]
    if beside:
        raise errors.InvalidRequest(
            f"`cache` cannot stand beside `{'`, `'.join(beside)}`: a stored result is given at once.",
            hint="Leave out one of them.",
        )


def digest_of(terms: Terms, arguments: Mapping[str, Any], fingerprint: str, inputs: str = "") -> str:
    """Names everything that makes two calls equal. `inputs` says what is in the files that are kept for the task."""
    equal: list[Any] = [terms.principal, terms.environment, terms.target, fingerprint, arguments]
    said = json.dumps([*equal, inputs] if inputs else equal, sort_keys=True, ensure_ascii=True)
    return blake2b(said.encode(), digest_size=16).hexdigest()


async def answer(store: Store, new: Sequence[NewTask], fingerprints: Mapping[str, str]) -> None:
    """Give those of the new tasks a result that an equal one has had. `fingerprints`: digest → of the code now."""
    wanted = {item.task.digest: fingerprints[item.task.digest] for item in new if item.task.digest in fingerprints}
    found = await store.equal(wanted) if wanted else {}
    for item in new:
        source = found.get(item.task.digest)
        if source is None:
            continue
        item.task.extras = replace(item.task.extras, cached_from=source)
        item.task.digest = ""  # the call that was carried out answers for later ones, as long as it is kept
        item.result_of = source
