#!/usr/bin/env python3
"""Writes a Coq file from a network and its certificate of boxes, of one step at a time.

What it writes is checked by Coq and needs no trust: the weights and the boxes in it are those of
the files, as exact fractions. What a reader compares with the files are `Definition`s; bounds of
sums that are only hints to the prover are computed here in floating point.
"""
import fractions
import json
import math
import struct
import sys

BITS = ["00", "01", "10", "11"]


def real(value):
    f = fractions.Fraction(value)
    return f"({f.numerator})" if f.denominator == 1 else f"({f.numerator} / {f.denominator})"


def decimal(value, up):
    """A bound of 12 decimals, a little outside."""
    n = math.floor(value * 10**12) + (3 if up else -3)
    return f"({n} / {10**12})"


def read(model):
    length = struct.unpack("<Q", model[:8])[0]
    header, data = json.loads(model[8 : 8 + length]), model[8 + length :]
    return {
        name: struct.unpack(f"<{(b - a) // 4}f", data[a:b])
        for name, entry in header.items()
        for a, b in [entry["data_offsets"]]
    }


def main(name):
    w = read(open(name + ".safetensors", "rb").read())
    certificate = json.load(open(name + ".json"))
    hidden = len(w["head.weight"])
    units = range(hidden)
    zeros = [0.0] * hidden
    w_in, w_rec, w_out = w["weight_ih_l0"], w["weight_hh_l0"], w["head.weight"]
    b_in, b_rec = w.get("bias_ih_l0", zeros), w.get("bias_hh_l0", zeros)
    b_out = w.get("head.bias", [0.0])[0]
    assert certificate["steps"] == 1
    nodes = [(node["key"], node["cells"][0]) for node in certificate["nodes"]]
    assert all("axes" not in n and len(n["cells"]) == 1 for n in certificate["nodes"])
    number = {key: n for n, (key, _) in enumerate(nodes)}

    def carry_after(carry, history):
        for pair in history:
            carry = int(int(pair[0]) + int(pair[1]) + carry >= 2)
        return carry

    def split(key):
        first, *history = key.split(" ")
        return (0 if first == "start" else int(first)), history

    def arrival(key, pair):
        before, history = split(key)
        history = history + [pair]
        for known in range(len(history) + 1):
            cut = len(history) - known
            found = " ".join([str(carry_after(before, history[:cut]))] + history[cut:])
            if found in number:
                return found
        return " ".join(["start"] + history)

    # γₙ·Σ|terms| with n = H + 12 terms or fewer, and what subnormal products lose.
    unit = fractions.Fraction(hidden + 12, 2**24)
    gamma = unit / (1 - unit)
    F = fractions.Fraction
    error = lambda terms: sum(abs(F(t)) for t in terms) * gamma + F(1, 2**100)
    errors = [
        error([*w_in[2 * j : 2 * j + 2], *w_rec[hidden * j : hidden * (j + 1)], b_in[j], b_rec[j]])
        for j in units
    ]
    out_error = error([*w_out, b_out])

    hs = " ".join(f"h{j}" for j in units)
    gs = " ".join(f"g{j}" for j in units)
    out = []
    p = out.append
    p(f"(* Written by generate.py from {name.split('/')[-1]}: do not edit. *)")
    p("From Coq Require Import Reals List Lra Bool.")
    p("From Interval Require Import Tactic.")
    p("Import ListNotations.\nOpen Scope R_scope.\n")
    p("(* The machine: the digit and the carry of a sum. *)")
    p("Definition digit (p : bool * bool) (c : bool) := xorb (xorb (fst p) (snd p)) c.")
    p("Definition carry (p : bool * bool) (c : bool) :=")
    p("  (fst p && snd p) || (c && (fst p || snd p)).")
    p("Fixpoint digits (c : bool) (ps : list (bool * bool)) : list bool :=")
    p("  match ps with [] => [] | p :: ps => digit p c :: digits (carry p c) ps end.\n")
    p("(* The network, with its weights. *)")
    p("Definition sigmoid (z : R) := 1 / (1 + exp (- z)).")
    p("Definition bit (b : bool) := if b then 1 else 0.")
    for j in units:
        terms = [f"a * {real(w_in[2 * j])}", f"b * {real(w_in[2 * j + 1])}"]
        terms += [f"h{k} * {real(w_rec[hidden * j + k])}" for k in units]
        terms += [f"{real(F(b_in[j]) + F(b_rec[j]))}"]
        p(f"Definition z{j} (a b {hs} : R) := {' + '.join(terms)}.")
    terms = [f"h{k} * {real(w_out[k])}" for k in units] + [real(b_out)]
    p(f"Definition zo ({hs} : R) := {' + '.join(terms)}.\n")
    p("(* The hypothesis on f32: sums before a sigmoid are within these errors of the exact ones,")
    p("   the sigmoid within 3 units of 2^-23 and 2^-126, in [0, 1]; and a sum of an output that is")
    p("   more than 2^-16 from 0 decides its digit. *)")
    p("Definition u := 3 / 8388608 + / 2 ^ 126.")
    p("Definition unit_f32 (z error h : R) :=")
    p("  0 <= h <= 1 /\\ exists d e, - error <= d <= error /\\ - u <= e <= u /\\ h = sigmoid (z + d) + e.")
    p(f"Definition step (p : bool * bool) ({hs} {gs} : R) (o : bool) :=")
    for j in units:
        p(f"  unit_f32 (z{j} (bit (fst p)) (bit (snd p)) {hs}) {real(errors[j])} g{j} /\\")
    p(f"  exists d, - {real(out_error)} <= d <= {real(out_error)} /\\")
    p(f"    (zo {gs} + d > / 65536 -> o = true) /\\ (zo {gs} + d < - / 65536 -> o = false).")
    p(f"Inductive run : {'R -> ' * hidden}list (bool * bool) -> list bool -> Prop :=")
    p(f"| run_end : forall {hs}, run {hs} [] []")
    p(f"| run_step : forall {hs} {gs} p o ps os,")
    p(f"    step p {hs} {gs} o -> run {gs} ps os -> run {hs} (p :: ps) (o :: os).\n")
    p("(* The certificate: nodes, their boxes and carries. *)")
    p("Inductive node := " + " | ".join(f"N{n}" for n in range(len(nodes))) + ".")
    p(f"Definition inside (n : node) ({hs} : R) :=\n  match n with")
    for n, (_, piece) in enumerate(nodes):
        bounds = [f"{real(piece['low'][j])} <= h{j} <= {real(piece['high'][j])}" for j in units]
        p(f"  | N{n} => " + " /\\ ".join(bounds))
    p("  end.")
    p("Definition carry_of (n : node) :=\n  match n with")
    for n, (key, _) in enumerate(nodes):
        p(f"  | N{n} => {'true' if carry_after(*split(key)) else 'false'}")
    p("  end.")
    p("Definition next (n : node) (p : bool * bool) :=\n  match n, p with")
    boolean = {"0": "false", "1": "true"}
    for n, (key, _) in enumerate(nodes):
        for pair in BITS:
            p(f"  | N{n}, ({boolean[pair[0]]}, {boolean[pair[1]]}) => N{number[arrival(key, pair)]}")
    p("  end.\n")
    p("Lemma carries : forall n p, carry_of (next n p) = carry p (carry_of n).")
    p("Proof. intros [] [[] []]; reflexivity. Qed.\n")
    sigma = lambda z: 1 / (1 + math.exp(-z)) if z > -700 else 0.0
    u = 3 / 8388608 + 1e-12
    for n, (key, piece) in enumerate(nodes):
        for pair in BITS:
            a, b = int(pair[0]), int(pair[1])
            target = number[arrival(key, pair)]
            p(f"Lemma step_{n}_{pair} : forall {hs} {gs} o, inside N{n} {hs} ->")
            ab = f"({boolean[pair[0]]}, {boolean[pair[1]]})"
            right = (a + b + carry_after(*split(key))) % 2
            p(f"  step {ab} {hs} {gs} o -> o = {boolean[str(right)]} /\\ inside N{target} {gs}.")
            p("Proof.")
            p(f"  intros {hs} {gs} o H S. unfold inside in *.")
            pattern = "H0" if hidden == 1 else "[" + " [".join(f"H{j}" for j in range(hidden - 1)) + f" H{hidden - 1}" + "]" * (hidden - 1)
            p(f"  destruct H as {pattern}.")
            opened = " [".join(f"[R{j} [d{j} [e{j} [D{j} [E{j} Q{j}]]]]]" for j in units)
            p(f"  destruct S as [{opened} [d [D [T F]]]{']' * hidden}.")
            for j in units:
                row = w_rec[hidden * j : hidden * (j + 1)]
                base = a * w_in[2 * j] + b * w_in[2 * j + 1] + b_in[j] + b_rec[j]
                low = base + sum(min(v * l, v * h) for v, l, h in zip(row, piece["low"], piece["high"]))
                high = base + sum(max(v * l, v * h) for v, l, h in zip(row, piece["low"], piece["high"]))
                low, high = sigma(low - float(errors[j])) - u, sigma(high + float(errors[j])) + u
                p(f"  assert (B{j} : {decimal(low, False)} <= g{j} <= {decimal(high, True)}).")
                p(f"  {{ rewrite Q{j}. unfold sigmoid, z{j}, bit, u in *; simpl fst in *; simpl snd in *.")
                p("    split; interval with (i_prec 80). }")
            p("  split.")
            side = f"T. assert (/ 65536 < zo {gs} + d)" if right else f"F. assert (zo {gs} + d < - / 65536)"
            p(f"  - apply {side}; [|lra].")
            p("    unfold zo. clear - " + " ".join([f"B{j} R{j}" for j in units]) + " D.")
            p("    interval with (i_prec 80).")
            p("  - repeat split; lra.")
            p("Qed.\n")
    p(f"Lemma steps : forall n p {hs} {gs} o, inside n {hs} -> step p {hs} {gs} o ->")
    p(f"  o = digit p (carry_of n) /\\ inside (next n p) {gs}.")
    p("Proof.")
    p(f"  intros n p {hs} {gs} o H S. destruct n; destruct p as [[] []].")
    for n in range(len(nodes)):
        for pair in reversed(BITS):
            p(f"  - exact (step_{n}_{pair} {'_ ' * (2 * hidden + 1)}H S).")
    p("Qed.\n")
    p("Lemma from_any_node : forall ps n os " + hs + ",")
    p(f"  inside n {hs} -> run {hs} ps os -> os = digits (carry_of n) ps.")
    p("Proof.")
    p(f"  induction ps as [|p ps IH]; intros n os {hs} H S; inversion S; subst; [reflexivity|].")
    p("  match goal with T : step _ " + "_ " * (2 * hidden) + "_ |- _ => destruct (steps n p " + "_ " * (2 * hidden) + "_ H T) as [D I] end.")
    p("  simpl. rewrite <- carries. f_equal; [exact D|]. eapply IH; eassumption.")
    p("Qed.\n")
    p("(* For every list of pairs, lowest digits first, every digit is right. *)")
    p(f"Theorem every_digit_is_right : forall ps os, run {'0 ' * hidden}ps os -> os = digits false ps.")
    p("Proof.")
    p(f"  intros ps os S. apply (from_any_node ps N{number['start']} os {'0 ' * hidden}); [|exact S].")
    p("  unfold inside; repeat split; lra.")
    p("Qed.\n")
    p("Print Assumptions every_digit_is_right.")
    print("\n".join(out))


main(sys.argv[1])
