"""Attention between the entities of many small scenes, compiled for the CPU.

A scene is a few dozen rows of features, so nothing leaves the nearest caches: rows that are there
are packed, scores lie keys first with 8 to 32 queries side by side, and products, mask, softmax and
the way back follow one another. Nothing of the size [E, E] is ever written to memory. Empty rows
need no guard around it: their sum is 0, and what would be divided by it becomes 0. Scores that a
mask excludes are selected away; their weights are 0, so values have to be finite.

    attention(plan), attention_gradient(plan)    of queries, keys and values as they lie
    layer(plan), layer_gradient(plan)            from entities to output, projections included
    views(plan), views_gradient(plan)            of single queries, each over a list of its own

`plan` is the address of the numbers of a `plan.ScenePlan`, `layer_plan.LayerPlan` or
`view_plan.ViewPlan`.
"""
