"""The members of a population at their first step: how many there are, what each has of its own, who goes together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any, NamedTuple

import numpy as np

from fastxor import choices
from fastxor import validation as checks
from fastxor.backends import Backend
from fastxor.cohort import Cohort, CohortState, Integers
from fastxor.early_stopping import EarlyStopping
from fastxor.initialization import placed, weights
from fastxor.names import Initialization
from fastxor.network import Network
from fastxor.optimizers import Optimizer, SecondOrder, kinds_of, number_names, schedule_of, with_numbers
from fastxor.population_state import Group, HeldOut, PopulationState, Records
from fastxor.run_setup import DEFAULT_ITERATIONS, held_out
from fastxor.schedules import Listed, check_length
from fastxor.views import Array
from fastxor.weights import relative

_WEYL = 2654435769  # an odd number near 2**32 / golden ratio: its multiples are all different, and far from each other


class ValidateAtEnd(NamedTuple):
    """What a population is validated on, as `train_population` takes it, where the costs at the end are all that is
    wanted.
    """

    validation: Any


@dataclass(eq=False)
class PopulationRequest:
    """What is asked of a population beside its networks and data, checked; K members."""

    optimizer: Optimizer
    penalties: Array  # (K, 3)
    batch_size: int | None
    shuffled: bool
    drop_last: bool
    iterations: int | None
    epochs: int | None
    interval: int | None
    threads: int | None
    initialization: Initialization | None
    fraction: float | None
    target: Array | None  # (K,)
    weights: Array | None  # (m,) or (K, m), float64; 0 where `mask` is
    mask: Array | None  # (K, m) bool, samples to validate on
    pair: tuple[Array, Array] | None  # data to validate on
    watched: bool  # whether that is done at every record, or only at the end
    early_stopping: EarlyStopping | None
    seeds: Integers = field(default_factory=lambda: np.empty(0, np.int64))  # (K,)


def member_count(counts_by_argument: Mapping[str, int | None]) -> int:
    """How many members there are, by what each of the arguments says that has an entry for each."""
    known = {name: count for name, count in counts_by_argument.items() if count is not None}
    if not known:
        raise ValueError("members must be given, for no other argument has an entry for each of them")
    if "members" in known:
        known["members"] = checks.integer("members", known["members"], 1)
    first, count = next(iter(known.items()))
    of_whom = "" if first == "members" else f" of {first}"
    for name, other in known.items():
        if not other:
            raise ValueError(f"{name} must have an entry for each member, and has none")
        if other != count:
            raise ValueError(f"{name} must have an entry for each of the {count} members{of_whom}, got {other}")
    return count


def seeds(random_state: Any, K: int) -> Integers:
    """A seed for each member. It follows from that of all and the member's number alone, and no two are the same."""
    if checks.are_several(random_state):
        given = checks.numeric("random_state", random_state)
        if given.ndim != 1:
            raise ValueError(f"random_state, as an array, must have shape (members,), got shape {given.shape}")
        wrong = np.flatnonzero(~((given >= 0) & (given < 2**32) & (given == np.floor(given))))
        if wrong.size:
            raise ValueError(
                f"random_state must hold integers between 0 and 2**32 - 1, got {given[wrong[0]]:g} at {wrong[0]}"
            )
        return given.astype(np.int64)
    rng = checks.random_state(random_state)
    key = int(random_state) if isinstance(random_state, int | np.integer) else checks.seed(rng)
    first = np.random.SeedSequence(key).generate_state(1).astype(np.uint64)
    return ((first + np.arange(K, dtype=np.uint64) * np.uint64(_WEYL)) % np.uint64(2**32)).astype(np.int64)


def member_numbers(optimizer: Optimizer, K: int) -> Array:
    """The optimizer's `_numbers` of each member, (K, n); in a schedule's column, 0."""
    table = np.zeros((K, len(optimizer._numbers)))
    for column, number in zip(table.T, optimizer._numbers, strict=True):
        if isinstance(number, Listed):
            column[:] = number.rates
        elif not callable(number):
            column[:] = number
    return table


def new_population(
    core: Backend, networks: Sequence[Network], X: Array, Y: Any, parameters: Any, request: PopulationRequest
) -> PopulationState:
    """A population at its first step. X is (n_x, m) or (K, n_x, m), Y as it was given, `networks` one or K of them."""
    K = len(request.seeds)
    table = member_numbers(request.optimizer, K)
    if isinstance(parameters, Mapping) and len({network.sizes for network in networks}) > 1:
        raise ValueError("parameters must be a list of dicts, one for each member, for networks of several sizes")
    all_of = np.arange(K)
    kinds = _cohort_groups(networks, request.optimizer, table)
    groups = []
    for network, which in kinds:
        own = None if isinstance(parameters, Mapping) or parameters is None else [parameters[i] for i in which]
        given = parameters if isinstance(parameters, Mapping) else own
        some = slice(None) if len(which) == K else which
        groups.append(_group(core, network, all_of[some], (X, Y), given, table[some], request))
    samples = np.empty(K, np.int64)
    steps = np.empty(K, np.int64)
    iterations = np.empty(K, np.int64)
    for group in groups:
        samples[group.members] = group.cohort.sample_counts()
        steps[group.members] = group.cohort.steps_per_epoch()
        iterations[group.members] = group.cohort.iterations
    history = Records.fresh(request.interval, steps, iterations, _records_validation(groups, request))
    return PopulationState(
        groups, history, request.seeds, request.weights, X.shape[-1], request.fraction, request.target
    )


def _cohort_groups(networks: Sequence[Network], optimizer: Optimizer, table: Array) -> list[tuple[Network, Integers]]:
    """Who goes together: members of one architecture, whose optimizers are of one kind."""
    K, kinds = len(table), kinds_of(optimizer, table)
    if len(networks) == 1 and (kinds == kinds[0]).all():
        return [(networks[0], np.arange(K))]
    places: dict[tuple[Network, int], list[int]] = {}
    for i in range(K):
        places.setdefault((networks[i % len(networks)], int(kinds[i])), []).append(i)
    return [(network, np.array(which)) for (network, _kind), which in places.items()]


def resumed_population(
    networks: Sequence[Network], X: Array, Y: Any, population: PopulationState, request: PopulationRequest
) -> PopulationState:
    """A population from where another one is, which stays as it is."""
    K = len(population)
    if X.shape[-1] != population.given:
        raise ValueError(f"X must be that of the run that is resumed, of {population.given} samples; got {X.shape}")
    groups, iterations, looks = [], np.empty(K, np.int64), (request.early_stopping, request.watched)
    is_over = bool((population.completed() >= population.iterations()).all())
    for old in population.groups:
        for network in (networks[i % len(networks)] for i in old.members.tolist()):
            if network != old.cohort.network:
                raise ValueError(
                    f"network must be that of the run that is resumed, {old.cohort.network}; got {network}"
                )
        dtype = old.state.theta.dtype
        if np.result_type(X, dtype) != dtype:
            raise ValueError(f"X must be {dtype}, as in the run that is resumed; got {X.dtype}")
        x, y, counts, mask = _data(network, old.members, X, Y, request)
        x, y = checks.cast("X", x, dtype), checks.cast("Y", y, dtype)
        counts, held = _split_validation(network, x, y, counts, mask, old.cohort.seeds, request, old.members)
        shares = _relative_weights(counts, len(old.members), dtype)
        cohort = replace(old.cohort, X=x, Y=y, weights=shares, threads=request.threads)
        end = _last_steps(cohort, request, old.state.completed, None if is_over else old.cohort.iterations)
        best = None if old.best is None else old.best.copy()
        cohort = replace(cohort, iterations=end)
        groups.append(Group(old.members, cohort, old.state.copy(), old.samples, best, held, *looks))
        iterations[old.members] = end
    is_validated = _records_validation(groups, request)
    history = population.history.extended(iterations, is_validated)
    history.until(population.completed())
    if history.validation is not None and not is_validated:
        history.validation[np.arange(len(history.validation))[:, None] >= history.count] = np.nan
    fresh: dict[str, Any] = {
        "reached": np.full(K, np.nan) if request.target is None else history.reached(request.target),
        "diverged": np.zeros(K, bool),
        "stopped": np.zeros(K, bool),
    }
    costs: dict[str, Any] = {name: np.full(K, np.nan) for name in ("first", "cost", "validation_cost")}
    return replace(population, groups=groups, history=history, target=request.target, digest=None, **fresh, **costs)


def _records_validation(groups: Sequence[Group], request: PopulationRequest) -> bool:
    """Whether validation costs are recorded."""
    return request.watched and any(group.held is not None for group in groups)


def _data(
    network: Network, members: Integers, X: Array, Y: Any, request: PopulationRequest
) -> tuple[Array, Array, Array | None, Array | None]:
    """What members of one architecture have of X and Y; how much each sample counts, (1, m), (k, m) or None; and which
    they are to be validated on.
    """
    K = len(request.seeds)
    Y = checks.cohort_answers(Y, network, X.shape[-1], K)
    X, Y = (_of_members(array, members, K) for array in (X, Y))
    counts = None if request.weights is None else np.atleast_2d(request.weights)
    if counts is not None and len(counts) > 1:
        counts = counts[members]
    mask = None if request.mask is None else request.mask[members]
    X, Y = _without_ignored_samples(X, Y, counts, mask)
    checks.check_values(network.loss, X=X, Y=Y)
    return X, Y, counts, mask


def _group(
    core: Backend,
    network: Network,
    members: Integers,
    data: tuple[Array, Any],
    parameters: Any,
    numbers: Array,
    request: PopulationRequest,
) -> Group:
    """The members of one architecture and kind of optimizer, where they begin."""
    k = len(members)
    X, Y, counts, mask = _data(network, members, *data, request)
    theta = None if parameters is None else start_parameters(parameters, network, k, members)
    dtype = X.dtype if theta is None else np.result_type(theta, X)
    like, penalties = with_numbers(request.optimizer, numbers[0]), request.penalties[members]
    check_numbers(like, numbers, penalties, dtype)
    X, Y = checks.cast("X", X, dtype), checks.cast("Y", Y, dtype)
    theta, orders = _draw_starts(core, network, theta, request, members, dtype)
    counts, held = _split_validation(network, X, Y, counts, mask, orders, request, members)
    how = request.batch_size, request.shuffled, request.drop_last, _relative_weights(counts, k, dtype), request.threads
    cohort = Cohort(network, X, Y, like, numbers, penalties, orders, np.zeros(k, np.int64), *how)
    cohort.iterations[:] = _last_steps(cohort, request)
    state, looks = CohortState.beginning(theta, like), (request.early_stopping, request.watched)
    return Group(members, cohort, state, cohort.sample_counts(), None, held, *looks)


def _of_members(array: Array, members: Integers, K: int) -> Array:
    """What some members have of an array (…, m) for all or (K, …, m)."""
    return array if array.ndim == 2 or len(members) == K else array[members]


def _without_ignored_samples(X: Array, Y: Array, counts: Array | None, mask: Array | None) -> tuple[Array, Array]:
    """The data with zeros, and the targets of another sample, in the place of samples that nobody looks at: their
    values may be anything.
    """
    if counts is None or (counts > 0).all():
        return X, Y
    there: Any = counts > 0 if mask is None else (counts > 0) | mask
    if X.ndim == 2 and Y.ndim == 2:
        there = there.any(axis=0)
        if there.all():
            return X, Y
        return np.where(there, X, X.dtype.type(0)), np.where(there, Y, Y[:, [int(there.argmax())]])
    there = np.broadcast_to(there, (max(len(there), len(X) if X.ndim == 3 else len(Y)), X.shape[-1]))
    X = np.where(there[:, None] if X.ndim == 3 else there.any(axis=0), X, X.dtype.type(0))
    if Y.ndim == 2:
        any_of = there.any(axis=0)
        return X, np.where(any_of, Y, Y[:, [int(any_of.argmax())]])
    first = np.take_along_axis(Y, there.argmax(axis=1)[:, None, None], axis=2)
    return X, np.where(there[:, None], Y, first)


def start_parameters(value: Any, network: Network, k: int, members: Integers) -> Array:
    """The flat parameters (k, P) of members, from a dictionary of arrays (K, …), or a list of k dictionaries."""
    if isinstance(value, Mapping):
        slots = network._slots
        names = [name for name, _place, _shape in slots]
        if sorted(value) != sorted(names):
            raise ValueError(f"parameters must be a dict with the keys {', '.join(names)}, got {', '.join(value)}")
        arrays = [checks.numeric(f'parameters["{name}"]', value[name]) for name in names]
        K = len(arrays[0])
        for (name, _place, shape), array in zip(slots, arrays, strict=True):
            if array.shape != (K, *shape):
                raise ValueError(
                    f'parameters["{name}"] must have shape (members, {shape[0]}, {shape[1]}), got shape {array.shape}'
                )
        theta = np.concatenate([array.reshape(K, -1) for array in arrays], axis=1)
        theta = theta if k == K else theta[members]
    else:
        starts = [checks.parameters(own, network) for own in value]
        for number, start in zip(members.tolist(), starts, strict=True):
            if start.dtype != starts[0].dtype:
                raise ValueError(
                    f"parameters must be of one dtype, got {starts[0].dtype} for member {members[0]} and {start.dtype} "
                    f"for {number}"
                )
        theta = np.stack(starts)
    if not checks.finite(theta):
        where = int(np.flatnonzero(~np.isfinite(theta).all(axis=1))[0])
        raise ValueError(f"parameters must be finite, and those of member {int(members[where])} are not")
    return theta


def check_numbers(like: Optimizer, numbers: Array, penalties: Array, dtype: np.dtype[Any]) -> None:
    """Refuse numbers that the dtype does not hold: of each kind, the least above 0 and the largest."""
    checks.settings(like, dtype)
    if not isinstance(like, SecondOrder):
        names = number_names(like)
        for row in (np.where(numbers > 0, numbers, inf).min(axis=0), numbers.max(axis=0)):
            for name, number in zip(names, row.tolist(), strict=True):
                if number != inf:
                    checks.held(name, number, dtype, below_1=name in like._below_1)
    for name, column in zip(("l2", "l1", "clip_norm"), penalties.T, strict=True):
        for number in (np.where(column > 0, column, inf).min(), np.where(column < inf, column, 0).max()):
            if number != inf:
                checks.held(name, float(number), dtype)


def _draw_starts(
    core: Backend,
    network: Network,
    theta: Array | None,
    request: PopulationRequest,
    members: Integers,
    dtype: np.dtype[Any],
) -> tuple[Array, Integers]:
    """The first parameters (k, P) and the seeds of the samples' orders, from each member's seed as `train` does it."""
    k, orders = len(members), np.zeros(len(members), np.int64)
    ordered = request.batch_size is not None or request.fraction is not None
    first = np.empty((k, network.count), dtype) if theta is None else theta.astype(dtype)
    if theta is not None and not ordered:
        return first, orders
    count = weights(network) if theta is None else 0
    at_once = max(1, choices.DRAWS_PER_CALL // (count + 1))
    for start in range(0, k, at_once):
        some = slice(start, start + at_once)
        normal, after = core.drawn(request.seeds[members[some]], count, request.threads)
        if ordered:
            orders[some] = after
        if theta is None:
            first[some] = placed(network, normal, request.initialization, dtype)
    return first, orders


def _split_validation(
    network: Network,
    X: Array,
    Y: Array,
    counts: Array | None,
    mask: Array | None,
    orders: Integers,
    request: PopulationRequest,
    members: Integers,
) -> tuple[Array | None, HeldOut | None]:
    """How much each sample counts, (k, m), (1, m) or None, without those for validation; and these."""
    k, m = len(members), X.shape[-1]
    held = None
    if mask is not None:
        held = HeldOut(X, Y, mask.astype(X.dtype))
    elif request.fraction is not None:
        before = np.ones((1, m)) if counts is None else counts
        counts, out = np.zeros((k, m)), np.zeros((k, m), X.dtype)
        for i, seed in enumerate(orders.tolist()):
            row = before[i % len(before)]
            there = np.flatnonzero(row)
            kept, apart = held_out(network, (Y[i] if Y.ndim == 3 else Y)[:, there], request.fraction, seed)
            counts[i, there[kept]], out[i, there[apart]] = row[there[kept]], 1
        held = HeldOut(X, Y, out)
    elif request.pair is not None:
        held = _validation_pair(request.pair, network, members, len(request.seeds), X.dtype)
    if counts is not None:
        empty = np.flatnonzero(~(counts > 0).any(axis=1))
        if empty.size:
            raise ValueError(f"no sample is left to train member {int(members[empty[0]])} on")
    return counts, held


def _validation_pair(
    pair: tuple[Any, Any], network: Network, members: Integers, K: int, dtype: np.dtype[Any]
) -> HeldOut:
    """Data for validation that are given as such."""
    try:
        X = checks.cohort_inputs("X", pair[0], network.sizes[0])
        Y = checks.cohort_answers(pair[1], network, X.shape[-1], K)
        checks.check_values(network.loss, X=X, Y=Y)
    except (TypeError, ValueError) as error:
        raise type(error)(f"validation: {error}") from None
    X, Y = checks.cast("validation X", X, dtype), checks.cast("validation Y", Y, dtype)
    return HeldOut(_of_members(X, members, K), _of_members(Y, members, K), None)


def _relative_weights(counts: Array | None, k: int, dtype: np.dtype[Any]) -> Array | None:
    """The weights of a cohort from those that were given, (k, m) or (1, m): of mean 1 over the samples that count."""
    if counts is None:
        return None
    shares = np.zeros(counts.shape, dtype)
    for row, given in zip(shares, counts, strict=True):
        there = given > 0
        own = relative(given[there], dtype)
        row[there] = 1 if own is None else own
    if (shares == 1).all():
        return None
    return np.broadcast_to(shares, (k, counts.shape[1]))


def _last_steps(
    cohort: Cohort, request: PopulationRequest, completed: Any = 0, wanted: Integers | None = None
) -> Integers:
    """The step at which each member ends, from those that it has taken, in a population that was to have so many, and
    has not come to its end.
    """
    steps = cohort.steps_per_epoch()
    if not steps.all():
        fewest = int(cohort.sample_counts().min())
        raise ValueError(f"drop_last leaves no batch: batch_size is {cohort.batch_size}, for {fewest} samples")
    if request.epochs is not None:
        checks.integer("epochs", request.epochs, 0, (checks.MOST - int(np.max(completed))) // int(steps.max()))
        end = completed + request.epochs * steps
    elif request.iterations is not None:
        checks.integer("iterations", request.iterations, 0, checks.MOST - int(np.max(completed)))
        end = completed + np.full(len(cohort), request.iterations)
    elif wanted is None:
        end = completed + np.full(len(cohort), DEFAULT_ITERATIONS)
    else:
        end = np.maximum(completed, wanted)
    check_length(schedule_of(cohort.optimizer), int(np.max(end, initial=0)))
    return end
