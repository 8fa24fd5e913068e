"""A network as one file of C99: the numbers, one sample forward, and many.

The compiler is left to find vectors, in loops of constant bounds. A layer of some units has its weights by the input,
W[i][o], so that a vector holds units; where they do not fill vectors, the last one is there several times. A layer of
few units has W[o][i], and sums of every 16th product if there are as many inputs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from textwrap import wrap
from zlib import crc32

import numpy as np

from fastxor.architecture import Architecture, Layer
from fastxor.exporting.c_math import functions
from fastxor.views import Array

_LANES = 16  # numbers that go together: shorter loops gcc unrolls before it looks for vectors
_BLOCKS = (64, 32, 16, 8)  # units whose sums are kept in registers
_WIDE = 8  # units from which a vector of them pays; just so many have loops that gcc is told not to unroll

_AS_VECTOR = """\
#if defined(__GNUC__) && !defined(__clang__)
#define @AS_VECTOR _Pragma("GCC unroll 1")
#else
#define @AS_VECTOR
#endif
"""

# A file may come upon a header several times, but upon one network of a name: another would be left out, unnoticed.
_GUARDED = """\
#ifndef {prefix}_{sum:08x}_H
#define {prefix}_{sum:08x}_H

#ifdef {prefix}_H
#error "two networks are named {prefix}: export one of them with another prefix"
#endif
#define {prefix}_H

{text}
#endif
"""


def content(network: Architecture, parameters: Mapping[str, Array], suffix: str, prefix: str = "network") -> bytes:
    """A ``.c`` to be compiled by itself; or a ``.h`` for one or more files, whose functions are static, used or not."""
    if not (isinstance(prefix, str) and re.fullmatch("[A-Za-z][A-Za-z0-9_]*", prefix)):
        raise ValueError(f"prefix must be a name in C, a letter and then letters, digits and _, got {prefix!r}")
    if suffix == ".c":
        return _Program(network, parameters, prefix, "").text().encode()
    text = _Program(network, parameters, prefix, "static inline ").text()
    return _GUARDED.format(text=text, prefix=prefix, sum=crc32(text.encode())).encode()


class _Program:
    """The text, part by part, where @ stands for the prefix and an underscore."""

    def __init__(self, network: Architecture, parameters: Mapping[str, Array], prefix: str, kind: str) -> None:
        self.network, self.parameters, self.prefix = network, parameters, prefix
        self.kind = kind  # what stands before a function for users
        self.n_x, self.n_y = network.sizes[0], network.sizes[-1]
        self.real, self.ending = ("float", "f") if parameters["W1"].dtype == np.float32 else ("double", "")

    def text(self) -> str:
        declarations = [
            f"void @forward(const {self.real} *x, {self.real} *a)",
            f"void @forward_many(size_t samples, const {self.real} *X, {self.real} *A)",
            f"{self._labels()[0]}",
        ]
        declared = "".join(f"{declaration};\n" for declaration in declarations)
        forward, many, predict = (self.kind + declaration for declaration in declarations)
        parts = [
            self._remarks(declared),
            "#include <math.h>\n#include <stddef.h>\n#include <stdint.h>\n",
            *[_AS_VECTOR] * any(layer.n_out == _WIDE or _is_vector(layer) for layer in self.network.layers),
            f"enum {{ @n_x = {self.n_x}, @n_y = {self.n_y} }};\n",
            *[declared] * (not self.kind),
            *self._arrays(),
            *functions(dict.fromkeys(layer.activation for layer in self.network.layers), self.real),
            f"{forward}\n{{",
            *self._forward(),
            f"}}\n\n{many}\n{{",
            "    for (size_t s = 0; s < samples; s++)",
            f"        @forward(X + s * {self.n_x}, A + s * {self.n_y});\n}}\n\n{predict}\n{{\n{self._labels()[1]}}}\n",
        ]
        return "\n".join(parts).replace("@", self.prefix + "_")

    def _remarks(self, declared: str) -> str:
        sizes, (n_x, n_y) = "-".join(map(str, self.network.sizes)), (self.n_x, self.n_y)
        activations = ", ".join(layer.activation for layer in self.network.layers)
        return f"""\
/* A dense network, {sizes} ({activations}), trained and written by fastxor.
 *
 *     {declared.strip().replace(chr(10), chr(10) + " *     ")}
 *
 * Samples are finite numbers, one sample after the other: X[s * {n_x} + i] is feature i of sample s,
 * A[s * {n_y} + o] its output o. C99, to be {"included, by several files too" if self.kind else "compiled by itself"}.
 * Link with -lm; cc -O3 -march=native -ffast-math makes it fast.
 * Nothing is allocated, and nothing kept between calls: several threads may call at a time.
 */"""

    def _labels(self) -> tuple[str, str]:
        """`predict`, as of `Result`: its declaration and its body."""
        real, n_y, half = self.real, self.n_y, f"0.5{self.ending}"
        outputs = f"    {real} a[{n_y}];\n    @forward(x, a);\n"
        if self.network.output in ("identity", "exponential"):
            return f"void @predict(const {real} *x, {real} *values)", "    @forward(x, values);\n"
        if self.network.output == "softmax":
            best = f"    for (int o = 1; o < {n_y}; o++)\n        if (a[o] > a[best])\n            best = o;\n"
            return f"int @predict(const {real} *x)", f"{outputs}    int best = 0;\n{best}    return best;\n"
        if n_y == 1:
            return f"int @predict(const {real} *x)", f"{outputs}    return a[0] >= {half};\n"
        label = f"    for (int o = 0; o < {n_y}; o++)\n        labels[o] = a[o] >= {half};\n"
        return f"void @predict(const {real} *x, int *labels)", outputs + label

    # ------------------------------------------------------------ numbers

    def _inputs(self, number: int) -> int:
        """How many numbers there are before a layer, with those that fill vectors."""
        return _width(self.network.layers[number - 2]) if number > 1 else self.n_x

    def _arrays(self) -> Iterator[str]:
        """W and b as the layer's product reads them."""
        for number, layer in enumerate(self.network.layers, 1):
            W, b = self.parameters[f"W{number}"], self.parameters[f"b{number}"]
            if _wide(layer):
                more = (0, _width(layer) - layer.n_out), (0, 0)
                W, b = np.pad(W, more, "edge").T, np.pad(b, more, "edge")
            else:
                W = np.pad(W, ((0, 0), (0, self._inputs(number) - layer.n_in)))
            rows = ",\n".join(map(self._row, W))
            yield f"static const {self.real} @W{number}[{W.shape[0]}][{W.shape[1]}] = {{\n{rows}}};"
            yield f"static const {self.real} @b{number}[{b.size}] =\n{self._row(b.ravel())};\n"

    def _row(self, numbers: Array) -> str:
        """The fewest digits that give back the very number."""
        with np.printoptions(legacy=False):  # whatever a program has set: of old, numpy wrote fewer
            lines = wrap(", ".join(f"{number!s}{self.ending}" for number in numbers), 110)
        return "    {" + "\n     ".join(lines) + "}"

    # ------------------------------------------------------------ forward

    def _forward(self) -> Iterator[str]:
        """The layers in turn, each with its sums, then its activation."""
        before = "x"
        for number, layer in enumerate(self.network.layers, 1):
            yield f"    {self.real} a{number}[{_width(layer)}];"
            if _wide(layer):
                yield from self._units_in_lanes(number, layer, before)
            else:
                product = self._sums_in_lanes if self._inputs(number) >= _LANES else self._plainly
                yield product(number, layer, before)
                if layer.activation not in ("identity", "softmax"):
                    yield f"    for (int o = 0; o < {layer.n_out}; o++)"
                    yield f"        a{number}[o] = {_activated(layer, f'a{number}[o]')};"
            if layer.activation == "softmax":
                yield self._softmax(number, layer)
            yield ""
            before = f"a{number}"
        yield f"    for (int o = 0; o < {self.n_y}; o++)\n        a[o] = {before}[o];"

    def _units_in_lanes(self, number: int, layer: Layer, before: str) -> Iterator[str]:
        """Four inputs at a time, for a sum waits for the one before."""
        width, first = _width(layer), layer.n_in % 4 or 4
        W = f"@W{number}[{{0}}][o + j] * {before}[{{0}}]"
        begin = " + ".join([f"@b{number}[o + j]", *(W.format(i) for i in range(min(first, layer.n_in)))])
        more = [W.format(f"i + {i}" if i else "i") for i in range(4)]
        rest = f"""
        for (int i = {first}; i < {layer.n_in}; i += 4)
            {{lanes}}
                sum[j] += ({more[0]} + {more[1]})
                          + ({more[2]} + {more[3]});"""
        start = 0
        while start < width:
            block = next(size for size in _BLOCKS if size <= width - start)
            lanes = f"{'@AS_VECTOR ' * (block == _WIDE)}for (int j = 0; j < {block}; j++)"
            end = width - (width - start) % block
            yield f"""\
    for (int o = {start}; o < {end}; o += {block}) {{
        {self.real} sum[{block}];
        {lanes}
            sum[j] = {begin};{rest.format(lanes=lanes) * (first < layer.n_in)}
        {lanes}
            a{number}[o + j] = {_activated(layer, "sum[j]")};
    }}"""
            start = end

    def _sums_in_lanes(self, number: int, layer: Layer, before: str) -> str:
        """Sixteen sums for each unit, and then their sum, by halves."""
        whole = self._inputs(number) // _LANES * _LANES
        loop = f"""
        for (int i = {_LANES}; i < {whole}; i += {_LANES})
            for (int j = 0; j < {_LANES}; j++)
                sum[j] += @W{number}[o][i + j] * {before}[i + j];"""
        rest = f"""
        for (int i = {whole}; i < {layer.n_in}; i++)
            sum[0] += @W{number}[o][i] * {before}[i];"""
        return f"""\
    for (int o = 0; o < {layer.n_out}; o++) {{
        {self.real} sum[{_LANES}];
        for (int j = 0; j < {_LANES}; j++)
            sum[j] = @W{number}[o][j] * {before}[j];{loop * (whole > _LANES)}{rest * (whole < layer.n_in)}
        for (int j = 0; j < 8; j++)
            sum[j] += sum[j + 8];
        for (int j = 0; j < 4; j++)
            sum[j] += sum[j + 4];
        a{number}[o] = @b{number}[o] + ((sum[0] + sum[2]) + (sum[1] + sum[3]));
    }}"""

    def _plainly(self, number: int, layer: Layer, before: str) -> str:
        return f"""\
    for (int o = 0; o < {layer.n_out}; o++) {{
        a{number}[o] = @b{number}[o];
        for (int i = 0; i < {layer.n_in}; i++)
            a{number}[o] += @W{number}[o][i] * {before}[i];
    }}"""

    def _softmax(self, number: int, layer: Layer) -> str:
        """What fills vectors counts in no sum.

        Where there are just so many classes that they are a vector, gcc 12 with -O3 -ffast-math takes one for another,
        if it unrolls all of these loops and then that of `predict`.
        """
        a, real, width = f"a{number}", self.real, _width(layer)
        kept = "@AS_VECTOR " * _is_vector(layer)
        return f"""\
    {real} top = {a}[0], total = 0;
    for (int o = 1; o < {layer.n_out}; o++)
        top = {a}[o] > top ? {a}[o] : top;
    for (int o = 0; o < {width}; o++)
        {a}[o] = @exp({a}[o] - top);
    for (int o = 0; o < {layer.n_out}; o++)
        total += {a}[o];
    {kept}for (int o = 0; o < {width}; o++)
        {a}[o] /= total;"""


def _activated(layer: Layer, value: str) -> str:
    return value if layer.activation in ("identity", "softmax") else f"@{layer.activation}({value})"


def _is_vector(layer: Layer) -> bool:
    """Whether it has softmax of so many units that their loops would become vectors without a loop."""
    return layer.activation == "softmax" and layer.n_out in (4, 8)


def _wide(layer: Layer) -> bool:
    return layer.n_out >= _WIDE


def _width(layer: Layer) -> int:
    """Its units, and those that fill vectors."""
    return -(-layer.n_out // _LANES) * _LANES if layer.n_out > _WIDE else layer.n_out
