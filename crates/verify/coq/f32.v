(* Sums in f32, in any order and grouping, with or without fused multiply-add: by Flocq, how far they
   are from the exact ones. And what is supposed of the f32 sigmoid.

   Rounding is to nearest, ties to even, with 24 digits and subnormals down to 2^-149: binary32 of
   IEEE 754 without its largest exponent, to which no sum here comes near. *)
From Coq Require Import Reals List Lra Lia ZArith Permutation.
From Flocq Require Import Core Relative.
From Interval Require Import Tactic.
Import ListNotations.
Open Scope R_scope.

Definition rnd (x : R) : R := round radix2 (FLT_exp (-149) 24) ZnearestE x.

(* What is added: a number, or the product of two. *)
Inductive term :=
| Number (x : R)
| Product (w h : R).

Definition exactly (t : term) : R :=
  match t with Number x => x | Product w h => w * h end.

(* How it is added. *)
Inductive sum :=
| Leaf (t : term)
| Plus (a b : sum)
| Fused (w h : R) (a : sum)  (* w * h + a, rounded once *)
| Padded (a : sum).          (* with the zero of a lane that has no unit *)

Fixpoint value (s : sum) : R :=
  match s with
  | Leaf t => rnd (exactly t)  (* a number that f32 has stays as it is *)
  | Plus a b => rnd (value a + value b)
  | Fused w h a => rnd (w * h + value a)
  | Padded a => rnd (value a + 0)
  end.

Fixpoint terms (s : sum) : list term :=
  match s with
  | Leaf t => [t]
  | Plus a b => terms a ++ terms b
  | Fused w h a => Product w h :: terms a
  | Padded a => terms a
  end.

(* The roundings that may change anything. *)
Fixpoint roundings (s : sum) : nat :=
  match s with
  | Leaf _ => 1
  | Plus a b => S (roundings a + roundings b)
  | Fused _ _ a => S (roundings a)
  | Padded a => roundings a
  end.

Fixpoint total (ts : list term) : R :=
  match ts with [] => 0 | t :: ts => exactly t + total ts end.
Fixpoint magnitude (ts : list term) : R :=
  match ts with [] => 0 | t :: ts => Rabs (exactly t) + magnitude ts end.

Definition u : R := / 16777216.
Definition tiny : R := / 2 * bpow radix2 (-149).

Lemma u_pos : 0 < u. Proof. unfold u; lra. Qed.
Lemma tiny_pos : 0 < tiny.
Proof. unfold tiny. assert (H := bpow_gt_0 radix2 (-149)). lra. Qed.

Lemma rnd_error : forall x, Rabs (rnd x - x) <= u * Rabs x + tiny.
Proof.
  intros x. unfold rnd.
  destruct (error_N_FLT radix2 (-149) 24 (eq_refl : (0 < 24)%Z) (fun n => negb (Z.even n)) x)
    as [e [d [E [D [_ Q]]]]].
  change ZnearestE with (Znearest (fun n => negb (Z.even n))). rewrite Q.
  replace (x * (1 + e) + d - x) with (x * e + d) by ring.
  eapply Rle_trans; [apply Rabs_triang|].
  rewrite Rabs_mult.
  assert (Rabs e <= u).
  { eapply Rle_trans; [exact E|]. unfold u. simpl bpow. lra. }
  assert (Rabs d <= tiny) by exact D.
  assert (0 <= Rabs x) by apply Rabs_pos.
  nra.
Qed.

Lemma value_is_rounded : forall s, exists x, value s = rnd x.
Proof. destruct s; simpl; eexists; reflexivity. Qed.

Lemma padding_changes_nothing : forall s, value (Padded s) = value s.
Proof.
  intros s. simpl. rewrite Rplus_0_r. destruct (value_is_rounded s) as [x ->].
  unfold rnd at 1. apply round_generic; [apply valid_rnd_N|].
  apply generic_format_round; [apply FLT_exp_valid; reflexivity|apply valid_rnd_N].
Qed.

(* Of n terms there are fewer than 2 * n roundings, whatever the order. *)
Lemma roundings_of_terms : forall s, (S (roundings s) <= 2 * length (terms s))%nat.
Proof. induction s; simpl; try rewrite app_length; lia. Qed.

Lemma total_app : forall a b, total (a ++ b) = total a + total b.
Proof. induction a as [|t a IH]; intros b; simpl; [ring|rewrite IH; ring]. Qed.
Lemma magnitude_app : forall a b, magnitude (a ++ b) = magnitude a + magnitude b.
Proof. induction a as [|t a IH]; intros b; simpl; [ring|rewrite IH; ring]. Qed.
Lemma total_permutation : forall a b, Permutation a b -> total a = total b.
Proof. induction 1; simpl; lra. Qed.
Lemma magnitude_permutation : forall a b, Permutation a b -> magnitude a = magnitude b.
Proof. induction 1; simpl; lra. Qed.
Lemma magnitude_pos : forall a, 0 <= magnitude a.
Proof. induction a as [|t a IH]; simpl; [lra|]. assert (H := Rabs_pos (exactly t)). lra. Qed.
Lemma total_magnitude : forall a, Rabs (total a) <= magnitude a.
Proof.
  induction a as [|t a IH]; simpl; [rewrite Rabs_R0; lra|].
  eapply Rle_trans; [apply Rabs_triang|lra].
Qed.

(* What so many roundings may do to terms of this magnitude. *)
Definition bound (n : nat) (m : R) : R := ((1 + u) ^ n - 1) * m + INR n * (1 + u) ^ n * tiny.

Lemma power_grows : forall a b, (a <= b)%nat -> (1 + u) ^ a <= (1 + u) ^ b.
Proof. intros a b H. apply Rle_pow; [unfold u; lra|exact H]. Qed.
Lemma power_large : forall a, 1 <= (1 + u) ^ a.
Proof. intros a. change 1 with ((1 + u) ^ 0) at 1. apply power_grows. lia. Qed.

(* One more rounding, of a sum that is off by e from one of this magnitude. *)
Lemma one_more : forall x y m e, Rabs (y - x) <= e -> Rabs x <= m ->
  Rabs (rnd y - x) <= (1 + u) * e + u * m + tiny.
Proof.
  intros x y m e E M.
  assert (H := rnd_error y).
  assert (Rabs y <= e + m).
  { replace y with ((y - x) + x) by ring. eapply Rle_trans; [apply Rabs_triang|lra]. }
  replace (rnd y - x) with ((rnd y - y) + (y - x)) by ring.
  eapply Rle_trans; [apply Rabs_triang|].
  assert (0 < u) by apply u_pos. nra.
Qed.

Theorem sum_error : forall s, Rabs (value s - total (terms s)) <= bound (roundings s) (magnitude (terms s)).
Proof.
  assert (U := u_pos). assert (T := tiny_pos).
  induction s as [t|a IHa b IHb|w h a IHa|a IHa].
  - unfold bound; simpl. replace (exactly t + 0) with (exactly t) by ring.
    assert (H := rnd_error (exactly t)). assert (P := Rabs_pos (exactly t)). nra.
  - unfold bound in *. simpl value. simpl terms. simpl roundings.
    rewrite total_app, magnitude_app.
    set (ma := magnitude (terms a)) in *. set (mb := magnitude (terms b)) in *.
    assert (A : 0 <= ma) by apply magnitude_pos. assert (B : 0 <= mb) by apply magnitude_pos.
    set (ka := roundings a) in *. set (kb := roundings b) in *.
    assert (Rabs (value a + value b - (total (terms a) + total (terms b)))
      <= (((1 + u) ^ ka - 1) * ma + INR ka * (1 + u) ^ ka * tiny) + (((1 + u) ^ kb - 1) * mb + INR kb * (1 + u) ^ kb * tiny)).
    { replace (value a + value b - (total (terms a) + total (terms b)))
        with ((value a - total (terms a)) + (value b - total (terms b))) by ring.
      eapply Rle_trans; [apply Rabs_triang|lra]. }
    assert (M : Rabs (total (terms a) + total (terms b)) <= ma + mb).
    { eapply Rle_trans; [apply Rabs_triang|]. apply Rplus_le_compat; apply total_magnitude. }
    eapply Rle_trans; [eapply one_more; eassumption|].
    assert (Pa : (1 + u) ^ ka <= (1 + u) ^ (ka + kb)) by (apply power_grows; lia).
    assert (Pb : (1 + u) ^ kb <= (1 + u) ^ (ka + kb)) by (apply power_grows; lia).
    assert (P1 := power_large (ka + kb)).
    rewrite S_INR, plus_INR. change ((1 + u) ^ S (ka + kb)) with ((1 + u) * (1 + u) ^ (ka + kb)).
    set (p := (1 + u) ^ (ka + kb)) in *. set (pa := (1 + u) ^ ka) in *. set (pb := (1 + u) ^ kb) in *.
    assert (Na := pos_INR ka). assert (Nb := pos_INR kb).
    set (na := INR ka) in *. set (nb := INR kb) in *.
    assert ((1 + u) * (pa * ma) <= (1 + u) * (p * ma)) by (apply Rmult_le_compat_l; [lra|]; apply Rmult_le_compat_r; lra).
    assert ((1 + u) * (pb * mb) <= (1 + u) * (p * mb)) by (apply Rmult_le_compat_l; [lra|]; apply Rmult_le_compat_r; lra).
    assert ((1 + u) * (na * tiny * pa) <= (1 + u) * (na * tiny * p)).
    { apply Rmult_le_compat_l; [lra|]. apply Rmult_le_compat_l; [|lra]. apply Rmult_le_pos; lra. }
    assert ((1 + u) * (nb * tiny * pb) <= (1 + u) * (nb * tiny * p)).
    { apply Rmult_le_compat_l; [lra|]. apply Rmult_le_compat_l; [|lra]. apply Rmult_le_pos; lra. }
    assert (tiny <= (1 + u) * (p * tiny)).
    { assert (1 * tiny <= p * tiny) by (apply Rmult_le_compat_r; lra). assert (0 <= u * (p * tiny)) by (apply Rmult_le_pos; [lra|apply Rmult_le_pos; lra]). lra. }
    lra.
  - unfold bound in *. simpl value. simpl terms. simpl roundings. simpl total. simpl magnitude.
    set (ma := magnitude (terms a)) in *. set (mb := Rabs (w * h)) in *.
    assert (A : 0 <= ma) by apply magnitude_pos. assert (B : 0 <= mb) by apply Rabs_pos.
    set (ka := roundings a) in *.
    assert (Rabs (w * h + value a - (w * h + total (terms a))) <= ((1 + u) ^ ka - 1) * ma + INR ka * (1 + u) ^ ka * tiny).
    { replace (w * h + value a - (w * h + total (terms a))) with (value a - total (terms a)) by ring. exact IHa. }
    assert (M : Rabs (w * h + total (terms a)) <= mb + ma).
    { eapply Rle_trans; [apply Rabs_triang|]. apply Rplus_le_compat; [apply Rle_refl|apply total_magnitude]. }
    eapply Rle_trans; [eapply one_more; eassumption|].
    assert (P1 := power_large ka).
    rewrite S_INR. change ((1 + u) ^ S ka) with ((1 + u) * (1 + u) ^ ka).
    set (p := (1 + u) ^ ka) in *.
    assert (Na := pos_INR ka). set (na := INR ka) in *.
    assert (tiny <= (1 + u) * (p * tiny)).
    { assert (1 * tiny <= p * tiny) by (apply Rmult_le_compat_r; lra). assert (0 <= u * (p * tiny)) by (apply Rmult_le_pos; [lra|apply Rmult_le_pos; lra]). lra. }
    assert (0 <= u * mb) by (apply Rmult_le_pos; lra).
    assert (mb <= p * mb) by (assert (1 * mb <= p * mb) by (apply Rmult_le_compat_r; lra); lra).
    assert (u * mb <= u * (p * mb)) by (apply Rmult_le_compat_l; lra).
    lra.
  - rewrite padding_changes_nothing. exact IHa.
Qed.

(* A sum of these terms, in whatever order and grouping, has this value. *)
Definition sums_to (ts : list term) (v : R) : Prop :=
  exists s, Permutation (terms s) ts /\ value s = v.

Theorem sums_to_error : forall ts v e,
  sums_to ts v -> bound (2 * length ts) (magnitude ts) <= e ->
  exists d, - e <= d <= e /\ v = total ts + d.
Proof.
  intros ts v e [s [P V]] E. exists (v - total ts). split; [|ring]. apply Rabs_le_inv.
  rewrite <- V, <- (total_permutation _ _ P).
  eapply Rle_trans; [apply sum_error|]. rewrite (magnitude_permutation _ _ P).
  eapply Rle_trans; [|exact E]. unfold bound.
  assert (N : (roundings s <= 2 * length ts)%nat).
  { rewrite <- (Permutation_length P). assert (R := roundings_of_terms s). lia. }
  assert (0 <= magnitude ts) by apply magnitude_pos. assert (T := tiny_pos).
  assert (H1 := power_grows _ _ N). assert (H2 := power_large (roundings s)).
  assert (H3 : INR (roundings s) <= INR (2 * length ts)) by (apply le_INR; exact N).
  assert (H4 := pos_INR (roundings s)).
  apply Rplus_le_compat.
  - apply Rmult_le_compat_r; lra.
  - apply Rmult_le_compat_r; [lra|]. apply Rmult_le_compat; lra.
Qed.

(* There is such a sum: from left to right. *)
Lemma some_sum : forall ts t, exists v, sums_to (t :: ts) v.
Proof.
  intros ts t. enough (exists s, terms s = t :: ts) as [s H].
  { exists (value s), s. rewrite H. split; [apply Permutation_refl|reflexivity]. }
  revert t. induction ts as [|t' ts IH]; intros t.
  - exists (Leaf t). reflexivity.
  - destruct (IH t') as [s H]. exists (Plus (Leaf t) s). simpl. rewrite H. reflexivity.
Qed.

(* The bound of n terms or fewer, as numbers. *)
Lemma bound_of_few : forall n m e, (n <= 40)%nat -> 0 <= m ->
  (INR n + 1) / 16777216 * m + / 2 ^ 100 <= e -> bound n m <= e.
Proof.
  intros n m e N M E. eapply Rle_trans; [|exact E]. unfold bound.
  assert (T : 0 < tiny) by apply tiny_pos.
  assert (S : tiny <= / 2 ^ 140) by (unfold tiny; simpl bpow; lra).
  apply Rplus_le_compat.
  - apply Rmult_le_compat_r; [exact M|].
    do 41 (destruct n as [|n]; [simpl INR; unfold u; interval|]). lia.
  - do 41 (destruct n as [|n]; [simpl INR; unfold u; interval|]). lia.
Qed.

(* What is supposed of the f32 sigmoid: its values are in [0, 1] and within 3 units of 2^-23, or
   2^-126, of the exact one. *)
Definition sigmoid (z : R) := 1 / (1 + exp (- z)).
Definition near : R := 3 / 8388608 + / 2 ^ 126.
Definition is_sigmoid_f32 (f : R -> R) : Prop :=
  forall z, 0 <= f z <= 1 /\ exists e, - near <= e <= near /\ f z = sigmoid z + e.

(* The exact one is such a function. *)
Lemma sigmoid_is_near_itself : is_sigmoid_f32 sigmoid.
Proof.
  intros z. split.
  - unfold sigmoid. assert (0 < exp (- z)) by apply exp_pos. split.
    + apply Rmult_le_pos; [lra|]. left. apply Rinv_0_lt_compat. lra.
    + apply (Rmult_le_reg_r (1 + exp (- z))); [lra|]. unfold Rdiv. rewrite Rmult_assoc, Rinv_l; lra.
  - exists 0. split; [unfold near; interval|ring].
Qed.

(* So its side of 1/2 is that of the sum, 2^-16 from 0 on. *)
Lemma sigmoid_is_above : forall f z, is_sigmoid_f32 f -> / 65536 <= z -> / 2 < f z.
Proof.
  intros f z F Z. destruct (F z) as [_ [e [E Q]]]. rewrite Q. unfold sigmoid, near in *.
  assert (exp (- z) <= exp (- / 65536)).
  { destruct Z as [Z|Z]; [left; apply exp_increasing; lra|rewrite Z; right; reflexivity]. }
  assert (0 < exp (- z)) by apply exp_pos.
  assert (1 / (1 + exp (- / 65536)) <= 1 / (1 + exp (- z))).
  { apply Rmult_le_compat_l; [lra|]. apply Rinv_le_contravar; lra. }
  assert (/ 2 + / 300000 <= 1 / (1 + exp (- / 65536))) by interval.
  assert (/ 2 ^ 126 <= / 10000000) by interval. lra.
Qed.

Lemma sigmoid_is_below : forall f z, is_sigmoid_f32 f -> z <= - / 65536 -> f z < / 2.
Proof.
  intros f z F Z. destruct (F z) as [_ [e [E Q]]]. rewrite Q. unfold sigmoid, near in *.
  assert (exp (/ 65536) <= exp (- z)).
  { destruct Z as [Z|Z]; [left; apply exp_increasing; lra|rewrite Z, Ropp_involutive; right; reflexivity]. }
  assert (1 / (1 + exp (- z)) <= 1 / (1 + exp (/ 65536))).
  { apply Rmult_le_compat_l; [lra|]. assert (0 < exp (/ 65536)) by apply exp_pos. apply Rinv_le_contravar; lra. }
  assert (1 / (1 + exp (/ 65536)) <= / 2 - / 300000) by interval.
  assert (/ 2 ^ 126 <= / 10000000) by interval. lra.
Qed.
