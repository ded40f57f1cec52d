#!/usr/bin/env python3
"""Writes a Coq file from a network of sigmoid units and its certificate of boxes, of one step at a time.

What it writes is checked by Coq and needs no trust: the weights, the machine and the boxes in it are
those of the files, as exact fractions. What a reader compares with the files are `Definition`s; bounds
of sums that are only hints to the prover are computed here in floating point.
"""
import fractions
import json
import math
import struct
import sys

F = fractions.Fraction
BITS = {"0": "false", "1": "true"}


def real(value):
    f = F(value)
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
        if name != "__metadata__"
        for a, b in [entry["data_offsets"]]
    }


class Addition:
    """Pairs of digits, lowest first; the state is the carry. By formulas, to be read."""

    symbols = ["00", "01", "10", "11"]
    shown = [[0, 0], [0, 1], [1, 0], [1, 1]]
    patterns = ["(false, false)", "(false, true)", "(true, false)", "(true, true)"]
    transitions = [[[0, 0], [0, 1], [0, 1], [1, 0]], [[0, 1], [1, 0], [1, 0], [1, 1]]]
    states = ["false", "true"]
    text = """(* The machine: pairs of digits, lowest first; the digit and the carry of a sum. *)
Definition symbol := (bool * bool)%type.
Definition state := bool.
Definition output (p : symbol) (c : state) := xorb (xorb (fst p) (snd p)) c.
Definition after (p : symbol) (c : state) := (fst p && snd p) || (c && (fst p || snd p)).
Definition begin : state := false.
Definition shown0 (p : symbol) := if fst p then 1 else 0.
Definition shown1 (p : symbol) := if snd p then 1 else 0."""


class Machine:
    """A machine of two outputs, by the table of its certificate; every symbol is legal."""

    def __init__(self, machine):
        self.symbols, self.shown = machine["symbols"], machine["shown"]
        self.transitions = machine["transitions"]
        assert len(machine["outputs"]) == 2 and None not in sum(self.transitions, [])
        self.patterns = [f"S{n}" for n in range(len(self.symbols))]
        self.states = [f"Q{n}" for n in range(len(self.transitions))]
        names = lambda names, of: ", ".join(f"{of}{n} {name}" for n, name in enumerate(names))
        lines = [
            f"(* The machine {machine['name']}: symbols {names(self.symbols, 'S')};",
            f"   states {names(machine['states'], 'Q')}; outputs {' and '.join(machine['outputs'])}. *)",
            "Inductive symbol := " + " | ".join(self.patterns) + ".",
            "Inductive state := " + " | ".join(self.states) + ".",
        ]

        def table(name, kind, value):
            lines.append(f"Definition {name} (p : symbol) (q : state) : {kind} :=\n  match q, p with")
            for q, row in enumerate(self.transitions):
                for p, to in enumerate(row):
                    lines.append(f"  | Q{q}, S{p} => {value(to)}")
            lines.append("  end.")

        table("output", "bool", lambda to: BITS[str(to[1])])
        table("after", "state", lambda to: f"Q{to[0]}")
        lines.append("Definition begin : state := Q0.")
        for n in range(len(self.shown[0])):
            cases = " ".join(f"| S{p} => {real(row[n])}" for p, row in enumerate(self.shown))
            lines.append(f"Definition shown{n} (p : symbol) := match p with {cases} end.")
        self.text = "\n".join(lines)


def main(name):
    w = read(open(name + ".safetensors", "rb").read())
    certificate = json.load(open(name + ".json"))
    machine = Machine(certificate["machine"]) if "machine" in certificate else Addition()
    assert certificate.get("cell", "elman-sigmoid") == "elman-sigmoid"
    hidden, inputs = len(w["head.weight"]), len(machine.shown[0])
    units = range(hidden)
    zeros = [0.0] * hidden
    w_in, w_rec, w_out = w["weight_ih_l0"], w["weight_hh_l0"], w["head.weight"]
    bias = "head.bias" in w
    b_in, b_rec = w.get("bias_ih_l0", zeros), w.get("bias_hh_l0", zeros)
    b_out = w.get("head.bias", [0.0])[0]
    assert certificate["steps"] == 1
    nodes = [(node["key"], node["cells"][0]) for node in certificate["nodes"]]
    assert all("axes" not in n and len(n["cells"]) == 1 for n in certificate["nodes"])
    assert all("slopes" not in piece for _, piece in nodes)
    number = {key: n for n, (key, _) in enumerate(nodes)}

    def state_after(state, history):
        for symbol in history:
            state = machine.transitions[state][machine.symbols.index(symbol)][0]
        return state

    def split(key):
        first, *history = key.split(" ")
        return (0 if first == "start" else int(first)), history

    def arrival(key, symbol):
        before, history = split(key)
        history = history + [symbol]
        for known in range(len(history) + 1):
            cut = len(history) - known
            found = " ".join([str(state_after(before, history[:cut]))] + history[cut:])
            if found in number:
                return found
        return " ".join(["start"] + history)

    # 2·n roundings of n terms or fewer: (2·n + 1)·2⁻²⁴·Σ|terms|, and what subnormal products lose. A
    # box may reach a little beyond [0, 1].
    def error(terms):
        return F(2 * len(terms) + 1, 2**24) * sum(abs(F(t)) for t in terms) * F(101, 100) + F(1, 2**99)

    of_unit = [
        [*w_in[inputs * j : inputs * (j + 1)], *w_rec[hidden * j : hidden * (j + 1)]]
        + ([b_in[j], b_rec[j]] if bias else [])
        for j in units
    ]
    errors = [error(terms) for terms in of_unit]
    out_error = error([*w_out] + ([b_out] if bias else []))

    xs = " ".join(f"x{i}" for i in range(inputs))
    hs = " ".join(f"h{j}" for j in units)
    gs = " ".join(f"g{j}" for j in units)
    shown_names = " ".join(f"shown{i}" for i in range(inputs))
    shown = " ".join(f"(shown{i} p)" for i in range(inputs))
    out = []
    p = out.append
    p(f"(* Written by generate.py from {name.split('/')[-1]}: do not edit. *)")
    p("From Coq Require Import Reals List Lra Lia Bool.")
    p("From Interval Require Import Tactic.")
    p("From Carry Require Import f32.")
    p("Import ListNotations.\nOpen Scope R_scope.\n")
    p(machine.text)
    p("Fixpoint outputs (q : state) (ps : list symbol) : list bool :=")
    p("  match ps with [] => [] | p :: ps => output p q :: outputs (after p q) ps end.\n")
    p("(* The network, with its weights: what is added up before each sigmoid. *)")
    for j in units:
        terms = [f"Product {xs.split()[i]} {real(w_in[inputs * j + i])}" for i in range(inputs)]
        terms += [f"Product h{k} {real(w_rec[hidden * j + k])}" for k in units]
        terms += [f"Number {real(b)}" for b in (b_in[j], b_rec[j]) if bias]
        p(f"Definition z{j} ({xs} {hs} : R) : list term :=\n  [{'; '.join(terms)}].")
    terms = [f"Product h{k} {real(w_out[k])}" for k in units] + ([f"Number {real(b_out)}"] if bias else [])
    p(f"Definition zo ({hs} : R) : list term :=\n  [{'; '.join(terms)}].\n")
    p("(* A step in f32: every sum in any order, and a function f in the place of the sigmoid. *)")
    p(f"Definition step (f : R -> R) (p : symbol) ({hs} {gs} : R) (o : bool) :=")
    for j in units:
        p(f"  (exists v, sums_to (z{j} {shown} {hs}) v /\\ g{j} = f v) /\\")
    p(f"  exists v, sums_to (zo {gs}) v /\\ (o = true <-> / 2 < f v).")
    p(f"Inductive run (f : R -> R) : {'R -> ' * hidden}list symbol -> list bool -> Prop :=")
    p(f"| run_end : forall {hs}, run f {hs} [] []")
    p(f"| run_step : forall {hs} {gs} p o ps os,")
    p(f"    step f p {hs} {gs} o -> run f {gs} ps os -> run f {hs} (p :: ps) (o :: os).\n")
    p("(* The certificate: nodes, their boxes and states. *)")
    p("Inductive node := " + " | ".join(f"N{n}" for n in range(len(nodes))) + ".")
    p(f"Definition inside (n : node) ({hs} : R) :=\n  match n with")
    for n, (_, piece) in enumerate(nodes):
        bounds = [f"{real(piece['low'][j])} <= h{j} <= {real(piece['high'][j])}" for j in units]
        p(f"  | N{n} => " + " /\\ ".join(bounds))
    p("  end.")
    p("Definition state_of (n : node) : state :=\n  match n with")
    for n, (key, _) in enumerate(nodes):
        p(f"  | N{n} => {machine.states[state_after(*split(key))]}")
    p("  end.")
    p("Definition next (n : node) (p : symbol) :=\n  match n, p with")
    for n, (key, _) in enumerate(nodes):
        for symbol, pattern in zip(machine.symbols, machine.patterns):
            p(f"  | N{n}, {pattern} => N{number[arrival(key, symbol)]}")
    p("  end.\n")
    every = "[[] []]" if isinstance(machine, Addition) else "[]"
    p("Lemma states : forall n p, state_of (next n p) = after p (state_of n).")
    p(f"Proof. intros [] {every}; reflexivity. Qed.\n")

    sigma = lambda z: 1 / (1 + math.exp(-z)) if z > -700 else 0.0
    near = 3 / 8388608 + 1e-12
    for n, (key, piece) in enumerate(nodes):
        for s, (symbol, pattern) in enumerate(zip(machine.symbols, machine.patterns)):
            x = machine.shown[s]
            target = number[arrival(key, symbol)]
            right = machine.transitions[state_after(*split(key))][s][1]
            p(f"Lemma step_{n}_{s} : forall f {hs} {gs} o, is_sigmoid_f32 f -> inside N{n} {hs} ->")
            p(f"  step f {pattern} {hs} {gs} o -> o = {BITS[str(right)]} /\\ inside N{target} {gs}.")
            p("Proof.")
            p(f"  intros f {hs} {gs} o S H T. unfold inside in *.")
            pattern_of = lambda names: " ".join(f"[{name}" for name in names[:-1]) + f" {names[-1]}" + "]" * (len(names) - 1)
            p(f"  destruct H as {pattern_of([f'H{j}' for j in units]) if hidden > 1 else 'H0'}.")
            names = [f"[v{j} [V{j} Q{j}]]" for j in units] + ["[v [V O]]"]
            p(f"  destruct T as {pattern_of(names)}.")
            known = " ".join(f"H{j}" for j in units)
            for j in units:
                row = w_rec[hidden * j : hidden * (j + 1)]
                base = sum(a * b for a, b in zip(x, w_in[inputs * j :])) + b_in[j] + b_rec[j]
                low = base + sum(min(v * l, v * h) for v, l, h in zip(row, piece["low"], piece["high"]))
                high = base + sum(max(v * l, v * h) for v, l, h in zip(row, piece["low"], piece["high"]))
                low, high = sigma(low - float(errors[j])) - near, sigma(high + float(errors[j])) + near
                p(f"  assert (B{j} : {decimal(low, False)} <= g{j} <= {decimal(high, True)} /\\ 0 <= g{j} <= 1).")
                p(f"  {{ apply (sums_to_error _ _ {real(errors[j])}) in V{j}.")
                p("    2: { apply bound_of_few; [simpl; lia|apply magnitude_pos|].")
                p(f"      unfold z{j}. cbv [length magnitude exactly Nat.mul Nat.add {shown_names} fst snd].")
                p(f"      simpl INR. clear - {known}. interval. }}")
                p(f"    destruct V{j} as [d [D W]]. destruct (S v{j}) as [R [e [E F]]].")
                p(f"    rewrite Q{j}. split; [|exact R]. rewrite F, W. unfold z{j}, sigmoid, near in *.")
                p(f"    cbv [total exactly {shown_names} fst snd]. clear - {known} D E. split; interval. }}")
                p(f"  destruct B{j} as [B{j} R{j}].")
            both = " ".join(f"B{j} R{j}" for j in units)
            p("  split.")
            p(f"  - apply (sums_to_error _ _ {real(out_error)}) in V.")
            p("    2: { apply bound_of_few; [simpl; lia|apply magnitude_pos|].")
            p(f"      unfold zo. cbv [length magnitude exactly Nat.mul Nat.add]. simpl INR. clear - {both}. interval. }}")
            p("    destruct V as [d [D W]].")
            if right:
                p("    apply O, sigmoid_is_above; [exact S|].")
            else:
                p("    destruct o; [exfalso|reflexivity]. destruct O as [O _]. specialize (O eq_refl).")
                p("    apply (Rlt_irrefl (/ 2)). eapply Rlt_trans; [exact O|]. apply sigmoid_is_below; [exact S|].")
            p(f"    rewrite W. unfold zo. cbv [total exactly]. clear - {both} D. interval.")
            p("  - repeat split; lra.")
            p("Qed.\n")
    p(f"Lemma steps : forall f n p {hs} {gs} o, is_sigmoid_f32 f -> inside n {hs} ->")
    p(f"  step f p {hs} {gs} o -> o = output p (state_of n) /\\ inside (next n p) {gs}.")
    p("Proof.")
    p(f"  intros f n p {hs} {gs} o S H T. destruct n; destruct p as {every}.")
    order = list(range(len(machine.symbols)))
    if isinstance(machine, Addition):
        order.reverse()  # `true` comes first
    for n in range(len(nodes)):
        for s in order:
            p(f"  - exact (step_{n}_{s} f {'_ ' * (2 * hidden + 1)}S H T).")
    p("Qed.\n")
    p(f"Lemma from_any_node : forall f, is_sigmoid_f32 f -> forall ps n os {hs},")
    p(f"  inside n {hs} -> run f {hs} ps os -> os = outputs (state_of n) ps.")
    p("Proof.")
    p(f"  intros f S. induction ps as [|p ps IH]; intros n os {hs} H T; inversion T; subst; [reflexivity|].")
    p("  match goal with T : step _ _ " + "_ " * (2 * hidden) + "_ |- _ => destruct (steps f n p " + "_ " * (2 * hidden) + "_ S H T) as [D I] end.")
    p("  simpl. rewrite <- states. f_equal; [exact D|]. eapply IH; eassumption.")
    p("Qed.\n")
    p("(* After every list of symbols, every output is right, if f is what is supposed of the sigmoid. *)")
    p("Theorem every_output_is_right : forall f, is_sigmoid_f32 f ->")
    p(f"  forall ps os, run f {'0 ' * hidden}ps os -> os = outputs begin ps.")
    p("Proof.")
    p(f"  intros f S ps os T. apply (from_any_node f S ps N{number['start']} os {'0 ' * hidden}); [|exact T].")
    p("  unfold inside; repeat split; lra.")
    p("Qed.\n")
    p("(* And there is such a run of every list. *)")
    p(f"Lemma some_run : forall f ps {hs}, exists os, run f {hs} ps os.")
    p("Proof.")
    p(f"  intros f. induction ps as [|p ps IH]; intros {hs}; [exists []; constructor|].")
    for j in units:
        p(f"  destruct (some_sum _ _ : exists v, sums_to (z{j} {shown} {hs}) v) as [v{j} V{j}].")
    now = " ".join(f"(f v{j})" for j in units)
    p(f"  destruct (some_sum _ _ : exists v, sums_to (zo {now}) v) as [v V].")
    p(f"  destruct (IH {now}) as [os T].")
    p("  exists ((if Rlt_dec (/ 2) (f v) then true else false) :: os). econstructor; [|exact T].")
    p("  repeat (split; [eexists; split; [eassumption|reflexivity]|]). exists v. split; [exact V|].")
    p("  destruct (Rlt_dec (/ 2) (f v)); split; intros; (assumption || reflexivity || discriminate || contradiction).")
    p("Qed.\n")
    p("Print Assumptions every_output_is_right.")
    print("\n".join(out))


main(sys.argv[1])
