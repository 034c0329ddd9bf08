"""Fused kernels on the CPU: masked categorical choices over segments of logits, compiled.

A call covers R rows of logits, each cut into K heads by offsets; a ragged batch of candidate
sets is one row of which every set is a head. A segment is one head of one row. Kernels exist
for float32 (`forward32`) and float64 (`forward64`), take int64 addresses, check nothing, and
release the interpreter. The memory behind an address must outlive the call. Address 0 means:
is not there, is not wanted.

    forward(plan, logits, mask, uniforms, actions, log_probs, normalizer, entropy) -> flags
        With `uniforms` float64 [R, K], draws and writes `actions` int64 [R, K]; without, reads
        them. `log_probs` [R, K] of the choices needs `actions`; `entropy` [R, K]; both in the
        type of the logits. `normalizer` float64 [R, K, 2] is the largest allowed logit and the
        log of the sum of exponentials seen from it: log-sum-exp is their sum, and log p of a
        logit x is (x - first) - second. It is (-inf, 0) for an empty segment and (NaN, NaN)
        for an unsound one. Any of the results may be absent.
    pick(plan, logits, mask, normalizer, actions, log_probs) -> flags
        The log-probabilities of choices, given the normalisers of a pass.
    pick_whole(plan, logits, mask, normalizer, entropy, actions, log_probs, entropies) -> flags
        The same of whole actions: `log_probs` and `entropies` [R] are sums over the heads.
    gradient(plan, logits, mask, normalizer, entropy, actions,
             g, g_row, g_head, h, h_row, h_head, out) -> 0
        `out` [R, A] together: the gradient where `g` is that of the log-probabilities and `h`
        that of the entropies, each with strides in elements, or absent with what belongs to it.
    dense(plan, logits, mask, normalizer, logs, out) -> 0
        Log-probabilities (`logs` 1) or probabilities (0) of all entries, `out` [R, A] together.
    dense_gradient(plan, logits, mask, normalizer, upstream, logs, out) -> 0
        Their gradient; `upstream` and `out` [R, A] together.
    divergence(plan_p, logits_p, mask_p, normalizer_p,
               plan_q, logits_q, mask_q, normalizer_q,
               divergence, g, g_row, g_head, out_p, out_q) -> 0
        Without `out_p` and `out_q` writes KL(p, q), `divergence` [R, K]; with one or both it
        reads it and writes the gradients [R, A]. Both plans have the same rows and offsets.
    modes(plan, logits, mask, actions) -> flag
        The first of the largest allowed logits of each segment. Its flag is DOUBTFUL where one
        holds NaN or nothing above -inf, and that segment's mode may be any entry.
    draws(plan, logits, mask, normalizer, uniforms,
          draws, draw_stride, row_stride, head_stride, actions) -> 0
        Many draws from each segment; `uniforms` and `actions` have the same strides.

`plan` is the address of a `plan.Plan`; `threads.run(kernel, plan, *rest)` calls a kernel on
several threads where that pays, whose parts are handed over at a `desk`. Flags are those of
`forward`: EMPTY, UNSOUND, IMPOSSIBLE (a choice has probability 0), OUT_OF_RANGE. In empty and
unsound segments draws and modes are 0.
"""
